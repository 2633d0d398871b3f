//! The connection's URL leads to another server than before: two simulated ones, and a person who decides.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde_json::Value;
use store::audit::Entry;
use store::connection::{self, AuthMode, DeviceSource, Save};
use store::organization::{self, Decision, Patch};
use store::run::{Kind, State};
use store::{merge, secret};
use tests::fleet::vault;
use tests::simulator::{AgentTruth, FaultKind, Simulator, key};
use tests::{DEADLINE, Fleet, until};

use super::{assert_whole, assets, fault, still, synced, truths, versions};

fn entry(fleet: &Fleet) -> Entry {
    let tenant = Some(fleet.connection().tenant);
    Entry { tenant, actor: "a person".to_owned(), action: "test", subject: None, detail: serde_json::json!({}) }
}

/// A server with the same machines, whose agents were all installed anew: the same clients by number, names and hardware.
async fn server(agents: u32) -> Simulator {
    let server = Simulator::start(still(agents)).await.expect("a simulator takes a free port");
    let control = server.control();
    for agent in control.agents() {
        control.reinstall_agent(agent.pk).expect("it exists");
    }
    server
}

/// A person gives the connection another URL, with the key of there, and tests it.
async fn move_to(fleet: &Fleet, server: &Simulator) {
    let tenant = fleet.connection().tenant;
    let sealed = ::connection::seal(&vault(), tenant, secret::API_KEY, &SecretString::from(key::SYNC));
    let save = Save {
        tenant,
        instance_url: Some(server.base_url()),
        auth_mode: Some(AuthMode::ApiKey),
        device_source: Some(DeviceSource::Classic),
        secrets: vec![(secret::API_KEY, Some(sealed))],
    };
    connection::save(&fleet.store(), &save, &entry(fleet)).await.expect("the settings can be saved");
    fleet.test_connection().await;
}

async fn held(fleet: &Fleet) -> Option<Value> {
    let found = connection::find(&fleet.store(), fleet.connection().tenant).await.expect("the database answers");
    found.expect("it exists").held
}

async fn confirm(fleet: &Fleet, decision: Decision, server: &Simulator) {
    let (tenant, id, seen) = (fleet.connection().tenant, fleet.connection().integration_id, server.base_url());
    let done = organization::confirm(&fleet.store(), tenant, id, decision, Some(&seen), &entry(fleet)).await;
    assert!(done.expect("the database answers"), "it was held");
}

