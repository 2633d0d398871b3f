//! The harness itself: a fleet that leaves behind what its test did not expect fails the test, and nothing else does.

use contract::topology::LANDING;
use lapin::BasicProperties;
use tests::{DEADLINE, Fleet, Vhost, until};

#[tokio::test]
async fn a_parked_message_is_no_surprise_where_it_is_expected() {
    let mut fleet = Fleet::builder().workers(1).without_gateway().start().await;
    assert!(fleet.amqp().publish("muster.work", "nobody.main.x", BasicProperties::default(), b"lost").await);
    fleet.expect_parked(1);
    let store = fleet.store();
    until(DEADLINE, async || match store::parked::count(&store).await {
        Ok(1) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

#[tokio::test]
#[should_panic(expected = "muster.landing holds 1 messages, expected 0")]
async fn a_message_left_behind_fails_the_test() {
    let mut fleet = Fleet::builder().workers(1).without_gateway().start().await;
    assert!(fleet.worker(0).terminate(DEADLINE).await.success());
    assert!(fleet.amqp().publish(LANDING, "any", BasicProperties::default(), b"left").await);
}

#[tokio::test]
async fn a_killed_worker_is_no_failure_of_its_own() {
    let mut fleet = Fleet::builder().workers(1).without_gateway().start().await;
    fleet.worker(0).kill();
    let second = fleet.add_worker().await;
    assert!(fleet.worker_url(second).starts_with("http://127.0.0.1:"));
}

#[tokio::test]
async fn dead_letters_that_no_target_takes_are_told_by_the_shared_broker_too() {
    let vhost = Vhost::create().await;
    vhost.declare_undeliverable("pending").await;
    assert!(vhost.publish("", "pending", BasicProperties::default(), b"dead").await);
    until(DEADLINE * 3, async || match vhost.dead_letters().await {
        told if told == [("pending".to_owned(), 1)] => Ok(()),
        told => Err(told),
    })
    .await;
}
