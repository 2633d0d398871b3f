//! The outbox: claims, leases, late commits, keys.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use fault::{Class, Classify};
use sqlx::Connection;
use store::Store;
use store::outbox::{self, NewRow};
use store::testing::TestDatabase;
use uuid::Uuid;

use crate::{execute, text, within};

const LEASE: Duration = Duration::from_secs(60);

fn row(dedup: &str) -> NewRow {
    NewRow {
        tenant: Uuid::nil(),
        exchange: "muster.events".to_owned(),
        routing_key: "rmm.alert.opened".to_owned(),
        kind: "rmm.alert.opened".to_owned(),
        message_id: dedup.to_owned(),
        dedup: dedup.to_owned(),
        body: vec![0, 255, b'{'],
        traceparent: None,
        available_at: None,
    }
}

async fn insert(database: &TestDatabase, dedups: &[&str]) -> u64 {
    let rows: Vec<NewRow> = dedups.iter().map(|dedup| row(dedup)).collect();
    outbox::insert(&mut database.connect().await, &rows).await.expect("it is written")
}

async fn claim(store: &Store, rows_max: u32) -> Vec<String> {
    let rows = outbox::claim(store, rows_max, LEASE).await.expect("it claims");
    rows.into_iter().map(|row| row.message_id).collect()
}

#[tokio::test]
async fn a_row_comes_out_as_it_went_in() {
    let database = TestDatabase::create().await;
    let new = NewRow { traceparent: Some("00-trace".to_owned()), ..row("a") };
    outbox::insert(&mut database.connect().await, std::slice::from_ref(&new)).await.unwrap();
    let rows = outbox::claim(&database.store(), 10, LEASE).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].exchange, new.exchange);
    assert_eq!(rows[0].routing_key, new.routing_key);
    assert_eq!(rows[0].kind, new.kind);
    assert_eq!(rows[0].message_id, new.message_id);
    assert_eq!(rows[0].body, new.body);
    assert_eq!(rows[0].traceparent, new.traceparent);
}

#[tokio::test]
async fn a_key_is_written_once_while_its_row_stands() {
    let database = TestDatabase::create().await;
    let store = database.store();
    assert_eq!(insert(&database, &["a", "b", "a"]).await, 2);
    assert_eq!(insert(&database, &["b", "c"]).await, 1);
    assert_eq!(insert(&database, &[]).await, 0);
    assert_eq!(outbox::count(&store).await.unwrap(), 3);
}

#[tokio::test]
async fn the_oldest_come_first_and_never_more_than_asked() {
    let database = TestDatabase::create().await;
    let store = database.store();
    for dedup in ["c", "a", "b"] {
        insert(&database, &[dedup]).await;
    }
    assert!(claim(&store, 0).await.is_empty());
    assert_eq!(claim(&store, 2).await, ["c", "a"]);
    assert_eq!(claim(&store, 2).await, ["b"]);
    assert!(claim(&store, 2).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn relays_at_once_never_claim_the_same_row() {
    let database = TestDatabase::create().await;
    let dedups: Vec<String> = (0..500).map(|n| format!("{n:04}")).collect();
    insert(&database, &dedups.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let relays: Vec<_> = (0..6)
        .map(|_| {
            let store = database.second_store();
            tokio::spawn(async move {
                let mut all = Vec::new();
                // an empty claim may only mean that another relay holds the locks; so it ends with the outbox empty
                while outbox::count(&store).await.expect("it counts") > 0 {
                    let rows = outbox::claim(&store, 37, LEASE).await.expect("it claims");
                    let ids: Vec<i64> = rows.iter().map(|row| row.outbox_id).collect();
                    outbox::delete(&store, &ids).await.expect("it deletes");
                    all.extend(rows.into_iter().map(|row| row.message_id));
                }
                all
            })
        })
        .collect();
    let mut claimed = Vec::new();
    for relay in relays {
        claimed.extend(within(relay).await.unwrap());
    }
    assert_eq!(claimed.len(), 500, "a row was claimed twice");
    assert_eq!(claimed.into_iter().collect::<BTreeSet<_>>(), dedups.into_iter().collect());
}

#[tokio::test]
async fn a_dead_relays_rows_come_back_when_their_lease_ends() {
    let database = TestDatabase::create().await;
    let (dead, alive) = (database.store(), database.second_store());
    insert(&database, &["a"]).await;
    assert_eq!(claim(&dead, 10).await, ["a"]);
    assert!(claim(&alive, 10).await.is_empty(), "its lease holds");
    execute(&database, "update muster.outbox set claimed_until = now()").await;
    assert_eq!(claim(&alive, 10).await, ["a"]);
}

#[tokio::test]
async fn a_slow_relays_delete_takes_a_row_that_another_claimed_meanwhile() {
    let database = TestDatabase::create().await;
    let (slow, other) = (database.store(), database.second_store());
    insert(&database, &["a"]).await;
    let rows = outbox::claim(&slow, 10, Duration::ZERO).await.unwrap();
    assert_eq!(claim(&other, 10).await, ["a"], "a lease of nothing is over at once");
    assert_eq!(outbox::delete(&slow, &[rows[0].outbox_id]).await.unwrap(), 1);
    assert_eq!(outbox::delete(&other, &[rows[0].outbox_id]).await.unwrap(), 0, "published twice, gone once");
    assert_eq!(outbox::count(&other).await.unwrap(), 0);
}

#[tokio::test]
async fn a_row_released_without_a_pause_is_claimable_at_once_and_keeps_its_place() {
    let database = TestDatabase::create().await;
    let store = database.store();
    insert(&database, &["a"]).await;
    insert(&database, &["b"]).await;
    let rows = outbox::claim(&store, 1, LEASE).await.unwrap();
    assert_eq!(outbox::release(&store, &[rows[0].outbox_id, 999], Duration::ZERO).await.unwrap(), 1);
    assert_eq!(claim(&store, 10).await, ["a", "b"]);
}

#[tokio::test]
async fn refused_rows_stand_aside_for_their_pause_and_later_ones_pass() {
    let database = TestDatabase::create().await;
    let store = database.store();
    insert(&database, &["a", "b"]).await;
    let rows = outbox::claim(&store, 2, LEASE).await.unwrap();
    insert(&database, &["later"]).await;
    let refused: Vec<i64> = rows.iter().map(|row| row.outbox_id).collect();
    // shorter than the lease: from now on the pause counts
    let pause = Duration::from_secs(30);
    assert_eq!(outbox::release(&store, &refused, pause).await.unwrap(), 2);
    assert_eq!(claim(&store, 2).await, ["later"]);
    assert!(outbox::oldest_age(&store).await.unwrap().is_some(), "what was refused still waits");

    execute(&database, "update muster.outbox set claimed_until = claimed_until - interval '30 s'").await;
    assert_eq!(claim(&store, 10).await, ["a", "b"], "their pause is over, the lease of the later one is not");
}

#[tokio::test]
async fn a_transaction_that_commits_late_hides_nothing() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let mut late = database.connect().await;
    let mut transaction = late.begin().await.unwrap();
    outbox::insert(&mut transaction, &[row("late")]).await.unwrap();
    insert(&database, &["early"]).await;
    let rows = outbox::claim(&store, 10, LEASE).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.message_id.as_str()).collect::<Vec<_>>(), ["early"]);
    outbox::delete(&store, &[rows[0].outbox_id]).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(claim(&store, 10).await, ["late"], "its number is below one that is gone already");
}

