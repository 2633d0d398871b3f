//! Devices and software that are read while workers die, and connections to the broker and sessions of Postgres end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use contract::event::CloudEvent;
use contract::topology;
use serde_json::Value;
use sqlx::Row as _;
use store::run::{Kind, State};
use uuid::Uuid;

use super::{Case, Ground, Outcome, Side, Trial};
use crate::proxy::Fault;
use crate::simulator::Program;
use crate::{DEADLINE, Fleet, until};

pub(super) const CASES: &[Case] = &[Case::new(
    "sync-under-fault",
    "workers killed, connections cut and sessions ended while devices and software are read",
    |ground| Box::pin(under_fault(ground)),
)];

/// Receives every event.
const ALL: &str = "trial.all";
/// Each piece of Tactical's answers takes so long: a sync takes seconds.
const LATENCY: Duration = Duration::from_millis(100);
/// Harm during one kind of sync, at most.
const STEPS_MAX: usize = 6;
/// Agents that are renamed between two rounds.
const RENAMED: usize = 3;

async fn under_fault(ground: Ground) -> Outcome {
    let rounds = ground.pick(2, 6);
    let fleet = Fleet::builder().workers(1).sync_workers(2).inventory_workers(1).proxies();
    let mut trial = Trial::start(ground, fleet).await;
    trial.fleet().amqp().bind_queue(ALL, topology::EVENTS, "rmm.#").await;
    for side in trial.sides() {
        side.map_clients(&trial.fleet).await;
        side.tactical_proxy().set(Fault { latency: LATENCY, ..Fault::NONE });
    }
    let (mut findings, mut told) = (Vec::new(), Told::default());
    for round in 0..rounds {
        if round > 0 {
            change(&trial, round, &mut told);
        }
        if round == 1 {
            // what opens before its device is there gets it without an event
            trial.load(10, 100_000);
        }
        for kind in [Kind::Clients, Kind::Devices, Kind::Software] {
            findings.extend(synced(&mut trial, kind, &mut told).await);
        }
    }
    // workers that were killed had refreshes of these webhooks in hand
    trial.spans_are_lost();
    trial.healed().await;
    if let Some(load) = trial.load.take() {
        load.end().await;
    }
    trial.fleet.until_idle().await;
    for side in trial.sides() {
        findings.extend(differences(&trial, side).await);
    }
    findings.extend(told.differences(&trial).await);
    let mut outcome = trial.finish().await;
    outcome.findings.extend(findings);
    outcome
}

/// Lets both tenants sync while harm is done; what is wrong with the runs.
async fn synced(trial: &mut Trial, kind: Kind, told: &mut Told) -> Vec<String> {
    let mut runs = Vec::new();
    for side in trial.sides() {
        runs.push(side.start_run(&trial.fleet, kind).await);
    }
    let mut victim = 0;
    for step in 0..STEPS_MAX {
        if !is_open(trial, &runs).await {
            assert!(step > 0, "the runs were over before any harm was done");
            break;
        }
        harm(trial, kind, step, &mut victim).await;
        further(trial, &runs).await;
    }
    let began = Instant::now();
    let mut findings = Vec::new();
    for (side, run_id) in trial.sides.iter().zip(runs) {
        let run = side.ended(&trial.fleet, run_id).await;
        if (run.state, &run.error) != (State::Completed, &None) {
            findings.push(format!("tenant {}: a run of {kind:?} has ended so: {run:?}", side.name));
        }
        told.runs.insert(run_id);
    }
    trial.slowest = trial.slowest.max(Some(began.elapsed()));
    findings
}

/// Whether any of the runs goes on; waits for its begin.
async fn is_open(trial: &Trial, runs: &[Uuid]) -> bool {
    let open = "select count(*) filter (where started_at is null), count(*) filter (where finished_at is null)
                from muster.run where run_id = any ($1)";
    until(DEADLINE, async || {
        let row = sqlx::query(open).bind(runs).fetch_one(trial.sql()).await.map_err(|error| error.to_string())?;
        let (waiting, open): (i64, i64) = (row.get(0), row.get(1));
        if waiting == runs.len() as i64 { Err("no run has begun".to_owned()) } else { Ok(open > 0) }
    })
    .await
}

/// Waits until Tactical is asked once more, or the runs are over.
async fn further(trial: &Trial, runs: &[Uuid]) {
    let asked = || trial.sides().iter().map(|side| side.control().asked().len()).sum::<usize>();
    let before = asked();
    until(DEADLINE * 3, async || match asked() > before || !is_open(trial, runs).await {
        true => Ok(()),
        false => Err("nobody asks Tactical"),
    })
    .await;
}

/// By turns: a worker dies, everybody loses the broker, sessions end.
async fn harm(trial: &mut Trial, kind: Kind, step: usize, victim: &mut usize) {
    match step % 3 {
        0 if kind == Kind::Software => {
            let last = *victim;
            trial.fleet().inventory_worker(last).kill();
            *victim = trial.fleet().add_inventory_worker().await;
        }
        0 => {
            trial.fleet().sync_worker(*victim).kill();
            *victim = trial.fleet().begin_sync_worker(&[]);
        }
        1 => trial.fleet().amqp_proxy().cut(),
        _ => {
            let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database()
                       and application_name in ('sync-worker', 'inventory-worker')";
            let ended: i64 = sqlx::query_scalar(end).fetch_one(trial.sql()).await.expect("the database answers");
            assert!(ended > 0, "nobody syncs");
        }
    }
}

