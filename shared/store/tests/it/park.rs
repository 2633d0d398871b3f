//! Parked messages in selections: looked at, sent again, dropped.

use serde_json::json;
use store::parked::{self, BATCH_ROWS_MAX, Parked, ParkedState, Selection};
use store::testing::{TestDatabase, entry};
use store::{Store, outbox};
use uuid::Uuid;

use crate::{text, within};

const TENANT: Uuid = Uuid::from_u128(1);
const OTHER: Uuid = Uuid::from_u128(2);

/// A message that a worker has given up.
fn message(number: u32) -> Parked {
    Parked {
        tenant: Some(TENANT),
        kind: Some("alert.observed.v1".to_owned()),
        message_id: Some(format!("message {number}")),
        class: "retryable".to_owned(),
        reason: "retryable: no".to_owned(),
        attempt: 9,
        worker_version: "alert-worker 0.1.0".to_owned(),
        state: ParkedState::Parked,
        exchange: "muster.work".to_owned(),
        routing_key: "alert-worker.main.alert.observed.v1".to_owned(),
        queue: Some("alert-worker.main".to_owned()),
        headers: json!({"x-muster-attempt": "9", "x-death": "[count=1]"}),
        body: number.to_string().into_bytes(),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        first_published_at: None,
    }
}

async fn park(store: &Store, messages: &[Parked]) {
    assert_eq!(parked::insert(store, messages).await.expect("the database answers"), messages.len() as u64);
}

async fn redrive(store: &Store, selection: &Selection) -> u64 {
    let up_to = parked::matched(store, selection).await.expect("the database answers").up_to;
    parked::redrive(store, selection, up_to, BATCH_ROWS_MAX, &entry("parked.redrive"))
        .await
        .expect("the database answers")
}

fn of_class(class: &str) -> Selection {
    Selection { class: Some(class.to_owned()), ..Selection::default() }
}

/// The ids in the table, the newest first.
async fn ids(store: &Store, selection: &Selection) -> Vec<i64> {
    parked::page(store, selection, None, 500)
        .await
        .expect("the database answers")
        .iter()
        .map(|row| row.parked_id)
        .collect()
}

#[tokio::test]
async fn a_redrive_moves_messages_into_the_outbox_as_new_ones_and_leaves_poison() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let poison = Parked { class: "poison".to_owned(), ..message(3) };
    // of one fact, twice: both are sent, since nothing says which of them matters
    let twin = Parked { body: b"twin".to_vec(), ..message(1) };
    park(&store, &[message(1), twin, poison]).await;
    assert_eq!(redrive(&store, &Selection::default()).await, 2);
    let rows = outbox::claim(&store, 10, std::time::Duration::from_secs(1)).await.unwrap();
    assert_eq!(rows.len(), 2);
    for row in &rows {
        let sent = (row.tenant, row.exchange.as_str(), row.routing_key.as_str(), row.kind.as_str());
        assert_eq!(sent, (TENANT, "muster.work", "alert-worker.main.alert.observed.v1", "alert.observed.v1"));
        assert_eq!((row.message_id.as_str(), &row.traceparent), ("message 1", &message(1).traceparent));
    }
    assert_eq!(text(&database, "select class from muster.parked").await, "poison");
    let audit = "select action || ' ' || (detail ->> 'messages') from muster.audit";
    assert_eq!(text(&database, audit).await, "parked.redrive 2");
    assert_eq!(redrive(&store, &Selection::default()).await, 0);
    assert_eq!(text(&database, "select count(*)::text from muster.audit").await, "1", "nothing is not noted");
    assert_eq!(redrive(&store, &of_class("poison")).await, 1, "poison is sent by who asks for it");
}

#[tokio::test]
async fn what_no_worker_could_read_is_counted_and_never_sent() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let at = contract::envelope::BODY_BYTES_MAX;
    let sound = [
        Parked { body: vec![b'x'; at], ..message(1) },
        Parked { kind: Some("k".repeat(255)), routing_key: "r".repeat(255), ..message(2) },
    ];
    let not = [
        Parked { body: vec![b'x'; at + 1], ..message(3) },
        Parked { kind: Some("k".repeat(256)), ..message(4) },
        Parked { routing_key: "r".repeat(256), ..message(5) },
        Parked { tenant: None, ..message(6) },
        Parked { kind: None, ..message(7) },
        Parked { message_id: None, ..message(8) },
        Parked { message_id: Some(String::new()), ..message(9) },
    ];
    park(&store, &sound).await;
    park(&store, &not).await;
    let matched = parked::matched(&store, &Selection::default()).await.unwrap();
    assert_eq!((matched.total, matched.sendable), (9, 2));
    assert_eq!(redrive(&store, &Selection::default()).await, 2);
    let left = Selection { ids: Some(ids(&store, &Selection::default()).await), ..Selection::default() };
    assert_eq!(redrive(&store, &left).await, 0, "not even by its id");
    assert_eq!(parked::count(&store).await.unwrap(), not.len() as u64);
}

