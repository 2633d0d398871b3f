//! Events as a reader with a queue of its own gets them from real programs.

use std::collections::BTreeSet;
use std::time::Duration;

use contract::envelope::{self, BODY_BYTES_MAX};
use contract::event::{CONTENT_TYPE, EVENTS};
use contract::topology;
use lapin::types::AMQPValue;
use serde_json::{Value, json};
use store::run::{Kind, State};
use store::tenant::{self, NewConnection};
use tests::fleet::PEPPER;
use tests::simulator::{Fault, FaultKind, Program, Severity, SimulatorConfig, key};
use tests::{DEADLINE, Fleet, Got, until};
use uuid::Uuid;

/// Hears all, and one tenant only.
const ALL: &str = "test.all";
const OWN: &str = "test.own";
const OTHER: &str = "test.other";

/// A server on which nothing happens by itself.
fn quiet() -> SimulatorConfig {
    SimulatorConfig { agents: 30, clients: 3, sites_per_client: 2, online_percent: 100, ..SimulatorConfig::default() }
}

/// What came so far, each a sound event in its envelope; by type, in the order of coming.
#[derive(Default)]
struct Heard {
    events: Vec<Value>,
}

impl Heard {
    async fn take(&mut self, fleet: &Fleet, queue: &str) {
        for got in fleet.amqp().get_all(queue).await {
            self.events.push(sound(&got));
        }
    }

    fn types(&self) -> BTreeSet<&str> {
        self.events.iter().filter_map(|event| event["type"].as_str()).collect()
    }

    fn count(&self, name: &str) -> usize {
        self.events.iter().filter(|event| event["type"] == name).count()
    }

    /// Waits until such an event has come.
    async fn until(&mut self, fleet: &Fleet, name: &str) {
        let before = self.count(name);
        let heard = tokio::sync::Mutex::new(self);
        until(DEADLINE, async || {
            let mut heard = heard.lock().await;
            heard.take(fleet, ALL).await;
            if heard.count(name) > before { Ok(()) } else { Err(format!("{name} has not come")) }
        })
        .await;
    }
}

/// The event in a message, whose properties say the same.
fn sound(got: &Got) -> Value {
    let event: Value = serde_json::from_slice(&got.body).expect("an event is JSON");
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let property = |value: &Option<lapin::types::ShortString>| value.as_ref().map(ToString::to_string);
    assert_eq!(property(got.properties.content_type()).as_deref(), Some(CONTENT_TYPE));
    assert_eq!(property(got.properties.kind()), Some(text("type")));
    assert_eq!(got.message_id(), text("id"));
    assert_eq!((got.exchange.as_str(), text("specversion").as_str()), (topology::EVENTS, "1.0"));
    assert_eq!(got.routing_key, format!("{}.{}", text("type"), text("tenant")));
    assert_eq!(event["data"]["tenant"], event["tenant"]);
    let Some(AMQPValue::LongString(tenant)) = got.header(envelope::TENANT) else { panic!("no tenant in its header") };
    assert_eq!(Some(tenant.to_string().as_str()), event["tenant"].as_str());
    assert!(got.body.len() < BODY_BYTES_MAX);
    event
}

async fn completed(fleet: &Fleet, kind: Kind) {
    let (run, _) = fleet.sync(kind).await;
    assert_eq!((run.state, run.error), (State::Completed, None), "{kind:?}");
}

/// What a device's agent says is installed.
fn program(version: &str) -> Program {
    Program { name: "Agent's own".to_owned(), version: version.to_owned(), ..Program::default() }
}

/// A webhook of a connection.
async fn webhook(fleet: &Fleet, tenant: Uuid, secret: &str, body: &Value) {
    let url = format!("{}/api/webhooks/tacticalrmm?tenant={tenant}", fleet.gateway_url());
    let sent = reqwest::Client::new().post(url).header("X-Alga-Webhook-Secret", secret).json(body).send().await;
    assert_eq!(sent.expect("it answers").status(), 202);
}

