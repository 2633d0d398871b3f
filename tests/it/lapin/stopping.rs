//! A stop gives out and settles everything that was prefetched: whatever is returned counts towards the delivery limit.

use broker::consumer::Settlement::Ack;
use contract::topology::Lane;
use tests::sample::{RunningConsumers, RunningPublisher, queue, take};
use tests::{Vhost, soon};

#[tokio::test]
async fn a_stop_gives_out_and_settles_everything_prefetched() {
    let vhost = Vhost::create().await;
    let running = RunningPublisher::start(&vhost.config(), "publish").await;
    running.publish_work(Lane::Main, 1..=30).await;
    running.publish_work(Lane::Bulk, 31..=60).await;
    let lanes = [(Lane::Main, 10), (Lane::Bulk, 5)];
    let mut consuming = RunningConsumers::start(&vhost.config(), "consume", &lanes);
    let mut given = 0;
    for (consumer, (_, prefetch)) in consuming.consumers.iter_mut().zip(lanes) {
        // one in hand, unsettled until after the stop; the rest of the prefetch is wherever it is
        let mut held = take(consumer, 1).await;
        consuming.stop.cancel();
        while let Some(next) = soon("what was prefetched", consumer.next()).await {
            held.push(next);
        }
        assert!(held.len() <= usize::from(prefetch), "{} were given out", held.len());
        given += held.len();
        consumer.settler().settle(held.iter().map(|delivery| (delivery, Ack)));
    }
    soon("the consumer's end", consuming.task).await.expect("it ends in order");
    let mut left = vhost.get_all(&queue(Lane::Main)).await;
    left.extend(vhost.get_all(&queue(Lane::Bulk)).await);
    assert_eq!(left.len() + given, 60, "nothing is lost and nothing is returned");
    for message in left {
        assert_eq!(message.delivery_count(), 0, "{} was returned", message.message_id());
    }
}

#[tokio::test]
async fn a_stop_before_anything_came_ends_at_once() {
    let vhost = Vhost::create().await;
    let mut consuming = RunningConsumers::start(&vhost.config(), "consume", &[(Lane::Main, 10)]);
    let mut attached = consuming.consumers[0].attached();
    soon("the consumer", attached.wait_for(|attached| *attached)).await.expect("it consumes");
    consuming.stop.cancel();
    assert!(soon("the end", consuming.consumers[0].next()).await.is_none());
    soon("the consumer's end", consuming.task).await.expect("it ends in order");
}

#[tokio::test]
async fn a_stop_while_the_broker_is_away_ends() {
    let config = tests::vhost::config_for("amqp://guest:guest@127.0.0.1:9/none");
    let mut consuming = RunningConsumers::start(&config, "consume", &[(Lane::Main, 10)]);
    let publishing = RunningPublisher::begin(&config, "publish");
    consuming.stop.cancel();
    publishing.stop.cancel();
    assert!(soon("the end", consuming.consumers[0].next()).await.is_none());
    soon("the consumer's end", consuming.task).await.expect("it ends in order");
    soon("the publisher's end", publishing.task).await.expect("it ends in order");
}

#[tokio::test]
async fn a_stop_whose_connection_breaks_before_the_last_settlement_ends() {
    let vhost = Vhost::create().await;
    let running = RunningPublisher::start(&vhost.config(), "publish").await;
    running.publish_work(Lane::Main, 1..=2).await;
    let mut consuming = RunningConsumers::start(&vhost.config(), "consume", &[(Lane::Main, 10)]);
    let held = take(&mut consuming.consumers[0], 2).await;
    consuming.stop.cancel();
    assert!(soon("the end", consuming.consumers[0].next()).await.is_none());
    vhost.close_connections("consume").await;
    // the job is still at work; whatever it settles then is too late, and the process may end
    consuming.consumers[0].settler().settle(held.iter().map(|delivery| (delivery, Ack)));
    soon("the consumer's end", consuming.task).await.expect("it ends in order");
    tests::until(tests::DEADLINE, async || match vhost.depth(&queue(Lane::Main)).await {
        Some(2) => Ok(()),
        other => Err(other),
    })
    .await;
}

#[tokio::test]
async fn a_stop_after_every_reader_is_gone_ends_and_the_messages_come_again() {
    let vhost = Vhost::create().await;
    let running = RunningPublisher::start(&vhost.config(), "publish").await;
    running.publish_work(Lane::Main, 1..=2).await;
    let mut consuming = RunningConsumers::start(&vhost.config(), "consume", &[(Lane::Main, 10)]);
    let held = take(&mut consuming.consumers[0], 2).await;
    // a reader that died: nobody can settle any more
    consuming.consumers.clear();
    consuming.stop.cancel();
    soon("the consumer's end", consuming.task).await.expect("it ends in order");
    assert_eq!(vhost.get_all(&queue(Lane::Main)).await.len(), held.len());
}
