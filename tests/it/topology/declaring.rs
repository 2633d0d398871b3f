//! Declaring: once is as good as twice, new queues are given their second, and a queue that differs is named.

use std::time::{Duration, Instant};

use contract::topology::{LANDING, Lane, Worker};
use lapin::types::{AMQPValue, FieldTable};
use tests::sample::{RunningConsumers, RunningPublisher, number, queue, take, work};
use tests::{DEADLINE, Vhost, soon, until};

/// Long beside a declaration, short beside a test.
const SETTLE: Duration = Duration::from_millis(700);

async fn declare(vhost: &Vhost, settle: Duration) -> Duration {
    let config =
        broker::Config { amqp_settle_ms: u64::try_from(settle.as_millis()).expect("it is short"), ..vhost.config() };
    let begun = Instant::now();
    soon("the declaration", vhost.declare_topology(&config)).await.expect("nothing is in its way");
    begun.elapsed()
}

#[tokio::test]
async fn new_queues_are_given_time_to_settle_and_known_ones_are_not() {
    let vhost = Vhost::create().await;
    assert!(declare(&vhost, SETTLE).await >= SETTLE);
    // an hour: whoever waits for it does not come back
    declare(&vhost, Duration::from_secs(3_600)).await;
    vhost.delete_queue(&queue(Lane::Bulk)).await;
    assert!(declare(&vhost, SETTLE).await >= SETTLE, "one new queue is enough");
}

#[tokio::test]
async fn declaring_twice_changes_nothing_and_loses_nothing() {
    let vhost = Vhost::create().await;
    let running = RunningPublisher::start(&vhost.config(), "publish").await;
    running.publish_work(Lane::Main, 1..=3).await;
    for _ in 0..3 {
        declare(&vhost, Duration::ZERO).await;
    }
    assert_eq!(vhost.depth(&queue(Lane::Main)).await, Some(3));
}

#[tokio::test]
async fn eight_processes_may_declare_at_once() {
    let vhost = Vhost::create().await;
    let config = vhost.config();
    let all = futures_util::future::join_all((0..8).map(|_| vhost.declare_topology(&config)));
    for declared in soon("the declarations", all).await {
        declared.expect("the others declare the same");
    }
    assert_eq!(vhost.depth(LANDING).await, Some(0));
}

#[tokio::test]
async fn a_queue_declared_with_other_arguments_is_named_in_the_error() {
    let vhost = Vhost::create().await;
    let main = contract::topology::queue(Worker::Alert, Lane::Main);
    vhost.declare_queue(&main, FieldTable::default()).await;
    let error = vhost.declare_topology(&vhost.config()).await.expect_err("it is a classic queue");
    assert!(error.starts_with("cannot declare the queue alert-worker.main: "), "{error}");
    assert!(error.contains("inequivalent arg"), "the broker says what differs: {error}");
}

#[tokio::test]
async fn a_queue_with_another_ttl_is_named_too_and_removing_it_is_the_remedy() {
    let vhost = Vhost::create().await;
    let config = vhost.config();
    let rung = contract::topology::rung_queue(config.ladder().longest());
    let mut other = FieldTable::default();
    other.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    other.insert("x-message-ttl".into(), AMQPValue::LongLongInt(5));
    vhost.declare_queue(&rung, other).await;
    let error = vhost.declare_topology(&config).await.expect_err("its delay differs");
    assert!(error.starts_with(&format!("cannot declare the queue {rung}: ")), "{error}");
    // a process that meets it keeps trying, and comes up by itself once an operator has removed it
    let running = RunningPublisher::begin(&config, "publish");
    vhost.delete_queue(&rung).await;
    running.until_published(work(Lane::Main, 1)).await;
}

#[tokio::test]
async fn a_process_declares_what_it_needs_whichever_side_comes_first() {
    let vhost = Vhost::create().await;
    let mut consuming = RunningConsumers::start(&vhost.config(), "consume", &[(Lane::Main, 10)]);
    let mut attached = consuming.consumers[0].attached();
    soon("the consumer", attached.wait_for(|attached| *attached)).await.expect("it consumes");
    let running = RunningPublisher::start(&vhost.config(), "publish").await;
    running.publish_work(Lane::Main, 1..=1).await;
    assert_eq!(number(&take(&mut consuming.consumers[0], 1).await[0]), 1);
    until(DEADLINE, async || match vhost.depth(&queue(Lane::Main)).await {
        Some(0) => Ok(()),
        other => Err(other),
    })
    .await;
}
