//! A worker dies between the commit and the publish of its events, or between the publish and the delete.
//!
//! The moment is held open by a trigger in the test's own database that waits for a lock of the test's; the worker is the
//! real program and dies by `kill -9`.

use std::collections::BTreeSet;

use sqlx::postgres::PgConnection;
use tests::simulator::Severity;
use tests::{DEADLINE, Fleet, until};

use super::events::Events;
use super::quiet;

/// The advisory lock that the trigger waits for.
const LOCK: i64 = 4_711;

#[tokio::test]
async fn a_worker_killed_between_commit_and_publish_loses_no_event() {
    let (mut fleet, events, holder) = held("update").await;
    until(DEADLINE, async || match store::outbox::count(&fleet.store()).await {
        Ok(1) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    fleet.worker(0).kill();
    assert_eq!(events.count(fleet.amqp()).await, 0, "it was killed before it published");

    release(holder).await;
    fleet.add_worker().await;
    until(DEADLINE, async || match events.count(fleet.amqp()).await {
        1 => Ok(()),
        other => Err(other),
    })
    .await;
    fleet.until_idle().await;
    events.check_against(&fleet).await;
}

#[tokio::test]
async fn a_worker_killed_between_publish_and_delete_sends_the_same_event_again() {
    let (mut fleet, events, holder) = held("delete").await;
    until(DEADLINE, async || match events.count(fleet.amqp()).await {
        1 => Ok(()),
        other => Err(other),
    })
    .await;
    fleet.worker(0).kill();
    assert_eq!(store::outbox::count(&fleet.store()).await.expect("it answers"), 1, "it was killed before it deleted");

    release(holder).await;
    fleet.add_worker().await;
    until(DEADLINE, async || match events.count(fleet.amqp()).await {
        2 => Ok(()),
        other => Err(other),
    })
    .await;
    fleet.until_idle().await;
    let copies: BTreeSet<(String, Vec<u8>)> =
        events.take(fleet.amqp()).await.into_iter().map(|got| (got.message_id(), got.body)).collect();
    assert_eq!(copies.len(), 1, "both copies are the same event with the same content");
}

/// A fleet with one open alert whose outbox row cannot be updated (claimed) or deleted while the connection lives.
async fn held(operation: &str) -> (Fleet, Events, PgConnection) {
    let fleet = Fleet::builder().workers(1).simulator(quiet(20)).set("MUSTER_RELAY_LEASE_MS", 500).start().await;
    let events = Events::bind(fleet.amqp()).await;
    let mut holder = fleet.database().connect().await;
    for statement in [
        format!("select pg_advisory_lock({LOCK})"),
        format!(
            "create function hold() returns trigger language plpgsql as $$ begin
             perform pg_advisory_xact_lock_shared({LOCK}); return coalesce(new, old); end $$"
        ),
        format!("create trigger hold before {operation} on muster.outbox for each row execute function hold()"),
    ] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut holder).await.expect("the test owns its database");
    }
    let opened = fleet.simulator().control().fail_check(3, 1, Severity::Error);
    opened.expect("the agent exists").expect("it opens");
    (fleet, events, holder)
}

/// Lets whoever comes pass the trigger. What the dead worker left waiting there is ended first: a backend does not notice
/// that its client is gone, and would still finish its statement.
async fn release(mut holder: PgConnection) {
    let waiting = "from pg_stat_activity where datname = current_database() and wait_event = 'advisory'";
    let end = format!("select pg_terminate_backend(pid) {waiting}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(end)).execute(&mut holder).await.expect("the harness may end backends");
    until(DEADLINE, async || {
        let count = sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(format!("select count(*) {waiting}")));
        match count.fetch_one(&mut holder).await.expect("it answers") {
            0 => Ok(()),
            left => Err(left),
        }
    })
    .await;
    let unlock = format!("select pg_advisory_unlock({LOCK})");
    sqlx::raw_sql(sqlx::AssertSqlSafe(unlock)).execute(&mut holder).await.expect("it is held");
}
