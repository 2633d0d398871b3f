//! When alerts open and close, who is told, and what the list's filters take.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use serde_json::{Value, json};
use tests::simulator::{
    Control, FAILURE_BODY, Occasion, RESOLVED_BODY, Replacement, ResolvedBy, Severity, Simulator, SimulatorConfig,
    UrlAction, WebhookSettings, key,
};

use super::{ask, get, small, start};

/// A server of 40 agents whose webhooks go nowhere: the ledger alone is looked at.
async fn calling() -> (Simulator, Control) {
    let simulator = small().await;
    let control = simulator.control();
    control.set_webhook(Some(WebhookSettings::muster("http://127.0.0.1:9/", "secret")));
    (simulator, control)
}

fn calls(control: &Control) -> Vec<(Occasion, i64)> {
    control.webhooks().into_iter().filter_map(|entry| Some((entry.occasion, entry.alert_id?))).collect()
}

#[tokio::test]
async fn an_agent_is_overdue_after_thirty_minutes_and_its_return_resolves() {
    let (_simulator, control) = calling().await;
    control.agent_down(1).unwrap();
    control.advance(TimeDelta::minutes(5));
    assert_eq!(control.agent(1).unwrap().status, "offline");
    assert!(calls(&control).is_empty(), "being offline tells nobody");
    control.advance(TimeDelta::minutes(29));
    assert_eq!(control.agent(1).unwrap().status, "overdue");
    let opened = calls(&control);
    assert!(matches!(opened[..], [(Occasion::Failure, _)]), "{opened:?}");
    control.agent_up(1).unwrap();
    control.advance(TimeDelta::seconds(81));
    assert_eq!(control.agent(1).unwrap().status, "online");
    assert_eq!(calls(&control)[1..], [(Occasion::Resolved, opened[0].1)]);
}

#[tokio::test]
async fn a_resolve_by_hand_tells_nobody_and_the_next_failing_run_is_a_new_alert() {
    let (simulator, control) = calling().await;
    let first = control.fail_check(1, 1, Severity::Error).unwrap().expect("opens");
    let second = control.fail_check(1, 2, Severity::Error).unwrap().expect("opens");
    assert_eq!(
        ask(&simulator, "PUT", &format!("/alerts/{first}/"), key::ADMIN, Some(json!({"type": "resolve"}))).await,
        (200, json!("ok"))
    );
    let bulk = json!({"bulk_action": "resolve", "alerts": [second, 99_999]});
    assert_eq!(ask(&simulator, "POST", "/alerts/bulk/", key::ADMIN, Some(bulk)).await, (200, json!("ok")));
    assert_eq!(calls(&control).len(), 2, "only the two failures were told");
    let third = control.fail_check(1, 1, Severity::Error).unwrap().expect("opens");
    assert!(third > second);
    assert_eq!(calls(&control).last(), Some(&(Occasion::Failure, third)));
    let truth = control.alerts();
    let by = |id| truth.iter().find(|alert| alert.alert_id == id).expect("known").resolved_by;
    assert_eq!([by(first), by(second), by(third)], [Some(ResolvedBy::Hand), Some(ResolvedBy::Bulk), None]);
}

#[tokio::test]
async fn maintenance_silences_and_the_first_run_after_it_speaks() {
    let (_simulator, control) = calling().await;
    let open = control.fail_check(1, 1, Severity::Error).unwrap().expect("opens");
    control.set_maintenance(1, true).unwrap();
    assert_eq!(control.fail_check(1, 2, Severity::Error).unwrap(), None);
    assert_eq!(control.pass_check(1, 1).unwrap(), None, "a pass during maintenance leaves the alert open");
    assert_eq!(calls(&control).len(), 1);
    control.set_maintenance(1, false).unwrap();
    assert_eq!(control.pass_check(1, 1).unwrap(), Some(open));
    assert!(control.fail_check(1, 2, Severity::Error).unwrap().is_some());
    assert_eq!(calls(&control).len(), 3);
}

#[tokio::test]
async fn info_alerts_open_hidden_and_silent_warnings_speak() {
    let (simulator, control) = calling().await;
    let info = control.fail_check(1, 1, Severity::Info).unwrap().expect("opens");
    assert!(calls(&control).is_empty());
    assert_eq!(get(&simulator, &format!("/alerts/{info}/"), key::ADMIN).await.1["hidden"], true);
    control.fail_check(1, 2, Severity::Warning).unwrap();
    assert_eq!(calls(&control).len(), 1);
}

