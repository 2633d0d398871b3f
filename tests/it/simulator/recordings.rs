//! Every recorded request, asked of the simulator: the same status, content type, headers, keys and types.
//!
//! Exceptions, and why:
//! * `Transfer-Encoding` of two HTML answers is the real server's transport, not its API.
//! * Texts that name machines, scripts or their output (`SAID_OTHERWISE`) are only strings, not the same string.
//! * [`NULL_HERE_TOO`]: fields that may be null by the measured facts, where the few recorded rows happen to have a value.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tests::simulator::{Control, PASSWORD, Simulator, SimulatorConfig, Source, WebhookSettings, key};

use super::shape::Shape;
use super::start;
use crate::recorded::{Exchange, exchanges, folder};

/// Bare strings whose words are a machine's own.
const SAID_OTHERWISE: [&str; 6] = ["137-", "141-", "142-", "143-", "176-", "002-"];

/// Places that may be null although no recorded row was.
const NULL_HERE_TOO: [&str; 4] = [
    // the facts say: null where the platform is unknown, nobody is logged in, nothing was reported
    ".goarch",
    ".public_ip",
    ".operating_system",
    ".message",
];

/// A server in which everything exists that the recordings ask for.
async fn laboratory() -> Simulator {
    let webhook = WebhookSettings::muster("http://127.0.0.1:9/api/webhooks/tacticalrmm?tenant=t", "secret");
    let config = SimulatorConfig { alerts: 600, beta: true, webhook: Some(webhook), ..SimulatorConfig::default() };
    start(config).await
}

/// What a recorded name is called in the simulator.
fn names(control: &Control) -> BTreeMap<&'static str, String> {
    let agent = |pk| control.agent(pk).expect("the first five agents always exist").agent_id;
    let alerts = control.alerts();
    let alert = |wanted: &dyn Fn(&Source) -> bool, with_agent: bool| {
        let found = alerts.iter().rev().find(|alert| wanted(&alert.source) && alert.agent.is_some() == with_agent);
        format!("/alerts/{}/", found.expect("600 alerts hold every kind").alert_id)
    };
    BTreeMap::from([
        // the fixtures' names, then the recorded server's
        ("{windows}", agent(1)),
        ("{linux}", agent(2)),
        ("{never}", agent(3)),
        ("{nonode}", agent(4)),
        ("{mac}", agent(5)),
        ("{password}", PASSWORD.to_owned()),
        ("LabFixedAgentOneWindowsOnlineAAAAAAAAAAA", agent(1)),
        ("LabFixedAgentTwoLinuxOverdueAAAAAAAAAAAA", agent(2)),
        ("hVSSceQytZcBxguKTbBePebtMqgPPSpwmCrrOXEf", agent(3)),
        ("VyWCVywEqhESoSOOvZPDfDaUrtCHEzGSxAQaiqlU", agent(4)),
        ("hQYPRduKixufUOLpZHrdQgyRxFiwfaqApqVncTGS", agent(5)),
        ("/alerts/1/", alert(&|source| matches!(source, Source::Check(_)), true)),
        ("/alerts/4/", alert(&|source| *source == Source::Availability, true)),
        ("/alerts/10/", alert(&|source| matches!(source, Source::Task(_)), true)),
        ("/alerts/152/", alert(&|source| *source == Source::Custom, true)),
        ("/alerts/28/", alert(&|source| *source == Source::Custom, false)),
        ("totpuser", "totp".to_owned()),
        ("Lab-Passw0rd!", PASSWORD.to_owned()),
    ])
}

fn api_key(name: &str) -> &str {
    match name {
        "admin" => key::ADMIN,
        "limited" => key::LIMITED,
        "norole" => key::NO_ROLE,
        "emptyrole" => key::EMPTY_ROLE,
        "expired" => key::EXPIRED,
        "inactive" => key::INACTIVE,
        other => other,
    }
}

