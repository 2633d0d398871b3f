//! What the simulator sends, held against what the real server sent: scenarios A to H, their heads and bodies.

use serde_json::Value;
use tests::simulator::{
    Control, FAILURE_BODY, Occasion, Outcome, RESOLVED_BODY, Severity, Simulator, SimulatorConfig, Source,
    WebhookSettings,
};

use super::receiver::{Receiver, Request, header_names};
use super::{hooks, sent, small, start};

/// The bodies that the recorded server was configured with: every variable quoted.
fn recorded_body(event: &str) -> String {
    let fields = [
        ("alert_id", "alert.id"),
        ("type", "alert.alert_type"),
        ("severity", "alert.severity"),
        ("message", "alert.message"),
        ("alert_time", "alert.alert_time"),
        ("resolved_on", "alert.resolved_on"),
        ("agent_id", "agent.agent_id"),
        ("hostname", "agent.hostname"),
        ("client", "client.name"),
        ("client_id", "client.id"),
        ("site", "site.name"),
        ("site_id", "site.id"),
    ];
    let fields: String =
        fields.iter().map(|(key, variable)| format!(",\n  \"{key}\": \"{{{{{variable}}}}}\"")).collect();
    format!("{{\n  \"event\": \"{event}\"{fields}\n}}")
}

