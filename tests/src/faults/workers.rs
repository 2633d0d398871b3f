//! Workers that die, or are told to stop, at every step of a message's way.

use std::time::Duration;

use sqlx::Connection as _;
use tokio::time::MissedTickBehavior;

use super::{Case, Ground, Outcome, Trial};
use crate::proxy::Fault;
use crate::{DEADLINE, Fleet, until};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "worker-killed-before-transaction",
        "kill -9 with messages in hand, nothing of them in Postgres",
        |ground| Box::pin(before_transaction(ground)),
    )
    .recovers_within_s(1),
    Case::new("worker-killed-in-transaction", "kill -9 inside the transaction, which waits for a lock", |ground| {
        Box::pin(in_transaction(ground))
    })
    .everyday()
    .recovers_within_s(1),
    Case::new("worker-killed-before-ack", "kill -9 after the commit: neither acks nor events have left", |ground| {
        Box::pin(before_ack(ground))
    })
    .everyday()
    .recovers_within_s(1),
    Case::new("worker-killed-before-delete", "kill -9 between the publish of events and their delete", |ground| {
        Box::pin(before_delete(ground))
    })
    .recovers_within_s(1),
    Case::new("workers-killed-again-and-again", "every worker killed every 2 s", |ground| {
        Box::pin(again_and_again(ground))
    })
    .everyday(),
    Case::new("workers-rolled", "every worker told to stop (SIGTERM) and replaced, one after the other", |ground| {
        Box::pin(rolled(ground))
    })
    .everyday(),
];

/// Between two kills of the same worker.
const KILLS_APART: Duration = Duration::from_secs(2);
/// Longer than a worker takes to start.
pub(super) const LOCK_MS_MAX: u32 = 14_000;
/// Likewise: what the dead one claimed of the outbox is its own until then.
const HELD_LEASE_MS: u32 = 10_000;

async fn before_transaction(ground: Ground) -> Outcome {
    let mut trial = Trial::start(ground, Fleet::builder().workers(1)).await;
    let victim = trial.add_victim().await;
    trial.load(100, 800);
    trial.under_way(100).await;
    victim.database.set(Fault { hold_to_server: true, ..Fault::NONE });
    trial.under_way(300).await;
    assert!(trial.in_hand(victim.place).await > 0, "the one that is killed has no messages in hand");
    trial.kill_victim(&victim);
    trial.healed().await;
    trial.finish().await
}

async fn in_transaction(ground: Ground) -> Outcome {
    // a lock that is given up sends the batch to a rung, and the moment would be over
    let builder = Fleet::builder().workers(1).set("MUSTER_DATABASE_LOCK_TIMEOUT_MS", LOCK_MS_MAX);
    let mut trial = Trial::start(ground, builder).await;
    trial.load(100, 800);
    trial.under_way(100).await;
    let mut rival = trial.fleet().database().connect().await;
    let mut held = rival.begin().await.expect("the database answers");
    sqlx::query("lock table muster.outbox in share mode").execute(&mut *held).await.expect("it is given");
    until_telling(&trial).await;
    trial.fleet().add_worker().await;
    trial.kill_worker(0);
    held.rollback().await.expect("the database answers");
    trial.healed().await;
    trial.finish().await
}

/// Waits until an alert worker waits for a lock in the transaction of a batch: its alerts are written, its events are not.
/// The relay waits for the same lock, with nothing written.
pub(super) async fn until_telling(trial: &Trial) {
    let telling = "application_name = 'alert-worker' and wait_event_type = 'Lock'
                   and query ilike '%insert into muster.outbox%'";
    until(DEADLINE, async || match trial.sessions(telling).await? {
        0 => Err("no worker is about to write its events".to_owned()),
        _ => Ok(()),
    })
    .await;
}

async fn before_ack(ground: Ground) -> Outcome {
    held_after_commit(ground, Fault { hold_to_server: true, ..Fault::NONE }).await
}

async fn before_delete(ground: Ground) -> Outcome {
    held_after_commit(ground, Fault { hold_to_client: true, ..Fault::NONE }).await
}

/// The worker's connections to the broker are held in a direction when it dies, after it has committed.
async fn held_after_commit(ground: Ground, fault: Fault) -> Outcome {
    let builder = Fleet::builder().workers(1).set("MUSTER_RELAY_LEASE_MS", HELD_LEASE_MS);
    let mut trial = Trial::start(ground, builder).await;
    let victim = trial.add_victim().await;
    // nobody else has the messages, and nobody else relays the events
    assert!(
        trial.fleet().worker(0).terminate(DEADLINE * 2).await.success(),
        "a worker that was told to stop ends well"
    );
    trial.load(100, 800);
    trial.under_way(200).await;
    // what it has in hand is committed once it cannot be settled any more
    victim.database.set(Fault { hold_to_server: true, ..Fault::NONE });
    let held = async || if trial.in_hand(victim.place).await > 0 { Ok(()) } else { Err("it has no messages in hand") };
    until(DEADLINE, held).await;
    victim.amqp.set(fault);
    victim.database.set(Fault::NONE);
    trial.until_told(fault.hold_to_client).await;
    trial.fleet().add_worker().await;
    trial.kill_victim(&victim);
    trial.healed().await;
    trial.finish().await
}

async fn again_and_again(ground: Ground) -> Outcome {
    let rounds = ground.pick(3, 30);
    let mut trial = Trial::start(ground, Fleet::builder().workers(3)).await;
    trial.load(60, 100_000);
    let mut alive = [0, 1, 2];
    let mut kills = tokio::time::interval(KILLS_APART / 3);
    kills.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for round in 0..rounds * alive.len() {
        kills.tick().await;
        let place = &mut alive[round % 3];
        trial.kill_worker(*place);
        *place = trial.fleet().begin_worker_of("alert-worker", &[]);
    }
    trial.healed().await;
    trial.finish().await
}

async fn rolled(ground: Ground) -> Outcome {
    let rounds = ground.pick(1, 3);
    let mut trial = Trial::start(ground, Fleet::builder().workers(2)).await;
    trial.load(100, 100_000);
    for place in 0..2 * rounds {
        trial.under_way(100 * (place + 1)).await;
        // the new one first, as a rolling update does
        trial.fleet().add_worker().await;
        let status = trial.fleet().worker(place).terminate(DEADLINE * 2).await;
        assert!(status.success(), "a worker that was told to stop did not end well: {status}");
    }
    trial.healed().await;
    trial.finish().await
}
