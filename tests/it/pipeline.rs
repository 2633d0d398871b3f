//! Real programs, a real broker, a real Postgres and a simulated Tactical whose ledger is the oracle.

mod events;
mod outage;
mod outbox;
mod park;
mod shuffle;
mod spool;
mod trace;
mod watchdog;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use contract::topology::{self, Lane, Worker};
use events::Events;
use sqlx::Row as _;
use tests::simulator::{AlertTruth, SimulatorConfig};
use tests::{DEADLINE, Fleet, until};

/// The simulator's webhooks are sent one by one as Tactical does; many lanes make a load of them.
const LANES: usize = 16;

/// What a reader of Postgres sees of one alert.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    agent_id: String,
    severity: String,
    status: String,
    /// Tactical's time of the alert.
    triggered_at: DateTime<Utc>,
    /// Its place among the openings of the same agent and type.
    occurrence_count: i32,
}

#[tokio::test]
async fn ten_thousand_events_shuffled_doubled_and_with_a_worker_killed_end_in_the_ledgers_state() {
    let mut fleet = Fleet::builder().simulator(quiet(600)).set("MUSTER_RELAY_LEASE_MS", 1_000).start().await;
    let events = Events::bind(fleet.amqp()).await;
    let control = fleet.simulator().control();
    control.send_in_parallel(LANES);
    assert_eq!(control.storm(10_000), 10_000);
    assert!(control.webhooks_finished(DEADLINE * 6).await, "the gateway did not take them in time");
    let refused: Vec<_> = control.webhooks().into_iter().filter(|webhook| webhook.status != Some(202)).collect();
    assert!(refused.is_empty(), "not taken: {refused:#?}");

    let copies = shuffle::shuffle_and_double(fleet.amqp(), &topology::queue(Worker::Alert, Lane::Main), 7).await;
    assert_eq!(copies, 10_000 + 10_000 / 3);
    let (first, _) = (fleet.add_worker().await, fleet.add_worker().await);
    until(DEADLINE * 3, async || match seen(&fleet).await.len() {
        rows if rows > 1_000 => Ok(()),
        rows => Err(rows),
    })
    .await;
    fleet.worker(first).kill();
    fleet.add_worker().await;

    let expected = expected(&fleet);
    until(DEADLINE * 6, async || differences(&expected, &seen(&fleet).await)).await;
    fleet.until_idle().await;
    for place in 1..3 {
        assert!(fleet.worker(place).terminate(DEADLINE).await.success(), "a drained worker ends well");
    }
    differences(&expected, &seen(&fleet).await).expect("nothing changes after the drain");
    events.check_against(&fleet).await;
}

#[tokio::test]
async fn a_webhook_becomes_a_row_and_its_resolve_closes_it() {
    let fleet = Fleet::builder().workers(1).simulator(quiet(20)).start().await;
    let control = fleet.simulator().control();
    let alert =
        control.fail_check(3, 1, tests::simulator::Severity::Error).expect("the agent exists").expect("it opens");
    let row = until(DEADLINE, async || seen(&fleet).await.remove(&alert.to_string()).ok_or("no row")).await;
    assert_eq!((row.severity.as_str(), row.status.as_str()), ("critical", "active"));
    control.pass_check(3, 1).expect("the agent exists");
    until(DEADLINE, async || match seen(&fleet).await.remove(&alert.to_string()) {
        Some(row) if row.status == "resolved" => Ok(()),
        other => Err(other),
    })
    .await;
    fleet.until_idle().await;
}

#[tokio::test]
async fn no_log_line_holds_a_secret() {
    let mut fleet = Fleet::builder().workers(1).simulator(quiet(20)).set("MUSTER_LOG", "debug").start().await;
    let control = fleet.simulator().control();
    control.fail_check(3, 1, tests::simulator::Severity::Error).expect("the agent exists").expect("it opens");
    until(DEADLINE, async || if seen(&fleet).await.len() == 1 { Ok(()) } else { Err("no row") }).await;
    let password = |url: &str| url::Url::parse(url).expect("it is a URL").password().map(str::to_owned);
    let mut secrets = vec![fleet.connection().secret.clone(), tests::fleet::PEPPER.to_owned()];
    secrets.extend(password(fleet.database().url()).filter(|password| password.len() > 7));
    let mut lines = fleet.gateway().log();
    lines.extend(fleet.worker(0).log());
    assert!(lines.len() > 4, "there must be something to look through");
    for line in lines {
        assert!(!secrets.iter().any(|secret| line.contains(secret.as_str())), "a secret stands in {line}");
        assert!(!line.contains("guest:guest"), "the broker's password stands in {line}");
    }
}

