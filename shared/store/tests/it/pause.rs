//! Pauses: nothing is held that nobody would release, in both orders of hold and resume; and kinds that stop by themselves.

use serde_json::json;
use sqlx::Connection as _;
use store::parked::{self, Parked, ParkedState};
use store::pause::{self, Scope};
use store::testing::{TestDatabase, entry};
use store::{Store, outbox};
use uuid::Uuid;

use crate::{execute, text, within};

const TENANT: Uuid = Uuid::from_u128(1);
const OTHER: Uuid = Uuid::from_u128(2);
const KIND: &str = "alert.observed.v1";

fn message(tenant: Uuid, kind: &str, number: u32) -> Parked {
    Parked {
        tenant: Some(tenant),
        kind: Some(kind.to_owned()),
        message_id: Some(format!("message {number}")),
        class: "held".to_owned(),
        reason: "paused".to_owned(),
        attempt: 4,
        worker_version: "alert-worker 0.1.0".to_owned(),
        state: ParkedState::Held,
        exchange: "muster.work".to_owned(),
        routing_key: format!("alert-worker.main.{kind}"),
        queue: None,
        headers: json!({}),
        body: b"{}".to_vec(),
        traceparent: None,
        first_published_at: None,
    }
}

fn of_tenant(tenant: Uuid) -> Scope {
    Scope { tenant: Some(tenant), kind: None }
}

fn of_kind(kind: &str) -> Scope {
    Scope { tenant: None, kind: Some(kind.to_owned()) }
}

async fn pause(store: &Store, scope: &Scope) -> bool {
    pause::pause(store, scope, &entry("pause")).await.expect("the database answers")
}

async fn resume(store: &Store, scope: &Scope) -> bool {
    pause::resume(store, scope, &entry("resume")).await.expect("the database answers")
}

#[tokio::test]
async fn only_what_is_paused_is_held_and_all_of_it_is_released_after_the_resume() {
    let database = TestDatabase::create().await;
    let store = database.store();
    assert!(pause(&store, &of_tenant(TENANT)).await);
    assert!(!pause(&store, &of_tenant(TENANT)).await, "it is paused already");
    let messages = [message(TENANT, KIND, 1), message(OTHER, KIND, 2), message(TENANT, "x.v1", 3)];
    assert_eq!(pause::hold(&store, &messages).await.unwrap(), [true, false, true]);
    // a redelivery after the commit is the same message
    assert_eq!(pause::hold(&store, &messages[..1]).await.unwrap(), [true]);
    assert_eq!(parked::release(&store, 500).await.unwrap(), 0, "it is still paused");
    let shown = pause::list(&store, Some(TENANT)).await.unwrap();
    assert_eq!((shown.len(), shown[0].held, shown[0].cause.as_str()), (1, 2, "person"));
    assert!(pause::list(&store, Some(OTHER)).await.unwrap().is_empty());
    assert!(resume(&store, &of_tenant(TENANT)).await);
    assert!(!resume(&store, &of_tenant(TENANT)).await, "it is resumed already");
    // a worker that has not heard of it yet
    assert_eq!(pause::hold(&store, &[message(TENANT, KIND, 4)]).await.unwrap(), [false]);
    assert_eq!(parked::release(&store, 1).await.unwrap(), 1);
    assert_eq!(parked::release(&store, 500).await.unwrap(), 1);
    assert_eq!((parked::count(&store).await.unwrap(), outbox::count(&store).await.unwrap()), (0, 2));
    assert_eq!(
        text(&database, "select string_agg(action, ' ' order by action) from muster.audit").await,
        "pause resume"
    );
}

