//! Organisation mappings.

use serde_json::json;
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
        assert_eq!(world.left(&world.batch(&[device("b")])).await, Left::Held);
        let fence = begun(&world).await;
        let refused = apply_clients(&world.store, &fence, world.integration_id, &[organization(1, "x")]).await.unwrap();
        assert_eq!(refused, Outcome::Left(Left::Held));
        run::finish_part(&world.store, &fence).await.unwrap();
        let confirm = async || {
            organization::confirm(&world.store, world.tenant, world.integration_id, decision, &entry()).await.unwrap()
        };
        assert!(confirm().await && !confirm().await);
        let mapped = "select count(*) from rmm_organization_mappings where client_id is not null";
        assert_eq!(world.number(mapped).await, clients);
        assert_eq!(world.text("select confirmed_url from muster.connection").await, "https://api.example.com");
    }
    let name = mapping(&world, "1").await.external_organization_name;
    assert_eq!(name.as_deref(), Some("Somebody\u{FFFD} else"));
    assert!(mapping(&world, "2").await.vanished_at.is_some());
    assert_eq!(world.left(&world.batch(&[device("b")])).await, Left::Unmapped);
    assert_eq!(world.one().await.client_id, world.clients[0], "its devices stay where they are");
    assert_eq!(
        json!(null),
        world.text("select held::text from muster.connection").await.parse().unwrap_or(json!(null))
    );
}