#[tokio::test]
async fn a_selection_is_by_tenant_kind_class_state_age_and_id() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let another = Parked { tenant: Some(OTHER), kind: Some("devices.sync.v1".to_owned()), ..message(2) };
    let held = Parked { state: ParkedState::Held, class: "held".to_owned(), ..message(3) };
    park(&store, &[message(1)]).await;
    park(&store, &[another]).await;
    park(&store, &[held]).await;
    database.execute("update muster.parked set parked_at = now() - interval '1 hour' where tenant is not null and message_id = 'message 1'").await;
    let all = ids(&store, &Selection::default()).await;
    let [held, another, old] = all[..] else { panic!("{all:?}") };
    let none = Selection::default;
    for (selection, expected) in [
        (Selection { tenant: Some(OTHER), ..none() }, vec![another]),
        (Selection { kind: Some("alert.observed.v1".to_owned()), ..none() }, vec![held, old]),
        (of_class("held"), vec![held]),
        (Selection { state: Some(ParkedState::Parked), ..none() }, vec![another, old]),
        (Selection { older_than_s: Some(1_800.0), ..none() }, vec![old]),
        (Selection { newer_than_s: Some(1_800.0), ..none() }, vec![held, another]),
        (Selection { tenant: Some(TENANT), state: Some(ParkedState::Parked), ..none() }, vec![old]),
    ] {
        assert_eq!(ids(&store, &selection).await, expected, "{selection:?}");
        assert_eq!(parked::matched(&store, &selection).await.unwrap().total, expected.len() as i64, "{selection:?}");
    }
    let by_id = Selection { ids: Some(vec![old, held]), ..none() };
    assert_eq!(parked::matched(&store, &by_id).await.unwrap().total, 2);
    assert_eq!(parked::page(&store, &none(), Some(another), 10).await.unwrap()[0].parked_id, old, "the next page");
    let whole = parked::find(&store, Some(TENANT), old).await.unwrap().unwrap();
    assert_eq!((whole.body, whole.headers), (message(1).body, message(1).headers));
    assert_eq!(parked::find(&store, Some(OTHER), old).await.unwrap(), None, "another tenant's");
}

#[tokio::test]
async fn a_selection_comes_to_its_end_although_messages_are_parked_again() {
    let database = TestDatabase::create().await;
    let store = database.store();
    park(&store, &(0..5).map(message).collect::<Vec<_>>()).await;
    let (all, entry) = (Selection::default(), entry("parked.redrive"));
    let up_to = parked::matched(&store, &all).await.unwrap().up_to;
    let mut sent = Vec::new();
    loop {
        let batch = parked::redrive(&store, &all, up_to, 2, &entry).await.unwrap();
        // each fails at once and is the same delivery again
        let rows = outbox::claim(&store, 10, std::time::Duration::from_secs(60)).await.unwrap();
        let again: Vec<Parked> =
            rows.iter().map(|row| message(String::from_utf8_lossy(&row.body).parse().unwrap())).collect();
        park(&store, &again).await;
        sent.push(batch);
        if batch < 2 {
            break;
        }
    }
    assert_eq!((sent, parked::count(&store).await.unwrap()), (vec![2, 2, 1], 5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn redrives_at_once_send_each_message_once() {
    let database = TestDatabase::create().await;
    park(&database.store(), &(0..300).map(message).collect::<Vec<_>>()).await;
    let redrives: Vec<_> = (0..4)
        .map(|_| {
            let store = database.second_store();
            tokio::spawn(async move {
                let mut sent = 0;
                // a batch may come short because another one has the rest
                while parked::matched(&store, &Selection::default()).await.unwrap().total > 0 {
                    sent += parked::redrive(&store, &Selection::default(), i64::MAX, 50, &entry("parked.redrive"))
                        .await
                        .unwrap();
                }
                sent
            })
        })
        .collect();
    let mut sent = 0;
    for redrive in redrives {
        sent += within(redrive).await.unwrap();
    }
    assert_eq!((sent, outbox::count(&database.store()).await.unwrap()), (300, 300));
}

#[tokio::test]
async fn a_batch_has_its_limit_whatever_is_asked_for() {
    let database = TestDatabase::create().await;
    let store = database.store();
    park(&store, &(0..501).map(message).collect::<Vec<_>>()).await;
    let all = Selection::default();
    let sent = parked::redrive(&store, &all, i64::MAX, u16::MAX, &entry("parked.redrive")).await.unwrap();
    assert_eq!((sent, parked::count(&store).await.unwrap()), (u64::from(BATCH_ROWS_MAX), 1));
}

#[tokio::test]
async fn what_is_dropped_is_gone_poison_included() {
    let database = TestDatabase::create().await;
    let store = database.store();
    park(&store, &[message(1), Parked { tenant: None, class: "poison".to_owned(), ..message(2) }]).await;
    let dropped = parked::discard(&store, &Selection::default(), i64::MAX, 500, &entry("parked.drop")).await.unwrap();
    assert_eq!((dropped, parked::count(&store).await.unwrap()), (2, 0));
    assert_eq!(outbox::count(&store).await.unwrap(), 0);
    assert_eq!(text(&database, "select detail ->> 'messages' from muster.audit").await, "2");
}

#[tokio::test]
async fn a_redrive_that_dies_in_its_middle_has_moved_nothing() {
    let database = TestDatabase::create().await;
    let store = database.store();
    park(&store, &(0..20).map(message).collect::<Vec<_>>()).await;
    // its rows stand in the outbox when it comes to the audit, and there it waits
    let mut rival = database.connect().await;
    sqlx::raw_sql("begin; lock table muster.audit").execute(&mut rival).await.unwrap();
    let dying = tokio::spawn({
        let store = database.second_store();
        async move { parked::redrive(&store, &Selection::default(), i64::MAX, 20, &entry("parked.redrive")).await }
    });
    const KILL: &str = "select count(pg_terminate_backend(pid))::text from pg_stat_activity
                        where datname = current_database() and wait_event_type = 'Lock'";
    while text(&database, KILL).await == "0" {
        assert!(!dying.is_finished(), "it did not wait");
    }
    within(dying).await.unwrap().expect_err("nobody knows whether it was done");
    drop(rival);
    assert_eq!((parked::count(&store).await.unwrap(), outbox::count(&store).await.unwrap()), (20, 0));
    assert_eq!(redrive(&store, &Selection::default()).await, 20);
}