#[tokio::test]
async fn a_worker_that_is_told_to_stop_gives_nothing_back() {
    let mut fleet = Fleet::builder()
        .simulator(quiet(200))
        .set("MUSTER_BATCH_MESSAGES_MAX", 20)
        .set("MUSTER_BATCHES_IN_FLIGHT", 1)
        .start()
        .await;
    let control = fleet.simulator().control();
    control.send_in_parallel(LANES);
    control.storm(2_000);
    assert!(control.webhooks_finished(DEADLINE * 3).await, "the gateway did not take them in time");
    let worker = fleet.add_worker().await;
    until(DEADLINE, async || if seen(&fleet).await.is_empty() { Err("no row yet") } else { Ok(()) }).await;
    assert!(fleet.worker(worker).terminate(DEADLINE).await.success());

    let queue = topology::queue(Worker::Alert, Lane::Main);
    let left = fleet.amqp().get_all(&queue).await;
    assert!(!left.is_empty(), "the test must stop the worker in the middle");
    for message in &left {
        let returns = message.header("x-delivery-count").and_then(lapin::types::AMQPValue::as_long_long_int);
        assert_eq!(returns.unwrap_or_default(), 0, "a delivery was given back");
    }
    shuffle::publish_all(fleet.amqp(), left).await;
    fleet.add_worker().await;
    let expected = expected(&fleet);
    until(DEADLINE * 3, async || differences(&expected, &seen(&fleet).await)).await;
    fleet.until_idle().await;
}

/// A server on which nothing happens by itself.
fn quiet(agents: u32) -> SimulatorConfig {
    SimulatorConfig { agents, online_percent: 100, ..SimulatorConfig::default() }
}

/// What Postgres must show, by Tactical's number of the alert: whether it is open is the ledger's truth, its severity
/// what the last webhook said, since an escalation sends none.
fn expected(fleet: &Fleet) -> BTreeMap<String, Seen> {
    let control = fleet.simulator().control();
    let mut severities = BTreeMap::new();
    for webhook in control.webhooks() {
        let body: serde_json::Value = serde_json::from_str(&webhook.body.expect("it has a body")).expect("it is JSON");
        severities.insert(webhook.alert_id, body["severity"].as_str().expect("a text").to_owned());
    }
    let told = |truth: &AlertTruth| truth.failure_sequence.is_some() || truth.resolved_sequence.is_some();
    let mut truths: Vec<AlertTruth> = control.alerts().into_iter().filter(told).collect();
    // Muster's template names no check, so agent and type are what an opening is counted by
    truths.sort_by_key(|truth| (truth.alert_time, truth.alert_id.to_string()));
    let mut openings: BTreeMap<(String, &str), i32> = BTreeMap::new();
    let alerts = truths.into_iter().map(|truth| {
        let severity = match severities[&Some(truth.alert_id)].as_str() {
            "error" => "critical",
            "warning" => "moderate",
            other => panic!("no webhook is sent for severity {other}"),
        };
        let status = if truth.resolved_on.is_some() { "resolved" } else { "active" };
        let agent_id = truth.agent_id.expect("a check has an agent");
        let opening = openings.entry((agent_id.clone(), truth.source.name())).or_default();
        *opening += 1;
        let seen = Seen {
            agent_id,
            severity: severity.to_owned(),
            status: status.to_owned(),
            triggered_at: truth.alert_time,
            occurrence_count: *opening,
        };
        (truth.alert_id.to_string(), seen)
    });
    alerts.collect()
}

/// What Postgres shows.
async fn seen(fleet: &Fleet) -> BTreeMap<String, Seen> {
    let query = "select external_alert_id, external_device_id, severity, status, triggered_at, occurrence_count
                 from rmm_alerts where tenant = $1";
    let mut connection = fleet.database().connect().await;
    let rows = sqlx::query(query).bind(fleet.connection().tenant).fetch_all(&mut connection).await.expect("it answers");
    let seen = rows.into_iter().map(|row| {
        let (agent_id, severity, status) = (row.get(1), row.get(2), row.get(3));
        let seen = Seen { agent_id, severity, status, triggered_at: row.get(4), occurrence_count: row.get(5) };
        (row.get(0), seen)
    });
    seen.collect()
}

/// `Err` names the first few differences.
fn differences(expected: &BTreeMap<String, Seen>, seen: &BTreeMap<String, Seen>) -> Result<(), String> {
    let missing = expected.iter().filter(|(id, truth)| seen.get(*id) != Some(truth));
    let foreign = seen.iter().filter(|(id, _)| !expected.contains_key(*id));
    let first: Vec<String> = missing
        .map(|(id, truth)| format!("{id} is {truth:?} but Postgres shows {:?}", seen.get(id)))
        .chain(foreign.map(|(id, row)| format!("{id} is nobody's: {row:?}")))
        .take(5)
        .collect();
    if first.is_empty() { Ok(()) } else { Err(format!("{} of {} rows, {first:#?}", seen.len(), expected.len())) }
}
