//! Gateways that die, restart, run out of something, or are two.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use store::run::Kind;
use tokio::net::TcpStream;

use super::broker::{meanwhile, under_load};
use super::{Case, Ground, Outcome, Trial};
use crate::disk::SmallDisk;
use crate::proxy::Fault;
use crate::{DEADLINE, Fleet, until};

pub(super) const CASES: &[Case] = &[
    Case::new("gateway-killed", "kill -9 of the gateway under load, again and again", |ground| {
        Box::pin(killed(ground))
    })
    .everyday(),
    Case::new("gateway-restarted-without-postgres", "the gateway starts while Postgres is away", |ground| {
        Box::pin(without_postgres(ground))
    })
    .everyday(),
    Case::new("gateway-restart-refuses-nobody", "ten thousand webhooks while it is restarted, socket kept", |ground| {
        Box::pin(refuses_nobody(ground))
    })
    .everyday(),
    Case::new(
        "gateway-restarted-beside-a-hung-broker",
        "SIGTERM and a start on the same socket with a spool that nobody takes",
        |ground| Box::pin(restarted_hung(ground)),
    )
    .everyday(),
    Case::new("gateway-spool-torn", "it dies with a full spool, whose last group is torn", |ground| {
        Box::pin(spool_torn(ground))
    }),
    Case::new("gateway-spool-disk-full", "the broker is away and the spool's disk (tmpfs) is full", |ground| {
        Box::pin(spool_disk_full(ground))
    }),
    Case::new("gateway-descriptors-exhausted", "no descriptors left, by idle connections", |ground| {
        Box::pin(descriptors(ground))
    }),
    Case::new("gateway-two-schedulers", "two gateways tick, one of them paused and resumed", |ground| {
        Box::pin(two_schedulers(ground))
    }),
];

/// Descriptors that a gateway has at its start are fewer, and idle connections take the rest.
const DESCRIPTORS_MAX: usize = 80;
/// Of the disk that is full: room for the webhooks of a few seconds in the spool's log.
const DISK_MIB: u32 = 64;
/// The log's own head, before its first group.
const LOG_HEAD_BYTES: usize = 32;
/// A torn group is not longer.
const TORN_BYTES: usize = 100;

async fn killed(ground: Ground) -> Outcome {
    let rounds = ground.pick(2, 10);
    let mut trial = Trial::start(ground, Fleet::builder().workers(2)).await;
    trial.may_refuse();
    trial.load(100, 100_000);
    for round in 1..=rounds {
        trial.under_way(100 * round).await;
        trial.kill_gateway();
        trial.restart_gateway().await;
        trial.healed().await;
    }
    trial.finish().await
}

async fn without_postgres(ground: Ground) -> Outcome {
    let mut trial = Trial::start(ground, Fleet::builder().workers(2).proxies()).await;
    trial.may_refuse();
    trial.load(60, 100_000);
    trial.under_way(50).await;
    trial.fleet().database_proxy().set(Fault::REFUSE);
    trial.fleet().database_proxy().cut();
    trial.kill_gateway();
    trial.restart_gateway().await;
    let before = trial.taken();
    until(DEADLINE, async || match trial.taken() - before {
        0..50 => Err("it takes no webhooks without Postgres"),
        _ => Ok(()),
    })
    .await;
    trial.fleet().database_proxy().set(Fault::NONE);
    trial.healed().await;
    trial.finish().await
}

async fn refuses_nobody(ground: Ground) -> Outcome {
    let (webhooks, rounds) = ground.pick((600, 2), (10_000, 10));
    let mut trial = Trial::start(ground, Fleet::builder().workers(2).gateway_socket()).await;
    trial.load(400, webhooks);
    for round in 1..=rounds {
        trial.under_way(webhooks as usize / (rounds + 1) * round).await;
        let status = trial.gateway().terminate(DEADLINE * 2).await;
        assert!(status.success(), "a gateway that was told to stop ends well: {status}");
        trial.restart_gateway().await;
    }
    trial.all_sent().await;
    trial.healed().await;
    trial.finish().await
}

/// What waits at the socket meanwhile waits no longer than Tactical does.
async fn restarted_hung(ground: Ground) -> Outcome {
    let hung = Duration::from_secs(ground.pick(4, 10));
    let mut trial = under_load(ground, Fleet::builder().workers(2).gateway_socket().proxies()).await;
    trial.fleet().amqp_proxy().set(Fault::HALF_OPEN);
    trial.until_spooling().await;
    meanwhile(&trial, hung).await;
    let status = trial.gateway().terminate(DEADLINE * 2).await;
    assert!(status.success(), "a gateway that was told to stop ends well: {status}");
    trial.restart_gateway().await;
    meanwhile(&trial, hung).await;
    trial.fleet().amqp_proxy().reset();
    trial.fleet().amqp_proxy().set(Fault::NONE);
    trial.healed().await;
    trial.finish().await
}

