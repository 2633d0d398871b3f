//! Two that do not see each other, started by one barrier, again and again: the races that chance alone would rarely run.

use std::sync::Arc;

use store::alert::{Fact, Said, observe};
use store::testing::TestDatabase;
use store::{Error, Store};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::world::World;

/// Enough to lose each of these races many times on two cores when its guard is taken out.
const ROUNDS: i64 = 20;
/// Openings under one dedup key before the race.
const CROWD: i64 = 1_000;
/// Openings that come last while all are renumbered.
const LATE: i64 = 6;

/// Several writers from one moment on, each with a store and a queue of batches of its own.
async fn at_once(stores: &[Store], queues: Vec<Vec<Vec<Fact>>>) {
    let barrier = Arc::new(Barrier::new(queues.len()));
    let mut writers = JoinSet::new();
    for (store, queue) in stores.iter().cloned().zip(queues) {
        let barrier = Arc::clone(&barrier);
        writers.spawn(async move {
            barrier.wait().await;
            for batch in queue {
                while let Err(error) = observe(&store, &batch).await {
                    assert!(is_lock_timeout(&error), "no deadlock, no lost ground: {error:?}");
                }
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
}

/// A lock that was waited for too long on a slow machine; the runner repeats it too. A deadlock is none.
fn is_lock_timeout(error: &Error) -> bool {
    match error {
        Error::Contention { source: sqlx::Error::Database(source), .. } => source.code().as_deref() == Some("55P03"),
        _ => false,
    }
}

/// Stores with connections that are open already, so that they start together.
async fn stores(database: &TestDatabase, count: usize) -> Vec<Store> {
    let stores: Vec<Store> = (0..count).map(|_| database.second_store()).collect();
    for store in &stores {
        store.ping().await.unwrap();
    }
    stores
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn four_writers_of_one_alert_lose_no_fact() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let stores = stores(&database, 4).await;
    world.observe(&[world.fact(Said::Open, 0, Some("7"), Some(1))]).await;
    for round in 0..ROUNDS {
        // batches of different sizes: their revisions differ, and a guard that only compares those would not notice
        let facts = |writer: i64| {
            let fact = |n| world.fact(Said::Open, 1 + 16 * round + 4 * writer + n, Some("7"), Some(1));
            vec![(0..=writer).map(fact).collect()]
        };
        at_once(&stores, (0..4).map(facts).collect()).await;
    }
    assert_eq!(world.row().await.rev, 2 * (1 + 10 * ROUNDS));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn openings_that_do_not_see_each_other_are_numbered_all_the_same() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let stores = stores(&database, 2).await;
    let open = |at_s: i64| world.fact(Said::Open, at_s, Some(&format!("{at_s:05}")), Some(at_s));
    // many, so that renumbering takes longer than a look at the end
    world.observe(&(10_000..10_000 + CROWD).map(open).collect::<Vec<_>>()).await;
    for round in 0..ROUNDS / 2 {
        // one comes before all others, which moves them all; meanwhile others come last, one after the other
        let last = (0..LATE).map(|n| vec![open(20_000 + LATE * round + n)]).collect();
        at_once(&stores, vec![vec![vec![open(9_999 - round)]], last]).await;
        // the next round would repair what this one has missed
        let counted: Vec<i32> = world.rows().await.values().map(|row| row.occurrence_count).collect();
        assert_eq!(counted, (1..=(CROWD + (1 + LATE) * (round + 1)) as i32).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_alert_and_its_asset_that_come_at_once_are_linked() {
    let database = TestDatabase::create().await;
    let world = Arc::new(World::new(&database).await);
    let mut assets = Vec::new();
    for round in 0..ROUNDS {
        let agent = format!("agent-{round}");
        let mut open = world.fact(Said::Open, round, Some(&round.to_string()), Some(round));
        open.agent_id = agent.clone();
        let (barrier, syncing) = (Arc::new(Barrier::new(2)), Arc::clone(&world));
        let started = Arc::clone(&barrier);
        let sync = tokio::spawn(async move {
            started.wait().await;
            let asset_id = syncing.asset(&agent).await;
            syncing.link(&agent).await;
            asset_id
        });
        barrier.wait().await;
        world.observe(&[open]).await;
        assets.push((round.to_string(), sync.await.unwrap()));
    }
    let rows = world.rows().await;
    for (number, asset_id) in assets {
        assert_eq!((rows[&number].asset_id, rows[&number].rev), (Some(asset_id), 3), "{number}");
    }
}