/// Another tenant of the same fleet, of which one webhook comes.
async fn neighbour(fleet: &Fleet, tenant: Uuid) {
    let secret = store::hook::generate_secret();
    let new = NewConnection {
        tenant,
        client_name: "A neighbour's client".to_owned(),
        instance_url: None,
        digest: Some(store::hook::digest(PEPPER.as_bytes(), &secret)),
        grace: Duration::ZERO,
    };
    tenant::connect(&fleet.store(), &new, "a test").await.expect("a tenant can be made");
    let body = json!({"event": "trigger", "alert_id": 7, "agent_id": "elsewhere", "severity": "error"});
    webhook(fleet, tenant, &secret, &body).await;
}

#[tokio::test]
async fn every_type_of_event_comes_to_whoever_binds_it_and_none_to_another_tenants_queue() {
    let builder = Fleet::builder().workers(1).sync_workers(1).inventory_workers(1).simulator(quiet());
    let fleet = builder.start().await;
    let (tenant, control) = (fleet.connection().tenant, fleet.simulator().control());
    let neighbours = Uuid::new_v4();
    for (queue, key) in
        [(ALL, "rmm.#".to_owned()), (OWN, format!("rmm.*.*.{tenant}")), (OTHER, format!("rmm.*.*.{neighbours}"))]
    {
        fleet.amqp().bind_queue(queue, topology::EVENTS, &key).await;
    }
    let mut heard = Heard::default();
    fleet.connect_tactical(key::SYNC).await;
    fleet.map_clients().await;
    for kind in [Kind::Devices, Kind::Software, Kind::Alerts] {
        completed(&fleet, kind).await;
        heard.until(&fleet, "rmm.sync.completed").await;
    }
    fleet.until_idle().await;
    heard.take(&fleet, ALL).await;
    assert_eq!(heard.types(), BTreeSet::from(["rmm.import.completed", "rmm.sync.completed"]), "a first import floods");
    assert_eq!(heard.count("rmm.import.completed"), 3 + 1 + 1, "three clients, software, alerts");

    alerts(&fleet, &mut heard).await;
    devices_and_software(&fleet, &mut heard).await;
    let kind = FaultKind::Json { body: "{\"detail\": \"no\"}".to_owned() };
    control.add_fault(Fault { path_prefix: "/software/".to_owned(), kind, requests: None });
    assert_eq!(fleet.sync(Kind::Software).await.0.state, State::Failed);
    heard.until(&fleet, "rmm.sync.failed").await;

    neighbour(&fleet, neighbours).await;
    heard.until(&fleet, "rmm.alert.opened").await;
    fleet.until_idle().await;
    heard.take(&fleet, ALL).await;
    let known: BTreeSet<&str> = EVENTS.iter().flat_map(|event| event.types.iter().map(|(name, _)| *name)).collect();
    assert_eq!(heard.types(), known);
    let ids: BTreeSet<String> = heard.events.iter().map(|event| event["id"].to_string()).collect();
    assert_eq!(ids.len(), heard.events.len(), "nothing failed, so nothing came twice");
    let (mut own, mut others) = (Heard::default(), Heard::default());
    own.take(&fleet, OWN).await;
    others.take(&fleet, OTHER).await;
    assert_eq!((own.events.len() + 1, others.events.len()), (heard.events.len(), 1));
    assert!(own.events.iter().all(|event| event["tenant"] == json!(tenant)));
    assert!(others.events.iter().all(|event| event["tenant"] == json!(neighbours)));
}

