//! The landing queue: whatever the broker gives up or cannot route lies there, and stays.

use broker::Outgoing;
use broker::consumer::Settlement::{Ack, Requeue};
use broker::consumer::{Subscription, consume};
use broker::topology::DELIVERY_LIMIT;
use contract::topology::{LANDING, Lane, WORK};
use lapin::types::FieldTable;
use tests::sample::{RunningConsumers, RunningPublisher, number, outgoing, queue, take};
use tests::{DEADLINE, Vhost, until};
use tokio_util::sync::CancellationToken;

/// Consumes the landing queue, as the parker does.
fn landing(vhost: &Vhost) -> (broker::Consumer, tokio_util::sync::DropGuard) {
    let stop = CancellationToken::new();
    let subscription = Subscription { queue: LANDING.to_owned(), prefetch: 10 };
    let (mut consumers, _task) = consume(&vhost.config(), "park", &[subscription], stop.clone());
    (consumers.remove(0), stop.drop_guard())
}

#[tokio::test]
async fn a_message_returned_beyond_the_delivery_limit_lies_in_the_landing_with_the_reason() {
    let vhost = Vhost::create().await;
    let running = RunningPublisher::start(&vhost.config(), "publish").await;
    running.publish_work(Lane::Main, 1..=1).await;
    let mut consuming = RunningConsumers::start(&vhost.config(), "consume", &[(Lane::Main, 10)]);
    let main = &mut consuming.consumers[0];
    for count in 0..=DELIVERY_LIMIT {
        let delivery = take(main, 1).await.remove(0);
        assert_eq!(i64::from(delivery.delivery_count), count);
        main.settler().settle([(&delivery, Requeue)]);
    }
    let (mut landing, _stop) = landing(&vhost);
    let landed = take(&mut landing, 1).await.remove(0);
    let verdict = landed.verdict();
    assert_eq!((number(&landed), verdict.class.as_str()), (1, "poison"));
    assert_eq!(verdict.reason, "the broker gave it up: delivery_limit");
    assert_eq!(verdict.queue.as_deref(), Some("alert-worker.main"));
    assert_eq!(vhost.depth(&queue(Lane::Main)).await, Some(0));
    landing.settler().settle([(&landed, Ack)]);
}

#[tokio::test]
async fn an_unrouted_message_says_that_nobody_takes_its_key() {
    let vhost = Vhost::create().await;
    let running = RunningPublisher::start(&vhost.config(), "publish").await;
    running.publisher.publish(outgoing(WORK, "no-worker.main.x.v1", 1)).await.expect("it is confirmed");
    let (mut landing, _stop) = landing(&vhost);
    let verdict = take(&mut landing, 1).await[0].verdict();
    assert_eq!(
        (verdict.class.as_str(), verdict.reason.as_str()),
        ("unrouted", "no queue takes the key no-worker.main.x.v1")
    );
}

#[tokio::test]
async fn a_message_is_parked_with_its_key_also_while_the_landing_is_bound_to_nothing() {
    let vhost = Vhost::create().await;
    let running = RunningPublisher::start(&vhost.config(), "publish").await;
    running.publish_work(Lane::Main, 1..=1).await;
    let mut consuming = RunningConsumers::start(&vhost.config(), "consume", &[(Lane::Main, 10)]);
    let main = &mut consuming.consumers[0];
    let delivery = take(main, 1).await.remove(0);
    let channel = vhost.try_channel().await.expect("the broker is there");
    let unbound = channel.queue_unbind(LANDING.into(), LANDING.into(), "".into(), FieldTable::default()).await;
    unbound.expect("it was bound");
    let parked = Outgoing::park(&delivery, "permanent", "because", "test 1").expect("it was delivered");
    running.publisher.publish(parked).await.expect("the broker takes it");
    main.settler().settle([(&delivery, Ack)]);
    let (mut landing, _stop) = landing(&vhost);
    let landed = take(&mut landing, 1).await.remove(0);
    let verdict = landed.verdict();
    assert_eq!((number(&landed), verdict.class.as_str(), verdict.reason.as_str()), (1, "permanent", "because"));
    assert_eq!(landed.key_before(), delivery.routing_key);
}

#[tokio::test]
async fn the_landing_gives_no_message_up() {
    let vhost = Vhost::create().await;
    let running = RunningPublisher::start(&vhost.config(), "publish").await;
    running.publisher.publish(outgoing(LANDING, "any", 1)).await.expect("it is confirmed");
    let (mut landing, stop) = landing(&vhost);
    for _ in 0..=DELIVERY_LIMIT * 2 {
        let delivery = take(&mut landing, 1).await.remove(0);
        landing.settler().settle([(&delivery, Requeue)]);
    }
    drop(stop);
    while let Some(delivery) = tests::soon("what is in hand", landing.next()).await {
        landing.settler().settle([(&delivery, Requeue)]);
    }
    until(DEADLINE, async || match vhost.depth(LANDING).await {
        Some(1) => Ok(()),
        other => Err(other),
    })
    .await;
}