#[tokio::test]
async fn what_rolls_back_is_never_published() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    let mut transaction = connection.begin().await.unwrap();
    outbox::insert(&mut transaction, &[row("a")]).await.unwrap();
    transaction.rollback().await.unwrap();
    assert!(claim(&database.store(), 10).await.is_empty());
}

#[tokio::test]
async fn a_row_waits_until_it_is_due() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let due_at = Some(Utc::now() + TimeDelta::hours(1));
    let later = NewRow { available_at: due_at, ..row("later") };
    outbox::insert(&mut database.connect().await, &[later]).await.unwrap();
    assert!(claim(&store, 10).await.is_empty());
    assert_eq!(outbox::oldest_age(&store).await.unwrap(), None);
    execute(
        &database,
        "update muster.outbox set available_at = now() - interval '5 s', created_at = now() - interval '1 day'",
    )
    .await;
    let age = outbox::oldest_age(&store).await.unwrap().expect("it is due");
    assert!((5..60).contains(&age.as_secs()), "the age counts from when it was due: {age:?}");
    assert_eq!(claim(&store, 10).await, ["later"]);
    assert!(outbox::oldest_age(&store).await.unwrap().is_some(), "a claimed row still waits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_of_the_same_keys_in_any_order_never_deadlock() {
    let database = TestDatabase::create().await;
    let keys: Vec<String> = (0..100).map(|n| format!("{n:03}")).collect();
    let writers: Vec<_> = (0..8)
        .map(|n| {
            let mut rows: Vec<NewRow> = keys.iter().map(|key| row(key)).collect();
            if n % 2 == 1 {
                rows.reverse();
            }
            let url = database.url().to_owned();
            tokio::spawn(async move {
                let mut connection = sqlx::PgConnection::connect(&url).await.expect("it connects");
                let mut transaction = connection.begin().await.expect("it begins");
                let new = outbox::insert(&mut transaction, &rows).await.expect("no deadlock");
                transaction.commit().await.expect("it commits");
                new
            })
        })
        .collect();
    let mut new = 0;
    for writer in writers {
        new += within(writer).await.unwrap();
    }
    assert_eq!(new, 100);
}

#[tokio::test]
async fn a_text_at_its_limit_is_stored_and_one_over_it_is_the_datas_fault() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    let at = NewRow { routing_key: "r".repeat(255), ..row("at") };
    outbox::insert(&mut connection, &[at]).await.unwrap();
    let over = NewRow { routing_key: "r".repeat(256), ..row("over") };
    let error = outbox::insert(&mut connection, &[over]).await.unwrap_err();
    assert_eq!(error.class(), Class::Permanent);
    assert!(error.to_string().contains("write 1 outbox rows"), "{error}");
}

#[tokio::test]
async fn a_claim_stays_in_its_page() {
    let database = TestDatabase::create().await;
    insert(&database, &["a", "b", "c"]).await;
    claim(&database.store(), 10).await;
    let mut connection = database.connect().await;
    let hot = "select pg_stat_get_xact_tuples_hot_updated('muster.outbox'::regclass)::text";
    sqlx::raw_sql("begin; update muster.outbox set claimed_until = now()").execute(&mut connection).await.unwrap();
    let hot: String = sqlx::query_scalar(hot).fetch_one(&mut connection).await.unwrap();
    assert_eq!(hot, "3", "a claim must not touch an index");
    assert_eq!(text(&database, "select count(*)::text from muster.outbox").await, "3");
}