#[tokio::test]
async fn a_check_speaks_after_so_many_failures_in_a_row() {
    let webhook = Some(WebhookSettings::muster("http://127.0.0.1:9/", "secret"));
    let simulator =
        start(SimulatorConfig { agents: 6, fails_before_alert: 3, speed: 0.0, webhook, ..SimulatorConfig::default() })
            .await;
    let control = simulator.control();
    assert_eq!(control.fail_check(1, 1, Severity::Error).unwrap(), None);
    assert_eq!(control.fail_check(1, 1, Severity::Error).unwrap(), None);
    assert!(control.fail_check(1, 1, Severity::Error).unwrap().is_some());
    control.pass_check(1, 1).unwrap();
    assert_eq!(control.fail_check(1, 1, Severity::Error).unwrap(), None, "a pass begins the count again");
}

#[tokio::test]
async fn a_template_that_comes_later_speaks_on_the_next_failing_run() {
    let simulator = small().await;
    let control = simulator.control();
    let open = control.fail_check(1, 1, Severity::Error).unwrap().expect("opens");
    assert!(calls(&control).is_empty());
    control.set_webhook(Some(WebhookSettings::muster("http://127.0.0.1:9/", "secret")));
    control.fail_check(1, 1, Severity::Error).unwrap();
    assert_eq!(calls(&control), [(Occasion::Failure, open)]);
}

#[tokio::test]
async fn a_template_with_only_a_resolved_action_resolves_what_was_never_told() {
    let simulator = small().await;
    let control = simulator.control();
    let resolved = UrlAction {
        pattern: "http://127.0.0.1:9/".to_owned(),
        method: "post".to_owned(),
        headers: "{}".to_owned(),
        body: RESOLVED_BODY.to_owned(),
    };
    control.set_webhook(Some(WebhookSettings { resolved: Some(resolved), ..WebhookSettings::default() }));
    let open = control.fail_check(1, 1, Severity::Error).unwrap().expect("opens");
    control.pass_check(1, 1).unwrap();
    assert_eq!(calls(&control), [(Occasion::Resolved, open)]);
}

#[tokio::test]
async fn agents_of_an_excluded_client_have_no_template_and_call_nobody() {
    let (simulator, control) = calling().await;
    let client = control.agent(1).unwrap().client.0;
    let settings = WebhookSettings {
        excluded_clients: BTreeSet::from([client]),
        ..WebhookSettings::muster("http://127.0.0.1:9/", "s")
    };
    control.set_webhook(Some(settings));
    control.fail_check(1, 1, Severity::Error).unwrap();
    assert!(calls(&control).is_empty());
    let (_, rows) = get(&simulator, "/agents/", key::ADMIN).await;
    for row in rows.as_array().expect("a bare array") {
        let here = control.agent(control.pk_of(row["agent_id"].as_str().unwrap()).unwrap()).unwrap().client.0 == client;
        assert_eq!(row["alert_template"].is_null(), here, "{row}");
    }
}

#[tokio::test]
async fn a_snoozed_alert_stays_snoozed_until_its_days_are_over() {
    let (simulator, control) = calling().await;
    let id = control.fail_check(1, 1, Severity::Error).unwrap().expect("opens");
    control.snooze(id, Some(2)).unwrap();
    control.advance(TimeDelta::hours(47));
    assert_eq!(get(&simulator, &format!("/alerts/{id}/"), key::ADMIN).await.1["snoozed"], true);
    control.advance(TimeDelta::hours(3));
    assert_eq!(get(&simulator, &format!("/alerts/{id}/"), key::ADMIN).await.1["snoozed"], false);
}

#[tokio::test]
async fn a_deleted_agent_takes_its_alerts_along_and_a_reinstalled_one_keeps_its_serial() {
    let (simulator, control) = calling().await;
    let id = control.fail_check(1, 1, Severity::Error).unwrap().expect("opens");
    let old = control.agent(1).unwrap();
    let new = control.agent(control.reinstall_agent(1).unwrap()).unwrap();
    assert_eq!((new.serial_number, new.hostname, new.site), (old.serial_number, old.hostname, old.site));
    assert_ne!(new.agent_id, old.agent_id);
    assert!(new.pk > 40 && new.status == "online");
    assert_eq!(get(&simulator, &format!("/agents/{}/", old.agent_id), key::ADMIN).await.0, 404);
    assert_eq!(get(&simulator, &format!("/agents/{}/", new.agent_id), key::ADMIN).await.0, 200);
    assert_eq!(get(&simulator, &format!("/alerts/{id}/"), key::ADMIN).await.0, 404);
    assert_eq!(calls(&control).len(), 1, "nobody is told");
    assert!(control.alerts().iter().any(|alert| alert.alert_id == id && alert.deleted_at.is_some()));
}

