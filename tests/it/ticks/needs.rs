//! What needs a person, and what a webhook asks for: a kind that only fails is tried once an hour until it succeeds, and a
//! webhook without an identity has the alerts looked at.

use reqwest::Method;
use serde_json::{Value, json};
use store::run::{self, Kind, RunFilter, RunView};
use store::token::Permission;
use tests::simulator::{Role, SimulatorConfig, key};
use tests::{DEADLINE, Fleet, until};

use super::{due, number};

/// A fleet that ticks, connected to its simulator; each schedule has had a slot just now, so that none comes by itself.
async fn connected() -> Fleet {
    let quiet = SimulatorConfig { agents: 20, clients: 3, speed: 0.0, ..SimulatorConfig::default() };
    let fleet = Fleet::builder().ticks().workers(1).sync_workers(1).console().simulator(quiet).start().await;
    fleet.connect_tactical(key::SYNC).await;
    fleet
        .database()
        .execute(
            "update muster.schedule
             set interval_s = 300, phase_s = floor(extract(epoch from now()))::bigint % 604800, last_slot = null;
             update muster.schedule set next_due_at = muster.next_slot(now(), interval_s, phase_s)",
        )
        .await;
    fleet
}

/// Waits until so many runs of a kind have ended, all begun by the schedule; the latest.
async fn ended(fleet: &Fleet, kind: Kind, count: usize) -> RunView {
    let (store, tenant) = (fleet.store(), fleet.connection().tenant);
    let of_kind = RunFilter { kind: Some(kind), ..RunFilter::default() };
    until(DEADLINE * 3, async || {
        let runs = run::page(&store, tenant, &of_kind, 10).await.expect("the database answers");
        assert!(runs.iter().all(|run| run.requested_by == "schedule"), "{runs:?}");
        let ended = runs.iter().filter(|run| run.state.is_ended()).count();
        if ended == count && runs.len() == count { Ok(runs[0].clone()) } else { Err(format!("{runs:?}")) }
    })
    .await
}

/// What the console shows of a kind's schedule, and the state of the connection.
async fn shown(fleet: &Fleet, token: &str, kind: Kind) -> (Value, Value) {
    let schedules = fleet.ask(token, Method::GET, "/integrations/tacticalrmm/schedules", None).await;
    let status = fleet.ask(token, Method::GET, "/integrations/tacticalrmm", None).await;
    let schedules = schedules.json["schedules"].as_array().expect("a list").clone();
    let schedule = schedules.into_iter().find(|schedule| schedule["kind"] == kind.as_str()).expect("it is there");
    (schedule, status.json["state"].clone())
}

/// Seconds until the next slot of the clients.
async fn next_in_s(fleet: &Fleet) -> i64 {
    let left = "select extract(epoch from next_due_at - now())::bigint from muster.schedule where kind = 'clients'";
    number(&mut fleet.database().connect().await, left).await
}

#[tokio::test]
async fn what_only_a_person_can_mend_is_tried_once_an_hour_until_it_works() {
    let fleet = connected().await;
    let token = fleet.token(&Permission::ALL).await;
    let control = fleet.simulator().control();
    let role = control.role("sync").expect("it exists");
    control.set_role("sync", Role::default()).expect("it exists");
    for failure in 1..=3 {
        due(&fleet, Kind::Clients).await;
        let run = ended(&fleet, Kind::Clients, failure).await;
        assert!(run.error.is_some(), "{run:?}");
        let (schedule, _) = shown(&fleet, &token, Kind::Clients).await;
        assert_eq!(schedule["failing"]["count"], json!(failure), "{schedule}");
        assert_eq!(schedule["failing"]["attention_at"].is_string(), failure == 3, "{schedule}");
        let passed = "update muster.schedule set failing_since = failing_since - interval '10 minutes'";
        fleet.database().execute(passed).await;
    }
    assert_eq!(shown(&fleet, &token, Kind::Clients).await.1, "needs_attention");
    let slow_s = next_in_s(&fleet).await;
    assert!((1_800..=3_600).contains(&slow_s), "the next one comes in {slow_s} s");

    control.set_role("sync", role).expect("it exists");
    due(&fleet, Kind::Clients).await;
    assert_eq!(ended(&fleet, Kind::Clients, 4).await.error, None);
    let (schedule, state) = shown(&fleet, &token, Kind::Clients).await;
    assert_eq!((&schedule["failing"], state), (&Value::Null, json!("active")));
    let usual_s = next_in_s(&fleet).await;
    assert!(usual_s <= 300, "the next one comes in {usual_s} s");
    fleet.until_idle().await;
}

#[tokio::test]
async fn a_webhook_without_an_identity_has_the_alerts_looked_at() {
    let fleet = connected().await;
    let agent = fleet.simulator().control().agent(3).expect("it exists").agent_id;
    let sent = reqwest::Client::new().post(fleet.webhook_url());
    let sent = sent.header("X-Alga-Webhook-Secret", &fleet.connection().secret);
    let sent = sent.json(&json!({"event": "trigger", "agent_id": agent})).send().await;
    assert_eq!(sent.expect("it answers").status(), 202);
    assert_eq!(ended(&fleet, Kind::Alerts, 1).await.error, None);
    let wishes = "select count(*) from muster.reconcile_wish where wished_at is not null";
    assert_eq!(number(&mut fleet.database().connect().await, wishes).await, 0);
    fleet.until_idle().await;
}
