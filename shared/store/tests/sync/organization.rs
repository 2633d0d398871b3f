//! Organisation mappings.

use serde_json::json;
use store::device::{self as devices, Batch, Device, Source};
use store::organization::{self, Decision, Held, HeldClient, Match, Organization, Outcome, Patch, Site, apply_clients};
use store::run::{self, Kind, PartFence};
use store::testing::TestDatabase;
use store::{Error, Left};
use uuid::Uuid;

use crate::world::{World, device, entry, part};

fn organization(id: i64, name: &str) -> Organization {
    let site = Site { id: id * 10, name: "HQ".to_owned(), agent_count: Some(3) };
    Organization { id, name: name.to_owned(), agent_count: Some(3), sites: vec![site] }
}

async fn begun(world: &World) -> PartFence {
    let fence = world.taken(Kind::Clients).await;
    run::plan(&world.store, &fence, &[part("clients")]).await.unwrap();
    world.begin(&fence, "clients").await
}

async fn apply(world: &World, organizations: &[Organization]) -> organization::Applied {
    let fence = begun(world).await;
    let outcome = apply_clients(&world.store, &fence, world.integration_id, organizations).await.unwrap();
    run::finish_part(&world.store, &fence).await.unwrap();
    match outcome {
        Outcome::Applied(applied) => applied,
        other => panic!("{other:?}"),
    }
}

/// The mapping of Tactical's client of that number.
async fn mapping(world: &World, id: &str) -> organization::Mapping {
    let mappings = organization::list(&world.store, world.tenant).await.unwrap();
    mappings.into_iter().find(|mapping| mapping.external_organization_id == id).unwrap()
}

#[tokio::test]
async fn a_renamed_client_keeps_its_mapping_and_a_vanished_one_is_kept_and_marked() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let listed = [organization(1, "Acme Renamed"), organization(2, "Globex"), organization(4, &"ü".repeat(300))];
    let applied = apply(&world, &listed).await;
    assert_eq!((applied.created, applied.renamed, applied.vanished), (1, 1, 1));
    let one = mapping(&world, "1").await;
    assert_eq!(one.external_organization_name.as_deref(), Some("Acme Renamed"));
    assert_eq!(one.client.map(|client| client.client_id), Some(world.clients[0]));
    let new = mapping(&world, "4").await;
    assert!(new.client.is_none() && new.auto_sync_assets && new.agent_count == Some(3));
    assert_eq!(new.external_organization_name.map(|name| name.chars().count()), Some(255));
    assert!(mapping(&world, "3").await.vanished_at.is_some());
    // the same list again writes nothing, and an empty one is no list
    let before = world.versions().await.into_iter().filter(|row| !row.starts_with("muster.outbox")).collect::<Vec<_>>();
    let applied = apply(&world, &listed).await;
    assert_eq!((applied.unchanged, applied.updated, applied.vanished), (3, 0, 0));
    assert_eq!(apply(&world, &[]).await.vanished, 0);
    let after = world.versions().await.into_iter().filter(|row| !row.starts_with("muster.outbox")).collect::<Vec<_>>();
    assert_eq!(after, before);
    // and who comes back is not vanished any more
    apply(&world, &[organization(3, "Initech")]).await;
    assert!(mapping(&world, "3").await.vanished_at.is_none());
}

#[tokio::test]
async fn a_devices_client_is_found_by_its_site_and_else_by_its_name() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    apply(&world, &[organization(1, "Acme"), organization(2, "Globex")]).await;
    let find = async |site, name| {
        organization::find_client(&world.store, world.tenant, world.integration_id, site, name).await.unwrap()
    };
    assert_eq!(find(Some(20), Some("Acme")).await.as_deref(), Some("2"));
    assert_eq!(find(Some(99), Some("Acme")).await.as_deref(), Some("1"));
    assert_eq!(find(None, Some("Nobody")).await, None);
}

#[tokio::test]
async fn proposals_are_found_by_the_same_name_and_by_nearly_the_same() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.run("update rmm_organization_mappings set client_id = null").await;
    apply(&world, &[organization(1, "ACME"), organization(2, "Globex Inc."), organization(3, "Nobody")]).await;
    let proposed = async |id: &str| {
        let proposals = mapping(&world, id).await.proposals;
        proposals.iter().map(|proposal| (proposal.client.client_id, proposal.found)).collect::<Vec<_>>()
    };
    assert_eq!(proposed("1").await, [(world.clients[0], Match::Normalized)]);
    assert_eq!(proposed("2").await, [(world.clients[1], Match::Exact)]);
    assert_eq!(proposed("3").await, []);
}

