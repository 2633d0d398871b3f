//! A Tactical that is slow, away, broken, lying or another one, while its alerts are polled and its webhooks come.

use std::collections::BTreeSet;
use std::net::TcpListener;

use store::run::Kind;

use super::{Case, Ground, Outcome, Side, Trial};
use crate::proxy;
use crate::simulator::{Fault, FaultKind, Replacement};
use crate::{DEADLINE, Fleet, until};

pub(super) const CASES: &[Case] = &[
    Case::new("tactical-slow", "every answer takes three seconds", |ground| {
        Box::pin(faulty(ground, FaultKind::Slow { delay_ms: 3_000 }))
    }),
    Case::new("tactical-429-minutes", "429 with a Retry-After of minutes", |ground| {
        Box::pin(faulty(ground, FaultKind::TooManyRequests { retry_after_s: 120 }))
    }),
    Case::new("tactical-429-hours", "429 with a Retry-After of hours", |ground| {
        Box::pin(faulty(ground, FaultKind::TooManyRequests { retry_after_s: 3 * 60 * 60 }))
    }),
    Case::new("tactical-5xx", "every answer is a 503 of the proxy before it", |ground| {
        Box::pin(faulty(ground, FaultKind::ServerError { status: 503 }))
    })
    .recovers_within_s(BREAKER_S_MAX)
    .everyday(),
    Case::new("tactical-truncated", "every answer breaks off in its JSON", |ground| {
        Box::pin(faulty(ground, FaultKind::Truncated { bytes: 40 }))
    })
    .recovers_within_s(BREAKER_S_MAX),
    Case::new("tactical-cut-short", "every answer ends in its JSON as if that were all", |ground| {
        Box::pin(faulty(ground, FaultKind::CutShort { bytes: 40 }))
    })
    .recovers_within_s(BREAKER_S_MAX),
    Case::new("tactical-html", "every answer is the dashboard's HTML with 200", |ground| {
        Box::pin(faulty(ground, FaultKind::Html))
    })
    .recovers_within_s(BREAKER_S_MAX)
    .everyday(),
    Case::new("tactical-redirect", "every answer leads to the metadata address of a cloud", |ground| {
        Box::pin(redirected(ground))
    })
    .recovers_within_s(BREAKER_S_MAX),
    Case::new("tactical-away", "its address refuses connections, for long", |ground| {
        Box::pin(unreachable(ground, proxy::Fault::REFUSE))
    })
    .recovers_within_s(BREAKER_S_MAX),
    Case::new("tactical-half-open", "its connections are half open", |ground| {
        Box::pin(unreachable(ground, proxy::Fault::HALF_OPEN))
    })
    .recovers_within_s(BREAKER_S_MAX),
    Case::new("tactical-role-narrowed", "the key's role sees one client only, and later all of them again", |ground| {
        Box::pin(role_narrowed(ground))
    })
    .everyday(),
    Case::new("tactical-replaced", "the server is restored without its alerts; their numbers begin again", |ground| {
        Box::pin(replaced(ground))
    }),
];

/// A breaker that failures have opened lets nobody ask for half a minute; then the poll that waits for it has its time.
const BREAKER_S_MAX: u64 = 45;
/// Where clouds keep their secrets.
const METADATA: &str = "http://169.254.169.254/latest/meta-data/";
/// Of the ladder, so that its longest delay is seven seconds.
const RETRY_BASE_MS: u32 = 2;

async fn trial(ground: Ground) -> Trial {
    let builder = Fleet::builder().workers(2).set("MUSTER_RETRY_BASE_MS", RETRY_BASE_MS);
    let mut trial = Trial::start(ground, builder).await;
    trial.load(60, 100_000);
    trial.under_way(60).await;
    trial
}

async fn faulty(ground: Ground, kind: FaultKind) -> Outcome {
    let is_waited_for = matches!(kind, FaultKind::TooManyRequests { .. });
    answering(ground, is_waited_for, |_| kind.clone()).await
}

/// Every answer is what is said of the side.
async fn answering(ground: Ground, is_waited_for: bool, kind: impl Fn(&Side) -> FaultKind) -> Outcome {
    let rounds = ground.pick(1, 3);
    let trial = trial(ground).await;
    polled_during(
        trial,
        rounds,
        is_waited_for,
        |side| side.control().add_fault(Fault { path_prefix: String::new(), kind: kind(side), requests: None }),
        |side| side.control().clear_faults(),
    )
    .await
}

