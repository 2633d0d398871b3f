//! Old and new workers at once.

use contract::{envelope, topology};
use lapin::types::AMQPValue;

use super::{Case, Ground, Outcome, Trial};
use crate::{DEADLINE, Fleet, Got};

pub(super) const CASES: &[Case] = &[
    Case::new("version-unknown-waits", "workers that do not know the kind, until one comes that does", |ground| {
        Box::pin(unknown_waits(ground))
    })
    .everyday(),
    Case::new("version-old-and-new", "a worker that knows the kind and one that does not share a queue", |ground| {
        Box::pin(old_and_new(ground))
    })
    .everyday(),
];

/// Receives a copy of everything that is to be tried again.
const RETRIES: &str = "trial.retries";
/// What the old one does not know waits for thirty times as long: a copy that is sent too often, for its confirm came late,
/// must not come back so soon that there are ever more of them.
const RETRY_BASE_MS: u32 = 50;
/// What makes a worker of the trials one that does not know webhooks' messages.
const OLD: (&str, &str) = ("TRIAL_WORKER_IS_OLD", "true");

async fn unknown_waits(ground: Ground) -> Outcome {
    let webhooks = ground.pick(100, 1_000);
    let mut trial = Trial::start(ground, Fleet::builder().workers(1)).await;
    trial.fleet().add_worker_of("trial-worker", &[OLD]).await;
    assert!(
        trial.fleet().worker(0).terminate(DEADLINE * 2).await.success(),
        "a worker that was told to stop ends well"
    );
    trial.load(50, 100_000);
    trial.under_way_more(webhooks).await;
    let rows: i64 =
        sqlx::query_scalar("select count(*) from rmm_alerts").fetch_one(trial.sql()).await.expect("it answers");
    assert_eq!(rows, 0, "nobody knows how to write them");
    trial.fleet().add_worker().await;
    // the old one goes on, and lets wait again what it gets
    trial.healed().await;
    trial.finish().await
}

/// What comes to the old one waits, burns no attempt, and comes to the new one in the end.
async fn old_and_new(ground: Ground) -> Outcome {
    let (webhooks, rounds) = ground.pick((200, 1), (1_000, 3));
    let fleet = Fleet::builder().workers(1).set("MUSTER_RETRY_BASE_MS", RETRY_BASE_MS);
    let mut trial = Trial::start(ground, fleet).await;
    trial.fleet().add_worker_of("trial-worker", &[OLD]).await;
    trial.fleet().amqp().bind_queue(RETRIES, topology::RETRY, "").await;
    let mut burnt = Vec::new();
    for _ in 0..rounds {
        trial.load(50, webhooks);
        trial.all_sent().await;
        trial.healed().await;
        let waited = trial.fleet().amqp().get_all(RETRIES).await;
        assert!(!waited.is_empty(), "nothing came to the old one");
        burnt.extend(waited.iter().filter(|got| !is_unburnt(got)).map(|got| format!("{:?}", got.properties)));
        // the next new one beside the last old one
        trial.fleet().add_worker().await;
    }
    let mut outcome = trial.finish().await;
    outcome.findings.extend(burnt.iter().map(|message| format!("an attempt was burnt: {message}")));
    outcome
}

/// It waits because nobody knew it, and as if it had never been tried.
fn is_unburnt(got: &Got) -> bool {
    let is_unknown = match got.header(envelope::REASON) {
        Some(AMQPValue::LongString(reason)) => reason.to_string().contains("unknown_kind"),
        _ => false,
    };
    let attempt = match got.header(envelope::ATTEMPT) {
        Some(AMQPValue::LongLongInt(attempt)) => *attempt,
        Some(AMQPValue::LongInt(attempt)) => i64::from(*attempt),
        Some(_) => -1,
        None => 0,
    };
    is_unknown && attempt == 0
}
