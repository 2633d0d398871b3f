//! Software, ingested by real programs from a simulated Tactical whose own list of everything is the truth.

mod answers;
mod first;
mod mistakes;
mod steps;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sqlx::Row as _;
use store::run::{Kind, RunView, State};
use store::software::{self, Installed, version};
use tests::Fleet;
use tests::fleet::Builder;
use tests::simulator::{Fault, FaultKind, Program, SimulatorConfig, key};

/// A server on which nothing happens by itself, and whose clock stands still.
fn still(agents: u32) -> SimulatorConfig {
    SimulatorConfig {
        agents,
        clients: 3,
        sites_per_client: 2,
        online_percent: 100,
        speed: 0.0,
        ..SimulatorConfig::default()
    }
}

/// One worker of each kind that syncs.
fn builder(config: SimulatorConfig) -> Builder {
    Fleet::builder().without_gateway().sync_workers(1).inventory_workers(1).simulator(config)
}

/// A fleet that is connected, with every client mapped and its devices synced; no software yet.
async fn ready(builder: Builder) -> Fleet {
    let fleet = builder.start().await;
    fleet.connect_tactical(key::SYNC).await;
    fleet.map_clients().await;
    let (run, _) = fleet.sync(Kind::Devices).await;
    assert_eq!((run.state, run.error), (State::Completed, None));
    fleet
}

/// The same, with its software ingested once.
async fn ingested(agents: u32) -> Fleet {
    let fleet = ready(builder(still(agents))).await;
    let run = ingest(&fleet).await;
    assert_eq!((run.state, run.error), (State::Completed, None));
    fleet
}

async fn ingest(fleet: &Fleet) -> RunView {
    fleet.sync(Kind::Software).await.0
}

/// A program on a device: name in small letters, publisher, all versions with the highest first.
type Line = (String, String, Vec<String>);

/// What each agent reports, by its id, as a person would read it.
async fn reported(fleet: &Fleet) -> BTreeMap<String, BTreeSet<Line>> {
    let agents = fleet.simulator().control().agents();
    let rows = fleet.tactical_get("/software/", key::ADMIN).await;
    let mut reported = BTreeMap::new();
    for agent in agents {
        let row = rows.as_array().into_iter().flatten().find(|row| row["agent"].as_i64() == Some(agent.pk));
        let Some(items) = row.and_then(|row| row["software"].as_array()).filter(|items| !items.is_empty()) else {
            continue;
        };
        let mut programs: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
        for item in items {
            let word = |name: &str| item[name].as_str().unwrap_or_default().trim().to_owned();
            let key = (word("name").to_lowercase(), word("publisher"));
            programs.entry(key).or_default().insert(word("version"));
        }
        let lines = programs.into_iter().map(|((name, publisher), versions)| {
            let mut versions: Vec<String> = versions.into_iter().collect();
            versions.sort_by(|one, other| version::compare(other, one));
            (name, publisher, versions)
        });
        reported.insert(agent.agent_id, lines.collect());
    }
    reported
}

/// What Postgres shows of each device that has anything, by its agent.
async fn shown(fleet: &Fleet) -> BTreeMap<String, BTreeSet<Line>> {
    let mut shown = BTreeMap::new();
    for agent_id in agents(fleet).await {
        let installed = installed(fleet, &agent_id).await;
        for program in &installed {
            let top = program.versions.first().map(|version| version.version.clone());
            assert_eq!(top, Some(program.version.clone().unwrap_or_default()), "{agent_id}: {program:?}");
        }
        let lines: BTreeSet<Line> = (installed.into_iter())
            .map(|program| {
                let versions = program.versions.into_iter().map(|version| version.version).collect();
                (program.normalized_name, program.publisher, versions)
            })
            .collect();
        if !lines.is_empty() {
            shown.insert(agent_id, lines);
        }
    }
    shown
}

