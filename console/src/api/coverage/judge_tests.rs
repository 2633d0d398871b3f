//! Every way in which a template may fail to call us, by Tactical's own shapes.

use serde_json::json;

use super::*;

const SECRET: &str = "canary-secret-0123456789";

fn ours() -> Ours {
    let tenant = Uuid::from_u128(7);
    let url = contract::webhook::url("https://hooks.example.com", tenant);
    Ours { url, tenant, digests: vec![hook::digest(b"pepper", SECRET)], pepper: b"pepper".to_vec() }
}

fn action(id: i64, change: Value) -> UrlAction {
    let mut action = json!({"id": id, "name": format!("action {id}"), "pattern": ours().url, "action_type": "rest",
        "rest_method": "post", "rest_headers": json!({"x-alga-webhook-SECRET": SECRET}).to_string()});
    action.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    serde_json::from_value(action).unwrap()
}

fn template(change: Value) -> AlertTemplate {
    let mut template = json!({"id": 1, "name": "T", "is_active": true, "action_type": "rest", "action_rest": 1,
        "resolved_action_type": "rest", "resolved_action_rest": 2});
    template.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    serde_json::from_value(template).unwrap()
}

fn judged(change: Value, failure: Value) -> Judged {
    judge(&[template(change)], &[action(1, failure), action(2, json!({}))], &ours())
}

#[test]
fn a_template_with_both_halves_is_ours() {
    for failure in [
        json!({}),
        json!({"rest_method": "PUT"}),
        json!({"pattern": format!("{}&x=1", ours().url)}),
        json!({"rest_headers": json!({"X-Alga-Webhook-Secret": "{{global.muster}}"}).to_string()}),
    ] {
        let judged = judged(json!({}), failure.clone());
        assert!(judged.templates["T"].is_ours(), "{failure}: {judged:?}");
        assert!(judged.actions.is_empty() && judged.templates["T"].problems.is_empty(), "{failure}: {judged:?}");
    }
}

#[test]
fn each_mistake_is_named_and_nothing_that_is_sent() {
    for (change, failure, says) in [
        (json!({"action_rest": null}), json!({}), "no failure action"),
        (json!({"resolved_action_type": "script"}), json!({}), "no resolved action"),
        (json!({"action_rest": 9}), json!({}), "no failure action"),
        (json!({"is_active": false}), json!({}), "switched off"),
        (json!({}), json!({"pattern": "https://other.example.com/?canary=1"}), "URL is not the webhook's"),
        (
            json!({}),
            json!({"pattern": contract::webhook::url("https://hooks.example.com", Uuid::nil())}),
            "not the webhook's",
        ),
        (json!({}), json!({"pattern": "https://hooks.example.com/api/webhooks/tacticalrmm"}), "not the webhook's"),
        (json!({}), json!({"rest_method": "get"}), "not POST"),
        (json!({}), json!({"action_type": "web"}), "opens a web page"),
        (json!({}), json!({"rest_headers": ""}), "headers lack X-Alga-Webhook-Secret"),
        (json!({}), json!({"rest_headers": r#"{"X-Alga-Webhook-Secret":"canary","n":1}"#}), "headers lack"),
        (json!({}), json!({"rest_headers": r#"{"X-Alga-Webhook-Secret":"canary-old"}"#}), "another secret"),
    ] {
        let judged = judged(change.clone(), failure.clone());
        let shown = format!("{judged:?}");
        assert!(!judged.templates["T"].is_ours(), "{change} {failure}: {shown}");
        assert!(shown.contains(says), "{change} {failure}: {shown}");
        assert!(!shown.contains("canary"), "{shown}");
    }
}

#[test]
fn an_action_of_somebody_else_is_none_of_our_business() {
    let other = json!({"pattern": "https://psa.example.com/?h=1", "rest_headers": "{}", "action_type": "web"});
    let judged = judge(&[], &[action(3, other)], &ours());
    assert!(judged.actions.is_empty(), "{judged:?}");
    let wrong = judge(&[], &[action(3, json!({"rest_headers": "{}"}))], &ours());
    assert_eq!(wrong.actions["action 3"].len(), 1);
}

#[test]
fn of_two_templates_with_one_name_both_must_be_right() {
    let templates = [template(json!({})), template(json!({"id": 2, "action_rest": null}))];
    let judged = judge(&templates, &[action(1, json!({})), action(2, json!({}))], &ours());
    assert!(!judged.templates["T"].is_ours());
}

#[test]
fn a_template_that_leaves_alerts_out_says_so_and_still_calls() {
    let judged = judged(json!({"task_script_actions": false}), json!({}));
    assert!(judged.templates["T"].is_ours());
    assert!(judged.templates["T"].problems[0].contains("tasks"));
}
