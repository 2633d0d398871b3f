//! Every recorded answer of a real server's `/alerts/` becomes rows that say the same.

use std::collections::BTreeMap;

use alert_worker::place::Places;
use alert_worker::polled::{self, Asked};
use store::alert::{Said, Severity, observe};
use store::testing::TestDatabase;
use store::view::{self, AlertFilter};
use store::{connection, tenant};
use tactical::Alert;
use uuid::Uuid;

use crate::recorded::{exchanges, folder};

/// The alerts of all good answers, by number: as the last answer had them.
fn recorded() -> BTreeMap<i64, Alert> {
    let mut alerts = BTreeMap::new();
    for exchange in exchanges(&folder()) {
        let is_read = matches!(exchange.method.as_str(), "PATCH" | "GET") && exchange.path.starts_with("/alerts/");
        if !is_read || exchange.status != 200 || exchange.path.starts_with("/alerts/templates/") {
            continue;
        }
        let answer: serde_json::Value = serde_json::from_str(&exchange.answer).expect("a good answer is JSON");
        let rows = match &answer {
            serde_json::Value::Array(rows) => rows.clone(),
            object if object["alerts"].is_array() => object["alerts"].as_array().cloned().unwrap_or_default(),
            object => vec![object.clone()],
        };
        for row in rows {
            let alert: Alert = serde_json::from_value(row).expect("a recorded alert is one");
            alerts.insert(alert.id, alert);
        }
    }
    alerts
}

#[tokio::test]
async fn every_recorded_alert_becomes_a_row_that_says_the_same() {
    let alerts = recorded();
    assert!(!alerts.is_empty(), "there is an answer with alerts");
    let database = TestDatabase::create().await;
    let store = database.store();
    let new = tenant::NewConnection {
        tenant: Uuid::now_v7(),
        client_name: "Acme".to_owned(),
        instance_url: None,
        digest: None,
        grace: std::time::Duration::ZERO,
    };
    let connected = tenant::connect(&store, &new, "a test").await.expect("an empty database takes a tenant");
    assert!(connection::find(&store, connected.tenant).await.expect("it answers").is_some());
    let asked = Asked {
        tenant: connected.tenant,
        integration_id: connected.integration_id,
        at: store.database_now().await.expect("it answers"),
        traceparent: None,
    };
    let facts: Vec<_> = alerts.values().map(|alert| polled::fact(alert.clone(), &asked, &Places::default())).collect();
    for batch in facts.chunks(200) {
        observe(&store, batch).await.expect("a real server's alerts can be stored");
    }
    let shown = view::alerts(&store, connected.tenant, &AlertFilter::default(), None, 10_000).await;
    let shown = shown.expect("it answers");
    assert_eq!(shown.len(), alerts.len());
    for row in shown {
        let alert = &alerts[&row.external_alert_id.parse::<i64>().expect("a number")];
        assert_eq!(row.status == "resolved", alert.resolved == Some(true), "{row:?}");
        assert_eq!(row.severity, Severity::of(alert.severity.as_deref().unwrap_or_default()).as_str(), "{row:?}");
        assert_eq!(row.agent_id, alert.agent_id, "{row:?}");
        assert_eq!(row.message, alert.message.clone().filter(|message| !message.is_empty()), "{row:?}");
        assert_eq!(Some(row.triggered_at), alert.alert_time, "{row:?}");
    }
    let open = facts.iter().filter(|fact| fact.said == Said::PolledOpen).count();
    assert!(open > 0, "open ones were recorded");
}
