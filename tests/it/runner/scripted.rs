//! A worker in this process whose one job does what its messages say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::Utc;
use contract::alert_observed::Said;
use contract::topology::{self, Lane, Worker};
use contract::{AlertObserved, Message as _, Meta};
use fault::{Class, Classify, JobError};
use store::testing::TestDatabase;
use tests::{DEADLINE, Got, Vhost, soon, until};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use worker::run::{Args, Program, RunError};
use worker::{Done, Job, Outcome, Received, Registry};

pub(crate) const KIND: &str = AlertObserved::KIND;
/// Whose messages all of them are.
pub(crate) const TENANT: Uuid = Uuid::from_u128(7);

/// What the job was asked and what it did, by agent.
#[derive(Default)]
struct Record {
    begun: BTreeMap<String, u32>,
    applied: Vec<String>,
    is_outage: bool,
}

#[derive(Clone)]
struct Script {
    record: Arc<Mutex<Record>>,
    gate: watch::Sender<bool>,
}

#[derive(Debug, thiserror::Error)]
#[error("as the message asked")]
struct Asked(Class);

impl Classify for Asked {
    fn class(&self) -> Class {
        self.0
    }
}

/// An error that cannot even be told: whoever asks what it says dies.
#[derive(Debug, thiserror::Error)]
struct Untold;

impl std::fmt::Display for Untold {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("planted")
    }
}

impl Classify for Untold {
    fn class(&self) -> Class {
        Class::Permanent
    }
}

