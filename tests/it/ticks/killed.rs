//! A gateway is killed at each step of a tick; another one is there, or comes.

use sqlx::Connection as _;
use store::run::Kind;
use tests::Fleet;

use super::{due, ended, hanging, runs, taken, ticking};

/// After the kill: the slot has one run, and the next one comes.
async fn goes_on(fleet: &Fleet, runs_before: i64) {
    taken(fleet).await;
    assert_eq!(runs(fleet, Kind::Alerts).await, runs_before);
    ended(fleet).await;
    due(fleet, Kind::Alerts).await;
    taken(fleet).await;
    assert_eq!(runs(fleet, Kind::Alerts).await, runs_before + 1);
}

#[tokio::test]
async fn a_gateway_that_dies_before_it_looks_leaves_the_slot_to_the_next_one() {
    let mut fleet = ticking().await;
    fleet.gateway().kill();
    due(&fleet, Kind::Alerts).await;
    fleet.add_gateway(&[]).await;
    goes_on(&fleet, 1).await;
}

#[tokio::test]
async fn a_gateway_that_dies_before_its_run_is_written_has_taken_nothing() {
    dies_in("lock table muster.run in share mode").await;
}

#[tokio::test]
async fn a_gateway_that_dies_between_the_run_and_its_message_has_taken_nothing() {
    dies_in("lock table muster.outbox in share mode").await;
}

/// The first gateway hangs in its transaction when it dies, and only then the second one comes.
async fn dies_in(lock: &'static str) {
    let mut fleet = ticking().await;
    let mut sql = fleet.database().connect().await;
    let mut held = sql.begin().await.expect("the database answers");
    sqlx::query(lock).execute(&mut *held).await.expect("nobody else has it");
    due(&fleet, Kind::Alerts).await;
    hanging(&fleet).await;
    fleet.gateway().kill();
    fleet.add_gateway(&[]).await;
    held.rollback().await.expect("the database answers");
    goes_on(&fleet, 1).await;
}

#[tokio::test]
async fn a_gateway_that_dies_while_its_commit_is_under_way_has_started_its_run_and_nobody_starts_a_second_one() {
    let mut fleet = ticking().await;
    // the commit hangs until the test lets it go
    fleet
        .database()
        .execute(
            "create function public.gate() returns trigger language plpgsql as
                 'begin perform pg_advisory_xact_lock(4711); return null; end';
             create constraint trigger gate after insert on muster.run deferrable initially deferred
                 for each row execute function public.gate()",
        )
        .await;
    let mut sql = fleet.database().connect().await;
    sqlx::query("select pg_advisory_lock(4711)").execute(&mut sql).await.expect("nobody else has it");
    due(&fleet, Kind::Alerts).await;
    hanging(&fleet).await;
    fleet.gateway().kill();
    fleet.add_gateway(&[]).await;
    sqlx::query("select pg_advisory_unlock(4711)").execute(&mut sql).await.expect("it has it");
    goes_on(&fleet, 1).await;
}

#[tokio::test]
async fn a_gateway_that_dies_after_its_commit_is_followed_by_one_that_finds_the_run_open() {
    let mut fleet = ticking().await;
    due(&fleet, Kind::Alerts).await;
    taken(&fleet).await;
    fleet.gateway().kill();
    due(&fleet, Kind::Alerts).await;
    fleet.add_gateway(&[]).await;
    goes_on(&fleet, 1).await;
}
