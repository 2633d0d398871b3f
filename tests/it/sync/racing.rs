//! Several workers, and workers that die, sleep or come late: no duplicate, no older value over a newer one.

use contract::DevicesSync;
use store::outbox::NewRow;
use store::run::{Kind, State};
use store::{agent, outbox};
use tests::simulator::{FaultKind, key};
use tests::{DEADLINE, Fleet, until};
use uuid::Uuid;

use super::{assert_true, assets, fault, still, truths, versions};

/// Two workers whose relays are quick, connected and mapped.
async fn fleet(sync_workers: usize) -> Fleet {
    let fleet = Fleet::builder()
        .without_gateway()
        .sync_workers(sync_workers)
        .simulator(still(40))
        .set("MUSTER_RELAY_SWEEP_MS", 100)
        .set("MUSTER_RELAY_LEASE_MS", 1_000)
        .start()
        .await;
    fleet.connect_tactical(key::SYNC).await;
    fleet.map_clients().await;
    fleet
}

/// The run's own message comes once more, as after a redelivery.
async fn send_again(fleet: &Fleet, run_id: Uuid) {
    let (tenant, integration_id) = (fleet.connection().tenant, fleet.connection().integration_id);
    let payload = DevicesSync { integration_id, run_id, part: None };
    let row = NewRow::message(tenant, &[run_id.as_bytes(), b"again"], &payload, None);
    let written = outbox::insert(&mut fleet.database().connect().await, &[row]).await;
    assert_eq!(written.expect("the database takes it"), 1);
}

/// Waits until so many parts have begun.
async fn until_begun(fleet: &Fleet, run_id: Uuid, count: usize) {
    until(DEADLINE, async || {
        let (run, parts) = fleet.run(run_id).await;
        let begun = parts.iter().filter(|part| part.attempt > 0).count();
        if begun >= count { Ok(()) } else { Err((run.state, begun)) }
    })
    .await;
}

/// (22) of what the incumbent gets wrong.
#[tokio::test]
async fn two_workers_with_one_run_twice_make_no_duplicate() {
    let fleet = fleet(2).await;
    fault(&fleet, "/agents/?client=", FaultKind::Slow { delay_ms: 300 });
    let run_id = fleet.start_run(Kind::Devices).await;
    until_begun(&fleet, run_id, 1).await;
    send_again(&fleet, run_id).await;
    let (run, _) = fleet.ended(run_id).await;
    assert_eq!(run.state, State::Completed);
    assert_true(&fleet, &truths(&fleet)).await;
    fleet.until_idle().await;
    assert_eq!(fleet.run(run_id).await.0.counts.seen, 40);
}

/// (22) of what the incumbent gets wrong.
#[tokio::test]
async fn a_worker_that_is_killed_in_the_middle_leaves_its_parts_to_another() {
    let mut fleet = fleet(1).await;
    fault(&fleet, "/agents/?client=", FaultKind::Slow { delay_ms: 2_000 });
    let run_id = fleet.start_run(Kind::Devices).await;
    until_begun(&fleet, run_id, 2).await;
    fleet.sync_worker(0).kill();
    fleet.simulator().control().clear_faults();
    assert!(!fleet.run(run_id).await.0.state.is_ended(), "the test must kill it in the middle");
    fleet.add_sync_worker().await;
    let (run, _) = fleet.ended(run_id).await;
    assert_eq!((run.state, run.error), (State::Completed, None));
    assert_true(&fleet, &truths(&fleet)).await;
}

#[tokio::test]
async fn a_worker_that_wakes_after_its_run_was_taken_over_writes_nothing_more() {
    let mut fleet = fleet(1).await;
    assert_eq!(fleet.sync(Kind::Devices).await.0.state, State::Completed);
    let control = fleet.simulator().control();
    let rename_all = |name: &str| {
        for agent in control.agents() {
            control.rename_agent(agent.pk, name).expect("it exists");
        }
    };
    rename_all("old-name");
    fault(&fleet, "/agents/?client=", FaultKind::Held);
    control.forget_served();
    let run_id = fleet.start_run(Kind::Devices).await;
    let is_list = |target: &str| target.starts_with("/agents/?client=");
    until(DEADLINE, async || match control.asked() {
        asked if asked.iter().any(|target| is_list(target)) => Ok(()),
        asked => Err(asked),
    })
    .await;
    fleet.sync_worker(0).signal("STOP");
    control.clear_faults();
    // the answer is on its way to it, with the old names
    until(DEADLINE, async || match control.served() {
        served if served.iter().any(|one| is_list(&one.target)) => Ok(()),
        served => Err(served),
    })
    .await;
    rename_all("new-name");
    fleet.add_sync_worker().await;
    send_again(&fleet, run_id).await;
    let (run, _) = fleet.ended(run_id).await;
    assert_eq!((run.state, run.epoch), (State::Completed, 2));
    assert_true(&fleet, &truths(&fleet)).await;
    let before = versions(&fleet).await;
    fleet.sync_worker(0).signal("CONT");
    fleet.until_idle().await;
    assert!(fleet.sync_worker(0).terminate(DEADLINE * 2).await.success(), "it ends in order");
    assert_eq!(versions(&fleet).await, before);
    assert_eq!(fleet.run(run_id).await.0, run, "and the run is as it was");
}

#[tokio::test]
async fn a_list_that_was_asked_for_before_a_refresh_does_not_overwrite_it() {
    let fleet = fleet(1).await;
    assert_eq!(fleet.sync(Kind::Devices).await.0.state, State::Completed);
    let control = fleet.simulator().control();
    let agent_id = control.agent(1).expect("it exists").agent_id;
    let client = control.agent(1).expect("it exists").client.0;
    fault(&fleet, &format!("/agents/?client={client}"), FaultKind::Slow { delay_ms: 4_000 });
    let run_id = fleet.start_run(Kind::Devices).await;
    until_begun(&fleet, run_id, 4).await;
    control.rename_agent(1, "from-the-refresh").expect("it exists");
    let (tenant, integration_id) = (fleet.connection().tenant, fleet.connection().integration_id);
    let wish = [(tenant, integration_id, agent_id.clone())];
    agent::note_refresh(&mut fleet.database().connect().await, &wish).await.expect("it can be wished for");
    let name = async || assets(&fleet).await.remove(&agent_id).expect("it is there").name;
    until(DEADLINE, async || match name().await {
        name if name == "from-the-refresh" => Ok(()),
        name => Err(name),
    })
    .await;
    control.rename_agent(1, "from-the-list").expect("it exists");
    assert!(!fleet.run(run_id).await.0.state.is_ended(), "the list must come after the refresh");
    assert_eq!(fleet.ended(run_id).await.0.state, State::Completed);
    assert_eq!(name().await, "from-the-refresh", "what was asked for earlier is older");
    control.clear_faults();
    assert_eq!(fleet.sync(Kind::Devices).await.0.state, State::Completed);
    assert_eq!(name().await, "from-the-list");
}
