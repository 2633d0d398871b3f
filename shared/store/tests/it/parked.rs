//! Parked messages: the same delivery once, whatever it holds.

use chrono::{DateTime, TimeDelta};
use serde_json::{Value, json};
use store::parked::{self, Parked, ParkedState};
use store::testing::TestDatabase;
use uuid::Uuid;

use crate::{text, within};

fn poison() -> Parked {
    Parked {
        tenant: None,
        kind: None,
        message_id: None,
        class: "poison".to_owned(),
        reason: "no kind".to_owned(),
        attempt: 0,
        worker_version: "0.1.0".to_owned(),
        state: ParkedState::Parked,
        exchange: "muster.work".to_owned(),
        routing_key: "alert-worker.main.alert.observed.v1".to_owned(),
        queue: Some("alert-worker.main".to_owned()),
        headers: json!({"x-delivery-count": 1, "x-death": [{"count": 1}]}),
        body: (0..=255).collect(),
        traceparent: None,
        first_published_at: None,
    }
}

#[tokio::test]
async fn a_message_is_kept_as_it_is() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let sound = Parked {
        tenant: Some(Uuid::from_u128(1)),
        kind: Some("alert.observed.v1".to_owned()),
        message_id: Some("ab".to_owned()),
        attempt: 10,
        first_published_at: Some(DateTime::UNIX_EPOCH),
        ..poison()
    };
    assert_eq!(parked::insert(&store, &[poison(), sound.clone()]).await.unwrap(), 2);
    let rows = parked::list(&store, 10).await.unwrap();
    let row = rows.iter().find(|row| row.tenant.is_some()).unwrap();
    assert_eq!((&row.kind, &row.message_id, row.attempt), (&sound.kind, &sound.message_id, 10));
    assert_eq!((row.class.as_str(), row.reason.as_str(), row.state.as_str()), ("poison", "no kind", "parked"));
    assert_eq!(row.body, sound.body);
    assert_eq!(parked::list(&store, 1).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_redelivery_from_landing_makes_no_second_row() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let mut again = poison();
    again.headers["x-delivery-count"] = json!(2);
    // a newer parker may word it differently: it is still the same delivery
    again.reason = "no kind at all".to_owned();
    again.worker_version = "0.2.0".to_owned();
    assert_eq!(parked::insert(&store, &[poison()]).await.unwrap(), 1);
    assert_eq!(parked::insert(&store, &[again.clone(), again]).await.unwrap(), 0);
    assert_eq!(parked::count(&store).await.unwrap(), 1);
}

#[test]
fn another_body_header_key_or_id_is_another_message() {
    let base = poison().dedup();
    let others = [
        Parked { body: vec![1], ..poison() },
        Parked { headers: json!({"x-death": [{"count": 2}]}), ..poison() },
        Parked { routing_key: "alert-worker.bulk.alert.observed.v1".to_owned(), ..poison() },
        Parked { message_id: Some("a".to_owned()), ..poison() },
        Parked { kind: Some("a".to_owned()), ..poison() },
        Parked { queue: None, ..poison() },
    ];
    let mut dedups: Vec<String> = others.iter().map(Parked::dedup).collect();
    dedups.push(base);
    dedups.sort();
    dedups.dedup();
    assert_eq!(dedups.len(), 7);
}

fn copy() -> Parked {
    Parked {
        tenant: Some(Uuid::from_u128(1)),
        kind: Some("alert.observed.v1".to_owned()),
        message_id: Some("ab".to_owned()),
        first_published_at: Some(DateTime::UNIX_EPOCH),
        ..poison()
    }
}

#[tokio::test]
async fn copies_of_a_message_that_failed_in_two_ways_are_one_row() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let second = Parked {
        class: "timeout".to_owned(),
        reason: "its job had no end".to_owned(),
        attempt: 3,
        routing_key: "alert-worker.suspect.alert.observed.v1".to_owned(),
        queue: Some("alert-worker.suspect".to_owned()),
        headers: json!({"x-muster-class": "timeout"}),
        ..copy()
    };
    assert_eq!(parked::insert(&store, &[copy()]).await.unwrap(), 1);
    assert_eq!(parked::insert(&store, &[second]).await.unwrap(), 0);
}

#[test]
fn another_tenant_id_kind_body_state_or_first_publish_is_another_message() {
    let others = [
        copy(),
        Parked { tenant: Some(Uuid::from_u128(2)), ..copy() },
        Parked { kind: Some("alert.sweep.v1".to_owned()), ..copy() },
        Parked { message_id: Some("ac".to_owned()), ..copy() },
        Parked { body: vec![1], ..copy() },
        Parked { state: ParkedState::Held, ..copy() },
        Parked { first_published_at: Some(DateTime::UNIX_EPOCH + TimeDelta::milliseconds(1)), ..copy() },
        Parked { first_published_at: None, ..copy() },
    ];
    let mut dedups: Vec<String> = others.iter().map(Parked::dedup).collect();
    dedups.sort();
    dedups.dedup();
    assert_eq!(dedups.len(), 8);
}

#[tokio::test]
async fn no_content_makes_parking_fail() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let mut deep = json!("x");
    for _ in 0..100 {
        deep = json!({ "n\0": [deep] });
    }
    let nul = "\0é".repeat(5_000);
    let odd = Parked {
        kind: Some(nul.clone()),
        message_id: Some(nul.clone()),
        class: nul.clone(),
        reason: nul.clone(),
        attempt: u32::MAX,
        worker_version: nul.clone(),
        exchange: nul.clone(),
        routing_key: nul.clone(),
        queue: Some(nul.clone()),
        headers: json!({"deep": deep, "text\0": "a\0b", "number": u64::MAX, "float": 1e308}),
        body: vec![0; 1024 * 1024],
        traceparent: Some(nul),
        // what a header can say as milliseconds: 262,000 BC, 262,000 AD
        first_published_at: Some(DateTime::<chrono::Utc>::MIN_UTC),
        ..poison()
    };
    let far = Parked { first_published_at: Some(DateTime::<chrono::Utc>::MAX_UTC - TimeDelta::days(1)), ..odd.clone() };
    let scalar = Parked { headers: Value::Null, ..poison() };
    assert_eq!(parked::insert(&store, &[odd]).await.unwrap(), 1);
    parked::insert(&store, &[far]).await.unwrap();
    parked::insert(&store, &[scalar]).await.unwrap();
    assert_eq!(
        text(&database, "select (headers -> 'text\u{FFFD}')::text from muster.parked limit 1").await,
        "\"a\u{FFFD}b\""
    );
    let body = "select max(octet_length(body))::text from muster.parked";
    assert_eq!(text(&database, body).await, (1024 * 1024).to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parkers_at_once_make_one_row_a_message_and_no_deadlock() {
    let database = TestDatabase::create().await;
    let messages: Vec<Parked> = (0..30).map(|n| Parked { message_id: Some(n.to_string()), ..poison() }).collect();
    let parkers: Vec<_> = (0..6)
        .map(|n| {
            let mut messages = messages.clone();
            if n % 2 == 1 {
                messages.reverse();
            }
            let store = database.second_store();
            tokio::spawn(async move { parked::insert(&store, &messages).await.expect("no deadlock") })
        })
        .collect();
    let mut new = 0;
    for parker in parkers {
        new += within(parker).await.unwrap();
    }
    assert_eq!((new, parked::count(&database.store()).await.unwrap()), (30, 30));
}
