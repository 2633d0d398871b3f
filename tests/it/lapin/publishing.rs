//! Confirms: each caller gets its own, an unroutable message is not lost, and the window is exact.

use std::sync::Arc;
use std::time::Duration;

use broker::PublishError;
use contract::topology::{LANDING, Lane, WORK};
use futures_util::future::join_all;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use tests::proxy::Fault;
use tests::sample::{RunningPublisher, outgoing, queue, work};
use tests::vhost::config_for;
use tests::{DEADLINE, Proxy, Vhost, soon, until};

/// A queue that is full and refuses.
async fn full_queue(vhost: &Vhost, name: &str) {
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(1));
    arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    vhost.declare_queue(name, arguments).await;
    assert!(vhost.publish("", name, BasicProperties::default(), b"the only one").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_tasks_at_once_each_get_their_own_answer() {
    const EACH: u32 = 60;
    let vhost = Vhost::create().await;
    full_queue(&vhost, "full").await;
    vhost.declare_queue("open", FieldTable::default()).await;
    let running = RunningPublisher::start(&vhost.config(), "publish").await;
    let tasks = (0..64).map(|task| {
        let publisher = running.publisher.clone();
        tokio::spawn(async move {
            let (queue, answer) = if task % 2 == 0 { ("open", Ok(())) } else { ("full", Err(PublishError::Nacked)) };
            // a few in flight per task, so that answers of many tasks interleave on the channel
            for n in 0..EACH / 4 {
                let some = (0..4).map(|m| publisher.publish(outgoing("", queue, task * 1_000 + n * 4 + m)));
                for outcome in join_all(some).await {
                    assert_eq!(outcome, answer, "task {task} publishing to {queue}");
                }
            }
        })
    });
    for task in soon("all answers", join_all(tasks)).await {
        task.expect("every answer was its own");
    }
    assert_eq!(vhost.depth("open").await, Some(32 * EACH));
    assert_eq!(vhost.depth("full").await, Some(1));
}

#[tokio::test]
async fn an_unroutable_message_is_confirmed_and_lies_in_the_landing() {
    let vhost = Vhost::create().await;
    let running = RunningPublisher::start(&vhost.config(), "publish").await;
    running.publisher.publish(outgoing(WORK, "nobody.main.sample.v1", 7)).await.expect("it is confirmed all the same");
    let landed = vhost.get_all(LANDING).await;
    let [only] = landed.as_slice() else { panic!("{landed:#?}") };
    assert_eq!((only.message_id().as_str(), only.routing_key.as_str()), ("7", "nobody.main.sample.v1"));
}

#[tokio::test]
async fn a_retry_to_a_rung_that_does_not_exist_lies_in_the_landing() {
    let vhost = Vhost::create().await;
    let running = RunningPublisher::start(&vhost.config(), "publish").await;
    running.publisher.publish(outgoing(contract::topology::RETRY, "any", 8)).await.expect("it is confirmed");
    assert_eq!(vhost.depth(LANDING).await, Some(1));
}

/// Publishes `count` while no confirm comes back, and answers how many of them reached the queue.
async fn reached_without_confirms(window: u16, count: u32) -> u32 {
    let vhost = Vhost::create().await;
    let (proxy, url) = Proxy::before(vhost.url()).await;
    let config = broker::Config { amqp_confirm_window: window, amqp_confirm_timeout_ms: 1_500, ..config_for(&url) };
    let running = RunningPublisher::start(&config, "publish").await;
    proxy.set(Fault { hold_to_client: true, ..Fault::NONE });
    let publisher = Arc::new(running.publisher.clone());
    let callers = (1..=count).map(|n| {
        let publisher = Arc::clone(&publisher);
        tokio::spawn(async move { publisher.publish(work(Lane::Main, n)).await })
    });
    let answers = soon("every caller's answer", join_all(callers)).await;
    for answer in answers {
        let answer = answer.expect("no caller panics");
        assert!(matches!(answer, Err(PublishError::TimedOut | PublishError::NotConnected)), "{answer:?}");
    }
    vhost.depth(&queue(Lane::Main)).await.expect("the queue was declared")
}

#[tokio::test]
async fn exactly_a_window_of_publishes_is_in_flight() {
    let (below, exact, beyond, single) = tokio::join!(
        reached_without_confirms(8, 7),
        reached_without_confirms(8, 8),
        reached_without_confirms(8, 9),
        reached_without_confirms(1, 2),
    );
    assert_eq!((below, exact, beyond, single), (7, 8, 8, 1));
}

#[tokio::test]
async fn the_window_moves_on_with_every_confirm() {
    let vhost = Vhost::create().await;
    let config = broker::Config { amqp_confirm_window: 3, ..vhost.config() };
    let running = RunningPublisher::start(&config, "publish").await;
    running.publish_work(Lane::Main, 1..=200).await;
    assert_eq!(vhost.depth(&queue(Lane::Main)).await, Some(200));
}

#[tokio::test]
async fn a_stop_answers_what_is_in_flight_and_then_refuses() {
    let vhost = Vhost::create().await;
    let (proxy, url) = Proxy::before(vhost.url()).await;
    let config = config_for(&url);
    let running = RunningPublisher::start(&config, "publish").await;
    proxy.set(Fault { hold_to_client: true, ..Fault::NONE });
    let in_flight: Vec<_> = (1..=5)
        .map(|n| {
            let publisher = running.publisher.clone();
            tokio::spawn(async move { publisher.publish(work(Lane::Main, n)).await })
        })
        .collect();
    let main = queue(Lane::Main);
    until(DEADLINE, async || match vhost.depth(&main).await {
        Some(5) => Ok(()),
        other => Err(other),
    })
    .await;
    running.stop.cancel();
    assert_eq!(running.publisher.publish(work(Lane::Main, 6)).await, Err(PublishError::NotConnected));
    proxy.set(Fault { latency: Duration::from_millis(5), ..Fault::NONE });
    for answer in soon("the answers", join_all(in_flight)).await {
        assert_eq!(answer.unwrap(), Ok(()));
    }
    soon("the publisher's end", running.task).await.expect("it ends in order");
    assert_eq!(vhost.depth(&main).await, Some(5));
}