#[tokio::test]
async fn a_changed_mapping_moves_its_assets_and_an_unassigned_one_leaves_them() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.merge(&world.batch(&[device("a"), device("b")])).await;
    let mapping_id = mapping(&world, "1").await.mapping_id;
    let patch = async |client_id, auto_sync| {
        organization::patch(&world.store, world.tenant, mapping_id, Patch { client_id, auto_sync }, &entry()).await
    };
    assert_eq!(patch(Some(Some(world.clients[1])), None).await.unwrap().unwrap().moved, 2);
    assert!(world.seen().await.values().all(|seen| seen.client_id == world.clients[1]));
    assert_eq!(world.merge(&world.batch(&[device("a"), device("b")])).await.unchanged, 2);
    assert_eq!(patch(Some(None), Some(false)).await.unwrap().unwrap().moved, 0);
    assert!(world.seen().await.values().all(|seen| seen.client_id == world.clients[1]));
    let now = mapping(&world, "1").await;
    assert!(now.client.is_none() && !now.auto_sync_assets && now.asset_count == 2);
    let stranger = patch(Some(Some(Uuid::now_v7())), None).await.unwrap_err();
    assert!(matches!(stranger, Error::Refused { .. }), "{stranger}");
    assert_eq!(world.number("select count(*) from muster.audit").await, 2);
    let unknown = organization::patch(&world.store, world.tenant, Uuid::now_v7(), Patch::default(), &entry()).await;
    assert_eq!(unknown.unwrap(), None);
}

#[tokio::test]
async fn a_mapping_that_algapsa_changed_moves_its_assets_with_the_next_sync() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.merge(&world.batch(&[device("a")])).await;
    let client = world.clients[1];
    world
        .run(&format!(
            "update rmm_organization_mappings set client_id = '{client}' where external_organization_id = '1'"
        ))
        .await;
    assert_eq!(world.merge(&world.batch(&[device("a")])).await.updated, 1);
    assert_eq!(world.one().await.client_id, client);
}

#[tokio::test]
async fn a_held_connection_imports_nothing_until_a_person_has_decided() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.merge(&world.batch(&[device("a")])).await;
    let look = organization::look(&world.store, world.tenant, world.integration_id).await.unwrap().unwrap();
    assert_eq!((look.mapped.len(), look.clients.len(), look.agents["1"].as_slice()), (2, 3, &["a".to_owned()][..]));
    let other = HeldClient { id: "1".to_owned(), name: "Somebody\0 else".to_owned(), agent_count: Some(5) };
    let held = Held { reason: "other agents".to_owned(), new: vec![other], ..Held::default() };
    for (decision, clients) in [(Decision::Same, 2), (Decision::Other, 0)] {
        assert!(organization::hold(&world.store, world.tenant, world.integration_id, &held).await.unwrap());
        assert!(!organization::hold(&world.store, world.tenant, world.integration_id, &held).await.unwrap());
        let other = HeldClient { name: "A third".to_owned(), ..held.new[0].clone() };
        let renewed = Held { new: vec![other], ..held.clone() };
        let renew = async |held: &Held| {
            organization::renew_hold(&world.store, world.tenant, world.integration_id, held).await.unwrap()
        };
        assert!(renew(&renewed).await && !renew(&renewed).await);
        assert_eq!(world.text("select held -> 'new' -> 0 ->> 'name' from muster.connection").await, "A third");
        assert!(renew(&held).await);
        assert_eq!(world.left(&world.batch(&[device("b")])).await, Left::Held);
        let fence = begun(&world).await;
        let refused = apply_clients(&world.store, &fence, world.integration_id, &[organization(1, "x")]).await.unwrap();
        assert_eq!(refused, Outcome::Left(Left::Held));
        run::finish_part(&world.store, &fence).await.unwrap();
        let confirm = async || {
            organization::confirm(&world.store, world.tenant, world.integration_id, decision, None, &entry())
                .await
                .unwrap()
        };
        assert!(confirm().await && !confirm().await);
        assert!(!renew(&renewed).await, "what a sync has read before it undoes no decision");
        let mapped = "select count(*) from rmm_organization_mappings where client_id is not null";
        assert_eq!(world.number(mapped).await, clients);
        assert_eq!(world.text("select confirmed_url from muster.connection").await, "https://api.example.com");
    }
    let name = mapping(&world, "1").await.external_organization_name;
    assert_eq!(name.as_deref(), Some("Somebody\u{FFFD} else"));
    assert!(mapping(&world, "2").await.vanished_at.is_some());
    let after = Batch { server_epoch: 1, ..world.batch(&[device("b")]) };
    assert_eq!(world.left(&after).await, Left::Unmapped);
    assert_eq!(world.one().await.client_id, world.clients[0], "its devices stay where they are");
    assert_eq!(
        json!(null),
        world.text("select held::text from muster.connection").await.parse().unwrap_or(json!(null))
    );
}

