//! A broker that blocks publishers, and a network that swallows them: callers are answered, acknowledgements pass.

use std::time::{Duration, Instant};

use broker::PublishError;
use broker::consumer::Settlement;
use contract::topology::Lane;
use tests::proxy::Fault;
use tests::sample::{RunningConsumers, RunningPublisher, number, take, work};
use tests::vhost::config_for;
use tests::{PrivateBroker, Proxy, Vhost};

/// How long a publish may take in these tests before its caller is told.
const CONFIRM_TIMEOUT_MS: u64 = 1_000;

/// Publishes and insists on an answer in time, whatever it is.
async fn answer_in_time(running: &RunningPublisher, n: u32) -> Result<(), PublishError> {
    let begun = Instant::now();
    let answer = running.publisher.publish(work(Lane::Main, n)).await;
    let took = begun.elapsed();
    assert!(took < Duration::from_millis(CONFIRM_TIMEOUT_MS * 2), "{answer:?} took {took:?}");
    answer
}

#[tokio::test]
async fn an_alarm_freezes_neither_acknowledgements_nor_callers_and_its_end_is_enough() {
    let broker = PrivateBroker::start().await;
    let config = broker.config();
    let mut consuming = RunningConsumers::start(&config, "consume", &[(Lane::Main, 2)]);
    let short = broker::Config { amqp_confirm_timeout_ms: CONFIRM_TIMEOUT_MS, ..config };
    let running = RunningPublisher::start(&short, "publish").await;
    running.publish_work(Lane::Main, 1..=6).await;
    let first = take(&mut consuming.consumers[0], 2).await;
    broker.alarm_on().await;
    for n in 100..104 {
        let answer = answer_in_time(&running, n).await;
        assert!(matches!(answer, Err(PublishError::TimedOut | PublishError::NotConnected)), "{answer:?}");
    }
    // the prefetch is 2: the next two come because the acknowledgements of the first two passed
    let settler = consuming.consumers[0].settler();
    settler.settle(first.iter().map(|delivery| (delivery, Settlement::Ack)));
    let second = take(&mut consuming.consumers[0], 2).await;
    settler.settle(second.iter().map(|delivery| (delivery, Settlement::Ack)));
    let third = take(&mut consuming.consumers[0], 2).await;
    let numbers: Vec<u32> = first.iter().chain(&second).chain(&third).map(number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    broker.alarm_off().await;
    running.until_published(work(Lane::Main, 200)).await;
}

#[tokio::test]
async fn a_publisher_in_a_black_hole_answers_in_time_and_recovers() {
    let vhost = Vhost::create().await;
    let (proxy, url) = Proxy::before(vhost.url()).await;
    let mut consuming = RunningConsumers::start(&vhost.config(), "consume", &[(Lane::Main, 1)]);
    let config = broker::Config {
        amqp_confirm_timeout_ms: CONFIRM_TIMEOUT_MS,
        amqp_connect_timeout_ms: 500,
        ..config_for(&url)
    };
    let running = RunningPublisher::start(&config, "publish").await;
    running.publish_work(Lane::Main, 1..=2).await;
    let first = take(&mut consuming.consumers[0], 1).await;
    proxy.set(Fault::BLACK_HOLE);
    assert_eq!(answer_in_time(&running, 3).await, Err(PublishError::TimedOut));
    // from now on it is known to be away, and nobody waits
    tests::until(tests::DEADLINE, async || match answer_in_time(&running, 4).await {
        Err(PublishError::NotConnected) => Ok(()),
        other => Err(other),
    })
    .await;
    let settler = consuming.consumers[0].settler();
    settler.settle(first.iter().map(|delivery| (delivery, Settlement::Ack)));
    assert_eq!(number(&take(&mut consuming.consumers[0], 1).await[0]), 2);
    proxy.set(Fault::NONE);
    running.until_published(work(Lane::Bulk, 5)).await;
}

#[tokio::test]
async fn a_slow_network_is_no_failure() {
    let vhost = Vhost::create().await;
    let (proxy, url) = Proxy::before(vhost.url()).await;
    let config = config_for(&url);
    let running = RunningPublisher::start(&config, "publish").await;
    proxy.set(Fault { latency: Duration::from_millis(100), ..Fault::NONE });
    running.publish_work(Lane::Main, 1..=100).await;
    assert_eq!(proxy.links().len(), 1);
}

#[tokio::test]
async fn a_connection_cut_in_the_middle_of_a_message_costs_one_answer() {
    let vhost = Vhost::create().await;
    let (proxy, url) = Proxy::before(vhost.url()).await;
    let config = config_for(&url);
    let running = RunningPublisher::start(&config, "publish").await;
    let link = proxy.links().remove(0);
    // beyond the method frame and before the end of the header: no broker takes half a message
    link.set(Fault { cut_after_bytes: Some(link.to_server_bytes() + 90), ..Fault::NONE });
    assert_eq!(running.publisher.publish(work(Lane::Main, 1)).await, Err(PublishError::NotConnected));
    assert_eq!(vhost.depth(&tests::sample::queue(Lane::Main)).await, Some(0));
    running.until_published(work(Lane::Main, 1)).await;
    assert_eq!(vhost.depth(&tests::sample::queue(Lane::Main)).await, Some(1));
}
