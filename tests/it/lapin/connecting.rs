//! Connections that end, never answer or fall silent: each is noticed and built anew, and attempts back off.

use std::time::Duration;

use broker::PublishError;
use contract::topology::Lane;
use tests::proxy::Fault;
use tests::sample::{RunningConsumers, RunningPublisher, number, outgoing, queue, take, work};
use tests::vhost::config_for;
use tests::{DEADLINE, PrivateBroker, Proxy, Vhost, soon, until};

#[tokio::test]
async fn publishing_goes_on_after_the_broker_closed_the_connection() {
    let vhost = Vhost::create().await;
    let running = RunningPublisher::start(&vhost.config(), "publish").await;
    for n in 1..=2 {
        vhost.close_connections("publish").await;
        running.until_published(work(Lane::Main, n)).await;
    }
    assert_eq!(vhost.depth(&queue(Lane::Main)).await, Some(2));
}

#[tokio::test]
async fn a_publish_that_closes_the_channel_hangs_nobody_and_the_next_one_passes() {
    let vhost = Vhost::create().await;
    let running = RunningPublisher::start(&vhost.config(), "publish").await;
    let answer = running.publisher.publish(outgoing("no such exchange", "any", 1)).await;
    assert_eq!(answer, Err(PublishError::NotConnected));
    running.until_published(work(Lane::Main, 2)).await;
    assert_eq!(vhost.depth(&queue(Lane::Main)).await, Some(1));
}

#[tokio::test]
async fn consuming_goes_on_after_the_broker_closed_the_connection() {
    let vhost = Vhost::create().await;
    let running = RunningPublisher::start(&vhost.config(), "publish").await;
    let mut consuming = RunningConsumers::start(&vhost.config(), "consume", &[(Lane::Main, 10)]);
    running.publish_work(Lane::Main, 1..=1).await;
    let before = take(&mut consuming.consumers[0], 1).await.remove(0);
    vhost.close_connections("consume").await;
    let again = take(&mut consuming.consumers[0], 1).await.remove(0);
    assert_eq!((number(&again), again.delivery_count), (1, 1));
    assert!(!before.is_current() && again.is_current());
}

#[tokio::test]
async fn a_consumer_whose_queue_was_deleted_declares_it_anew_and_goes_on() {
    let vhost = Vhost::create().await;
    let running = RunningPublisher::start(&vhost.config(), "publish").await;
    let mut consuming = RunningConsumers::start(&vhost.config(), "consume", &[(Lane::Main, 10), (Lane::Bulk, 10)]);
    running.publish_work(Lane::Main, 1..=1).await;
    let held = take(&mut consuming.consumers[0], 1).await.remove(0);
    vhost.delete_queue(&queue(Lane::Main)).await;
    until(DEADLINE, async || if held.is_current() { Err("the session goes on") } else { Ok(()) }).await;
    let mut attached = consuming.consumers[0].attached();
    soon("the consumer", attached.wait_for(|attached| *attached)).await.expect("it goes on");
    running.publish_work(Lane::Main, 2..=2).await;
    running.publish_work(Lane::Bulk, 3..=3).await;
    assert_eq!(number(&take(&mut consuming.consumers[0], 1).await[0]), 2);
    assert_eq!(number(&take(&mut consuming.consumers[1], 1).await[0]), 3);
}

#[tokio::test]
async fn attempts_to_reconnect_back_off_and_find_a_broker_that_came_back() {
    let vhost = Vhost::create().await;
    let (proxy, url) = Proxy::before(vhost.url()).await;
    let config = config_for(&url);
    let running = RunningPublisher::start(&config, "publish").await;
    proxy.set(Fault { refuse: true, ..Fault::NONE });
    proxy.cut();
    let attempts = until(DEADLINE, async || {
        let links = proxy.links();
        if links.len() == 6 { Ok(links) } else { Err(links.len()) }
    })
    .await;
    assert_eq!(running.publisher.publish(work(Lane::Main, 1)).await, Err(PublishError::NotConnected));
    // the pauses before attempts 3, 4 and 5 are 200, 400 and 800 ms, each at least 30 % less at worst
    let took = attempts[4].accepted - attempts[1].accepted;
    assert!(took >= Duration::from_millis(1_400 * 7 / 10), "three pauses took {took:?}");
    proxy.set(Fault::NONE);
    running.until_published(work(Lane::Main, 2)).await;
}