#[tokio::test]
async fn a_mapping_that_is_assigned_anew_takes_no_device_of_the_old_server_along() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.merge(&world.batch(&[device("a"), device("b")])).await;
    let one = HeldClient { id: "1".to_owned(), name: "Umbrella".to_owned(), agent_count: None };
    let held = Held { reason: "other agents".to_owned(), new: vec![one], ..Held::default() };
    assert!(organization::hold(&world.store, world.tenant, world.integration_id, &held).await.unwrap());
    let (tenant, id) = (world.tenant, world.integration_id);
    assert!(organization::confirm(&world.store, tenant, id, Decision::Other, None, &entry()).await.unwrap());
    let mapping_id = mapping(&world, "1").await.mapping_id;
    let patch = Patch { client_id: Some(Some(world.clients[1])), auto_sync: None };
    let patched = organization::patch(&world.store, tenant, mapping_id, patch, &entry()).await.unwrap().unwrap();
    assert_eq!(patched.moved, 0);
    let seen = world.seen().await;
    assert_eq!(seen.len(), 2);
    for seen in seen.values() {
        assert!(seen.client_id == world.clients[0] && seen.organization.is_none() && seen.is_missing, "{seen:?}");
    }
    assert_eq!(mapping(&world, "1").await.asset_count, 0);
    // an agent that the new server lists after all is written as it is there
    let after = Batch { server_epoch: 1, ..world.batch(&[device("a")]) };
    assert_eq!(world.merge(&after).await.updated, 1);
    let seen = world.seen().await["a"].clone();
    assert!(seen.client_id == world.clients[1] && seen.organization.as_deref() == Some("1") && !seen.is_missing);
}

/// The connection is held, and a person says that it is another server, which has a client 1.
async fn replaced(world: &World) {
    let one = HeldClient { id: "1".to_owned(), name: "Umbrella".to_owned(), agent_count: None };
    let held = Held { reason: "other agents".to_owned(), new: vec![one], ..Held::default() };
    let (tenant, id) = (world.tenant, world.integration_id);
    assert!(organization::hold(&world.store, tenant, id, &held).await.unwrap());
    assert!(organization::confirm(&world.store, tenant, id, Decision::Other, None, &entry()).await.unwrap());
    let mapping_id = mapping(world, "1").await.mapping_id;
    let patch = Patch { client_id: Some(Some(world.clients[1])), auto_sync: None };
    organization::patch(&world.store, tenant, mapping_id, patch, &entry()).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_was_asked_of_the_server_before_is_not_written_into_the_mappings_of_the_one_after() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let refresh = Batch { source: Source::Detail, ..world.batch(&[device("a")]) };
    let open = world.begun(&["client:1"]).await;
    replaced(&world).await;
    assert_eq!(world.left(&refresh).await, Left::ServerChanged);
    assert!(world.seen().await.is_empty());
    let (run, _) = run::get(&world.store, world.tenant, open.run.run_id).await.unwrap().unwrap();
    assert_eq!(run.state, run::State::Failed, "a run over the server before has ended");
    assert!(run.error.is_some_and(|error| error.contains("another server was confirmed")));
    let epoch = "select server_epoch from muster.connection";
    assert_eq!(world.number(epoch).await, 1);
    assert_eq!(world.merge(&Batch { server_epoch: 1, ..refresh }).await.created, 1);
}