impl Script {
    fn record<T>(&self, look: impl FnOnce(&mut Record) -> T) -> T {
        look(&mut self.record.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Job for Script {
    type Message = AlertObserved;

    async fn run(&self, batch: &[Received<AlertObserved>]) -> Result<Vec<Outcome>, JobError> {
        let agents: Vec<&str> = batch.iter().map(|message| message.payload.agent_id.as_str()).collect();
        self.record(|record| {
            for agent in &agents {
                *record.begun.entry((*agent).to_owned()).or_default() += 1;
            }
        });
        if self.record(|record| record.is_outage) {
            return Err(Asked(Class::Outage).into());
        }
        assert!(!agents.contains(&"panics"), "planted");
        if agents.contains(&"hangs") {
            std::future::pending::<()>().await;
        }
        if agents.contains(&"waits for its gate") {
            let _ = self.gate.subscribe().wait_for(|open| *open).await;
        }
        if agents.contains(&"kills its batch") {
            return Err(Untold.into());
        }
        let outcomes = agents.iter().map(|agent| match *agent {
            "fails" => Err(Asked(Class::RETRY).into()),
            _ => Ok(Done::Applied),
        });
        let outcomes: Vec<Outcome> = outcomes.collect();
        self.record(|record| {
            let done = agents.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok());
            record.applied.extend(done.map(|(agent, _)| (*agent).to_owned()));
        });
        Ok(outcomes)
    }
}

/// The running worker with its own database and vhost.
pub(crate) struct Scripted {
    pub(crate) vhost: Vhost,
    database: TestDatabase,
    script: Script,
    args: Args,
    stop: CancellationToken,
    misfit: watch::Sender<String>,
    running: Option<JoinHandle<Result<(), RunError>>>,
}

impl Scripted {
    /// A running worker; the ladder's base is 1 ms unless the test changes it.
    pub(crate) async fn start(change: impl FnOnce(&mut Args)) -> Self {
        let mut worker = Self::declared(change).await;
        worker.run();
        worker
    }

    /// A worker that does not run yet, on a vhost whose queues exist.
    pub(crate) async fn declared(change: impl FnOnce(&mut Args)) -> Self {
        let (vhost, database) = (Vhost::create().await, TestDatabase::create().await);
        let mut args = Args {
            broker: vhost.config(),
            store: store::Config::for_url(database.url()),
            worker: worker::Config::default(),
            telemetry: telemetry::Config::default(),
        };
        change(&mut args);
        vhost.declare_topology(&args.broker).await.expect("an empty vhost takes the topology");
        let script = Script { record: Arc::default(), gate: watch::Sender::new(false) };
        let (stop, misfit) = (CancellationToken::new(), watch::Sender::default());
        Self { vhost, database, script, args, stop, misfit, running: None }
    }

    pub(crate) fn run(&mut self) {
        let (args, script, stop) = (self.args.clone(), self.script.clone(), self.stop.clone());
        let mut misfit = self.misfit.subscribe();
        let (_, guard) = telemetry::scoped("scripted", &args.telemetry).expect("it can be set up");
        let metrics = guard.metrics();
        self.running = Some(tokio::spawn(async move {
            let misfit = async move {
                let told = misfit.wait_for(|line| !line.is_empty()).await.map(|line| line.clone());
                told.unwrap_or_default()
            };
            let registry = Registry::new(Worker::Alert).with(script).until_misfit(misfit);
            let jobs = async |_: &store::Store| Ok(registry);
            worker::run(Program { name: "scripted", version: "0" }, &args, jobs, metrics, stop).await
        }));
    }

    pub(crate) async fn send(&self, agent_id: &str) {
        let body = serde_json::to_vec(&observed(agent_id)).expect("it is JSON");
        self.send_raw(KIND, &body).await;
    }

    /// A message that has burnt attempts already.
    pub(crate) async fn send_retried(&self, agent_id: &str, attempt: i32) {
        let body = serde_json::to_vec(&observed(agent_id)).expect("it is JSON");
        self.publish(KIND, &body, attempt).await;
    }

    pub(crate) async fn send_raw(&self, kind: &str, body: &[u8]) {
        self.publish(kind, body, 0).await;
    }

    async fn publish(&self, kind: &str, body: &[u8], attempt: i32) {
        let properties = envelope(TENANT, kind, body, attempt);
        let key = topology::routing_key(Worker::Alert, Lane::Main, kind);
        assert!(self.vhost.publish(topology::WORK, &key, properties, body).await);
    }

    /// The worker's database.
    pub(crate) fn database(&self) -> &TestDatabase {
        &self.database
    }

    pub(crate) fn applied_exactly(&self, count: usize) -> Result<(), Vec<String>> {
        let applied = self.script.record(|record| record.applied.clone());
        if applied.len() == count { Ok(()) } else { Err(applied) }
    }

    /// How many messages were applied, one that came twice counted twice.
    pub(crate) fn applied_count(&self) -> usize {
        self.script.record(|record| record.applied.len())
    }

    /// The agents whose messages were applied, each once however often it was.
    pub(crate) fn applied(&self) -> BTreeSet<String> {
        self.script.record(|record| record.applied.iter().cloned().collect())
    }

    pub(crate) fn runs_of(&self, agent: &str) -> u32 {
        self.script.record(|record| record.begun.get(agent).copied().unwrap_or_default())
    }

    pub(crate) fn has_begun(&self, agent: &str) -> Result<(), &'static str> {
        if self.runs_of(agent) > 0 { Ok(()) } else { Err("not begun") }
    }

    pub(crate) fn open_gate(&self) {
        self.script.gate.send_replace(true);
    }

    pub(crate) fn set_outage(&self, is_outage: bool) {
        self.script.record(|record| record.is_outage = is_outage);
    }

    pub(crate) fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// From now on the worker's configuration cannot work, for that reason.
    pub(crate) fn turn_out_wrong(&self, reason: &str) {
        self.misfit.send_replace(reason.to_owned());
    }

    /// Waits for the end of a worker that nobody told to stop: how it ended, and how many messages were applied.
    pub(crate) async fn ended(mut self) -> (Result<(), RunError>, usize) {
        let running = self.running.take().expect("it was started");
        let ended = soon("the end of the worker", running).await.expect("it does not panic");
        (ended, self.script.record(|record| record.applied.len()))
    }

    /// Waits for the end of a worker of which a part has died: in order, though nobody told it to stop. Its vhost.
    pub(crate) async fn died(mut self) -> Vhost {
        let running = self.running.take().expect("it was started");
        soon("the end of the worker", running).await.expect("it does not panic").expect("it ends in order");
        assert!(self.stop.is_cancelled());
        self.vhost
    }

    pub(crate) async fn until_parked(&self, count: usize) -> Vec<store::parked::ParkedRow> {
        let store = self.database.store();
        until(DEADLINE, async || {
            let rows = store::parked::list(&store, 100).await.map_err(|error| error.to_string())?;
            if rows.len() == count { Ok(rows) } else { Err(format!("{} parked", rows.len())) }
        })
        .await
    }

    /// Waits until one message waits in the third rung, takes it out, and answers it with the attempts it has burnt.
    pub(crate) async fn until_waiting(&self) -> (Got, i32) {
        let rung = topology::rung_queue(self.args.broker.ladder().rungs()[2]);
        until(DEADLINE, async || match self.vhost.depth(&rung).await {
            Some(1) => Ok(()),
            seen => Err(seen),
        })
        .await;
        let waiting = self.vhost.get_all(&rung).await.remove(0);
        let attempt = waiting.header("x-muster-attempt").and_then(lapin::types::AMQPValue::as_long_int);
        (waiting, attempt.expect("every message says so"))
    }

    /// Stops the worker; the vhost and how many messages were applied.
    pub(crate) async fn stopped(mut self) -> (Vhost, usize) {
        self.stop.cancel();
        let running = self.running.take().expect("it was started");
        soon("the end of the worker", running).await.expect("it does not panic").expect("it ends in order");
        let applied = self.script.record(|record| record.applied.len());
        (self.vhost, applied)
    }

    /// Stops the worker; no queue may hold anything.
    pub(crate) async fn stop_empty(self) {
        let ladder = self.args.broker.ladder();
        let (vhost, _) = self.stopped().await;
        empty(&vhost, &ladder).await;
    }

    /// Waits until no queue holds anything: what was applied may lie there a second time, after a kill before its ack.
    pub(crate) async fn until_empty(&self) {
        until(DEADLINE * 2, async || {
            for queue in queues(&self.args.broker.ladder()) {
                match self.vhost.depth(&queue).await {
                    Some(0) => {}
                    left => return Err(format!("{queue} holds {left:?}")),
                }
            }
            Ok(())
        })
        .await;
    }

    /// No queue may hold anything.
    pub(crate) async fn assert_empty(&self) {
        empty(&self.vhost, &self.args.broker.ladder()).await;
    }
}

fn queues(ladder: &topology::Ladder) -> Vec<String> {
    let mut queues: Vec<String> = Lane::ALL.iter().map(|lane| topology::queue(Worker::Alert, *lane)).collect();
    queues.extend(ladder.rungs().iter().map(|rung| topology::rung_queue(*rung)));
    queues.push(topology::LANDING.to_owned());
    queues
}

async fn empty(vhost: &Vhost, ladder: &topology::Ladder) {
    for queue in queues(ladder) {
        assert_eq!(vhost.depth(&queue).await, Some(0), "{queue}");
    }
}

/// A message's properties, as its first copy has them but for the attempts that it has burnt.
pub(crate) fn envelope(tenant: Uuid, kind: &str, body: &[u8], attempt: i32) -> lapin::BasicProperties {
    let meta = Meta::first::<AlertObserved>(tenant, &[body], Utc::now(), None);
    let mut table = lapin::types::FieldTable::default();
    table.insert("x-muster-tenant".into(), lapin::types::AMQPValue::LongString(meta.tenant.to_string().into()));
    let now_ms = lapin::types::AMQPValue::LongLongInt(meta.first_published_at.timestamp_millis());
    table.insert("x-muster-first-published".into(), now_ms);
    table.insert("x-muster-attempt".into(), lapin::types::AMQPValue::LongInt(attempt));
    lapin::BasicProperties::default()
        .with_message_id(meta.message_id.as_str().into())
        .with_type(kind.into())
        .with_delivery_mode(2)
        .with_headers(table)
}

pub(crate) fn observed(agent_id: &str) -> AlertObserved {
    AlertObserved::bare(Uuid::nil(), Utc::now(), Said::Open, agent_id)
}
