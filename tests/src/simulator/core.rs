//! `/core/…`, `/scripts/` and `/alerts/templates/`: versions, URL actions, templates.

use std::collections::BTreeMap;

use axum::response::Response;
use chrono::TimeDelta;
use serde_json::{Value, json};

use super::catalogue::SCRIPTS;
use super::clock::iso;
use super::config::{UrlAction, WebhookSettings};
use super::ledger::Occasion;
use super::reply::{crash, no_such, ok, said};
use super::server::Call;
use super::world::World;

/// The server version that the simulator plays.
pub const SERVER_VERSION: &str = "1.5.1";
/// The version of its frontend, which is all that `/core/version/` says.
const FRONTEND_VERSION: &str = "0.0.203";

/// `GET /core/version/`: the frontend's.
pub(super) fn version() -> Response {
    said(FRONTEND_VERSION)
}

/// `GET /core/dashinfo/`: holds the server version.
pub(super) fn dash_info() -> Response {
    ok(&json!({
        "trmm_version": SERVER_VERSION, "latest_trmm_ver": "error", "dark_mode": true, "show_community_scripts": true,
        "dbl_click_action": "editagent",
        "default_agent_tbl_tab": "mixed", "url_action": null, "client_tree_sort": "alphafail",
        "client_tree_splitter": 11, "loading_bar_color": "red",
        "clear_search_when_switching": true, "hosted": false, "date_format": null,
        "default_date_format": "MMM-DD-YYYY - HH:mm",
        "token_is_expired": false, "open_ai_integration_enabled": false, "dash_info_color": "info",
        "dash_positive_color": "positive",
        "dash_negative_color": "negative", "dash_warning_color": "warning",
        "run_cmd_placeholder_text": {"cmd": "dir", "powershell": "Get-ChildItem", "shell": "ls"},
        "server_scripts_enabled": true, "web_terminal_enabled": false, "block_local_user_logon": false,
        "sso_enabled": false,
    }))
}

/// `GET /scripts/`: without the scripts' text.
pub(super) fn scripts() -> Response {
    let rows: Vec<Value> = (1..)
        .zip(SCRIPTS)
        .map(|(id, (name, shell))| {
            json!({"id": id, "name": name, "description": "", "script_type": "userdefined", "shell": shell,
            "args": [], "category": "Simulated",
                "favorite": false, "default_timeout": 90, "syntax": null, "filename": name.replace(' ', "_"),
                "hidden": false,
                "supported_platforms": [], "run_as_user": false, "env_vars": []})
        })
        .collect();
    ok(&rows)
}

/// `GET /core/urlaction/`: the two hooks (1 failure, 2 resolved) and one that opens a browser.
pub(super) fn url_actions(call: &Call) -> Response {
    let world = call.shared.world();
    let stamp = stamp(&world);
    let row = |id: i64, name: &str, kind: &str, action: &UrlAction| {
        json!({"id": id, "created_by": null, "created_time": stamp, "modified_by": null, "modified_time": stamp,
        "name": name, "desc": null,
            "pattern": action.pattern, "action_type": kind, "rest_method": action.method, "rest_body": action.body,
            "rest_headers": action.headers})
    };
    let mut rows = Vec::new();
    if let Some(webhook) = &world.webhook {
        rows.extend(webhook.failure.as_ref().map(|action| row(1, "Muster failure hook", "rest", action)));
        rows.extend(webhook.resolved.as_ref().map(|action| row(2, "Muster resolved hook", "rest", action)));
    }
    let browser = UrlAction {
        pattern: "https://psa.example.com/?h={{agent.hostname}}".to_owned(),
        method: "post".to_owned(),
        headers: String::new(),
        body: String::new(),
    };
    rows.push(row(3, "Open in browser", "web", &browser));
    ok(&rows)
}