/// Fails unless Postgres equals Tactical, program by program.
async fn assert_true(fleet: &Fleet) {
    let (shown, reported) = (shown(fleet).await, reported(fleet).await);
    assert!(shown.keys().eq(reported.keys()), "{:?}\n{:?}", shown.keys(), reported.keys());
    for (agent_id, lines) in &shown {
        let differs: Vec<&Line> = lines.symmetric_difference(&reported[agent_id]).collect();
        assert!(differs.is_empty(), "{agent_id}: {differs:?}");
    }
}

/// Agents of which there are devices.
async fn agents(fleet: &Fleet) -> Vec<String> {
    let mut connection = fleet.database().connect().await;
    let sql = "select agent_id from muster.agent where asset_id is not null order by agent_id";
    sqlx::query_scalar(sql).fetch_all(&mut connection).await.expect("the database answers")
}

/// What a device has.
async fn installed(fleet: &Fleet, agent_id: &str) -> Vec<Installed> {
    let mut connection = fleet.database().connect().await;
    let asset_id: uuid::Uuid = sqlx::query_scalar("select asset_id from muster.agent where agent_id = $1")
        .bind(agent_id)
        .fetch_one(&mut connection)
        .await
        .expect("the agent has an asset");
    let tenant = fleet.connection().tenant;
    let page = software::installed(&fleet.store(), tenant, asset_id, false, None, 1_000).await;
    page.expect("the database answers")
}

/// The history in the order in which it was written: agent, change, name, version before, version.
async fn history(fleet: &Fleet) -> Vec<String> {
    let mut connection = fleet.database().connect().await;
    let sql = "select concat_ws(' ', g.agent_id, h.change, c.name, h.previous_version, h.version)
               from muster.software_change h
               join software_catalog c on c.tenant = h.tenant and c.software_id = h.software_id
               join muster.agent g on g.tenant = h.tenant and g.asset_id = h.asset_id
               order by g.agent_id, h.rev, c.normalized_name, h.version";
    sqlx::query_scalar(sql).fetch_all(&mut connection).await.expect("the database answers")
}

/// The versions of every row that an ingest could rewrite: any update makes another one.
async fn versions(fleet: &Fleet) -> BTreeSet<String> {
    let mut connection = fleet.database().connect().await;
    let mut versions = BTreeSet::new();
    for table in [
        "software_catalog",
        "asset_software",
        "muster.software_report",
        "muster.software_version",
        "muster.software_change",
    ] {
        let sql = format!("select '{table} ' || xmin::text || ' ' || ctid::text from {table}");
        let rows =
            sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&mut connection).await.expect("the database answers");
        versions.extend(rows.iter().map(|row| row.get::<String, _>(0)));
    }
    versions
}

/// A Windows agent's number and id, that has reported.
fn windows_agents(fleet: &Fleet) -> Vec<(i64, String)> {
    let control = fleet.simulator().control();
    let agents = control.agents().into_iter().map(|agent| (agent.pk, agent.agent_id));
    agents.filter(|(pk, _)| control.programs(*pk).is_ok_and(|programs| !programs.is_empty())).collect()
}

/// A program that no simulated agent has by itself.
fn program(name: &str, version: &str) -> Program {
    Program { name: name.to_owned(), version: version.to_owned(), publisher: "Muster".to_owned(), ..Program::default() }
}

/// From now on the requests of that path and query end so.
fn fault(fleet: &Fleet, path_prefix: &str, kind: FaultKind, requests: Option<u32>) {
    fleet.simulator().control().add_fault(Fault { path_prefix: path_prefix.to_owned(), kind, requests });
}

/// Requests for software since the last `forget_served`.
fn asked(fleet: &Fleet) -> Vec<String> {
    let asked = fleet.simulator().control().asked().into_iter();
    asked.filter(|target| target.starts_with("/software/")).collect()
}

/// A JSON answer instead of the true one.
fn answer(body: &Value) -> FaultKind {
    FaultKind::Json { body: body.to_string() }
}