/// One alert is opened, escalated without a webhook, resolved by a wrong one, found to be open, and ends.
async fn alerts(fleet: &Fleet, heard: &mut Heard) {
    let control = fleet.simulator().control();
    let number = control.fail_check(3, 1, Severity::Warning).expect("it exists").expect("it opens");
    heard.until(fleet, "rmm.alert.opened").await;
    control.fail_check(3, 1, Severity::Error).expect("it exists");
    completed(fleet, Kind::Alerts).await;
    heard.until(fleet, "rmm.alert.updated").await;
    let agent_id = control.agent(3).expect("it exists").agent_id;
    let body = json!({"event": "resolve", "alert_id": number, "agent_id": agent_id});
    webhook(fleet, fleet.connection().tenant, &fleet.connection().secret, &body).await;
    heard.until(fleet, "rmm.alert.resolved").await;
    completed(fleet, Kind::Alerts).await;
    heard.until(fleet, "rmm.alert.reopened").await;
}

/// A device is renamed, one moves, one is reinstalled; a program comes, changes and goes.
async fn devices_and_software(fleet: &Fleet, heard: &mut Heard) {
    let control = fleet.simulator().control();
    control.rename_agent(5, "RENAMED").expect("it exists");
    let from = control.agent(6).expect("it exists").client;
    let elsewhere = control.agents().into_iter().find(|agent| agent.client != from);
    control.move_agent(6, elsewhere.expect("there is another client").site.0).expect("it exists");
    control.reinstall_agent(7).expect("it exists");
    completed(fleet, Kind::Devices).await;
    fleet.until_idle().await;
    heard.take(fleet, ALL).await;
    for change in ["created", "updated", "moved", "missing"] {
        assert!(heard.count(&format!("rmm.asset.{change}")) >= 1, "{change}: {:?}", heard.types());
    }
    assert_eq!((heard.count("rmm.asset.moved"), heard.count("rmm.asset.missing")), (1, 1));
    let reports = |pk: &i64| control.programs(*pk).is_ok_and(|programs| !programs.is_empty());
    let pk = control.agents().into_iter().map(|agent| agent.pk).find(reports).expect("there is a Windows agent");
    completed(fleet, Kind::Software).await;
    let installs = async |version: Option<&str>, name: &str, heard: &mut Heard| {
        let _ = control.uninstall(pk, "Agent's own");
        if let Some(version) = version {
            control.install(pk, program(version)).expect("it exists");
        }
        completed(fleet, Kind::Software).await;
        heard.until(fleet, name).await;
    };
    installs(Some("1"), "rmm.software.installed", heard).await;
    installs(Some("2"), "rmm.software.updated", heard).await;
    installs(None, "rmm.software.removed", heard).await;
}

#[tokio::test]
async fn with_nobody_bound_nothing_piles_up_and_nothing_is_told_later() {
    let fleet = Fleet::builder().workers(1).sync_workers(1).simulator(quiet()).start().await;
    fleet.connect_tactical(key::SYNC).await;
    fleet.map_clients().await;
    completed(&fleet, Kind::Devices).await;
    fleet.simulator().control().rename_agent(5, "RENAMED").expect("it exists");
    completed(&fleet, Kind::Devices).await;
    fleet.simulator().control().fail_check(3, 1, Severity::Error).expect("it exists");
    fleet.until_idle().await;
    assert_eq!(store::outbox::count(&fleet.store()).await.expect("it answers"), 0, "all of it was sent");
    assert_eq!(fleet.amqp().depth(topology::LANDING).await, Some(0), "and has not landed");
    assert_eq!(store::parked::count(&fleet.store()).await.expect("it answers"), 0);
    fleet.amqp().bind_queue(ALL, topology::EVENTS, "rmm.#").await;
    fleet.simulator().control().rename_agent(5, "AGAIN").expect("it exists");
    let mut heard = Heard::default();
    completed(&fleet, Kind::Devices).await;
    heard.until(&fleet, "rmm.sync.completed").await;
    // two relays publish: what was written together comes in any order
    fleet.until_idle().await;
    heard.take(&fleet, ALL).await;
    let told = heard.events.iter().filter(|event| event["type"] == "rmm.asset.updated");
    assert_eq!(told.map(|event| &event["data"]["name"]).collect::<Vec<_>>(), ["AGAIN"], "only what came since");
}
