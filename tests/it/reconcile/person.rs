//! What a person does to an alert by the console.

use reqwest::Method;
use serde_json::{Value, json};
use store::token::Permission::{AssetRead, AssetUpdate, SettingsUpdate};
use store::view::{self, AlertFilter};
use tests::Fleet;
use tests::simulator::{FaultKind, Replacement, ResolvedBy, Role, Severity, Simulator};

use super::{connected, fault, fault_once, open, opened, quiet, reconciled, rows};

/// Our id of an alert, by Tactical's number.
async fn id(fleet: &Fleet, number: i64) -> String {
    let page = view::alerts(&fleet.store(), fleet.connection().tenant, &AlertFilter::default(), None, 500).await;
    let alerts = page.expect("the database answers");
    let found = alerts.into_iter().find(|alert| alert.external_alert_id == number.to_string());
    found.expect("the alert is shown").alert_id.to_string()
}

async fn console(agents: u32) -> (Fleet, String) {
    let mut fleet = connected(agents).await;
    fleet.start_console().await;
    let token = fleet.token(&[AssetRead, AssetUpdate, SettingsUpdate]).await;
    (fleet, token)
}

#[tokio::test]
async fn a_resolve_is_made_in_tactical_first_then_here_and_is_audited() {
    let (fleet, token) = console(20).await;
    let control = fleet.simulator().control();
    let (number, other) = (opened(&fleet, 3).await, opened(&fleet, 4).await);
    let path = format!("/alerts/{}/resolve", id(&fleet, number).await);
    let answer = fleet.ask(&token, Method::POST, &path, None).await;
    assert_eq!((answer.status, &answer.json["status"]), (200, &json!("resolved")), "{}", answer.text);
    let truth = control.alerts().into_iter().find(|truth| truth.alert_id == number).expect("it exists");
    assert_eq!(truth.resolved_by, Some(ResolvedBy::Hand));
    assert_eq!(open(&fleet).await, [other]);
    let audited =
        "select count(*) from muster.audit where action = 'alert.resolve' and actor = 'the fleet''s operator'";
    let audited: i64 =
        sqlx::query_scalar(audited).fetch_one(&mut fleet.database().connect().await).await.expect("it answers");
    assert_eq!(audited, 1);
    // again: nothing is to be done, and nothing is wrong
    assert_eq!(fleet.ask(&token, Method::POST, &path, None).await.status, 200);
    reconciled(&fleet).await;
    assert_eq!(open(&fleet).await, [other]);
}

#[tokio::test]
async fn what_tactical_does_not_resolve_stays_open_here() {
    let (fleet, token) = console(20).await;
    let control = fleet.simulator().control();
    let number = opened(&fleet, 3).await;
    let path = format!("/alerts/{}/resolve", id(&fleet, number).await);
    let role = control.role("sync").expect("it exists");
    let mut without = Role { ..role.clone() };
    without.permissions.remove("can_manage_alerts");
    control.set_role("sync", without).expect("it exists");
    let answer = fleet.ask(&token, Method::POST, &path, None).await;
    assert_eq!(answer.status, 403, "{}", answer.text);
    assert!(answer.text.contains("can_manage_alerts"), "{}", answer.text);
    control.set_role("sync", role).expect("it exists");
    fault(&fleet, "/alerts/", FaultKind::ServerError { status: 502 });
    let answer = fleet.ask(&token, Method::POST, &path, None).await;
    assert!(matches!(answer.status, 502 | 503), "{}", answer.text);
    assert_eq!(open(&fleet).await, [number]);
    control.clear_faults();
    control.delete_alert(number).expect("it exists");
    let answer = fleet.ask(&token, Method::POST, &path, None).await;
    assert_eq!((answer.status, &answer.json["is_gone"]), (200, &Value::Bool(true)), "{}", answer.text);
    assert_eq!(open(&fleet).await, [0; 0]);
}

