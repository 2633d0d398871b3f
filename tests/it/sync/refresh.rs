//! Refreshes of single devices, and alerts that wait for one.

use store::agent;
use store::run::{Kind, State};
use tests::simulator::{FaultKind, Severity, key};
use tests::{DEADLINE, Fleet, until};
use uuid::Uuid;

use super::{assert_true, assets, fault, still, synced, truths};

/// Which asset an agent's alerts are linked to.
async fn linked(fleet: &Fleet, agent_id: &str) -> Vec<Option<Uuid>> {
    let sql = "select asset_id from rmm_alerts where external_device_id = $1";
    let mut connection = fleet.database().connect().await;
    sqlx::query_scalar(sql).bind(agent_id).fetch_all(&mut connection).await.expect("the database answers")
}

async fn wish(fleet: &Fleet, agent_id: &str) {
    let wish = [(fleet.connection().tenant, fleet.connection().integration_id, agent_id.to_owned())];
    agent::note_refresh(&mut fleet.database().connect().await, &wish).await.expect("it can be wished for");
}

#[tokio::test]
async fn alerts_that_wait_for_their_device_are_linked_by_its_first_sync() {
    let mut config = still(20);
    config.speed = 1.0;
    let fleet = Fleet::builder().workers(1).sync_workers(1).simulator(config).start().await;
    fleet.connect_tactical(key::SYNC).await;
    let control = fleet.simulator().control();
    let agent_id = control.agent(3).expect("it exists").agent_id;
    control.fail_check(3, 1, Severity::Error).expect("it exists").expect("it opens an alert");
    until(DEADLINE, async || match linked(&fleet, &agent_id).await.as_slice() {
        [None] => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    fleet.until_idle().await;
    assert!(assets(&fleet).await.is_empty(), "a refresh imports nothing of a client that is not mapped");
    fleet.map_clients().await;
    assert_eq!(fleet.sync(Kind::Devices).await.0.state, State::Completed);
    let asset_id = assets(&fleet).await[&agent_id].asset_id;
    assert_eq!(linked(&fleet, &agent_id).await, [Some(asset_id)]);
}

#[tokio::test]
async fn a_refresh_that_finds_nobody_changes_nothing_and_parks_nothing() {
    let fleet = synced(10).await;
    let control = fleet.simulator().control();
    let gone = control.agent(3).expect("it exists").agent_id;
    let before = truths(&fleet);
    control.delete_agent(3).expect("it exists");
    for agent_id in [gone.as_str(), "no such agent/..", "ZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ"] {
        wish(&fleet, agent_id).await;
    }
    fleet.until_idle().await;
    assert_true(&fleet, &before).await;
    assert_eq!(store::parked::count(&fleet.store()).await.expect("the database answers"), 0);
}

#[tokio::test]
async fn a_fleet_is_not_idle_while_a_worker_waits_for_an_answer() {
    let fleet = synced(10).await;
    let control = fleet.simulator().control();
    let agent_id = control.agent(3).expect("it exists").agent_id;
    control.rename_agent(3, "renamed").expect("it exists");
    fault(&fleet, &format!("/agents/{agent_id}/"), FaultKind::Slow { delay_ms: 1_000 });
    wish(&fleet, &agent_id).await;
    fleet.until_idle().await;
    assert_eq!(assets(&fleet).await[&agent_id].name, "renamed");
}

#[tokio::test]
async fn a_refresh_that_fails_is_given_up_and_the_next_one_works() {
    let fleet = synced(10).await;
    let control = fleet.simulator().control();
    let agent_id = control.agent(3).expect("it exists").agent_id;
    control.rename_agent(3, "renamed").expect("it exists");
    fault(&fleet, &format!("/agents/{agent_id}/"), FaultKind::ServerError { status: 500 });
    wish(&fleet, &agent_id).await;
    fleet.until_idle().await;
    assert_ne!(assets(&fleet).await[&agent_id].name, "renamed");
    assert_eq!(store::parked::count(&fleet.store()).await.expect("the database answers"), 0);
    control.clear_faults();
    assert_eq!(fleet.sync(Kind::Devices).await.0.state, State::Completed);
    assert_eq!(assets(&fleet).await[&agent_id].name, "renamed");
}
