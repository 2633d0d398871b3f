//! The job against a real Postgres: first run, second run, each way to fail.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use alert_worker::jobs::observe_alert::ObserveAlert;
use chrono::{DateTime, Utc};
use contract::alert_observed::{Said, TemplateMistake};
use contract::event::{AlertChanged, CloudEvent, Transition};
use contract::{AlertObserved, Meta};
use fault::Class;
use store::Store;
use store::outbox;
use store::tenant::{self, Connected, NewConnection};
use store::testing::TestDatabase;
use uuid::Uuid;
use worker::{Done, Job, Received};

fn message(tenant: Uuid, integration_id: Uuid, said: Said, alert_id: &str) -> Received<AlertObserved> {
    let received_at: DateTime<Utc> = "2026-11-22T02:18:20.612345Z".parse().unwrap();
    let payload = AlertObserved {
        integration_id,
        received_at,
        said,
        agent_id: "GoldenAgentAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        alert_id: Some(alert_id.to_owned()),
        alert_time: Some(received_at),
        alert_type: Some("check".to_owned()),
        severity: Some("warning".to_owned()),
        message: Some("disk C: is full".to_owned()),
        client_id: Some("1".to_owned()),
        site_id: Some("2".to_owned()),
        check_id: Some("17".to_owned()),
        hostname: Some("GOLDEN-01".to_owned()),
        event: Some("trigger".to_owned()),
        needs_fetch: false,
        template_mistake: None,
        raw: b"{}".to_vec(),
        truncated: false,
    };
    Received { meta: Meta::first::<AlertObserved>(tenant, &[alert_id.as_bytes()], received_at, None), payload }
}

async fn connected(store: &Store) -> Connected {
    let new = NewConnection {
        tenant: Uuid::now_v7(),
        client_name: "Acme".to_owned(),
        instance_url: None,
        digest: None,
        grace: Duration::ZERO,
    };
    tenant::connect(store, &new, "a test").await.unwrap()
}

/// What the job has written, as its readers hear it.
async fn heard(store: &Store) -> Vec<AlertChanged> {
    let rows = outbox::claim(store, 100, Duration::from_secs(60)).await.unwrap();
    let event = |body: &[u8]| serde_json::from_slice::<CloudEvent<AlertChanged>>(body).unwrap();
    rows.iter().map(|row| event(&row.body).data).collect()
}

#[tokio::test]
async fn the_first_run_opens_and_the_second_changes_nothing() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let Connected { tenant, integration_id, .. } = connected(&store).await;
    let job = ObserveAlert::new(&store);
    let batch =
        [message(tenant, integration_id, Said::Open, "601"), message(tenant, integration_id, Said::Open, "602")];

    let outcomes = job.run(&batch).await.unwrap();
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(Done::Applied))), "{outcomes:?}");
    let events = heard(&store).await;
    assert_eq!(events.len(), 2);
    for event in events {
        assert_eq!(event.transition, Transition::Opened);
        assert_eq!((event.severity.as_str(), event.status.as_str()), ("moderate", "active"));
    }

    let outcomes = job.run(&batch).await.unwrap();
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(Done::Applied))), "{outcomes:?}");
    assert_eq!(heard(&store).await, []);
}

#[tokio::test]
async fn another_tenants_connection_fails_its_own_message_only() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let (mine, other) = (connected(&store).await, connected(&store).await);
    let batch = [
        message(mine.tenant, mine.integration_id, Said::Open, "1"),
        message(mine.tenant, other.integration_id, Said::Open, "2"),
        message(other.tenant, other.integration_id, Said::Open, "3"),
    ];
    let outcomes = ObserveAlert::new(&store).run(&batch).await.unwrap();
    let classes: Vec<_> = outcomes.iter().map(|outcome| outcome.as_ref().err().map(fault::JobError::class)).collect();
    assert_eq!(classes, [None, Some(Class::Permanent), None]);
    assert_eq!(heard(&store).await.len(), 2);
}

#[tokio::test]
async fn after_disconnect_a_message_is_discarded() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let Connected { tenant, integration_id, .. } = connected(&store).await;
    store::connection::disconnect(&store, tenant, &store::testing::entry("integration.disconnect")).await.unwrap();
    let outcomes = ObserveAlert::new(&store).run(&[message(tenant, integration_id, Said::Open, "1")]).await.unwrap();
    assert!(matches!(outcomes[..], [Ok(Done::Discarded("inactive"))]), "{outcomes:?}");
    assert_eq!(heard(&store).await, []);
}

#[tokio::test]
async fn an_odd_message_is_applied_like_any_other() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let Connected { tenant, integration_id, .. } = connected(&store).await;
    let mut odd = message(tenant, integration_id, Said::Open, &"9".repeat(400));
    odd.payload.agent_id = "é\0".repeat(300);
    odd.payload.alert_type = Some("x".repeat(500));
    odd.payload.hostname = Some("a\0b".to_owned());
    odd.payload.severity = Some("apocalyptic".to_owned());
    odd.payload.template_mistake = Some(TemplateMistake::VerbatimEvent);
    odd.payload.raw = vec![0xff; 64 * 1024];
    let outcomes = ObserveAlert::new(&store).run(&[odd.clone(), odd]).await.unwrap();
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(Done::Applied))), "{outcomes:?}");
    let events = heard(&store).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].severity, "none");
    assert_eq!(events[0].agent_id.chars().count(), 255);
}

#[tokio::test]
async fn a_database_that_is_away_is_an_outage_of_the_whole_batch() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let Connected { tenant, integration_id, .. } = connected(&store).await;
    store.close().await;
    let failed = ObserveAlert::new(&store).run(&[message(tenant, integration_id, Said::Open, "1")]).await.unwrap_err();
    assert_eq!(failed.class(), Class::Outage);
}
