//! Recorded bodies, and what they say according to serde_json.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use contract::alert_observed::Said;
use ingest_gateway::parse::{Alert, Parsed, parse};
use serde_json::Value;

/// The alert of a body that must be accepted.
pub(crate) fn alert(body: &[u8]) -> Alert {
    match parse(body) {
        Ok(Parsed::Alert(alert)) => *alert,
        other => panic!("{other:?}: {}", String::from_utf8_lossy(body)),
    }
}

/// Scenario and body of every recorded webhook; None, said loudly, where the recordings are not at hand.
pub(crate) fn recorded_bodies() -> Option<Vec<(String, String)>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = std::env::var("MUSTER_RECORDED").unwrap_or_else(|_| "../shared/recorded/tactical".to_owned());
    let path = root.join(folder).join("webhooks.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("!!! NOT CHECKED against recorded webhooks: {} is absent (MUSTER_RECORDED) !!!", path.display());
        return None;
    };
    let scenarios: Vec<Value> = serde_json::from_str(&text).expect("webhooks.json is JSON");
    let bodies = scenarios.iter().flat_map(|scenario| {
        let name = scenario["scenario"].as_str().expect("a name");
        let received = scenario["received"].as_array().expect("a list");
        received.iter().map(move |one| (name.to_owned(), one["body"].as_str().expect("a body").to_owned()))
    });
    Some(bodies.collect())
}

/// What a sound recorded body says, read without the parser; None where it names no agent.
pub(crate) fn expected_alert(body: &str) -> Option<Alert> {
    let value: Value = serde_json::from_str(body).ok()?;
    let text = |name: &str| value[name].as_str().filter(|text| *text != "None").map(str::to_owned);
    let time = text("alert_time")
        .map(|text| DateTime::parse_from_rfc3339(&text.replace(' ', "T")).expect("a time").with_timezone(&Utc));
    Some(Alert {
        said: if value["event"] == "resolved" { Said::Resolve } else { Said::Open },
        agent_id: text("agent_id")?,
        alert_id: text("alert_id"),
        alert_time: time,
        alert_type: text("type"),
        severity: text("severity"),
        message: text("message"),
        client_id: text("client_id"),
        site_id: text("site_id"),
        check_id: None,
        hostname: text("hostname"),
        event: text("event"),
        needs_fetch: false,
        template_mistake: None,
    })
}