async fn spool_torn(ground: Ground) -> Outcome {
    let mut trial = spooling(ground, &[]).await;
    trial.may_refuse();
    trial.kill_gateway();
    tear(&trial.fleet().spool_folder());
    trial.restart_gateway().await;
    broker_back(&mut trial);
    trial.healed().await;
    trial.finish().await
}

/// A trial whose gateway cannot reach the broker, and has accepted webhooks into its spool.
async fn spooling(ground: Ground, settings: &[(&str, &str)]) -> Trial {
    let builder = Fleet::builder().workers(1).proxies();
    let builder = settings.iter().fold(builder, |builder, (name, value)| builder.set(name, value));
    let mut trial = Trial::start(ground, builder).await;
    trial.load(100, 100_000);
    trial.under_way(100).await;
    trial.fleet().amqp_proxy().set(Fault::REFUSE);
    trial.fleet().amqp_proxy().cut();
    let before = trial.taken();
    until(DEADLINE * 3, async || match trial.taken() - before {
        0..200 => Err("it takes no webhooks without a broker"),
        _ => Ok(()),
    })
    .await;
    trial
}

fn broker_back(trial: &mut Trial) {
    trial.fleet().amqp_proxy().set(Fault::NONE);
}

/// Writes what is no whole group behind the last one of the spool's log.
fn tear(folder: &Path) {
    let log = folder.join("store/spool.db-wal");
    let bytes = std::fs::read(&log).expect("it was killed: its log is there");
    let mut file = File::options().append(true).open(&log).expect("it is the test's own");
    // what a group begins with, and then nothing
    let torn = bytes.get(LOG_HEAD_BYTES..LOG_HEAD_BYTES + TORN_BYTES).expect("the log has groups");
    file.write_all(torn).expect("the disk has room");
}

async fn spool_disk_full(ground: Ground) -> Outcome {
    // the trial goes first, then its disk, then the folder
    let folder = tempfile::tempdir().expect("a temporary folder");
    let disk = SmallDisk::mount(folder.path().join("disk"), DISK_MIB);
    let mut trial = spooling(ground, &[("MUSTER_GATEWAY_STATE_DIR", &disk.path().display().to_string())]).await;
    trial.may_refuse();
    // somebody else takes what is left
    disk.fill();
    trial.until_refused(20).await;
    disk.empty();
    broker_back(&mut trial);
    trial.healed().await;
    trial.finish().await
}

async fn descriptors(ground: Ground) -> Outcome {
    let mut trial = Trial::start(ground, Fleet::builder().workers(1)).await;
    trial.may_refuse();
    trial.load(60, 100_000);
    trial.under_way(50).await;
    trial.gateway().limit(&format!("--nofile={DESCRIPTORS_MAX}"));
    let mut idle = Vec::new();
    for _ in 0..2 * DESCRIPTORS_MAX {
        idle.push(TcpStream::connect(trial.gateway_proxy().address()).await.expect("the proxy takes it"));
    }
    let descriptors = format!("/proc/{}/fd", trial.gateway().pid());
    until(DEADLINE, async || {
        let open = std::fs::read_dir(&descriptors).map_err(|error| error.to_string())?.count();
        if open >= DESCRIPTORS_MAX { Ok(()) } else { Err(format!("{open} descriptors are open")) }
    })
    .await;
    trial.under_way_more(50).await;
    drop(idle);
    trial.healed().await;
    trial.finish().await
}

async fn completed(trial: &Trial) -> i64 {
    let count = "select count(*) from muster.run where kind = 'alerts' and state = 'completed'";
    sqlx::query_scalar(count).fetch_one(trial.sql()).await.expect("the database answers")
}

async fn two_schedulers(ground: Ground) -> Outcome {
    let rounds = ground.pick(2, 10);
    let mut trial = Trial::start(ground, Fleet::builder().workers(1).ticks()).await;
    trial.fleet().add_gateway(&[]).await;
    trial.load(40, 100_000);
    for round in 0..2 * rounds {
        let signal = if round % 2 == 0 { "STOP" } else { "CONT" };
        trial.fleet().further_gateway(0).signal(signal);
        let before = completed(&trial).await;
        for side in trial.sides() {
            store::testing::schedule_due_now(&trial.fleet.store(), side.tenant, Kind::Alerts).await;
        }
        trial.until_no_schedule_is_due().await;
        // each tick comes to a run's end, whichever gateway has taken it
        until(DEADLINE * 3, async || match completed(&trial).await - before {
            2.. => Ok(()),
            runs => Err(format!("{runs} of 2 ticks came to a run's end")),
        })
        .await;
    }
    trial.healed().await;
    let twice: i64 = sqlx::query_scalar("select count(*) - count(distinct (tenant, kind, slot)) from muster.run")
        .fetch_one(trial.sql())
        .await
        .expect("the database answers");
    let mut outcome = trial.finish().await;
    if twice > 0 {
        outcome.findings.push(format!("I2: {twice} slots have two runs"));
    }
    outcome
}
