//! Two that do not see each other, started by one barrier, again and again.

use std::sync::Arc;

use store::Store;
use store::device::{self, Batch, Outcome};
use store::organization::{self, Patch};
use store::run::{self, Kind};
use store::testing::TestDatabase;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::world::{World, device, entry};

/// Enough to lose each of these races many times on two cores when its guard is taken out.
const ROUNDS: usize = 15;

/// Stores with connections that are open already, so that they start together.
async fn stores(database: &TestDatabase, count: usize) -> Vec<Store> {
    let stores: Vec<Store> = (0..count).map(|_| database.second_store()).collect();
    for store in &stores {
        store.ping().await.unwrap();
    }
    stores
}

/// Merges them all from one moment on.
async fn at_once(stores: &[Store], batches: Vec<Batch>) -> Vec<Outcome> {
    let barrier = Arc::new(Barrier::new(batches.len()));
    let mut writers = JoinSet::new();
    for (store, batch) in stores.iter().cloned().zip(batches) {
        let barrier = Arc::clone(&barrier);
        writers.spawn(async move {
            barrier.wait().await;
            device::merge(&store, &batch).await.unwrap()
        });
    }
    writers.join_all().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_syncs_at_once_make_no_duplicate_asset_and_none_without_its_mapping() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let stores = stores(&database, 4).await;
    for round in 0..ROUNDS {
        let ids: Vec<String> = (0..50).map(|number| format!("{round}-{number}")).collect();
        let devices: Vec<_> = ids.iter().map(|id| device(id)).collect();
        let mut reversed = devices.clone();
        reversed.reverse();
        // two pages, a refresh, and the same agents under another client
        let there = Batch { external_client_id: "2".to_owned(), ..world.batch(&reversed) };
        let refresh = Batch { source: device::Source::Detail, ..world.batch(&devices[..10]) };
        at_once(&stores, vec![world.batch(&devices), world.batch(&reversed), refresh, there]).await;
        let expected = 50 * (round as i64 + 1);
        assert_eq!(world.number("select count(*) from assets").await, expected);
        assert_eq!(world.number("select count(*) from tenant_external_entity_mappings").await, expected);
        let orphans = "select count(*) from assets a where not exists (
                           select from tenant_external_entity_mappings m
                           join muster.agent g on g.agent_id = m.external_entity_id and g.asset_id = a.asset_id
                           where m.alga_entity_id = a.asset_id::text)";
        assert_eq!(world.number(orphans).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_takeover_that_meets_a_batch_either_waits_for_it_or_fences_it() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let stores = stores(&database, 2).await;
    for round in 0..ROUNDS {
        let old = world.begun(&["client:1"]).await;
        let agent = format!("agent-{round}");
        let batch = Batch { fence: Some(old.clone()), ..world.batch(&[device(&agent)]) };
        let (barrier, store, run_id, tenant) =
            (Arc::new(Barrier::new(2)), stores[0].clone(), old.run.run_id, world.tenant);
        let started = Arc::clone(&barrier);
        let taking = tokio::spawn(async move {
            started.wait().await;
            run::take_over(&store, tenant, run_id).await.unwrap().unwrap().fence
        });
        barrier.wait().await;
        let outcome = device::merge(&stores[1], &batch).await.unwrap();
        let fence = taking.await.unwrap();
        let is_there = world.seen().await.contains_key(&agent);
        assert_eq!(is_there, outcome != Outcome::Fenced, "{outcome:?}");
        assert_eq!(device::merge(&stores[1], &batch).await.unwrap(), Outcome::Fenced);
        let part = world.begin(&fence, "client:1").await;
        assert!(run::finish_part(&world.store, &part).await.unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_mapping_that_changes_during_a_batch_has_all_of_its_assets_in_the_end() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let stores = stores(&database, 2).await;
    let mappings = organization::list(&world.store, world.tenant).await.unwrap();
    let mapping_id = mappings.iter().find(|mapping| mapping.external_organization_id == "1").unwrap().mapping_id;
    for round in 0..ROUNDS {
        let client = world.clients[(round + 1) % 2];
        let devices: Vec<_> = (0..20).map(|number| device(&format!("{round}-{number}"))).collect();
        let (barrier, store, tenant) = (Arc::new(Barrier::new(2)), stores[0].clone(), world.tenant);
        let started = Arc::clone(&barrier);
        let patching = tokio::spawn(async move {
            started.wait().await;
            let patch = Patch { client_id: Some(Some(client)), auto_sync: None };
            organization::patch(&store, tenant, mapping_id, patch, &entry()).await.unwrap().unwrap()
        });
        barrier.wait().await;
        device::merge(&stores[1], &world.batch(&devices)).await.unwrap();
        patching.await.unwrap();
        assert_eq!(world.number(&format!("select count(*) from assets where client_id <> '{client}'")).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn runs_asked_for_at_once_are_one_run() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let stores = stores(&database, 4).await;
    let barrier = Arc::new(Barrier::new(4));
    let mut starters = JoinSet::new();
    for store in stores {
        let (barrier, tenant, integration_id) = (Arc::clone(&barrier), world.tenant, world.integration_id);
        starters.spawn(async move {
            barrier.wait().await;
            run::start(&store, tenant, integration_id, Kind::Devices, "race", &entry()).await.unwrap()
        });
    }
    let started = starters.join_all().await;
    assert_eq!(started.iter().filter(|started| started.is_new).count(), 1, "{started:?}");
    assert!(started.iter().all(|one| one.run_id == started[0].run_id));
    assert_eq!(world.number("select count(*) from muster.outbox").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn syncs_and_alerts_of_the_same_agents_never_deadlock_and_end_linked() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let stores = stores(&database, 2).await;
    for round in 0..ROUNDS {
        let ids: Vec<String> = (0..30).map(|number| format!("{round}-{number:02}")).collect();
        let fact = |id: &String| store::alert::Fact {
            tenant: world.tenant,
            integration_id: world.integration_id,
            said: store::alert::Said::Open,
            at: crate::world::time(0),
            agent_id: id.clone(),
            number: Some(id.clone()),
            alert_time: Some(crate::world::time(0)),
            needs_fetch: false,
            details: store::alert::Details::default(),
            odd: Vec::new(),
            raw: Vec::new(),
            traceparent: None,
        };
        let facts: Vec<_> = ids.iter().rev().map(fact).collect();
        let (barrier, store) = (Arc::new(Barrier::new(2)), stores[0].clone());
        let started = Arc::clone(&barrier);
        let observing = tokio::spawn(async move {
            started.wait().await;
            store::alert::observe(&store, &facts).await.unwrap()
        });
        barrier.wait().await;
        let devices: Vec<_> = ids.iter().map(|id| device(id)).collect();
        device::merge(&stores[1], &world.batch(&devices)).await.unwrap();
        observing.await.unwrap();
        assert_eq!(world.number("select count(*) from rmm_alerts where asset_id is null").await, 0, "round {round}");
    }
}
