//! Postgres is away: nothing is lost, no attempt is burnt, and it goes on by itself.

use std::time::Duration;

use contract::topology;
use tests::{DEADLINE, until};

use super::scripted::Scripted;

#[tokio::test]
async fn an_outage_is_waited_for_and_burns_no_attempt() {
    let worker = Scripted::start(|args| args.worker.attempts_max = 1).await;
    worker.set_outage(true);
    worker.send("patient").await;
    until(DEADLINE, async || if worker.runs_of("patient") >= 3 { Ok(()) } else { Err(worker.runs_of("patient")) })
        .await;
    worker.set_outage(false);
    until(DEADLINE, async || worker.applied_exactly(1)).await;
    worker.stop_empty().await;
}

#[tokio::test]
async fn a_long_outage_moves_what_is_held_to_a_rung_with_no_attempt_burnt() {
    let worker = Scripted::start(|args| {
        args.worker.hold_ms_max = 200;
        args.broker.retry_base_ms = 3_600;
    })
    .await;
    worker.set_outage(true);
    worker.send("patient").await;
    assert_eq!(worker.until_waiting().await.1, 0);
    worker.stop_empty().await;
}

#[tokio::test]
async fn a_stop_during_an_outage_is_clean() {
    let worker = Scripted::start(|args| args.broker.retry_base_ms = 3_600).await;
    worker.set_outage(true);
    worker.send("patient").await;
    until(DEADLINE, async || worker.has_begun("patient")).await;
    let (vhost, applied) = worker.stopped().await;
    let rung = topology::rung_queue(Duration::from_millis(30 * 3_600));
    assert_eq!((applied, vhost.depth(&rung).await), (0, Some(1)));
}