/// `POST /core/urlaction/run/test/`: sends a REST action once, with `alert.x` looking at the agent. The names of the
/// request's and the answer's fields are from memory, not measured.
pub(super) fn run_test(call: &Call) -> Response {
    let text = |name: &str| call.body.get(name).and_then(Value::as_str);
    let mut world = call.shared.world();
    let Some(pattern) = text("pattern") else { return crash() };
    let action = UrlAction {
        pattern: pattern.to_owned(),
        method: text("rest_method").unwrap_or("post").to_owned(),
        headers: text("rest_headers").unwrap_or_default().to_owned(),
        body: text("rest_body").unwrap_or_default().to_owned(),
    };
    let Some(agent) = text("run_instance_id").and_then(|id| world.pk_of(id)).and_then(|pk| world.agent(pk)) else {
        return no_such("Agent");
    };
    let globals: BTreeMap<_, _> = world.webhook.as_ref().map(|webhook| webhook.globals.clone()).unwrap_or_default();
    let now = world.now();
    match world.call_action(&action, &globals, Occasion::Test, None, &agent, now) {
        Ok(request) => ok(&json!({"url": request.url, "result": "", "body": request.body})),
        Err(error) => ok(&json!({"url": pattern, "result": error, "body": null})),
    }
}

fn stamp(world: &World) -> String {
    iso(world.started - TimeDelta::days(400))
}

/// `GET /alerts/templates/`: the default one where webhooks are configured, and one that nobody uses.
pub(super) fn alert_templates(call: &Call) -> Response {
    let world = call.shared.world();
    let mut rows: Vec<Value> = world.webhook.iter().map(|webhook| template_object(&world, webhook)).collect();
    rows.push(template(&world, 2, "Script template", None));
    ok(&rows)
}

/// The default alert template.
pub(super) fn template_object(world: &World, webhook: &WebhookSettings) -> Value {
    template(world, 1, "Webhook to Muster", Some(webhook))
}

fn template(world: &World, id: i64, name: &str, webhook: Option<&WebhookSettings>) -> Value {
    let (failure, resolved) =
        (webhook.and_then(|webhook| webhook.failure.as_ref()), webhook.and_then(|webhook| webhook.resolved.as_ref()));
    let kind = if webhook.is_some() { "rest" } else { "script" };
    let stamp = stamp(world);
    let mut object = json!({
        "id": id, "name": name, "is_active": true, "default_template": webhook.is_some(), "applied_count": 0,
        "created_by": null, "created_time": stamp,
        "modified_by": null, "modified_time": stamp, "agent_settings": false, "check_settings": false,
        "task_settings": false, "core_settings": [],
        "action_type": kind, "action": webhook.is_none().then_some(1), "action_rest": failure.map(|_| 1),
        "action_args": [], "action_env_vars": [],
        "action_timeout": 15, "action_name": if failure.is_some() { "Muster failure hook" } else { "" },
        "resolved_action_type": kind, "resolved_action": null, "resolved_action_rest": resolved.map(|_| 2),
        "resolved_action_args": [],
        "resolved_action_env_vars": [], "resolved_action_timeout": 15,
        "resolved_action_name": if resolved.is_some() { "Muster resolved hook" } else { "" },
        "email_recipients": [], "text_recipients": [], "email_from": null, "exclude_workstations": false,
        "exclude_servers": false,
        "excluded_sites": [],
        "excluded_clients": webhook.map(|webhook| webhook.excluded_clients.clone()).unwrap_or_default(),
        "excluded_agents": [],
    });
    for part in ["agent", "check", "task"] {
        for (field, value) in [
            ("email_on_resolved", json!(false)),
            ("text_on_resolved", json!(false)),
            ("always_email", Value::Null),
            ("always_text", Value::Null),
            ("always_alert", Value::Null),
            ("periodic_alert_days", json!(0)),
            ("script_actions", json!(true)),
        ] {
            object[format!("{part}_{field}")] = value;
        }
    }
    for part in ["check", "task"] {
        for channel in ["email", "text", "dashboard"] {
            object[format!("{part}_{channel}_alert_severity")] = json!([]);
        }
    }
    object
}