/// What has to happen just before some of the recorded requests.
async fn prepare(simulator: &Simulator, exchange: &Exchange, names: &mut BTreeMap<&'static str, String>) {
    let control = simulator.control();
    match exchange.file.split('-').next().unwrap_or_default() {
        "126" => {
            // the recorded agent had one script and one command behind it
            let path = format!("/agents/{}/", names["LabFixedAgentOneWindowsOnlineAAAAAAAAAAA"]);
            let script =
                json!({"script": 1, "output": "wait", "args": [], "run_as_user": false, "env_vars": [], "timeout": 10});
            super::ask(simulator, "POST", &format!("{path}runscript/"), key::ADMIN, Some(script)).await;
            let command =
                json!({"shell": "cmd", "cmd": "dir", "timeout": 5, "custom_shell": null, "run_as_user": false});
            super::ask(simulator, "POST", &format!("{path}cmd/"), key::ADMIN, Some(command)).await;
        }
        "165" => control.set_report_empty(2, true).expect("agent 2 exists"),
        "206" => {
            let alert =
                json!({"alert_type": "custom", "severity": "error", "message": "Ticket 7 – ünïcode", "agent": 1});
            super::ask(simulator, "POST", "/alerts/", key::ADMIN, Some(alert)).await;
            let last = control.alerts().last().expect("one was just made").alert_id;
            names.insert("/alerts/601/", format!("/alerts/{last}/"));
        }
        "219" => control
            .delete_alert(names["/alerts/601/"][8..].trim_end_matches('/').parse().expect("a number"))
            .expect("it exists"),
        "265" => {
            for _ in 0..10 {
                super::ask(simulator, "POST", "/v2/login/", "", Some(json!({"username": "x", "password": "y"}))).await;
            }
        }
        _ => {}
    }
    control.set_beta(exchange.port.as_deref() != Some("18001"));
    control.set_nats(exchange.port.as_deref() != Some("18002"));
}

async fn replay(
    simulator: &Simulator,
    exchange: &Exchange,
    names: &BTreeMap<&'static str, String>,
) -> reqwest::Response {
    let rename = |text: &str| names.iter().fold(text.to_owned(), |text, (old, new)| text.replace(old, new));
    let client =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("constant settings");
    let method = exchange.method.parse().expect("a real method");
    let mut request = client.request(method, format!("{}{}", simulator.base_url(), rename(&exchange.path)));
    if exchange.key != "-" {
        request = request.header("X-API-KEY", api_key(&exchange.key));
    }
    for (name, value) in &exchange.headers {
        request = request.header(name, value);
    }
    if !exchange.body.is_empty() {
        // a body that is itself a JSON string was sent as that text
        let text = serde_json::from_str::<String>(&exchange.body).unwrap_or_else(|_| exchange.body.clone());
        request = request.header("content-type", "application/json").body(rename(&text));
    }
    request.send().await.expect("the simulator answers")
}

/// How an answer differs from the recorded one.
async fn differences(exchange: &Exchange, response: reqwest::Response) -> Vec<String> {
    let mut out = Vec::new();
    let status = response.status().as_u16();
    if status != exchange.status {
        out.push(format!("status {status} is not {}", exchange.status));
    }
    let headers = response.headers().clone();
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    for (name, value) in &exchange.noted_headers {
        // waiting times depend on the moment
        if header(name) != *value
            && !(name == "Retry-After" && header(name).parse::<u32>().is_ok_and(|wait_s| wait_s <= 60))
        {
            out.push(format!("{name}: '{}' is not '{value}'", header(name)));
        }
    }
    let media = if exchange.file.ends_with(".html") { "text/html; charset=utf-8" } else { "application/json" };
    if header("content-type") != media {
        out.push(format!("content type '{}' is not '{media}'", header("content-type")));
    }
    let text = response.text().await.expect("the answer is whole");
    if exchange.file.ends_with(".html") {
        if text != exchange.answer {
            out.push(format!("the page is not the recorded one: {text}"));
        }
        return out;
    }
    let simulated: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}: {text}", exchange.file));
    let real: Value = serde_json::from_str(&exchange.answer).expect("recorded JSON is JSON");
    compare(exchange, &simulated, &real, &mut out);
    out
}

fn compare(exchange: &Exchange, simulated: &Value, real: &Value, out: &mut Vec<String>) {
    let words_matter = exchange.status >= 400 || real.is_string() || *real == json!([]);
    let own_words = SAID_OTHERWISE.iter().any(|prefix| exchange.file.starts_with(prefix));
    if words_matter && !own_words && without_digits(simulated) != without_digits(real) {
        out.push(format!("{simulated} is not {real}"));
    }
    let mut found = Vec::new();
    Shape::of(simulated).differences(&Shape::of(real), "", &mut found);
    found.retain(|difference| !NULL_HERE_TOO.iter().any(|place| difference.contains(&format!("{place}: null"))));
    out.extend(found);
}

/// Seconds to wait differ from run to run.
fn without_digits(value: &Value) -> String {
    value.to_string().chars().filter(|c| !c.is_ascii_digit()).collect()
}

#[tokio::test]
async fn every_recorded_request_is_answered_in_the_recorded_shape() {
    let simulator = laboratory().await;
    let mut names = names(&simulator.control());
    let mut wrong = Vec::new();
    let exchanges = exchanges(&folder());
    for exchange in &exchanges {
        prepare(&simulator, exchange, &mut names).await;
        let response = replay(&simulator, exchange, &names).await;
        let differences = differences(exchange, response).await;
        wrong.extend(differences.into_iter().map(|difference| format!("{}: {difference}", exchange.file)));
    }
    println!("{} exchanges replayed", exchanges.len());
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}
