//! The retry ladder: each rung returns a message to the queue that it came from, and no copy carries the broker's own
//! account of an earlier death.

use std::time::{Duration, Instant};

use broker::consumer::Settlement::Ack;
use broker::{Delivery, Outgoing};
use bytes::Bytes;
use contract::topology::{self, LANDING, Lane, WORK, Worker};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use proptest::prelude::{Strategy, any, prop};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use tests::sample::{KIND, RunningConsumers, RunningPublisher, meta, outgoing, queue, take, work};
use tests::{DEADLINE, Vhost, until};

/// Sends a delivery up the ladder as the runner does: copy with confirm, then acknowledge.
async fn retry(running: &RunningPublisher, consumer: &broker::Consumer, delivery: &Delivery, rung: Duration) {
    let meta = delivery.meta.as_ref().expect("a sample has an envelope");
    let copy = Outgoing::retry(delivery, meta, rung).expect("a sample is sound");
    running.publisher.publish(copy).await.expect("the broker takes it");
    consumer.settler().settle([(delivery, Ack)]);
}

fn is_of_a_death(name: &str) -> bool {
    name.starts_with("x-death") || name.starts_with("x-first-death-") || name == "x-delivery-count"
}

#[tokio::test]
async fn every_rung_returns_a_message_of_a_kind_that_nobody_knows_to_the_queue_that_it_came_from() {
    let vhost = Vhost::create().await;
    let config = vhost.config();
    let running = RunningPublisher::start(&config, "publish").await;
    let lanes = Lane::ALL.iter().map(|lane| (*lane, 10)).collect::<Vec<_>>();
    let mut consuming = RunningConsumers::start(&config, "consume", &lanes);
    for rung in config.ladder().rungs() {
        let begun = Instant::now();
        for (consumer, (lane, _)) in consuming.consumers.iter_mut().zip(&lanes) {
            running.publish_work(*lane, 1..=1).await;
            let delivery = take(consumer, 1).await.remove(0);
            retry(&running, consumer, &delivery, *rung).await;
        }
        for (consumer, (lane, _)) in consuming.consumers.iter_mut().zip(&lanes) {
            let back = take(consumer, 1).await.remove(0);
            assert_eq!(back.queue, queue(*lane), "after {rung:?}");
            assert_eq!(back.routing_key, topology::routing_key(Worker::Alert, *lane, KIND), "after {rung:?}");
            assert_eq!(back.meta.as_ref().expect("its envelope survives"), &meta(1), "after {rung:?}");
            consumer.settler().settle([(&back, Ack)]);
        }
        assert!(begun.elapsed() >= *rung, "{rung:?} took only {:?}", begun.elapsed());
    }
    assert_eq!(vhost.depth(LANDING).await, Some(0));
}

#[tokio::test]
async fn a_message_may_climb_the_ladder_again_and_again() {
    let vhost = Vhost::create().await;
    let config = vhost.config();
    let running = RunningPublisher::start(&config, "publish").await;
    let mut consuming = RunningConsumers::start(&config, "consume", &[(Lane::Main, 10)]);
    let main = &mut consuming.consumers[0];
    running.publish_work(Lane::Main, 1..=1).await;
    // the same short rung many times, which is what makes 3.10 drop a copy that carries its deaths along
    for _ in 0..30 {
        let delivery = take(main, 1).await.remove(0);
        retry(&running, main, &delivery, config.ladder().shortest()).await;
    }
    take(main, 1).await;
}

#[tokio::test]
async fn a_slow_message_does_not_delay_a_fast_one() {
    let vhost = Vhost::create().await;
    let config = vhost.config();
    let running = RunningPublisher::start(&config, "publish").await;
    let mut consuming = RunningConsumers::start(&config, "consume", &[(Lane::Main, 10)]);
    let main = &mut consuming.consumers[0];
    running.publish_work(Lane::Main, 1..=2).await;
    let both = take(main, 2).await;
    let begun = Instant::now();
    retry(&running, main, &both[0], config.ladder().longest()).await;
    retry(&running, main, &both[1], config.ladder().shortest()).await;
    let order: Vec<String> =
        take(main, 2).await.iter().filter_map(|delivery| delivery.message_id().map(str::to_owned)).collect();
    assert_eq!(order, ["2", "1"]);
    assert!(begun.elapsed() >= config.ladder().longest());
}

/// Headers as a hostile or broken publisher may set them: the broker's own names with any value, and others.
fn headers() -> impl Strategy<Value = FieldTable> {
    let suffix = prop::sample::select(vec!["", "-queue", "-reason", "-exchange", "-x"]);
    let ours = prop::sample::select(vec!["x-first-death", "x-death", "x-deliveries", "x-other", "x-delivery-count"]);
    let name = (ours, suffix).prop_map(|(name, suffix)| format!("{name}{suffix}"));
    let value = any::<i64>().prop_map(AMQPValue::LongLongInt);
    prop::collection::vec((name, value), 1..8).prop_map(|pairs| {
        let mut table = FieldTable::default();
        for (name, value) in pairs {
            table.insert(name.into(), value);
        }
        table.insert(
            contract::envelope::TENANT.into(),
            AMQPValue::LongString(uuid::Uuid::from_u128(7).to_string().into()),
        );
        table
    })
}

