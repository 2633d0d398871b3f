//! Devices that are gone.

use std::collections::HashSet;

use store::device::{self, Batch, Device};
use store::organization::{Organization, Site};
use store::run::{self, State};
use store::testing::TestDatabase;

use crate::world::{World, device};

fn listed(ids: &[&str]) -> HashSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

async fn is_missing(world: &World, agent: &str) -> bool {
    world.seen().await[agent].is_missing
}

#[tokio::test]
async fn a_device_is_missing_only_with_two_evidences_and_its_asset_stays_as_it_is() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.merge(&world.batch(&[device("a"), device("b"), device("gone")])).await;
    let assets =
        "select string_agg(ctid::text || xmin::text || status || agent_status, ',' order by asset_id) from assets";
    let before = world.text(assets).await;
    let fence = world.begun(&["client:1"]).await;
    // one list lacks it: the run goes on with a part that looks at all agents
    assert_eq!(world.complete(&fence, &[device("a"), device("b")]).await, Some(State::Running));
    assert!(!is_missing(&world, "gone").await);
    let message = "select count(*) from muster.outbox where convert_from(body, 'UTF8') like '%\"confirm\"%'";
    assert_eq!(world.number(message).await, 1);
    let confirm = world.begin(&fence.run, "confirm").await;
    // while another server seems to answer, no answer says that anything is gone
    world.run("update muster.connection set held_at = now(), held = '{}'").await;
    assert_eq!(device::confirm_missing(&world.store, &confirm, &listed(&["a", "b"])).await.unwrap(), None);
    assert_eq!(device::mark_strays(&world.store, &confirm, &listed(&["gone"])).await.unwrap(), None);
    world.run("update muster.connection set held_at = null, held = null").await;
    assert_eq!(device::confirm_missing(&world.store, &confirm, &listed(&["a", "b"])).await.unwrap(), Some(1));
    assert_eq!(run::finish_part(&world.store, &confirm).await.unwrap(), Some(State::Completed));
    assert!(is_missing(&world, "gone").await && !is_missing(&world, "a").await);
    assert_eq!(world.text(assets).await, before, "nothing is deactivated");
    let (run, _) = run::get(&world.store, world.tenant, fence.run.run_id).await.unwrap().unwrap();
    assert_eq!((run.counts.missing, run.counts.seen), (1, 2));
    // and it is not found again by the next run
    let next = world.begun(&["client:1"]).await;
    assert_eq!(world.complete(&next, &[device("a"), device("b")]).await, Some(State::Completed));
}

#[tokio::test]
async fn a_device_that_the_second_list_shows_is_not_missing_and_its_age_goes_on() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.merge(&world.batch(&[device("a"), device("elsewhere")])).await;
    let fence = world.begun(&["client:1"]).await;
    world.complete(&fence, &[device("a")]).await;
    let confirm = world.begin(&fence.run, "confirm").await;
    assert_eq!(device::confirm_missing(&world.store, &confirm, &listed(&["a", "elsewhere"])).await.unwrap(), Some(0));
    run::finish_part(&world.store, &confirm).await.unwrap();
    assert!(!is_missing(&world, "elsewhere").await);
    let fresh = "select string_agg(agent_id, ',') from muster.agent where external_client_id = '1'";
    assert_eq!(world.text(fresh).await, "a", "no list tells of the other one");
    // mapped at last, its client's list brings it in
    let there = Batch { external_client_id: "2".to_owned(), ..world.batch(&[device("elsewhere")]) };
    assert_eq!(world.merge(&there).await.created, 0);
    assert_eq!(world.seen().await["elsewhere"].client_id, world.clients[1]);
}

/// What a list of clients shows of the first one: all its agents, and its sites with theirs.
fn shown(agent_count: i64, sites: &[(i64, &str, i64)]) -> Organization {
    let site =
        |(id, name, count): &(i64, &str, i64)| Site { id: *id, name: (*name).to_owned(), agent_count: Some(*count) };
    let sites = sites.iter().map(site).collect();
    Organization { id: 1, name: "Acme".to_owned(), agent_count: Some(agent_count), sites }
}

/// Site 11 is HQ with agent a; site 12 is Bonn with agent b, which neither list shows any more. How many were forgotten.
async fn without_bonn(world: &World, shown: Organization) -> u64 {
    let bonn = Device { site: Some("Bonn".to_owned()), ..device("b") };
    world.merge(&world.batch(&[device("a"), bonn])).await;
    for (id, name) in [(11, "HQ "), (12, "Bonn")] {
        let (tenant, integration) = (world.tenant, world.integration_id);
        world
            .run(&format!("insert into muster.site values ('{tenant}', '{integration}', '{id}', '1', '{name}')"))
            .await;
    }
    let fence = world.begun(&["client:1"]).await;
    world.complete(&fence, &[device("a")]).await;
    let confirm = world.begin(&fence.run, "confirm").await;
    let forgotten = device::forget_hidden(&world.store, &confirm, &[shown]).await.unwrap().unwrap();
    device::confirm_missing(&world.store, &confirm, &listed(&["a"])).await.unwrap().unwrap();
    assert_eq!(run::finish_part(&world.store, &confirm).await.unwrap(), Some(State::Completed));
    forgotten
}

