//! Faults strike where and as often as they are told to, and the control API moves the world over HTTP.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::simulator::{Fault, FaultKind, key};
use tests::{DEADLINE, until};

use super::{ask, get, small};

#[tokio::test]
async fn a_fault_strikes_its_path_as_often_as_it_was_told_to() {
    let simulator = small().await;
    let control = simulator.control();
    let kind = FaultKind::TooManyRequests { retry_after_s: 7 };
    control.add_fault(Fault { path_prefix: "/agents/".to_owned(), kind, requests: Some(2) });
    for status in [429, 429, 200] {
        let answer = reqwest::Client::new()
            .get(format!("{}/agents/", simulator.base_url()))
            .header("X-API-KEY", key::ADMIN)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(answer.headers().contains_key("retry-after"), status == 429);
        assert_eq!(get(&simulator, "/clients/", key::ADMIN).await.0, 200, "other paths are well");
    }
}

#[tokio::test]
async fn answers_can_be_slow_broken_cut_or_html() {
    let simulator = small().await;
    let control = simulator.control();
    let ask = || {
        reqwest::Client::new().get(format!("{}/agents/", simulator.base_url())).header("X-API-KEY", key::ADMIN).send()
    };
    let whole = ask().await.unwrap().text().await.unwrap();
    let with = |kind| {
        control.clear_faults();
        control.add_fault(Fault { path_prefix: String::new(), kind, requests: None });
    };
    with(FaultKind::Slow { delay_ms: 80 });
    let started = Instant::now();
    assert_eq!(ask().await.unwrap().text().await.unwrap(), whole);
    assert!(started.elapsed() >= Duration::from_millis(80));
    with(FaultKind::Held);
    let held = tokio::spawn(ask());
    until(DEADLINE, async || match control.asked().len() {
        3 => Ok(()),
        asked => Err(asked),
    })
    .await;
    assert_eq!(control.served().len(), 2, "the third is held");
    control.clear_faults();
    assert_eq!(held.await.unwrap().unwrap().text().await.unwrap(), whole);
    with(FaultKind::ServerError { status: 502 });
    assert_eq!(ask().await.unwrap().status(), 502);
    with(FaultKind::Html);
    let html = ask().await.unwrap();
    assert!(html.status().is_success() && html.text().await.unwrap().contains("<html"));
    with(FaultKind::CutShort { bytes: 1000 });
    assert_eq!(ask().await.unwrap().text().await.unwrap(), whole[..1000]);
    with(FaultKind::Truncated { bytes: 1000 });
    assert!(ask().await.unwrap().text().await.is_err(), "the connection breaks before the end");
}

#[tokio::test]
async fn what_was_served_is_counted_and_a_fault_may_strike_one_query() {
    let simulator = small().await;
    let control = simulator.control();
    let kind = FaultKind::ServerError { status: 503 };
    control.add_fault(Fault { path_prefix: "/agents/?client=2".to_owned(), kind, requests: None });
    let (_, all) = get(&simulator, "/agents/?client=1", key::ADMIN).await;
    assert_eq!(get(&simulator, "/agents/?client=2", key::ADMIN).await.0, 503);
    let served = control.served();
    let seen: Vec<(&str, u16)> = served.iter().map(|one| (one.target.as_str(), one.status)).collect();
    assert_eq!(seen, [("/agents/?client=1", 200), ("/agents/?client=2", 503)]);
    let rows = all.as_array().expect("a list").len() as u64;
    assert!(served[0].bytes > 500 * rows, "{} bytes for {rows} rows", served[0].bytes);
    control.forget_served();
    assert!(control.served().is_empty());
}

/// `POST /_control/<command>`
async fn command(simulator: &tests::simulator::Simulator, name: &str, fields: Value) -> (u16, Value) {
    ask(simulator, "POST", &format!("/_control/{name}"), "", Some(fields)).await
}

#[tokio::test]
async fn the_world_can_be_moved_and_read_over_http() {
    let simulator = small().await;
    let id = simulator.control().agent(1).unwrap().agent_id;
    assert_eq!(
        command(&simulator, "set_muster_webhook", json!({"url": "http://127.0.0.1:9/", "secret": "s"})).await.0,
        200
    );
    let (status, alert) =
        command(&simulator, "fail_check", json!({"agent": id, "check": 1, "severity": "error"})).await;
    assert_eq!((status, alert.is_i64()), (200, true));
    assert_eq!(command(&simulator, "resolve", json!({"alert": alert})).await.0, 200);
    assert_eq!(
        command(
            &simulator,
            "add_fault",
            json!({"fault": {"path_prefix": "/clients/", "kind": {"server_error": {"status": 503}}}})
        )
        .await
        .0,
        200
    );
    assert_eq!(get(&simulator, "/clients/", key::ADMIN).await.0, 503);
    assert_eq!(command(&simulator, "clear_faults", json!({})).await.0, 200);
    assert_eq!(command(&simulator, "fail_check", json!({"agent": 1})).await.0, 400);
    assert_eq!(command(&simulator, "nosuch", json!({})).await.0, 400);
    assert_eq!(
        command(&simulator, "agent_down", json!({"agent": 4711})).await,
        (404, json!({"error": "no agent 4711"}))
    );
    let (_, webhooks) = get(&simulator, "/_control/webhooks", "").await;
    assert_eq!((webhooks.as_array().map(Vec::len), &webhooks[0]["alert_id"]), (Some(1), &alert));
    let (_, alerts) = get(&simulator, "/_control/alerts", "").await;
    let truth = alerts.as_array().expect("an array").iter().find(|truth| truth["alert_id"] == alert).expect("known");
    assert_eq!(truth["resolved_by"], "hand");
    let (_, agents) = get(&simulator, "/_control/agents?after=38&limit=10", "").await;
    assert_eq!(agents.as_array().map(Vec::len), Some(2));
}