#[tokio::test]
async fn the_devices_of_another_server_are_proposed_to_be_those_of_the_one_before() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let there = Batch { external_client_id: "2".to_owned(), ..world.batch(&[device("old")]) };
    world.merge(&there).await;
    replaced(&world).await;
    let fence = world.begun(&["client:1"]).await;
    let new = Device { serial_number: Some("SERIAL-old".to_owned()), ..device("new") };
    let batch = Batch { fence: Some(fence.clone()), server_epoch: 1, ..world.batch(&[new]) };
    world.merge(&batch).await;
    devices::candidates(&world.store, &fence, &["new".to_owned()].into()).await.unwrap().unwrap();
    let proposals = store::merge::list(&world.store, world.tenant).await.unwrap();
    let proposed: Vec<_> = proposals.iter().map(|one| (one.agent_id.as_str(), one.old_agent_id.as_str())).collect();
    assert_eq!(proposed, [("new", "old")], "same client of ours, same serial number");
}

const OTHER: &str = "https://api.other.example";

/// Says another URL of the connection, as saving it does.
async fn move_to(world: &World, url: &str) {
    world.run(&format!("update rmm_integrations set instance_url = '{url}'")).await;
}

async fn recognise(world: &World, url: &str) -> bool {
    organization::recognise(&world.store, world.tenant, world.integration_id, url).await.unwrap()
}

#[tokio::test]
async fn nothing_is_written_behind_another_url_until_the_server_is_recognised() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    assert!(recognise(&world, "https://api.example.com").await, "an adopted connection has no confirmed URL before");
    world.merge(&world.batch(&[device("a")])).await;
    move_to(&world, "https://API.example.com:443/").await;
    world.merge(&world.batch(&[device("a")])).await;
    move_to(&world, OTHER).await;
    let refresh = Batch { source: Source::Detail, ..world.batch(&[device("a")]) };
    assert_eq!(world.left(&refresh).await, Left::Unconfirmed);
    assert_eq!(world.left(&world.batch(&[device("b")])).await, Left::Unconfirmed);
    let fence = begun(&world).await;
    let refused = apply_clients(&world.store, &fence, world.integration_id, &[organization(1, "x")]).await.unwrap();
    assert_eq!(refused, Outcome::Left(Left::Unconfirmed));
    assert!(!recognise(&world, "https://api.example.com").await, "that server was asked before the URL was changed");
    assert_eq!(world.left(&world.batch(&[device("b")])).await, Left::Unconfirmed);
    assert!(recognise(&world, OTHER).await);
    assert_eq!(world.merge(&world.batch(&[device("b")])).await.created, 1);
}

#[tokio::test]
async fn a_person_decides_about_the_server_that_was_seen_and_about_no_later_one() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    assert!(recognise(&world, "https://api.example.com").await);
    move_to(&world, OTHER).await;
    let held = Held { new_url: Some(OTHER.to_owned()), ..Held::default() };
    assert!(organization::hold(&world.store, world.tenant, world.integration_id, &held).await.unwrap());
    let confirm = async |seen| {
        let (tenant, id) = (world.tenant, world.integration_id);
        organization::confirm(&world.store, tenant, id, Decision::Same, seen, &entry()).await
    };
    let third = "https://api.third.example";
    for seen in [None, Some(third), Some("https://api.example.com")] {
        let error = confirm(seen).await.unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error}");
    }
    assert!(!recognise(&world, OTHER).await, "it is held for this one");
    // the URL changes once more: the hold stays, and is for nobody to decide until that server was looked at
    move_to(&world, third).await;
    let error = confirm(Some(OTHER)).await.unwrap_err().to_string();
    assert!(error.contains("changed since"), "{error}");
    assert_eq!(world.left(&world.batch(&[device("b")])).await, Left::Held);
    let held = Held { new_url: Some(third.to_owned()), ..Held::default() };
    assert!(organization::hold(&world.store, world.tenant, world.integration_id, &held).await.unwrap());
    assert!(confirm(Some(OTHER)).await.is_err() && confirm(Some(third)).await.unwrap());
    assert_eq!(world.text("select confirmed_url from muster.connection").await, third);
    assert_eq!(world.number("select count(*) from muster.audit where action = 'test'").await, 1);
    // back at the first server, which a sync recognises
    assert!(organization::hold(&world.store, world.tenant, world.integration_id, &Held::default()).await.unwrap());
    move_to(&world, "https://api.example.com").await;
    assert!(recognise(&world, "https://api.example.com").await);
    assert_eq!(world.merge(&world.batch(&[device("b")])).await.created, 1);
}