#[tokio::test]
async fn a_device_that_went_with_its_site_is_missing() {
    for sites in [&[(11, "HQ", 1)][..], &[(11, " HQ", 1), (12, "Cologne", 0)]] {
        let database = TestDatabase::create().await;
        let world = World::new(&database).await;
        assert_eq!(without_bonn(&world, shown(1, sites)).await, 0, "{sites:?}");
        assert!(is_missing(&world, "b").await && !is_missing(&world, "a").await, "{sites:?}");
    }
}

#[tokio::test]
async fn a_hidden_device_is_not_missing_and_its_status_ages() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    // the client has two agents, and the site that is shown has one
    assert_eq!(without_bonn(&world, shown(2, &[(11, "HQ", 1)])).await, 1);
    assert!(!is_missing(&world, "b").await);
    let assets = store::view::assets(&world.store, world.tenant, &Default::default(), None, 9).await.unwrap();
    let age = |agent: &str| {
        assets.iter().find(|asset| asset.agent_id.as_deref() == Some(agent)).map(|asset| {
            let observed = asset.status_observed_at.expect("it was seen");
            (asset.database_now - observed).num_minutes()
        })
    };
    assert!(age("a").is_some_and(|minutes| minutes < 5) && age("b").is_some_and(|minutes| minutes > 50));
    // shown again, it is as it was
    assert_eq!(world.merge(&world.batch(&[device("b")])).await.created, 0);
    let client = "select external_client_id from muster.agent where agent_id = 'b'";
    assert_eq!(world.text(client).await, "1");
}

#[tokio::test]
async fn an_empty_second_list_proves_nothing() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.merge(&world.batch(&[device("a")])).await;
    let fence = world.begun(&["client:1"]).await;
    world.complete(&fence, &[]).await;
    let confirm = world.begin(&fence.run, "confirm").await;
    assert_eq!(device::confirm_missing(&world.store, &confirm, &listed(&[])).await.unwrap(), Some(0));
    assert!(!is_missing(&world, "a").await);
}

#[tokio::test]
async fn what_was_refreshed_or_moved_since_its_list_is_not_missing() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.merge(&world.batch(&[device("a"), device("refreshed"), device("moved")])).await;
    let fence = world.begun(&["client:1", "client:2"]).await;
    world.complete(&fence, &[device("a")]).await;
    let now = world.store.database_now().await.unwrap();
    let refreshed = Batch { fetched_at: now, source: device::Source::Detail, ..world.batch(&[device("refreshed")]) };
    world.merge(&refreshed).await;
    let second = world.begin(&fence.run, "client:2").await;
    assert_eq!(world.complete(&second, &[device("moved")]).await, Some(State::Running));
    let confirm = world.begin(&fence.run, "confirm").await;
    assert_eq!(device::confirm_missing(&world.store, &confirm, &listed(&["a"])).await.unwrap(), Some(0));
    assert_eq!(run::finish_part(&world.store, &confirm).await.unwrap(), Some(State::Completed));
    let seen = world.seen().await;
    assert!(seen.values().all(|seen| !seen.is_missing), "{seen:#?}");
    let clients = "select string_agg(agent_id || external_client_id, ' ' order by agent_id) from muster.agent";
    assert_eq!(world.text(clients).await, "a1 moved2 refreshed1");
}

#[tokio::test]
async fn an_attempt_that_sees_what_the_one_before_did_not_takes_it_back() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.merge(&world.batch(&[device("a"), device("b")])).await;
    let fence = world.begun(&["client:1"]).await;
    assert_eq!(device::candidates(&world.store, &fence, &listed(&["a"])).await.unwrap(), Some(1));
    let again = world.begin(&fence.run, "client:1").await;
    assert_eq!(world.complete(&again, &[device("a"), device("b")]).await, Some(State::Completed));
}

#[tokio::test]
async fn a_returning_agent_is_no_longer_missing() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.merge(&world.batch(&[device("a")])).await;
    world.run("update muster.agent set missing_since = now()").await;
    let merged = world.merge(&world.batch(&[device("a")])).await;
    assert_eq!((merged.created, merged.updated), (0, 1));
    assert!(!is_missing(&world, "a").await);
}
