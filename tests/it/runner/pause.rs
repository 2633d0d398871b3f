//! A paused tenant's or kind's messages wait in the table, no attempt burnt, and run after the resume.

use contract::topology::{self, Lane, Worker};
use store::parked::{self, ParkedRow};
use store::pause::{self, Scope};
use store::testing::entry;
use tests::{DEADLINE, until};

use super::scripted::{KIND, Scripted, TENANT};

const OF_TENANT: Scope = Scope { tenant: Some(TENANT), kind: None };

fn of_kind() -> Scope {
    Scope { tenant: None, kind: Some(KIND.to_owned()) }
}

/// A worker that has read of the pause: it does so before it takes its first message.
async fn paused(scope: &Scope) -> Scripted {
    let mut worker = Scripted::declared(|_| {}).await;
    pause(&worker, scope).await;
    worker.run();
    worker
}

async fn pause(worker: &Scripted, scope: &Scope) {
    assert!(pause::pause(&worker.database().store(), scope, &entry("pause")).await.expect("the database answers"));
}

async fn resume(worker: &Scripted, scope: &Scope) {
    assert!(pause::resume(&worker.database().store(), scope, &entry("resume")).await.expect("the database answers"));
}

fn states(rows: &[ParkedRow]) -> Vec<&str> {
    rows.iter().map(|row| row.state.as_str()).collect()
}

#[tokio::test]
async fn a_paused_tenants_messages_are_held_as_they_are_and_run_after_the_resume() {
    let worker = paused(&OF_TENANT).await;
    worker.send("fresh").await;
    worker.send_retried("tried before", 4).await;
    let held = worker.until_parked(2).await;
    assert_eq!(states(&held), ["held", "held"]);
    let mut attempts: Vec<i32> = held.iter().map(|row| row.attempt).collect();
    attempts.sort_unstable();
    assert_eq!(attempts, [0, 4], "no attempt was burnt");
    assert_eq!((worker.runs_of("fresh"), worker.runs_of("tried before")), (0, 0));
    resume(&worker, &OF_TENANT).await;
    until(DEADLINE, async || worker.applied_exactly(2)).await;
    worker.until_parked(0).await;
    worker.stop_empty().await;
}

#[tokio::test]
async fn a_running_worker_learns_of_a_pause_and_of_its_end() {
    let worker = Scripted::start(|_| {}).await;
    worker.send("before").await;
    until(DEADLINE, async || worker.applied_exactly(1)).await;
    pause(&worker, &of_kind()).await;
    let mut sent = 0;
    until(DEADLINE, async || {
        sent += 1;
        worker.send(&format!("meanwhile {sent}")).await;
        let rows = parked::list(&worker.database().store(), 10).await.map_err(|error| error.to_string())?;
        if rows.is_empty() { Err("nothing is held yet".to_owned()) } else { Ok(()) }
    })
    .await;
    resume(&worker, &of_kind()).await;
    until(DEADLINE, async || worker.applied_exactly(1 + sent)).await;
    worker.until_parked(0).await;
    worker.stop_empty().await;
}

#[tokio::test]
async fn what_a_release_left_behind_is_released_by_the_next_worker() {
    let mut worker = Scripted::declared(|_| {}).await;
    let store = worker.database().store();
    pause(&worker, &OF_TENANT).await;
    let held = super::redrive::row(TENANT, "left behind", parked::ParkedState::Held);
    assert_eq!(pause::hold(&store, &[held]).await.expect("the database answers"), [true]);
    resume(&worker, &OF_TENANT).await;
    worker.run();
    until(DEADLINE, async || worker.applied_exactly(1)).await;
    worker.stop_empty().await;
}

#[tokio::test]
async fn a_kind_that_is_parked_too_often_stops_and_goes_on_once_it_is_resumed() {
    let worker = Scripted::start(|args| {
        args.worker.attempts_max = 1;
        args.worker.parks_per_minute_max = 3;
    })
    .await;
    for number in 0..3 {
        worker.send_raw(KIND, format!("not JSON {number}").as_bytes()).await;
    }
    assert_eq!(states(&worker.until_parked(3).await), ["parked"; 3]);
    worker.send("three do not stop it").await;
    until(DEADLINE, async || worker.applied_exactly(1)).await;
    let store = worker.database().store();
    assert!(pause::in_force(&store).await.expect("the database answers").is_empty());

    worker.send_raw(KIND, b"not JSON 3").await;
    let stopped = until(DEADLINE, async || {
        pause::list(&store, None).await.map_err(|error| error.to_string())?.pop().ok_or("nothing is paused".to_owned())
    })
    .await;
    assert_eq!((stopped.kind.as_deref(), stopped.cause.as_str()), (Some(KIND), "parks"));
    let mut sent = 0;
    until(DEADLINE, async || {
        sent += 1;
        worker.send(&format!("meanwhile {sent}")).await;
        let held = pause::list(&store, None).await.map_err(|error| error.to_string())?[0].held;
        if held == 0 { Err("nothing is held yet".to_owned()) } else { Ok(()) }
    })
    .await;
    resume(&worker, &of_kind()).await;
    until(DEADLINE, async || worker.applied_exactly(1 + sent)).await;
    assert_eq!(states(&worker.until_parked(4).await), ["parked"; 4]);
    assert_eq!(worker.vhost.depth(&topology::queue(Worker::Alert, Lane::Main)).await, Some(0));
    worker.stop_empty().await;
}
