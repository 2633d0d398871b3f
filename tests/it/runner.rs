//! The runner against a real broker and a real Postgres, with a job that does what its messages say.

mod outage;
mod pause;
mod redrive;
pub(crate) mod scripted;
mod suspect;

use std::time::Duration;

use contract::topology::{self, Lane, Worker};
use lapin::options::{BasicGetOptions, BasicNackOptions};
use lapin::types::AMQPValue;
use scripted::Scripted;
use tests::{DEADLINE, until};

#[tokio::test]
async fn what_succeeds_is_applied_once_and_leaves_nothing_behind() {
    let worker = Scripted::start(|_| {}).await;
    for number in 0..50 {
        worker.send(&format!("agent {number}")).await;
    }
    until(DEADLINE, async || worker.applied_exactly(50)).await;
    worker.stop_empty().await;
}

#[tokio::test]
async fn a_message_that_keeps_failing_is_parked_after_its_last_attempt() {
    let worker = Scripted::start(|args| args.worker.attempts_max = 3).await;
    worker.send("fails").await;
    let parked = worker.until_parked(1).await;
    assert_eq!((parked[0].class.as_str(), parked[0].attempt), ("retryable", 2));
    assert!(parked[0].reason.contains("as the message asked"), "{}", parked[0].reason);
    assert_eq!(worker.runs_of("fails"), 3);
    worker.stop_empty().await;
}

#[tokio::test]
async fn a_panic_is_an_attempt_and_its_neighbours_are_applied() {
    let worker = Scripted::start(|args| args.worker.attempts_max = 2).await;
    for agent in ["a", "panics", "b"] {
        worker.send(agent).await;
    }
    assert_eq!(worker.until_parked(1).await[0].class, "panic");
    worker.applied_exactly(2).expect("both neighbours");
    worker.stop_empty().await;
}

#[tokio::test]
async fn a_worker_of_which_a_part_dies_drains_and_ends_and_loses_nothing() {
    let worker = Scripted::start(|_| {}).await;
    worker.send("a").await;
    until(DEADLINE, async || worker.applied_exactly(1)).await;
    worker.send("kills its batch").await;
    let vhost = worker.died().await;
    assert_eq!(vhost.depth("alert-worker.main").await, Some(1), "the broker gives it to the next worker");
}

#[tokio::test]
async fn a_timeout_is_an_attempt_and_the_message_then_runs_alone() {
    let worker = Scripted::start(|args| {
        args.worker.attempts_max = 2;
        args.worker.job_timeout_ms = 300;
        args.worker.batch_linger_ms = 100;
    })
    .await;
    for agent in ["a", "hangs", "b"] {
        worker.send(agent).await;
    }
    assert_eq!(worker.until_parked(1).await[0].class, "timeout");
    until(DEADLINE, async || worker.applied_exactly(2)).await;
    worker.stop_empty().await;
}

#[tokio::test]
async fn a_message_held_too_long_behind_others_waits_in_a_rung_and_burns_no_attempt() {
    let worker = Scripted::start(|args| {
        args.worker.hold_ms_max = 300;
        args.worker.batch_linger_ms = 200;
        args.broker.retry_base_ms = 3_600;
    })
    .await;
    worker.send_retried("late", 4).await;
    worker.send("waits for its gate").await;
    until(DEADLINE, async || worker.has_begun("waits for its gate")).await;
    let begun = std::time::Instant::now();
    until(DEADLINE, async || if begun.elapsed() > Duration::from_millis(400) { Ok(()) } else { Err("too early") })
        .await;
    worker.open_gate();
    assert_eq!(worker.until_waiting().await.1, 4);
    assert_eq!(worker.runs_of("late"), 0);
    worker.stop_empty().await;
}

#[tokio::test]
async fn a_poisonous_body_is_parked_with_its_bytes_untouched() {
    let worker = Scripted::start(|_| {}).await;
    let body = b"\xff\x00 not JSON";
    worker.send_raw(scripted::KIND, body).await;
    let parked = worker.until_parked(1).await;
    assert_eq!((parked[0].class.as_str(), parked[0].body.as_slice()), ("poison", body.as_slice()));
    worker.stop_empty().await;
}

#[tokio::test]
async fn an_envelope_without_a_tenant_is_poison() {
    let worker = Scripted::start(|_| {}).await;
    let key = topology::routing_key(Worker::Alert, Lane::Main, scripted::KIND);
    assert!(worker.vhost.publish(topology::WORK, &key, lapin::BasicProperties::default(), b"{}").await);
    let parked = worker.until_parked(1).await;
    assert_eq!(parked[0].class, "poison");
    assert!(parked[0].reason.contains("no headers"), "{}", parked[0].reason);
    worker.stop_empty().await;
}

