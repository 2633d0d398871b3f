//! Which server stands behind the connection, and a connection that ends.

use store::run::{Kind, State};
use store::{connection, organization};
use tests::simulator::{FaultKind, Replacement};
use tests::{DEADLINE, Fleet, until};

use super::{assert_true, assets, fault, synced, truths, versions};

async fn held(fleet: &Fleet) -> Option<serde_json::Value> {
    let found = connection::find(&fleet.store(), fleet.connection().tenant).await.expect("the database answers");
    found.expect("it exists").held
}

#[tokio::test]
async fn a_renamed_client_keeps_its_mapping_and_its_devices() {
    let fleet = synced(40).await;
    let control = fleet.simulator().control();
    control.rename_client(2, "Ümlaut & Söhne").expect("it exists");
    let before = versions(&fleet).await;
    assert_eq!(fleet.sync(Kind::Clients).await.0.state, State::Completed);
    assert_eq!(fleet.sync(Kind::Devices).await.0.state, State::Completed);
    assert_eq!(held(&fleet).await, None);
    assert_eq!(versions(&fleet).await, before, "the devices have nothing to do with the name");
    let mappings = organization::list(&fleet.store(), fleet.connection().tenant).await.expect("the database answers");
    let renamed = mappings.iter().find(|mapping| mapping.external_organization_id == "2").expect("it is there");
    assert_eq!(renamed.external_organization_name.as_deref(), Some("Ümlaut & Söhne"));
    assert!(renamed.client.is_some());
}

#[tokio::test]
async fn another_server_behind_the_connection_is_held_and_nothing_is_imported() {
    let fleet = synced(40).await;
    let (before, mappings) = (versions(&fleet).await, mappings(&fleet).await);
    fleet.simulator().control().replace_server(Replacement::Other);
    for kind in [Kind::Devices, Kind::Clients, Kind::Devices] {
        let (run, _) = fleet.sync(kind).await;
        assert_eq!(run.state, State::Failed);
        let error = run.error.expect("it says why");
        assert!(error.contains("another Tactical server"), "{error}");
    }
    let held = held(&fleet).await.expect("both sides are kept for the person who decides");
    assert!(held.to_string().contains(&mappings[0].1), "the old names stand in it: {held}");
    let shown = fleet.simulator().control().agents().remove(0).client.1;
    assert!(held.to_string().contains(&shown), "and the new ones, such as {shown}: {held}");
    // and what a person decides about is what answers by then
    fleet.simulator().control().rename_client(1, "Renamed since").expect("it exists");
    fleet.sync(Kind::Clients).await;
    let held = self::held(&fleet).await.expect("it is still held");
    assert!(held["new"].to_string().contains("Renamed since"), "{held}");
    assert_eq!(versions(&fleet).await, before);
    assert_eq!(super::server::mappings(&fleet).await, mappings);
}

async fn mappings(fleet: &Fleet) -> Vec<(String, String)> {
    let listed = organization::list(&fleet.store(), fleet.connection().tenant).await.expect("the database answers");
    listed
        .into_iter()
        .map(|mapping| (mapping.external_organization_id, mapping.external_organization_name.unwrap_or_default()))
        .collect()
}

#[tokio::test]
async fn a_restored_server_is_the_same_server() {
    let fleet = synced(20).await;
    fleet.simulator().control().replace_server(Replacement::Restored);
    assert_eq!(fleet.sync(Kind::Clients).await.0.state, State::Completed);
    assert_eq!(fleet.sync(Kind::Devices).await.0.state, State::Completed);
    assert_eq!(held(&fleet).await, None);
    assert_true(&fleet, &truths(&fleet)).await;
}

#[tokio::test]
async fn a_disconnect_in_the_middle_ends_the_run_and_nothing_more_is_written() {
    let mut fleet = synced(20).await;
    fault(&fleet, "/agents/?client=", FaultKind::Slow { delay_ms: 1_000 });
    fleet.simulator().control().rename_agent(1, "renamed-meanwhile").expect("it exists");
    let run_id = fleet.start_run(Kind::Devices).await;
    let control = fleet.simulator().control();
    let (store, tenant) = (fleet.store(), fleet.connection().tenant);
    until(DEADLINE, async || {
        let (run, _) = store::run::get(&store, tenant, run_id).await.expect("it answers").expect("it exists");
        if run.parts > 0 { Ok(()) } else { Err(run.state) }
    })
    .await;
    let before = versions(&fleet).await;
    fleet.disconnect().await;
    let (run, _) = fleet.ended(run_id).await;
    assert_eq!((run.state, run.error.as_deref()), (State::Failed, Some("disconnected")));
    control.clear_faults();
    fleet.until_idle().await;
    // what it has in hand comes to its end while the server still answers
    assert!(fleet.sync_worker(0).terminate(DEADLINE * 2).await.success(), "it ends in order");
    assert_eq!(versions(&fleet).await, before);
    assert!(assets(&fleet).await.values().all(|asset| asset.name != "renamed-meanwhile"));
}