/// What was recorded for a scenario: heads and bodies. Without recordings: what the measured facts say.
fn recorded(scenario: &str) -> Vec<Request> {
    let folder = crate::recorded::folder();
    let text = std::fs::read_to_string(folder.join("webhooks.json")).expect("the folder has its webhooks");
    let all: Vec<Value> = serde_json::from_str(&text).expect("recorded JSON is JSON");
    let found = all.iter().find(|entry| entry["scenario"].as_str().is_some_and(|name| name.starts_with(scenario)));
    let received = found.unwrap_or_else(|| panic!("scenario {scenario} was recorded"))["received"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    received.iter().map(|entry| Request { head: text(&entry["head"]), body: text(&entry["body"]) }).collect()
}

/// A server whose hooks lead to a receiver, with the recorded templates.
async fn with_receiver(failure: &str, resolved: &str) -> (Simulator, Control, Receiver) {
    let receiver = Receiver::accepting().await;
    let simulator = small().await;
    let control = simulator.control();
    control.set_webhook(Some(hooks(receiver.url(), failure, resolved)));
    (simulator, control, receiver)
}

/// The same line, the same headers in the same order with the same values; only the host and the length may differ.
fn assert_same_head(scenario: &str, mine: &Request, real: &Request) {
    assert_eq!(mine.head.lines().next(), real.head.lines().next(), "{scenario}");
    assert_eq!(mine.header_names(), header_names(&real.head), "{scenario}");
    for name in mine.header_names().iter().filter(|name| !["Host", "Content-Length"].contains(&name.as_str())) {
        assert_eq!(mine.header(name), real.header(name), "{scenario}: {name}");
    }
}

/// An object with the same keys in the same order, and values that are alike: digits, times, the same words.
fn assert_same_object(scenario: &str, mine: &str, real: &str) {
    assert_eq!(keys(mine), keys(real), "{scenario}: keys in order");
    let (mine, real): (Value, Value) =
        (serde_json::from_str(mine).expect("JSON"), serde_json::from_str(real).expect("JSON"));
    for (key, real) in real.as_object().expect("an object") {
        let (mine, real) = (mine[key].as_str().expect("a string"), real.as_str().expect("a string"));
        let alike = |test: fn(char) -> bool| mine.chars().map(test).eq(real.chars().map(test));
        match key.as_str() {
            "event" | "type" | "severity" => assert_eq!(mine, real, "{scenario}: {key}"),
            "alert_id" | "client_id" | "site_id" => assert!(mine.parse::<i64>().is_ok(), "{scenario}: {key} = {mine}"),
            "agent_id" => assert_eq!(mine.len(), real.len(), "{scenario}: {key}"),
            "alert_time" | "resolved_on" => {
                assert!(alike(|c| c.is_ascii_digit()), "{scenario}: {key} = {mine}, not {real}")
            }
            _ => assert!(!mine.is_empty(), "{scenario}: {key}"),
        }
    }
}

fn keys(text: &str) -> Vec<String> {
    text.split("\", \"")
        .filter_map(|part| Some(part.split_once("\": ")?.0.trim_start_matches("{\"").to_owned()))
        .collect()
}

/// Compares what one scenario sent with what was recorded for it.
async fn assert_scenario(scenario: &str, control: &Control, receiver: &Receiver) {
    sent(control).await;
    let (mine, real) = (receiver.take(), recorded(scenario));
    assert_eq!(mine.len(), real.len(), "{scenario}: {mine:?}");
    for (mine, real) in mine.iter().zip(&real) {
        assert_same_head(scenario, mine, real);
        assert_same_object(scenario, &mine.body, &real.body);
    }
}

#[tokio::test]
async fn checks_tasks_and_outages_send_what_was_recorded_and_nothing_else() {
    let (_simulator, control, receiver) = with_receiver(&recorded_body("failure"), &recorded_body("resolved")).await;
    let first = control.fail_check(1, 1, Severity::Warning).unwrap();
    assert_scenario("A1", &control, &receiver).await;
    assert_eq!(control.fail_check(1, 1, Severity::Warning).unwrap(), first);
    assert_scenario("A2", &control, &receiver).await;
    assert_eq!(control.fail_check(1, 1, Severity::Error).unwrap(), first, "the open alert escalates in place");
    assert_scenario("A3", &control, &receiver).await;
    assert_eq!(control.pass_check(1, 1).unwrap(), first);
    assert_scenario("A4", &control, &receiver).await;
    assert!(control.fail_check(1, 1, Severity::Warning).unwrap() > first, "a failure after a resolve is a new id");
    assert_scenario("A5", &control, &receiver).await;
    control.fail_check(1, 6, Severity::Error).unwrap();
    assert_scenario("B1", &control, &receiver).await;
    control.pass_check(1, 6).unwrap();
    assert_scenario("B2", &control, &receiver).await;
    let away = control
        .agents()
        .iter()
        .find(|agent| agent.status == "online" && agent.pk > 5)
        .expect("most agents are online")
        .pk;
    control.agent_overdue(away).unwrap();
    assert_scenario("C1", &control, &receiver).await;
    control.run_beats();
    assert_scenario("C2", &control, &receiver).await;
    control.agent_up(away).unwrap();
    control.run_beats();
    assert_scenario("C3", &control, &receiver).await;
    control.fail(1, Source::Task(1), Severity::Warning, Outcome::default()).unwrap();
    assert_scenario("D1", &control, &receiver).await;
    control.pass(1, Source::Task(1)).unwrap();
    assert_scenario("D2", &control, &receiver).await;
}

#[tokio::test]
async fn odd_values_and_odd_templates_are_mangled_as_recorded() {
    let output = r#"{"id": {{alert.id}}, "out": "{{alert.get_result.stdout}}", "err": "{{alert.get_result.stderr}}"}"#;
    let cases = [
        ("E1", output, Some("line1\nline2\tx ü 東京"), None),
        ("E2", output, Some("Disk \"C:\" full"), None),
        ("E3", output, None, Some("C:\\temp\\new\\users\\x")),
        ("E4", output, None, None),
        ("H1", "", None, None),
        ("H2", "{}", None, None),
        ("H3", "alert {{alert.id}} on {{agent.hostname}}", None, None),
        ("H4", "null", None, None),
        ("H5", "[1, {{alert.id}}]", None, None),
    ];
    let (_simulator, control, receiver) = with_receiver("", "").await;
    let host = control.agent(1).unwrap().hostname;
    for (scenario, template, stdout, stderr) in cases {
        control.set_webhook(Some(hooks(receiver.url(), template, "{}")));
        let outcome = Outcome { stdout: stdout.map(str::to_owned), stderr: stderr.map(str::to_owned), retcode: 1 };
        let id = control.fail(1, Source::Check(6), Severity::Error, outcome).unwrap().expect("an alert opens");
        sent(&control).await;
        let (mine, real) = (receiver.take(), recorded(scenario));
        assert_eq!(mine.len(), real.len(), "{scenario}");
        for (mine, real) in mine.iter().zip(&real) {
            assert_same_head(scenario, mine, real);
            let real_id: String = real
                .body
                .split(|c: char| !c.is_ascii_digit())
                .find(|digits| digits.len() == 3)
                .unwrap_or_default()
                .to_owned();
            let expected =
                if real_id.is_empty() { real.body.clone() } else { real.body.replace(&real_id, &id.to_string()) };
            assert_eq!(mine.body, expected.replace("LAB-FIXED-01", &host), "{scenario}");
        }
        control.pass_check(1, 6).unwrap();
        sent(&control).await;
        receiver.take();
    }
}

#[tokio::test]
async fn a_test_run_looks_real_and_carries_the_agents_pk_as_alert_id() {
    let (_simulator, control, receiver) = with_receiver(FAILURE_BODY, RESOLVED_BODY).await;
    control.test_run(4).unwrap();
    sent(&control).await;
    let received = receiver.take();
    let body: Value = serde_json::from_str(&received[0].body).unwrap();
    let agent = control.agent(4).unwrap();
    assert_eq!(body["alert_id"], 4);
    assert_eq!(body["agent_id"], agent.agent_id);
    assert_eq!(body["severity"], agent.hostname, "an unknown attribute renders the object itself");
    let entry = control.webhooks().pop().expect("the ledger knows it");
    assert_eq!((entry.occasion, entry.alert_id), (Occasion::Test, None));
}

#[tokio::test]
async fn without_headers_there_is_no_content_type_and_broken_headers_send_nothing() {
    let (simulator, control, receiver) = with_receiver("{}", "{}").await;
    let mut settings = hooks(receiver.url(), "{}", "{}");
    for (headers, received) in [(r#"{"X-Only": "1"}"#, 1), ("", 1), ("{not json", 0), (r#"{"X-Number": 1}"#, 0)] {
        settings.failure.as_mut().expect("hooks() makes one").headers = headers.to_owned();
        control.set_webhook(Some(settings.clone()));
        let id = control.fail_check(1, 1, Severity::Error).unwrap().expect("an alert opens");
        sent(&control).await;
        let requests = receiver.take();
        assert_eq!(requests.len(), received, "{headers}");
        assert!(requests.iter().all(|request| request.header("Content-Type").is_none()), "{headers}");
        if headers.is_empty() {
            assert_eq!(requests[0].header("User-Agent"), Some("python-urllib3/2.7.0"));
        }
        let (_, alert) = super::get(&simulator, &format!("/alerts/{id}/"), tests::simulator::key::ADMIN).await;
        assert_eq!(alert["action_retcode"], if received == 1 { 202 } else { 500 }, "{headers}");
        control.pass_check(1, 1).unwrap();
        sent(&control).await;
        receiver.take();
    }
}

#[tokio::test]
async fn a_refused_or_silent_receiver_is_called_once_and_never_again() {
    let refusing =
        Receiver::answering("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbusy")
            .await;
    let silent = Receiver::answering("").await;
    let simulator =
        start(SimulatorConfig { agents: 6, webhook_timeout_ms: 150, speed: 0.0, ..SimulatorConfig::default() }).await;
    let control = simulator.control();
    for (receiver, check, status, retcode) in [(&refusing, 1, Some(503), 503), (&silent, 2, None, 500)] {
        control.set_webhook(Some(hooks(receiver.url(), "{}", "{}")));
        let id = control.fail_check(1, check, Severity::Error).unwrap().expect("an alert opens");
        control.fail_check(1, check, Severity::Error).unwrap();
        control.run_beats();
        sent(&control).await;
        assert_eq!(receiver.take().len(), 1);
        let entry = control.webhooks().pop().expect("the ledger knows it");
        assert_eq!((entry.status, entry.error.is_some()), (status, status.is_none()));
        let (_, alert) = super::get(&simulator, &format!("/alerts/{id}/"), tests::simulator::key::ADMIN).await;
        assert_eq!(alert["action_retcode"], retcode, "the outcome stands in the alert");
    }
}

#[tokio::test]
async fn a_storm_is_sent_in_order_and_the_ledger_knows_every_webhook() {
    let (_simulator, control, receiver) = with_receiver(FAILURE_BODY, RESOLVED_BODY).await;
    assert_eq!(control.storm(500), 500);
    sent(&control).await;
    let (requests, ledger) = (receiver.take(), control.webhooks());
    assert_eq!(requests.len(), 500);
    for (request, entry) in requests.iter().zip(&ledger) {
        assert_eq!(Some(&request.body), entry.body.as_ref(), "webhook {} is out of order", entry.sequence);
        assert_eq!(entry.status, Some(202));
    }
    let opened = control.alerts().iter().filter(|alert| alert.failure_sequence.is_some()).count();
    let closed = control.alerts().iter().filter(|alert| alert.resolved_sequence.is_some()).count();
    assert_eq!(opened + closed, 500);
    assert!(closed > 100, "a storm also resolves: {closed}");
}

#[tokio::test]
async fn the_same_seed_gives_the_same_storm() {
    let mut bodies = Vec::new();
    for _ in 0..2 {
        let start_time = "2026-11-22T02:16:01Z".parse().ok();
        let webhook = Some(WebhookSettings::muster("http://127.0.0.1:9/", "s"));
        let config = SimulatorConfig {
            agents: 50,
            seed: 7,
            start: start_time,
            speed: 0.0,
            webhook,
            ..SimulatorConfig::default()
        };
        let simulator = start(config).await;
        simulator.control().storm(200);
        bodies.push(simulator.control().webhooks().into_iter().map(|entry| entry.body).collect::<Vec<_>>());
    }
    assert_eq!(bodies[0], bodies[1]);
}

#[tokio::test]
async fn several_lanes_lose_nothing() {
    let (_simulator, control, receiver) = with_receiver(FAILURE_BODY, RESOLVED_BODY).await;
    control.send_in_parallel(16);
    control.storm(300);
    sent(&control).await;
    let mut received: Vec<String> = receiver.take().into_iter().map(|request| request.body).collect();
    let mut ledger: Vec<String> = control.webhooks().into_iter().filter_map(|entry| entry.body).collect();
    received.sort();
    ledger.sort();
    assert_eq!(received, ledger);
}
