//! Alerts reconciled by real programs with a simulated Tactical whose control handle knows what is true.

mod absence;
mod answers;
mod fetching;
mod healing;
mod limits;
mod person;
mod racing;
mod recorded;
mod replaced;

use std::collections::BTreeMap;

use sqlx::Row as _;
use store::run::{Kind, PartView, RunView, State};
use tests::simulator::{Control, Fault, FaultKind, Severity, SimulatorConfig, key};
use tests::{DEADLINE, Fleet, until};

/// A server on which nothing happens by itself.
fn quiet(agents: u32) -> SimulatorConfig {
    SimulatorConfig { agents, clients: 4, sites_per_client: 2, online_percent: 100, ..SimulatorConfig::default() }
}

/// A fleet that is connected to such a server and gets its webhooks, with nothing synced yet.
async fn connected(agents: u32) -> Fleet {
    with_key(agents, key::SYNC).await
}

async fn with_key(agents: u32, key: &str) -> Fleet {
    let fleet = Fleet::builder().workers(1).simulator(quiet(agents)).start().await;
    fleet.connect_tactical(key).await;
    fleet
}

/// What a reader sees of one alert.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    agent_id: Option<String>,
    severity: String,
    status: String,
    message: Option<String>,
    metadata: serde_json::Value,
}

/// Every alert of the server that stands there now, by Tactical's number.
async fn rows(fleet: &Fleet) -> BTreeMap<i64, Row> {
    let query = "select external_alert_id, external_device_id, severity, status, message, metadata
                 from rmm_alerts where tenant = $1";
    let mut connection = fleet.database().connect().await;
    let rows = sqlx::query(query).bind(fleet.connection().tenant).fetch_all(&mut connection).await.expect("it answers");
    let rows = rows.into_iter().filter_map(|row| {
        let number: String = row.get(0);
        // alerts of a server that was replaced keep no number
        let number = number.strip_prefix("was:").is_none().then_some(number)?;
        let (severity, status, message, metadata) = (row.get(2), row.get(3), row.get(4), row.get(5));
        let row = Row { agent_id: row.get(1), severity, status, message, metadata };
        Some((number.parse().expect("the simulator's alerts have numbers"), row))
    });
    rows.collect()
}

/// The numbers of those that are open.
async fn open(fleet: &Fleet) -> Vec<i64> {
    let rows = rows(fleet).await;
    rows.into_iter().filter(|(_, row)| row.status == "active").map(|(number, _)| number).collect()
}

/// The numbers and AlgaPSA's severities of what is truly open, of the server that stands there now.
fn truly_open(control: &Control) -> BTreeMap<i64, &'static str> {
    let alerts = control.alerts();
    let newest = alerts.iter().map(|truth| truth.generation).max().unwrap_or_default();
    let is_open = |truth: &&tests::simulator::AlertTruth| {
        truth.generation == newest && truth.resolved_on.is_none() && truth.deleted_at.is_none()
    };
    let word = |severity| match severity {
        Severity::Error => "critical",
        Severity::Warning => "moderate",
        Severity::Info => "minor",
    };
    alerts.iter().filter(is_open).map(|truth| (truth.alert_id, word(truth.severity))).collect()
}

/// Fails unless Postgres shows exactly the truly open alerts as open, each as bad as it truly is.
async fn assert_true(fleet: &Fleet) {
    let rows = rows(fleet).await;
    let shown: BTreeMap<i64, &str> = rows
        .iter()
        .filter(|(_, row)| row.status != "resolved")
        .map(|(number, row)| (*number, row.severity.as_str()))
        .collect();
    assert_eq!(shown, truly_open(&fleet.simulator().control()));
}

/// One reconciliation that must complete.
async fn reconciled(fleet: &Fleet) -> RunView {
    let (run, _) = fleet.sync(Kind::Alerts).await;
    assert_eq!((run.state, run.error.as_deref()), (State::Completed, None));
    run
}

/// One reconciliation that must fail, and why.
async fn refused(fleet: &Fleet) -> (RunView, String) {
    let (run, parts): (RunView, Vec<PartView>) = fleet.sync(Kind::Alerts).await;
    assert_eq!(run.state, State::Failed, "{parts:#?}");
    let cause = run.error.clone().expect("it says why");
    (run, cause)
}

/// Opens an alert by a check that fails, and waits for its row.
async fn opened(fleet: &Fleet, agent: i64) -> i64 {
    let control = fleet.simulator().control();
    let number = control.fail_check(agent, 1, Severity::Error).expect("it exists").expect("it opens");
    until_status(fleet, number, "active").await;
    number
}

async fn until_status(fleet: &Fleet, number: i64, status: &str) {
    until(DEADLINE, async || match rows(fleet).await.remove(&number) {
        Some(row) if row.status == status => Ok(()),
        other => Err(other),
    })
    .await;
}

/// The next request of that path and query ends so.
fn fault_once(fleet: &Fleet, path_prefix: &str, kind: FaultKind) {
    let fault = Fault { path_prefix: path_prefix.to_owned(), kind, requests: Some(1) };
    fleet.simulator().control().add_fault(fault);
}

/// Waits until something whose path and query begin so has been asked for.
async fn until_asked(fleet: &Fleet, path_prefix: &str) {
    let control = fleet.simulator().control();
    until(DEADLINE, async || match control.asked() {
        asked if asked.iter().any(|target| target.starts_with(path_prefix)) => Ok(()),
        asked => Err(asked),
    })
    .await;
}

/// A webhook of an agent's, as Tactical sends it.
async fn send(fleet: &Fleet, body: String) {
    let sent = reqwest::Client::new().post(fleet.webhook_url());
    let sent = sent.header("X-Alga-Webhook-Secret", &fleet.connection().secret).body(body).send().await;
    assert_eq!(sent.expect("it answers").status(), 202);
}

/// From now on the requests of that path and query end so.
fn fault(fleet: &Fleet, path_prefix: &str, kind: FaultKind) {
    fleet.simulator().control().add_fault(Fault { path_prefix: path_prefix.to_owned(), kind, requests: None });
}

/// The versions of every row that a reconciliation could rewrite: any update makes another one.
async fn versions(fleet: &Fleet) -> BTreeMap<String, String> {
    let mut connection = fleet.database().connect().await;
    let mut versions = BTreeMap::new();
    for table in ["rmm_alerts", "muster.alert_state", "muster.alert_key"] {
        let id = if table == "muster.alert_key" { "key" } else { "alert_id::text" };
        let sql = format!("select {id}, xmin::text || ' ' || ctid::text from {table}");
        let rows =
            sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&mut connection).await.expect("the database answers");
        versions.extend(rows.iter().map(|row| (format!("{table} {}", row.get::<String, _>(0)), row.get(1))));
    }
    versions
}