#[tokio::test]
async fn a_listener_that_accepts_and_never_answers_is_given_up_and_tried_again() {
    let vhost = Vhost::create().await;
    let (proxy, url) = Proxy::before(vhost.url()).await;
    proxy.set(Fault::BLACK_HOLE);
    let config = broker::Config { amqp_connect_timeout_ms: 300, ..config_for(&url) };
    let running = RunningPublisher::begin(&config, "publish");
    let links = until(DEADLINE, async || {
        let links = proxy.links();
        if links.len() >= 3 { Ok(links) } else { Err(links.len()) }
    })
    .await;
    let gap = links[1].accepted - links[0].accepted;
    assert!(gap >= Duration::from_millis(300), "it was given up after {gap:?}");
    assert!(!running.publisher.is_ready());
    assert_eq!(running.publisher.publish(work(Lane::Main, 1)).await, Err(PublishError::NotConnected));
    proxy.set(Fault::NONE);
    // its timeout is too short for a busy machine to be sure of any one attempt, not of one among many
    running.until_published(work(Lane::Main, 2)).await;
}

#[tokio::test]
async fn an_idle_connection_lives_by_its_heartbeats() {
    let vhost = Vhost::create().await;
    let (proxy, url) = Proxy::before(vhost.url()).await;
    let config = config_for(&format!("{url}?heartbeat=1"));
    let running = RunningPublisher::start(&config, "publish").await;
    let link = proxy.links().remove(0);
    let idle = link.to_server_bytes();
    // a heartbeat frame has 8 bytes; without them the broker would hang up after two intervals
    until(DEADLINE, async || match link.to_server_bytes() - idle {
        32.. => Ok(()),
        bytes => Err(bytes),
    })
    .await;
    assert_eq!((proxy.links().len(), link.is_over()), (1, false));
    running.publisher.publish(work(Lane::Main, 1)).await.expect("it still stands");
}

#[tokio::test]
async fn a_peer_that_fell_silent_is_noticed_although_nothing_is_sent() {
    let vhost = Vhost::create().await;
    let (proxy, url) = Proxy::before(vhost.url()).await;
    let config = config_for(&format!("{url}?heartbeat=1"));
    let running = RunningPublisher::start(&config, "publish").await;
    let mut consuming = RunningConsumers::start(&config, "consume", &[(Lane::Main, 10)]);
    let mut attached = consuming.consumers[0].attached();
    soon("the consumer", attached.wait_for(|attached| *attached)).await.expect("it consumes");
    proxy.set(Fault::BLACK_HOLE);
    soon("the end of the consumer", attached.wait_for(|attached| !attached)).await.expect("it is noticed");
    until(DEADLINE, async || if running.publisher.is_ready() { Err("still ready") } else { Ok(()) }).await;
    proxy.set(Fault::NONE);
    running.until_published(work(Lane::Main, 1)).await;
    assert_eq!(number(&take(&mut consuming.consumers[0], 1).await[0]), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_was_killed_has_what_it_confirmed_and_both_sides_go_on() {
    let mut broker = PrivateBroker::start().await;
    let config = broker.config();
    let running = RunningPublisher::start(&config, "publish").await;
    let mut consuming = RunningConsumers::start(&config, "consume", &[(Lane::Main, 100)]);
    let publisher = running.publisher.clone();
    let (confirmed, mut numbers) = tokio::sync::mpsc::unbounded_channel();
    let publishing = tokio::spawn(async move {
        for n in 1.. {
            if publisher.publish(work(Lane::Main, n)).await.is_ok() && confirmed.send(n).is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    });
    let first = soon("the first confirm", numbers.recv()).await.expect("it publishes");
    broker.kill().await;
    let mut expected: std::collections::BTreeSet<u32> = std::iter::from_fn(|| numbers.try_recv().ok()).collect();
    expected.insert(first);
    broker.start_again().await;
    let after = soon("a confirm after the crash", numbers.recv()).await.expect("it publishes again");
    expected.insert(after);
    drop(numbers);
    soon("the publishing task", publishing).await.expect("it ends");
    let settler = consuming.consumers[0].settler();
    while !expected.is_empty() {
        let next = soon("a confirmed message", consuming.consumers[0].next()).await.expect("it has not stopped");
        expected.remove(&number(&next));
        settler.settle([(&next, broker::consumer::Settlement::Ack)]);
    }
}