#[tokio::test]
async fn another_server_starts_its_ids_again_and_has_other_customers() {
    let (simulator, control) = calling().await;
    let before = control.agent(1).unwrap();
    control.fail_check(1, 1, Severity::Error).unwrap();
    control.replace_server(Replacement::Restored);
    assert_eq!(control.agent(1).unwrap().agent_id, before.agent_id);
    let lowest = control.alerts().iter().filter(|alert| alert.generation == 1).map(|alert| alert.alert_id).min();
    assert_eq!(lowest, Some(1));
    control.replace_server(Replacement::Other);
    let after = control.agent(1).unwrap();
    assert!(after.agent_id != before.agent_id && after.client.1 != before.client.1);
    assert_eq!(get(&simulator, &format!("/agents/{}/", before.agent_id), key::ADMIN).await.0, 404);
}

/// Rows of a list as sent back.
async fn list(simulator: &Simulator, key: &str, filter: Value) -> Vec<Value> {
    let (status, rows) = ask(simulator, "PATCH", "/alerts/", key, Some(filter)).await;
    assert_eq!(status, 200);
    rows.as_array().expect("a bare array").clone()
}

#[tokio::test]
async fn filters_take_what_tacticals_take() {
    let simulator = small().await;
    let control = simulator.control();
    let truth = control.alerts();
    control.snooze(truth[0].alert_id, Some(3)).unwrap();
    let all = list(&simulator, key::ADMIN, json!({})).await;
    assert_eq!(all.len(), truth.len());
    assert_eq!(
        list(&simulator, key::ADMIN, json!({"status": "active"})).await.len(),
        all.len(),
        "an unknown key filters nothing"
    );
    let count = |test: &dyn Fn(&Value) -> bool| all.iter().filter(|row| test(row)).count();
    let cases: [(Value, usize); 8] = [
        (json!({"resolvedFilter": true, "snoozedFilter": true}), all.len()),
        (json!({"resolvedFilter": false}), count(&|row| row["resolved"] == false)),
        (
            json!({"resolvedFilter": false, "snoozedFilter": false}),
            count(&|row| row["resolved"] == false && row["snoozed"] == false),
        ),
        (json!({"severityFilter": ["error"]}), count(&|row| row["severity"] == "error")),
        (json!({"severityFilter": []}), 0),
        (json!({"timeFilter": 0}), 0),
        (json!({"timeFilter": "400"}), all.len()),
        (json!({"clientFilter": [1, 2, 3]}), count(&|row| !row["agent"].is_null())),
    ];
    for (filter, wanted) in cases {
        assert_eq!(list(&simulator, key::ADMIN, filter.clone()).await.len(), wanted, "{filter}");
    }
    let (_, top) = ask(&simulator, "PATCH", "/alerts/", key::ADMIN, Some(json!({"top": 3}))).await;
    let open = count(&|row| row["resolved"] == false && row["snoozed"] == false && row["hidden"] == false);
    assert_eq!((&top["alerts_count"], top["alerts"].as_array().map(Vec::len)), (&json!(open), Some(3)));
}

#[tokio::test]
async fn a_limited_role_sees_its_client_and_alerts_of_no_agent() {
    let simulator = small().await;
    let control = simulator.control();
    let name = control.agent(1).unwrap().client.1;
    let rows = list(&simulator, key::LIMITED, json!({})).await;
    assert!(rows.iter().any(|row| row["agent"].is_null()) && rows.iter().any(|row| row["client"] == name.as_str()));
    assert!(rows.iter().all(|row| row["agent"].is_null() || row["client"] == name.as_str()));
}

#[tokio::test]
async fn an_updated_alert_moves_to_the_end_of_the_list() {
    let simulator = small().await;
    let first = list(&simulator, key::ADMIN, json!({})).await[0]["id"].as_i64().expect("an id");
    simulator.control().snooze(first, Some(1)).unwrap();
    assert_eq!(list(&simulator, key::ADMIN, json!({})).await.last().expect("not empty")["id"], first);
}

#[tokio::test]
async fn musters_own_template_is_ids_and_enums_only() {
    for body in [FAILURE_BODY, RESOLVED_BODY] {
        assert!(!body.contains("message") && !body.contains("hostname"));
    }
}