/// Agents get other names, and programs.
fn change(trial: &Trial, round: u64, told: &mut Told) {
    for side in trial.sides() {
        let control = side.control();
        for agent in control.agents().into_iter().take(RENAMED) {
            control.rename_agent(agent.pk, &format!("renamed-{round}-{}", agent.pk)).expect("there is such an agent");
            *told.renamed.entry((side.tenant, agent.agent_id)).or_default() += 1;
            if control.programs(agent.pk).is_ok_and(|programs| !programs.is_empty()) {
                let program = Program {
                    name: format!("program {round}"),
                    version: "1".to_owned(),
                    publisher: "Muster".to_owned(),
                    ..Program::default()
                };
                control.install(agent.pk, program).expect("there is such an agent");
            }
        }
    }
}

/// I3 and I6: each agent is one device, as it is, with what is installed on it, and there is no other.
async fn differences(trial: &Trial, side: &Side) -> Vec<String> {
    let devices = "select concat_ws(' ', a.rmm_device_id, a.name, a.rmm_organization_id, g.missing_since)
                   from assets a left join muster.agent g on g.tenant = a.tenant and g.asset_id = a.asset_id
                   where a.tenant = $1 order by 1";
    let programs = "select distinct concat_ws('|', g.agent_id, c.normalized_name, v.version)
                    from muster.software_version v join software_catalog c using (tenant, software_id)
                    join muster.agent g using (tenant, asset_id) where tenant = $1 order by 1";
    let (mut wrong, control) = (Vec::new(), side.control());
    let agents = control.agents();
    let true_devices = agents.iter().map(|it| format!("{} {} {}", it.agent_id, it.hostname, it.client.0));
    let true_programs = agents.iter().flat_map(|agent| {
        let programs = control.programs(agent.pk).expect("there is such an agent").into_iter();
        let line = |it: Program| format!("{}|{}|{}", agent.agent_id, it.name.trim().to_lowercase(), it.version.trim());
        // what an installer has written twice is there once; old agents tell no publisher
        programs.map(line).collect::<BTreeSet<_>>()
    });
    for (what, query, truth) in
        [("devices", devices, true_devices.collect::<Vec<_>>()), ("programs", programs, true_programs.collect())]
    {
        let shown: Vec<String> =
            sqlx::query_scalar(query).bind(side.tenant).fetch_all(trial.sql()).await.expect("the database answers");
        let (lacks, more) = (differs(&truth, &shown), differs(&shown, &truth));
        if !lacks.is_empty() || !more.is_empty() {
            wrong.push(format!("I3: tenant {}: {what} that lack: {lacks:?}, too many: {more:?}", side.name));
        }
    }
    wrong
}

/// What is oftener in one than in the other.
fn differs(one: &[String], other: &[String]) -> Vec<String> {
    let mut counts: BTreeMap<&String, i64> = BTreeMap::new();
    one.iter().for_each(|line| *counts.entry(line).or_default() += 1);
    other.iter().for_each(|line| *counts.entry(line).or_default() -= 1);
    counts.into_iter().filter(|(_, count)| *count > 0).map(|(line, _)| line.clone()).collect()
}

/// What must have been told at the end.
#[derive(Debug, Default)]
struct Told {
    runs: BTreeSet<Uuid>,
    /// How often each agent of a tenant was renamed.
    renamed: BTreeMap<(Uuid, String), usize>,
}

impl Told {
    /// I2: an id has one content, what happened has one id, each run is told once, and so is each new name.
    async fn differences(&self, trial: &Trial) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut bodies: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for got in trial.fleet.amqp().get_all(ALL).await {
            let id = got.message_id();
            if bodies.get(&id).is_some_and(|known| *known != got.body) {
                wrong.push(format!("I2: the event {id} has two contents"));
            }
            bodies.insert(id, got.body);
        }
        let mut happened = BTreeSet::new();
        let (mut runs, mut renamed) = (BTreeSet::new(), BTreeMap::new());
        for body in bodies.values() {
            let event: CloudEvent<Value> = serde_json::from_slice(body).expect("an event can be read");
            let rev = event.data["rev"].as_i64();
            if !happened.insert((event.event_type.clone(), event.tenant, event.subject.clone(), rev)) {
                wrong.push(format!("I2: {} of {} at {rev:?} has two ids", event.event_type, event.subject));
            }
            let changed = event.data["changed"].as_array().into_iter().flatten();
            if event.event_type == "rmm.asset.updated" && changed.into_iter().any(|it| it == "name") {
                let agent = event.data["agent_id"].as_str().unwrap_or_default().to_owned();
                *renamed.entry((event.tenant, agent)).or_insert(0_usize) += 1;
            }
            if event.event_type == "rmm.sync.completed" {
                runs.extend(event.data["run_id"].as_str().and_then(|id| id.parse::<Uuid>().ok()));
            }
        }
        if !self.runs.is_subset(&runs) {
            wrong.push(format!("I2: runs were not told: {:?}", self.runs.difference(&runs)));
        }
        if renamed != self.renamed {
            wrong.push(format!("I2: new names were told {renamed:?} times instead of {:?}", self.renamed));
        }
        wrong
    }
}
