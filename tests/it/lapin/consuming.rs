//! Channels, prefetch, settlements: a queue's own, by runs, and never those of a session that is over.

use std::time::{Duration, Instant};

use broker::consumer::Settlement::{Ack, Requeue};
use contract::topology::Lane;
use futures_util::FutureExt as _;
use tests::sample::{RunningConsumers, RunningPublisher, number, queue, take};
use tests::{DEADLINE, Vhost, soon, until};

/// Waits until a queue holds exactly so many ready messages.
async fn until_depth(vhost: &Vhost, lane: Lane, expected: u32) {
    until(DEADLINE, async || match vhost.depth(&queue(lane)).await {
        Some(depth) if depth == expected => Ok(()),
        other => Err(other),
    })
    .await;
}

fn numbers(deliveries: &[broker::Delivery]) -> Vec<u32> {
    let mut numbers: Vec<u32> = deliveries.iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn acknowledging_mains_run_does_not_acknowledge_bulks_running_message() {
    let vhost = Vhost::create().await;
    let running = RunningPublisher::start(&vhost.config(), "publish").await;
    running.publish_work(Lane::Bulk, 1..=1).await;
    running.publish_work(Lane::Main, 101..=108).await;
    let mut consuming = RunningConsumers::start(&vhost.config(), "consume", &[(Lane::Main, 4), (Lane::Bulk, 4)]);
    let [main, bulk] = consuming.consumers.as_mut_slice() else { panic!("two consumers") };
    let running_bulk = take(bulk, 1).await;
    let first = take(main, 4).await;
    main.settler().settle(first.iter().map(|delivery| (delivery, Ack)));
    // the prefetch is 4: the second four come because the first four are acknowledged
    let second = take(main, 4).await;
    assert_eq!(numbers(&second), [105, 106, 107, 108]);
    vhost.close_connections("consume").await;
    let bulk_again = take(bulk, 1).await;
    let main_again = take(main, 4).await;
    assert_eq!(numbers(&bulk_again), numbers(&running_bulk));
    assert_eq!(numbers(&main_again), numbers(&second));
    until_depth(&vhost, Lane::Main, 0).await;
    assert!(main.next().now_or_never().is_none(), "nothing of the first four came again");
}

#[tokio::test]
async fn an_unfinished_message_does_not_hold_back_those_behind_it() {
    let vhost = Vhost::create().await;
    let config = broker::Config { amqp_hole_ms: 150, ..vhost.config() };
    let running = RunningPublisher::start(&config, "publish").await;
    running.publish_work(Lane::Main, 1..=9).await;
    let mut consuming = RunningConsumers::start(&config, "consume", &[(Lane::Main, 5)]);
    let main = &mut consuming.consumers[0];
    let first = take(main, 5).await;
    let settled = Instant::now();
    main.settler().settle(first[1..].iter().map(|delivery| (delivery, Ack)));
    let second = take(main, 4).await;
    let took = settled.elapsed();
    assert!(took >= Duration::from_millis(150), "those beyond the hole were acknowledged after {took:?}");
    vhost.close_connections("consume").await;
    let again = take(main, 5).await;
    let mut expected = numbers(&second);
    expected.insert(0, number(&first[0]));
    assert_eq!(numbers(&again), expected);
    assert!(again.iter().all(|delivery| delivery.delivery_count == 1), "{again:?}");
    until_depth(&vhost, Lane::Main, 0).await;
    assert!(main.next().now_or_never().is_none(), "an acknowledged message came again");
}

#[tokio::test]
async fn the_prefetch_is_each_channels_own() {
    let vhost = Vhost::create().await;
    let running = RunningPublisher::start(&vhost.config(), "publish").await;
    running.publish_work(Lane::Main, 1..=10).await;
    running.publish_work(Lane::Bulk, 11..=20).await;
    running.publish_work(Lane::Suspect, 21..=30).await;
    let lanes = [(Lane::Main, 3), (Lane::Bulk, 2), (Lane::Suspect, 1)];
    let mut consuming = RunningConsumers::start(&vhost.config(), "consume", &lanes);
    for (consumer, (lane, prefetch)) in consuming.consumers.iter_mut().zip(lanes) {
        let taken = take(consumer, usize::from(prefetch)).await;
        until_depth(&vhost, lane, 10 - u32::from(prefetch)).await;
        assert!(consumer.next().now_or_never().is_none(), "{lane} gives more than {prefetch}");
        consumer.settler().settle([(&taken[0], Ack)]);
        take(consumer, 1).await;
    }
}

#[tokio::test]
async fn a_paused_consumer_gets_nothing_new_and_keeps_what_it_has() {
    let vhost = Vhost::create().await;
    let running = RunningPublisher::start(&vhost.config(), "publish").await;
    running.publish_work(Lane::Main, 1..=2).await;
    let mut consuming = RunningConsumers::start(&vhost.config(), "consume", &[(Lane::Main, 10)]);
    let main = &mut consuming.consumers[0];
    let held = take(main, 2).await;
    let (pauser, mut attached) = (main.pauser(), main.attached());
    pauser.pause(true);
    soon("the pause", attached.wait_for(|attached| !attached)).await.expect("it pauses");
    running.publish_work(Lane::Main, 3..=4).await;
    until_depth(&vhost, Lane::Main, 2).await;
    assert!(main.next().now_or_never().is_none(), "a paused consumer was given something");
    assert!(held.iter().all(broker::Delivery::is_current));
    main.settler().settle([(&held[0], Ack)]);
    pauser.pause(false);
    // what was settled in the pause is gone, what was held is still held
    vhost.close_connections("consume").await;
    assert_eq!(numbers(&take(main, 3).await), [2, 3, 4]);
    until_depth(&vhost, Lane::Main, 0).await;
    assert!(main.next().now_or_never().is_none(), "a settled message came again");
}

#[tokio::test]
async fn a_settlement_of_a_session_that_is_over_is_ignored() {
    let vhost = Vhost::create().await;
    let config = broker::Config { amqp_hole_ms: 50, ..vhost.config() };
    let running = RunningPublisher::start(&config, "publish").await;
    running.publish_work(Lane::Main, 1..=1).await;
    let mut consuming = RunningConsumers::start(&config, "consume", &[(Lane::Main, 2)]);
    let main = &mut consuming.consumers[0];
    let settler = main.settler();
    let old = take(main, 1).await.remove(0);
    vhost.close_connections("consume").await;
    let same = take(main, 1).await.remove(0);
    assert_eq!((number(&same), same.delivery_count), (1, 1));
    assert!(!old.is_current());
    // both have tag 1, each on its own channel
    settler.settle([(&old, Ack), (&old, Requeue)]);
    // settlements are served in order: once 3 comes (the prefetch is 2), 2 is acknowledged and the old one was ignored
    running.publish_work(Lane::Main, 2..=3).await;
    let second = take(main, 1).await.remove(0);
    settler.settle([(&second, Ack)]);
    assert_eq!(number(&take(main, 1).await[0]), 3);
    vhost.close_connections("consume").await;
    let again = take(main, 2).await;
    assert_eq!(numbers(&again), [1, 3]);
}

#[tokio::test]
async fn a_requeued_message_comes_again_and_counts() {
    let vhost = Vhost::create().await;
    let running = RunningPublisher::start(&vhost.config(), "publish").await;
    running.publish_work(Lane::Main, 1..=1).await;
    let mut consuming = RunningConsumers::start(&vhost.config(), "consume", &[(Lane::Main, 2)]);
    let main = &mut consuming.consumers[0];
    for count in 0..4 {
        let delivery = take(main, 1).await.remove(0);
        assert_eq!(delivery.delivery_count, count);
        main.settler().settle([(&delivery, Requeue)]);
    }
}

#[tokio::test]
async fn a_paused_consumer_notices_that_its_connection_is_gone() {
    let vhost = Vhost::create().await;
    let running = RunningPublisher::start(&vhost.config(), "publish").await;
    running.publish_work(Lane::Main, 1..=1).await;
    let mut consuming = RunningConsumers::start(&vhost.config(), "consume", &[(Lane::Main, 10)]);
    let main = &mut consuming.consumers[0];
    let held = take(main, 1).await;
    let pauser = main.pauser();
    pauser.pause(true);
    let mut attached = main.attached();
    soon("the pause", attached.wait_for(|attached| !attached)).await.expect("it pauses");
    vhost.close_connections("consume").await;
    until(DEADLINE, async || if held[0].is_current() { Err("still current") } else { Ok(()) }).await;
}

#[tokio::test]
async fn pauses_bring_no_second_prefetch_while_deliveries_are_held() {
    let vhost = Vhost::create().await;
    let running = RunningPublisher::start(&vhost.config(), "publish").await;
    running.publish_work(Lane::Main, 1..=9).await;
    let mut consuming = RunningConsumers::start(&vhost.config(), "consume", &[(Lane::Main, 3)]);
    let main = &mut consuming.consumers[0];
    let held = take(main, 3).await;
    let (pauser, mut attached) = (main.pauser(), main.attached());
    for _ in 0..3 {
        pauser.pause(true);
        soon("the pause", attached.wait_for(|attached| !attached)).await.expect("it pauses");
        pauser.pause(false);
    }
    until_depth(&vhost, Lane::Main, 6).await;
    assert!(main.next().now_or_never().is_none(), "more than the prefetch was given out");
    main.settler().settle(held.iter().map(|delivery| (delivery, Ack)));
    assert_eq!(numbers(&take(main, 3).await), [4, 5, 6]);
}

#[tokio::test]
async fn a_consumer_is_idle_once_it_is_paused_and_all_is_settled() {
    let vhost = Vhost::create().await;
    let running = RunningPublisher::start(&vhost.config(), "publish").await;
    running.publish_work(Lane::Main, 1..=2).await;
    let mut consuming = RunningConsumers::start(&vhost.config(), "consume", &[(Lane::Main, 10)]);
    let main = &mut consuming.consumers[0];
    let held = take(main, 2).await;
    let (mut attached, mut idle) = (main.attached(), main.idle());
    let (one, other) = (main.pauser(), main.pauser());
    one.pause(true);
    soon("the pause", attached.wait_for(|attached| !attached)).await.expect("it pauses");
    assert!(!*idle.borrow(), "two deliveries are in hand");
    main.settler().settle(held.iter().map(|delivery| (delivery, Ack)));
    soon("the last settlement", idle.wait_for(|idle| *idle)).await.expect("it becomes idle");
    // who pauses twice pauses once, and each for itself
    one.pause(true);
    other.pause(true);
    one.pause(false);
    running.publish_work(Lane::Main, 3..=3).await;
    until_depth(&vhost, Lane::Main, 1).await;
    assert!(*idle.borrow() && main.next().now_or_never().is_none(), "the other one still pauses it");
    drop(other);
    assert_eq!(numbers(&take(main, 1).await), [3]);
    assert!(!*idle.borrow());
}
