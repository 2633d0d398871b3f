//! The first sync, the second one that finds nothing new, and what is shown as time passes.

use chrono::TimeDelta;
use store::run::{Kind, RunFilter, State};
use store::{organization, run, view};
use tests::simulator::key;
use tests::{Fleet, soon};

use super::{assert_true, assets, counts, mapped, still, synced, truths, versions};

#[tokio::test]
async fn a_first_sync_imports_the_mapped_clients_agents_as_they_are() {
    let fleet = mapped(60).await;
    let (run, parts) = fleet.sync(Kind::Devices).await;
    assert_eq!((run.state, run.error.as_deref()), (State::Completed, None));
    assert_eq!((run.counts.seen, counts(&run)), (60, (60, 0, 0)));
    assert_eq!(run.counts.expected, Some(60));
    let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(names.len(), 4, "a part for each client: {names:?}");
    assert_true(&fleet, &truths(&fleet)).await;
    let connection = store::connection::find(&fleet.store(), fleet.connection().tenant).await.expect("it answers");
    let connection = connection.expect("it exists");
    assert_eq!(connection.sync_status.as_deref(), Some("completed"));
    assert!(connection.last_sync_at.is_some() && connection.last_full_sync_at.is_some());
}

#[tokio::test]
async fn an_unmapped_or_switched_off_organisation_imports_nothing() {
    let fleet = mapped(40).await;
    let (store, tenant) = (fleet.store(), fleet.connection().tenant);
    let mappings = organization::list(&store, tenant).await.expect("the database answers");
    fleet
        .patch_mapping(mappings[0].mapping_id, organization::Patch { client_id: Some(None), ..Default::default() })
        .await;
    fleet
        .patch_mapping(mappings[1].mapping_id, organization::Patch { auto_sync: Some(false), ..Default::default() })
        .await;
    let (run, parts) = fleet.sync(Kind::Devices).await;
    assert_eq!((run.state, parts.len()), (State::Completed, 2));
    let left = [&mappings[0].external_organization_id, &mappings[1].external_organization_id];
    let mut expected = truths(&fleet);
    expected.retain(|_, truth| !left.contains(&&truth.client.0.to_string()));
    assert_true(&fleet, &expected).await;
}

#[tokio::test]
async fn a_sync_of_an_unchanged_server_rewrites_no_row() {
    let fleet = synced(60).await;
    let before = versions(&fleet).await;
    assert_eq!(before.len(), 60 * 4);
    let (run, _) = fleet.sync(Kind::Devices).await;
    assert_eq!((run.state, counts(&run)), (State::Completed, (0, 0, 60)));
    assert_eq!(versions(&fleet).await, before);
}

#[tokio::test]
async fn a_large_site_is_read_in_batches_within_one_part() {
    let fleet = Fleet::builder()
        .without_gateway()
        .sync_workers(1)
        .simulator(tests::simulator::SimulatorConfig { clients: 1, sites_per_client: 1, ..still(2_500) })
        .start()
        .await;
    fleet.connect_tactical(key::SYNC).await;
    fleet.map_clients().await;
    let (run, parts) = fleet.sync(Kind::Devices).await;
    assert_eq!((run.state, run.counts.created, parts.len()), (State::Completed, 2_500, 1));
    assert_true(&fleet, &truths(&fleet)).await;
}

#[tokio::test]
async fn ten_simulated_minutes_after_a_sync_the_healthy_fleet_is_still_online_with_its_age() {
    let fleet = synced(30).await;
    let (store, tenant) = (fleet.store(), fleet.connection().tenant);
    let before = view::fleet(&store, tenant).await.expect("the database answers");
    assert_eq!((before.online, before.offline, before.overdue), (30, 0, 0));
    fleet.simulator().control().advance(TimeDelta::minutes(10));
    let idle = view::fleet(&store, tenant).await.expect("the database answers");
    assert_eq!((idle.online, idle.newest_status_at), (30, before.newest_status_at), "time alone changes nothing");
    for (agent_id, asset) in assets(&fleet).await {
        let observed = asset.status_observed_at.expect("a synced status has its age");
        assert!(observed <= asset.database_now, "{agent_id}: {observed}");
    }
    fleet.sync(Kind::Devices).await;
    let after = view::fleet(&store, tenant).await.expect("the database answers");
    assert_eq!((after.online, after.offline, after.overdue), (30, 0, 0));
    assert!(after.oldest_status_at > before.newest_status_at, "a fresh read renews the age of every device");
    assert_true(&fleet, &truths(&fleet)).await;
}

#[tokio::test]
async fn a_wish_for_a_second_run_is_given_the_first() {
    let fleet = mapped(20).await;
    let first = fleet.start_run(Kind::Devices).await;
    let second = fleet.start_run(Kind::Devices).await;
    let (run, _) = soon("the end of the run", fleet.ended(first)).await;
    assert_eq!((second, run.state, run.counts.created), (first, State::Completed, 20));
    let runs = run::page(&fleet.store(), fleet.connection().tenant, &RunFilter::default(), 10)
        .await
        .expect("the database answers");
    assert_eq!(runs.iter().filter(|run| run.kind == Kind::Devices).count(), 1);
}