#[tokio::test]
async fn what_another_pause_holds_stays_held() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let both = Scope { tenant: Some(TENANT), kind: Some(KIND.to_owned()) };
    for scope in [of_tenant(TENANT), of_kind(KIND), both.clone()] {
        assert!(pause(&store, &scope).await);
    }
    let messages = [message(TENANT, KIND, 1), message(OTHER, KIND, 2), message(TENANT, "x.v1", 3)];
    assert_eq!(pause::hold(&store, &messages).await.unwrap(), [true, true, true]);
    let held = |shown: Vec<pause::Shown>| shown.iter().map(|it| it.held).collect::<Vec<_>>();
    assert_eq!(held(pause::list(&store, None).await.unwrap()), [2, 2, 1]);
    assert_eq!(held(pause::list(&store, Some(OTHER)).await.unwrap()), [1], "the kind's, and of it only its own");
    for (scope, released) in [(of_tenant(TENANT), 1), (of_kind(KIND), 1), (both, 1)] {
        assert!(resume(&store, &scope).await);
        assert_eq!(parked::release(&store, 500).await.unwrap(), released, "{scope:?}");
    }
    assert!(pause::in_force(&store).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_resume_waits_for_whoever_is_holding() {
    let database = TestDatabase::create().await;
    let store = database.store();
    pause(&store, &of_tenant(TENANT)).await;
    let mut holding = database.connect().await;
    let mut transaction = holding.begin().await.unwrap();
    sqlx::query("select from muster.pause where resumed_at is null for share")
        .execute(&mut *transaction)
        .await
        .unwrap();
    let other = database.second_store();
    let resuming = tokio::spawn(async move { pause::resume(&other, &of_tenant(TENANT), &entry("resume")).await });
    within(async {
        while text(&database, "select count(*)::text from pg_locks where not granted").await == "0" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!resuming.is_finished());
    transaction.commit().await.unwrap();
    assert!(within(resuming).await.unwrap().unwrap());
}

#[tokio::test]
async fn a_resume_gets_past_workers_that_hold_without_a_break() {
    let database = TestDatabase::create().await;
    pause(&database.store(), &of_kind(KIND)).await;
    let holders: Vec<_> = (0..8)
        .map(|holder: u32| {
            let store = database.second_store();
            let batch: Vec<Parked> = (0..100).map(|n| message(TENANT, KIND, holder * 100 + n)).collect();
            // until the pause has ended
            tokio::spawn(async move { while pause::hold(&store, &batch).await.unwrap()[0] {} })
        })
        .collect();
    assert!(within(resume(&database.store(), &of_kind(KIND))).await);
    for holder in holders {
        within(holder).await.unwrap();
    }
}

#[tokio::test]
async fn a_hold_keeps_only_those_pauses_from_ending_that_hold_its_messages() {
    let database = TestDatabase::create().await;
    let store = database.store();
    for scope in [of_tenant(TENANT), of_tenant(OTHER), of_kind("x.v1")] {
        pause(&store, &scope).await;
    }
    execute(
        &database,
        "create function keep() returns trigger language plpgsql as $$ begin
        perform set_config('muster.locked', (select count(*)::text from muster.pause p where p.xmax <> 0), true);
        new.reason := current_setting('muster.locked'); return new; end $$;
        create trigger keep before insert on muster.parked for each row execute function keep()",
    )
    .await;
    assert_eq!(pause::hold(&store, &[message(TENANT, KIND, 1)]).await.unwrap(), [true]);
    assert_eq!(text(&database, "select reason from muster.parked").await, "1", "rows of muster.pause that are locked");
}

#[tokio::test]
async fn everything_at_once_cannot_be_paused() {
    let database = TestDatabase::create().await;
    let everything = Scope { tenant: None, kind: None };
    let error = pause::pause(&database.store(), &everything, &entry("pause")).await.unwrap_err();
    assert!(error.to_string().contains("neither a tenant nor a kind"), "{error}");
}

#[tokio::test]
async fn a_hundred_parks_of_a_kind_in_a_minute_do_not_stop_it_and_one_more_does() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let parked = |kind, number| Parked { state: ParkedState::Parked, ..message(TENANT, kind, number) };
    let stop = async || pause::stop_floods(&store, &[KIND, "x.v1"], 100, "alert-worker 0.1.0").await.unwrap();
    parked::insert(&store, &(0..100).map(|n| parked(KIND, n)).collect::<Vec<_>>()).await.unwrap();
    // those of another kind, those that are only held, and those that no queue or no broker took are not counted
    let class = |class: &str, number| Parked { class: class.to_owned(), ..parked(KIND, number) };
    let others = [parked("x.v1", 0), message(TENANT, KIND, 500), class("unrouted", 600), class("unpublished", 601)];
    parked::insert(&store, &others).await.unwrap();
    assert!(stop().await.is_empty());
    parked::insert(&store, &[parked(KIND, 100)]).await.unwrap();
    assert_eq!(stop().await, [KIND]);
    assert!(stop().await.is_empty(), "it is stopped already");
    let shown = pause::list(&store, None).await.unwrap();
    let first = (shown[0].tenant, shown[0].kind.as_deref(), shown[0].cause.as_str(), shown[0].paused_by.as_str());
    assert_eq!(first, (None, Some(KIND), "parks", "alert-worker 0.1.0"));
    assert_eq!(text(&database, "select action || ' ' || subject from muster.audit").await, format!("kind.stop {KIND}"));

    assert!(resume(&store, &of_kind(KIND)).await);
    parked::insert(&store, &[parked(KIND, 101)]).await.unwrap();
    assert!(stop().await.is_empty(), "what was parked before the resume is not counted again");
    execute(&database, "delete from muster.pause; update muster.parked set parked_at = now() - interval '61 seconds'")
        .await;
    parked::insert(&store, &[parked(KIND, 102)]).await.unwrap();
    assert!(stop().await.is_empty(), "what was parked more than a minute ago is not counted");
    // the database's clock was set back: what lies ahead says nothing of now
    execute(
        &database,
        "insert into muster.pause (kind, cause, paused_by, resumed_at, resumed_by)
             values ('alert.observed.v1', 'person', 'x', now() + interval '1 hour', 'x')",
    )
    .await;
    parked::insert(&store, &(200..301).map(|n| parked(KIND, n)).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(stop().await, [KIND]);
}