/// Every sync fails and says why, both sides are kept for the person, and not one row of a device is touched.
async fn assert_held(fleet: &Fleet, server: &Simulator) {
    let before = versions(fleet).await;
    for kind in [Kind::Devices, Kind::Clients] {
        let (run, _) = fleet.sync(kind).await;
        let error = run.error.expect("it says why");
        assert_eq!(run.state, State::Failed, "{error}");
        assert!(error.contains("another Tactical server"), "{error}");
    }
    let held = held(fleet).await.expect("both sides are kept");
    assert_eq!((&held["old_url"], &held["new_url"]), (&fleet.simulator().base_url().into(), &server.base_url().into()));
    let names = |side: &str| -> BTreeMap<String, String> {
        let clients = held[side].as_array().expect("a list").iter();
        clients.map(|one| (text(&one["id"]), text(&one["name"]))).collect()
    };
    let true_names = |truths: Vec<AgentTruth>| -> BTreeMap<String, String> {
        truths.into_iter().map(|truth| (truth.client.0.to_string(), truth.client.1)).collect()
    };
    assert_eq!(names("old"), true_names(fleet.simulator().control().agents()));
    assert_eq!(names("new"), true_names(server.control().agents()));
    assert_eq!(versions(fleet).await, before);
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// Assigns each client to the one that is proposed for it, by its name.
async fn assign(fleet: &Fleet) {
    for mapping in organization::list(&fleet.store(), fleet.connection().tenant).await.expect("the database answers") {
        assert_eq!(mapping.client, None, "nobody's yet: {mapping:?}");
        let proposed = mapping.proposals.first().expect("a client of that name").client.client_id;
        fleet.patch_mapping(mapping.mapping_id, Patch { client_id: Some(Some(proposed)), ..Patch::default() }).await;
    }
}

/// The assets are those of the old server's agents, missing and as they were, and those of the new one's, each with its own
/// customer.
async fn assert_imported(fleet: &Fleet, server: &Simulator) {
    let shown = assets(fleet).await;
    let (old, new) = (truths(fleet), server.control().agents());
    assert_eq!(shown.len(), old.len() + new.len());
    for truth in new {
        let asset = &shown[&truth.agent_id];
        assert_eq!(asset.client_name.as_deref(), Some(truth.client.1.as_str()), "{}", truth.hostname);
        assert_eq!(asset.organization_id, Some(truth.client.0.to_string()));
        assert_eq!(asset.missing_since, None);
    }
    for (agent_id, truth) in old {
        let asset = &shown[&agent_id];
        assert_eq!(asset.client_name.as_deref(), Some(truth.client.1.as_str()), "it stays its customer's");
        assert!(asset.missing_since.is_some(), "the new server does not have it");
    }
    assert_whole(fleet).await;
}

/// The new agents that are proposed to be old ones, by the machines' serial numbers.
async fn assert_proposed(fleet: &Fleet, server: &Simulator, is_expected: impl Fn(&AgentTruth) -> bool) {
    let proposals = merge::list(&fleet.store(), fleet.connection().tenant).await.expect("the database answers");
    let found: BTreeMap<String, String> =
        proposals.into_iter().map(|proposal| (proposal.agent_id, proposal.old_agent_id)).collect();
    // "To be filled by O.E.M." is nobody's own
    let is_telling = |serial: &str| serial.starts_with("SN") || serial.starts_with("C02");
    let olds: BTreeMap<String, String> =
        truths(fleet).into_values().map(|old| (old.serial_number, old.agent_id)).collect();
    let new = server.control().agents().into_iter();
    let expected: BTreeMap<String, String> = new
        .filter(|truth| is_telling(&truth.serial_number) && is_expected(truth))
        .map(|truth| (truth.agent_id, olds[&truth.serial_number].clone()))
        .collect();
    assert!(!expected.is_empty(), "some have a serial number");
    assert_eq!(found, expected);
}

#[tokio::test]
async fn the_devices_of_a_server_that_is_reassigned_come_to_their_own_customers() {
    let fleet = synced(40).await;
    let other = server(40).await;
    // the same numbers are other customers there
    let name = |client| fleet.simulator().control().agents().into_iter().find(|agent| agent.client.0 == client);
    let [one, two] = [1, 2].map(|client| name(client).expect("it has agents").client.1);
    other.control().rename_client(1, &two).expect("it exists");
    other.control().rename_client(2, &one).expect("it exists");
    move_to(&fleet, &other).await;
    assert_held(&fleet, &other).await;

    confirm(&fleet, Decision::Other, &other).await;
    assign(&fleet).await;
    let (run, _) = fleet.sync(Kind::Devices).await;
    assert_eq!((run.state, run.counts.created, run.error), (State::Completed, 40, None));
    assert_imported(&fleet, &other).await;
    // what is another customer's by now is nobody's old device
    assert_proposed(&fleet, &other, |truth| truth.client.0 > 2).await;

    let (store, tenant) = (fleet.store(), fleet.connection().tenant);
    let proposal = merge::list(&store, tenant).await.expect("the database answers").remove(0);
    let merged = merge::accept(&store, tenant, proposal.proposal_id, &entry(&fleet)).await;
    let merged = merged.expect("the database answers").expect("it is open");
    assert_eq!(Some(merged.asset_id), proposal.old_asset_id);
    assert_eq!(fleet.sync(Kind::Devices).await.0.state, State::Completed);
    let asset = assets(&fleet).await.remove(&proposal.agent_id).expect("the new agent has the asset");
    let truth = other.control().agents().into_iter().find(|truth| truth.agent_id == proposal.agent_id);
    let truth = truth.expect("it is the new server's");
    assert_eq!((Some(asset.asset_id), asset.missing_since), (proposal.old_asset_id, None));
    assert_eq!((asset.name, asset.organization_id), (truth.hostname, Some(truth.client.0.to_string())));
    assert_eq!(assets(&fleet).await.len(), 79);
    assert_whole(&fleet).await;
}

#[tokio::test]
async fn a_server_that_was_set_up_anew_and_is_kept_has_its_mappings_and_its_devices_proposed() {
    let fleet = synced(20).await;
    let anew = server(20).await;
    move_to(&fleet, &anew).await;
    assert_held(&fleet, &anew).await;
    confirm(&fleet, Decision::Same, &anew).await;
    let (run, _) = fleet.sync(Kind::Devices).await;
    assert_eq!((run.state, run.counts.created, run.counts.missing), (State::Completed, 20, 20));
    assert_imported(&fleet, &anew).await;
    assert_proposed(&fleet, &anew, |_| true).await;
}

#[tokio::test]
async fn the_same_server_behind_another_url_goes_on_by_itself() {
    let fleet = synced(20).await;
    let moved = Simulator::start(still(20)).await.expect("a simulator takes a free port");
    move_to(&fleet, &moved).await;
    let (run, _) = fleet.sync(Kind::Devices).await;
    assert_eq!((run.state, run.counts.created, run.counts.missing), (State::Completed, 0, 0));
    assert_eq!((held(&fleet).await, assets(&fleet).await.len()), (None, 20));
}

#[tokio::test]
async fn a_refresh_that_is_under_way_while_the_server_is_reassigned_writes_nothing() {
    let fleet = synced(20).await;
    let control = fleet.simulator().control();
    let agent = control.agent(1).expect("it exists");
    control.rename_agent(1, "of-the-old-server").expect("it exists");
    let path = format!("/agents/{}/", agent.agent_id);
    fault(&fleet, &path, FaultKind::Held);
    control.forget_served();
    let wish = [(fleet.connection().tenant, fleet.connection().integration_id, agent.agent_id.clone())];
    store::agent::note_refresh(&mut fleet.database().connect().await, &wish).await.expect("it can be wished for");
    until(DEADLINE, async || match control.asked() {
        asked if asked.contains(&path) => Ok(()),
        asked => Err(asked),
    })
    .await;

    let other = server(20).await;
    move_to(&fleet, &other).await;
    assert_eq!(fleet.sync(Kind::Clients).await.0.state, State::Failed);
    confirm(&fleet, Decision::Other, &other).await;
    assign(&fleet).await;
    control.clear_faults();
    until(DEADLINE, async || match control.served() {
        served if served.iter().any(|one| one.target == path) => Ok(()),
        served => Err(served.len()),
    })
    .await;
    fleet.until_idle().await;
    let asset = assets(&fleet).await.remove(&agent.agent_id).expect("its asset stays");
    assert_eq!((asset.name, asset.organization_id), (agent.hostname, None), "nothing of the old server's was written");
    assert!(asset.missing_since.is_some());
    assert_eq!(fleet.sync(Kind::Devices).await.0.state, State::Completed);
    assert_imported(&fleet, &other).await;
}