#[tokio::test]
async fn a_message_that_no_queue_takes_is_parked_as_unrouted() {
    let worker = Scripted::start(|_| {}).await;
    assert!(worker.vhost.publish(topology::WORK, "nobody.main.x", lapin::BasicProperties::default(), b"lost?").await);
    let parked = worker.until_parked(1).await;
    assert_eq!((parked[0].class.as_str(), parked[0].body.as_slice()), ("unrouted", b"lost?".as_slice()));
    worker.stop_empty().await;
}

#[tokio::test]
async fn an_unknown_kind_waits_in_a_rung_and_burns_no_attempt() {
    let worker = Scripted::start(|args| args.broker.retry_base_ms = 3_600).await;
    worker.send_raw("alert.observed.v9", b"{}").await;
    let (waiting, attempt) = worker.until_waiting().await;
    assert_eq!((waiting.routing_key.as_str(), attempt), ("alert-worker.main.alert.observed.v9", 0));
    worker.stop_empty().await;
}

#[tokio::test]
async fn an_unknown_kind_is_parked_when_its_time_is_over() {
    let worker = Scripted::start(|args| args.worker.age_s_max = 0).await;
    worker.send_raw("alert.observed.v9", b"{}").await;
    assert_eq!(worker.until_parked(1).await[0].class, "unknown_kind");
    worker.stop_empty().await;
}

#[tokio::test]
async fn a_delivery_that_came_back_three_times_runs_alone() {
    let mut worker = Scripted::declared(|_| {}).await;
    worker.send("waits for its gate").await;
    let main = topology::queue(Worker::Alert, Lane::Main);
    for _ in 0..3 {
        let channel = worker.vhost.try_channel().await.expect("the broker is there");
        let got = until(DEADLINE, async || {
            channel
                .basic_get(main.as_str().into(), BasicGetOptions::default())
                .await
                .expect("it can be got")
                .ok_or("nothing")
        })
        .await;
        let back = BasicNackOptions { multiple: false, requeue: true };
        got.delivery.acker.nack(back).await.expect("it can be given back");
        channel.close(200, "given back".into()).await.expect("the broker answers");
    }
    worker.run();
    until(DEADLINE, async || worker.has_begun("waits for its gate")).await;
    worker.send("a neighbour").await;
    until(DEADLINE, async || match worker.vhost.depth(&main).await {
        Some(1) => Ok(()),
        seen => Err(seen),
    })
    .await;
    // nobody takes the neighbour in hand while the suspect runs
    assert_eq!(worker.vhost.depth(&main).await, Some(1));
    assert_eq!(worker.runs_of("a neighbour"), 0);
    worker.open_gate();
    until(DEADLINE, async || worker.applied_exactly(2)).await;
    worker.stop_empty().await;
}

#[tokio::test]
async fn a_stop_finishes_everything_prefetched_and_redelivers_nothing() {
    let worker = Scripted::start(|args| {
        args.worker.batch_messages_max = 10;
        args.worker.batches_in_flight = 1;
    })
    .await;
    worker.send("waits for its gate").await;
    until(DEADLINE, async || worker.has_begun("waits for its gate")).await;
    for number in 0..40 {
        worker.send(&format!("agent {number}")).await;
    }
    let main = topology::queue(Worker::Alert, Lane::Main);
    let stopping = worker.stop_token();
    until(DEADLINE, async || match worker.vhost.depth(&main).await {
        // 20 are the prefetch, one of them the waiting one
        Some(left) if left <= 21 => Ok(()),
        seen => Err(seen),
    })
    .await;
    stopping.cancel();
    worker.open_gate();
    let (vhost, applied) = worker.stopped().await;
    let left = vhost.get_all(&main).await;
    assert_eq!(applied + left.len(), 41, "nothing is lost and nothing is done twice");
    for message in &left {
        let returns = message.header("x-delivery-count").and_then(AMQPValue::as_long_long_int);
        assert_eq!(returns.unwrap_or_default(), 0, "the drain gave a delivery back");
    }
    assert!(!left.is_empty(), "the test must leave something behind to look at");
}

#[tokio::test]
async fn a_configuration_that_turns_out_wrong_finishes_what_is_in_hand_and_ends_with_its_reason() {
    let worker = Scripted::start(|_| {}).await;
    worker.send("waits for its gate").await;
    until(DEADLINE, async || worker.has_begun("waits for its gate")).await;
    let stop = worker.stop_token();
    worker.turn_out_wrong("the key is another one");
    // it stops taking messages first, with one in hand
    stop.cancelled().await;
    worker.open_gate();
    let (ended, applied) = worker.ended().await;
    assert_eq!((ended.map_err(|error| error.to_string()), applied), (Err("the key is another one".to_owned()), 1));
}
