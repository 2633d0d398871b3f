//! What the incumbent gets wrong in speaking to Tactical, one test for each (numbers of the list in the contract's notes).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use ::tactical::AlertFilter;
use axum::Router;
use axum::response::Json;
use axum::routing::patch;
use serde_json::{Value, json};
use tests::simulator::{Program, SimulatorConfig, key};

use super::{client, local};
use crate::simulator::{small, start};

/// (1)
#[tokio::test]
async fn installed_programs_are_read_from_inside_each_agents_report_and_belong_to_its_number() {
    let simulator = small().await;
    let (control, client) = (simulator.control(), client(&local(), &simulator.base_url(), key::ADMIN));
    let canary = |pk: i64| Program { name: format!("Prüfprogramm {pk}"), ..Program::default() };
    let listed = client.software().await.unwrap().collect().await.unwrap();
    let [one, other] = [listed[0].agent, listed[1].agent];
    for pk in [one, other] {
        control.install(pk, canary(pk)).expect("the agent exists");
    }
    let numbers: BTreeMap<String, i64> = control.agents().into_iter().map(|agent| (agent.agent_id, agent.pk)).collect();
    let reports = client.software().await.unwrap().collect().await.unwrap();
    let mut canaries = BTreeSet::new();
    for report in &reports {
        assert!(numbers.values().any(|pk| *pk == report.agent), "{} is no agent's number", report.agent);
        let software = report.software.as_deref().unwrap_or_default();
        assert!(!software.is_empty() && software.iter().all(|program| program.name.is_some()));
        let found = software.iter().filter_map(|program| program.name.clone());
        canaries.extend(found.filter(|name| name.starts_with("Prüf")).map(|name| (report.agent, name)));
    }
    assert_eq!(canaries, [one, other].map(|pk| (pk, canary(pk).name)).into());
    // one agent's is asked for by its text id and says the same number
    let agent_id = numbers.iter().find(|(_, pk)| **pk == one).expect("it is listed").0;
    let report = client.software_of(agent_id).await.unwrap().expect("it has reported");
    assert_eq!(Some(&report), reports.iter().find(|other| other.agent == one));
}

/// (3)
#[tokio::test]
async fn the_poll_for_open_alerts_downloads_none_that_is_resolved() {
    let simulator = start(SimulatorConfig { agents: 20, alerts: 400, ..SimulatorConfig::default() }).await;
    let (control, client) = (simulator.control(), client(&local(), &simulator.base_url(), key::ADMIN));
    let open = AlertFilter { resolved_filter: Some(false), ..AlertFilter::default() };
    let polled = client.alerts(&open).await.unwrap().collect().await.unwrap();
    let polled: BTreeSet<i64> = polled.into_iter().map(|alert| alert.id).collect();
    let truth = control.alerts();
    let still_open: BTreeSet<i64> =
        truth.iter().filter(|alert| alert.resolved_on.is_none()).map(|alert| alert.alert_id).collect();
    assert_eq!(polled, still_open);
    assert!(!polled.is_empty() && polled.len() * 2 < truth.len(), "{} of {} are open", polled.len(), truth.len());
    // what was sent over the wire were those and nothing else
    let every = client.alerts(&AlertFilter::default()).await.unwrap().collect().await.unwrap();
    assert_eq!(every.len(), truth.len());
    let [open, every] = control.served().iter().map(|served| served.bytes).collect::<Vec<_>>()[..] else {
        panic!("two requests: {:?}", control.served());
    };
    assert!(open * 2 < every, "{open} bytes for the open ones, {every} for all");
}

/// (3)
#[tokio::test]
async fn the_poll_for_open_alerts_asks_with_the_filter_that_tactical_knows() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let answer = move |Json(body): Json<Value>| async move {
        noted.lock().expect("nobody panicked with it").push(body);
        Json(json!([]))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free loopback port can be bound");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let router = Router::new().route("/alerts/", patch(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let open = AlertFilter { resolved_filter: Some(false), ..AlertFilter::default() };
    let alerts = client(&local(), &url, key::ADMIN).alerts(&open).await.unwrap().collect().await.unwrap();
    assert!(alerts.is_empty());
    assert_eq!(*asked.lock().expect("nobody panicked with it"), [json!({"resolvedFilter": false})]);
}