#[tokio::test]
async fn no_copied_death_header_survives_a_retry_or_a_parking() {
    const CASES: usize = 40;
    let vhost = Vhost::create().await;
    let config = broker::Config { retry_base_ms: 60_000, ..vhost.config() };
    let running = RunningPublisher::start(&config, "publish").await;
    let mut consuming = RunningConsumers::start(&config, "consume", &[(Lane::Main, 10)]);
    let main = &mut consuming.consumers[0];
    let mut runner = TestRunner::deterministic();
    let rung = config.ladder().shortest();
    for case in 0..CASES {
        let table = headers().new_tree(&mut runner).expect("the strategy rejects nothing").current();
        let properties = BasicProperties::default()
            .with_message_id(case.to_string().into())
            .with_type(KIND.into())
            .with_headers(table);
        let key = topology::routing_key(Worker::Alert, Lane::Main, KIND);
        assert!(vhost.publish(WORK, &key, properties, b"{}").await);
        let delivery = take(main, 1).await.remove(0);
        let parked = Outgoing::park(&delivery, "permanent", "because", "test 1").expect("it was delivered");
        running.publisher.publish(parked).await.expect("the broker takes it");
        retry(&running, main, &delivery, rung).await;
    }
    for (place, lying) in
        [("a rung", vhost.get_all(&topology::rung_queue(rung)).await), ("the landing", vhost.get_all(LANDING).await)]
    {
        assert_eq!(lying.len(), CASES, "in {place}");
        for message in lying {
            // a quorum queue says itself how often it delivered: that one is not copied
            assert_eq!(message.delivery_count(), 0, "{message:?} in {place}");
            let copied: Vec<String> = message.header_names().into_iter().filter(|name| is_of_a_death(name)).collect();
            assert!(copied.iter().all(|name| name == "x-delivery-count"), "{copied:?} in {place}");
        }
    }
}

#[tokio::test]
async fn a_retried_message_tells_of_its_wait_and_the_next_copy_does_not() {
    let vhost = Vhost::create().await;
    let config = vhost.config();
    let running = RunningPublisher::start(&config, "publish").await;
    let mut consuming = RunningConsumers::start(&config, "consume", &[(Lane::Main, 10)]);
    let main = &mut consuming.consumers[0];
    running.publish_work(Lane::Main, 1..=1).await;
    let first = take(main, 1).await.remove(0);
    retry(&running, main, &first, config.ladder().shortest()).await;
    let back = take(main, 1).await.remove(0);
    assert!(back.readable_headers().iter().any(|(name, _)| name == "x-death"), "{:?}", back.readable_headers());
    let parked = Outgoing::park(&back, "permanent", "because", "test 1").expect("it was delivered");
    running.publisher.publish(parked).await.expect("the broker takes it");
    let landed = vhost.get_all(LANDING).await.remove(0);
    let deaths: Vec<String> = landed.header_names().into_iter().filter(|name| is_of_a_death(name)).collect();
    assert!(deaths.is_empty(), "of the deaths before: {deaths:?}");
}

#[tokio::test]
async fn a_body_of_the_limit_passes_every_queue_and_one_byte_more_is_refused_before_it_is_sent() {
    let vhost = Vhost::create().await;
    let config = vhost.config();
    let running = RunningPublisher::start(&config, "publish").await;
    let mut consuming = RunningConsumers::start(&config, "consume", &[(Lane::Main, 10)]);
    let main = &mut consuming.consumers[0];
    let key = topology::routing_key(Worker::Alert, Lane::Main, KIND);
    let limit = tests::sample::BODY_BYTES_MAX;
    assert_eq!(limit, 256 * 1024);
    let largest = Outgoing::raw(WORK, &key, &meta(1), tests::sample::body(limit)).expect("the limit itself passes");
    running.publisher.publish(largest).await.expect("the broker takes it");
    let delivery = take(main, 1).await.remove(0);
    retry(&running, main, &delivery, config.ladder().shortest()).await;
    let back = take(main, 1).await.remove(0);
    assert_eq!(back.body, Bytes::from(vec![b'x'; limit]));
    let error = Outgoing::raw(WORK, &key, &meta(2), tests::sample::body(limit + 1)).expect_err("it is too large");
    assert_eq!(error.to_string(), "the body has 262145 bytes, the limit is 262144");
}

#[tokio::test]
async fn a_work_key_of_255_bytes_passes_and_a_longer_one_is_refused() {
    let vhost = Vhost::create().await;
    let running = RunningPublisher::start(&vhost.config(), "publish").await;
    let prefix = "alert-worker.main.";
    let longest = format!("{prefix}{}", "k".repeat(255 - prefix.len()));
    running.publisher.publish(outgoing(WORK, &longest, 1)).await.expect("the broker takes it");
    assert_eq!(vhost.depth(&queue(Lane::Main)).await, Some(1));
    let error = Outgoing::raw(WORK, &format!("{longest}k"), &meta(2), Bytes::new()).expect_err("it is too long");
    assert_eq!(error.to_string(), "the routing key has 256 bytes, AMQP takes 255");
    // and the same message through the ladder
    running.publisher.publish(work(Lane::Bulk, 3)).await.expect("the broker takes it");
    until(DEADLINE, async || match vhost.depth(&queue(Lane::Bulk)).await {
        Some(1) => Ok(()),
        other => Err(other),
    })
    .await;
}