#[tokio::test]
async fn a_proxys_404_is_no_end() {
    let (fleet, token) = console(20).await;
    let number = opened(&fleet, 3).await;
    let path = format!("/alerts/{}/resolve", id(&fleet, number).await);
    fault(&fleet, &format!("/alerts/{number}/"), FaultKind::ServerError { status: 404 });
    let answer = fleet.ask(&token, Method::POST, &path, None).await;
    assert!(matches!(answer.status, 502 | 503), "{}", answer.text);
    // nor where the alert is read and its change is not answered by Tactical
    fleet.simulator().control().clear_faults();
    fault_once(&fleet, &format!("/alerts/{number}/"), FaultKind::Slow { delay_ms: 0 });
    fault(&fleet, &format!("/alerts/{number}/"), FaultKind::ServerError { status: 404 });
    let answer = fleet.ask(&token, Method::POST, &path, None).await;
    assert!(matches!(answer.status, 502 | 503), "{}", answer.text);
    assert_eq!(open(&fleet).await, [number]);
}

/// Requests that change an alert.
fn changes(simulator: &Simulator) -> usize {
    simulator.control().served().iter().filter(|one| one.method == "PUT").count()
}

#[tokio::test]
async fn nothing_is_resolved_on_a_server_that_nobody_has_compared() {
    let (fleet, token) = console(20).await;
    let number = opened(&fleet, 3).await;
    let path = format!("/alerts/{}/resolve", id(&fleet, number).await);
    let other = Simulator::start(quiet(20)).await.expect("a simulator takes a free port");
    other.control().fail_check(9, 1, Severity::Error).expect("it exists").expect("it opens");
    fleet.database().execute(&format!("update rmm_integrations set instance_url = '{}'", other.base_url())).await;
    let answer = fleet.ask(&token, Method::POST, &path, None).await;
    assert_eq!(answer.status, 409, "{}", answer.text);
    assert!(answer.text.contains("URL was changed"), "{}", answer.text);
    assert_eq!((changes(&other), changes(fleet.simulator())), (0, 0));
    assert_eq!(open(&fleet).await, [number]);
}

#[tokio::test]
async fn a_number_that_a_restored_server_gave_to_another_alert_resolves_none() {
    let (fleet, token) = console(20).await;
    let control = fleet.simulator().control();
    let number = opened(&fleet, 3).await;
    let path = format!("/alerts/{}/resolve", id(&fleet, number).await);
    control.set_webhook(None);
    control.replace_server(Replacement::Restored);
    // on the same device at another time, and on another one
    for agent in [3, 5] {
        control.replace_server(Replacement::Restored);
        let again = control.fail_check(agent, 2, Severity::Error).expect("it exists").expect("it opens");
        assert_eq!(again, number, "the numbers begin anew");
        let answer = fleet.ask(&token, Method::POST, &path, None).await;
        assert_eq!(answer.status, 409, "{}", answer.text);
        assert!(answer.text.contains("Sync the alerts"), "{}", answer.text);
        assert_eq!((changes(fleet.simulator()), open(&fleet).await), (0, vec![number]));
    }
}

#[tokio::test]
async fn an_acknowledgement_is_local_and_survives_a_reconciliation_until_the_end() {
    let (fleet, token) = console(20).await;
    let control = fleet.simulator().control();
    let number = opened(&fleet, 3).await;
    let path = format!("/alerts/{}/acknowledge", id(&fleet, number).await);
    let answer = fleet.ask(&token, Method::POST, &path, None).await;
    assert_eq!((answer.status, &answer.json["status"]), (200, &json!("acknowledged")), "{}", answer.text);
    reconciled(&fleet).await;
    assert_eq!(rows(&fleet).await[&number].status, "acknowledged");
    control.resolve_by_hand(number).expect("it exists");
    assert_eq!(reconciled(&fleet).await.counts.missing, 1);
    assert_eq!(rows(&fleet).await[&number].status, "resolved");
    let answer = fleet.ask(&token, Method::POST, &path, None).await;
    assert_eq!(answer.json["status"], "resolved", "what is over is not acknowledged");
}

#[tokio::test]
async fn a_sync_of_the_alerts_is_started_and_watched_by_the_console() {
    let (fleet, token) = console(20).await;
    let number = opened(&fleet, 3).await;
    fleet.simulator().control().resolve_by_hand(number).expect("it exists");
    let started = fleet.ask(&token, Method::POST, "/integrations/tacticalrmm/sync/alerts", None).await;
    assert_eq!(started.status, 202, "{}", started.text);
    let run_id = started.json["run_id"].as_str().and_then(|id| id.parse().ok()).expect("it names the run");
    let (run, parts) = fleet.ended(run_id).await;
    assert_eq!((run.kind, run.counts.missing, parts.len()), (store::run::Kind::Alerts, 1, 2));
    assert_eq!(open(&fleet).await, [0; 0]);
}