/// Nobody here answers at the metadata's address, so the other server leads to where somebody would notice.
async fn redirected(ground: Ground) -> Outcome {
    let canary = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = canary.local_addr().expect("it listens");
    let to = [METADATA.to_owned(), format!("http://{address}/latest/meta-data/")];
    let lead = |side: &Side| FaultKind::Redirect { to: to[usize::from(side.name == "B")].clone() };
    let mut outcome = answering(ground, false, lead).await;
    canary.set_nonblocking(true).expect("it listens");
    if canary.accept().is_ok() {
        outcome.findings.push("a redirect of Tactical was followed".to_owned());
    }
    outcome
}

async fn unreachable(ground: Ground, fault: proxy::Fault) -> Outcome {
    let rounds = ground.pick(1, 3);
    let trial = trial(ground).await;
    polled_during(
        trial,
        rounds,
        false,
        |side| {
            side.tactical_proxy().set(fault);
            side.tactical_proxy().cut();
        },
        |side| side.tactical_proxy().set(proxy::Fault::NONE),
    )
    .await
}

/// Polls while it lasts, and lets it end however it ends; what must be true then is checked as ever.
async fn polled_during(
    mut trial: Trial,
    rounds: u32,
    is_waited_for: bool,
    begin: impl Fn(&Side),
    end: impl Fn(&Side),
) -> Outcome {
    let mut workers = [0, 1];
    for _ in 0..rounds {
        let mut runs = Vec::new();
        for side in trial.sides() {
            let before = side.tactical_proxy().links().len() + side.control().asked().len();
            begin(side);
            runs.push(side.start_run(&trial.fleet, Kind::Alerts).await);
            // a breaker that the last round has opened stays so for half a minute
            until(DEADLINE * 3, async || {
                match side.tactical_proxy().links().len() + side.control().asked().len() - before {
                    0 => Err("nobody asked"),
                    _ => Ok(()),
                }
            })
            .await;
        }
        if is_waited_for {
            until_left_alone(&trial).await;
        }
        trial.under_way_more(100).await;
        for side in trial.sides() {
            end(side);
        }
        if is_waited_for {
            // what Tactical asked for is kept as long as a process lives: the time passes with new ones
            for place in workers {
                assert!(trial.fleet().worker(place).terminate(DEADLINE * 2).await.success(), "it ends well");
            }
            workers = [trial.fleet().add_worker().await, trial.fleet().add_worker().await];
        }
        // the runs have waited for it, too
        trial.fault_ended();
        for (side, run) in trial.sides().iter().zip(runs) {
            side.ended(&trial.fleet, run).await;
        }
        trial.healed().await;
    }
    trial.finish().await
}

/// A server that asked for it is asked nothing for as long as a hundred webhooks take.
async fn until_left_alone(trial: &Trial) {
    let asked = || trial.sides().iter().map(|side| side.control().asked().len()).sum::<usize>();
    // each of the workers may have to be told
    until(DEADLINE * 2, async || {
        let before = asked();
        trial.under_way_more(100).await;
        match asked() - before {
            0 => Ok(()),
            more => Err(format!("it was asked {more} times more")),
        }
    })
    .await;
}

async fn role_narrowed(ground: Ground) -> Outcome {
    let mut trial = trial(ground).await;
    for side in trial.sides() {
        let wide = side.control().role("sync").expect("every server has it");
        let mut narrow = wide.clone();
        narrow.view_clients = BTreeSet::from([1]);
        side.control().set_role("sync", narrow).expect("every server has it");
        let run = side.start_run(&trial.fleet, Kind::Alerts).await;
        side.ended(&trial.fleet, run).await;
        trial.under_way_more(50).await;
        side.control().set_role("sync", wide).expect("every server has it");
    }
    trial.healed().await;
    trial.finish().await
}

async fn replaced(ground: Ground) -> Outcome {
    let mut trial = trial(ground).await;
    for side in trial.sides() {
        side.control().replace_server(Replacement::Restored);
    }
    trial.under_way_more(100).await;
    trial.healed().await;
    trial.finish().await
}
