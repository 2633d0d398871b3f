//! The Tactical simulator, held against what the real server answered and sent.

mod alerts;
mod api;
mod binary;
mod estate;
mod faults;
mod receiver;
mod recordings;
mod shape;
mod software;
mod webhooks;

use serde_json::Value;
use tests::simulator::{Control, Simulator, SimulatorConfig, UrlAction, WebhookSettings};

/// How long anything in these tests may take at most.
pub(crate) const DEADLINE: std::time::Duration = std::time::Duration::from_secs(30);

/// A small server whose clock stands still, on which every kind of alert has happened.
pub(crate) async fn small() -> Simulator {
    start(SimulatorConfig {
        clients: 3,
        sites_per_client: 2,
        agents: 40,
        alerts: 80,
        speed: 0.0,
        ..SimulatorConfig::default()
    })
    .await
}

/// Any server.
pub(crate) async fn start(config: SimulatorConfig) -> Simulator {
    Simulator::start(config).await.expect("a free loopback port can be bound")
}

/// Both hooks to one URL, with a body each.
pub(crate) fn hooks(url: &str, failure: &str, resolved: &str) -> WebhookSettings {
    let headers = r#"{"Content-Type": "application/json", "Authorization": "Bearer {{global.hooktoken}}"}"#;
    let action = |event: &str, body: &str| {
        Some(UrlAction {
            pattern: format!("{url}/hooks/tactical?ev={event}"),
            method: "post".to_owned(),
            headers: headers.to_owned(),
            body: body.to_owned(),
        })
    };
    WebhookSettings {
        failure: action("failure", failure),
        resolved: action("resolved", resolved),
        globals: [("hooktoken".to_owned(), "s3cr3t-hook-token".to_owned())].into(),
        ..WebhookSettings::default()
    }
}

/// Waits until everything that was caused has been sent.
pub(crate) async fn sent(control: &Control) {
    assert!(control.webhooks_finished(DEADLINE).await, "webhooks are still under way");
}

/// An answer: status and JSON (null where the body is none).
pub(crate) async fn ask(
    simulator: &Simulator,
    method: &str,
    path: &str,
    key: &str,
    body: Option<Value>,
) -> (u16, Value) {
    let method = method.parse().expect("the tests name real methods");
    let mut request =
        reqwest::Client::new().request(method, format!("{}{path}", simulator.base_url())).header("X-API-KEY", key);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().await.expect("the simulator answers");
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().await.unwrap_or_default()).unwrap_or(Value::Null))
}

/// GET as somebody.
pub(crate) async fn get(simulator: &Simulator, path: &str, key: &str) -> (u16, Value) {
    ask(simulator, "GET", path, key, None).await
}
