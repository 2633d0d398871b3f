//! Any order, any duplication, any split into batches, several writers at once, assets arriving among them: one result.
//!
//! Each case is drawn from a seed, which a failure names; `MUSTER_TEST_SEED` repeats that one case, and `MUSTER_TEST_CASES`
//! multiplies their number.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use contract::event::{AlertChanged, Transition};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use store::alert::{Details, Fact, Said, Severity, observe};
use store::testing::TestDatabase;
use uuid::Uuid;

use crate::model::{self, Meaning};
use crate::world::{self, World, time};

/// Few enough for a shared machine; `MUSTER_TEST_CASES` multiplies them.
const CASES: u64 = 40;
const RACES: u64 = 25;
const WRITERS: usize = 4;
const AGENTS: [&str; 3] = ["anna", "bert", "carl"];

fn seeds(cases: u64) -> Vec<u64> {
    match std::env::var("MUSTER_TEST_SEED") {
        Ok(seed) => vec![seed.parse().expect("MUSTER_TEST_SEED is a number")],
        Err(_) => {
            let times = std::env::var("MUSTER_TEST_CASES").map_or(1, |times| times.parse().expect("it is a number"));
            (0..cases * times).map(|_| rand::random()).collect()
        }
    }
}

/// The facts about a handful of alerts, each once.
fn facts(world: &World, rng: &mut StdRng) -> Vec<Fact> {
    let mut facts = Vec::new();
    for number in 1..=rng.random_range(1..5) {
        // a restored server gives the number to another failure, maybe of another device
        let lives: Vec<(&str, i64)> =
            (0..rng.random_range(1..3)).map(|life| (*AGENTS.choose(rng).unwrap(), 100 * life + number)).collect();
        for _ in 0..rng.random_range(1..7) {
            let (agent, alert_time_s) = *lives.choose(rng).unwrap();
            facts.push(fact(world, rng, number, agent, alert_time_s));
        }
    }
    facts.sort_by_key(|fact| format!("{fact:?}"));
    facts.dedup();
    facts
}

fn fact(world: &World, rng: &mut StdRng, number: i64, agent: &str, alert_time_s: i64) -> Fact {
    let said = *[
        Said::Open,
        Said::Open,
        Said::Open,
        Said::Resolve,
        Said::Resolve,
        Said::PolledOpen,
        Said::PolledClosed,
        Said::Absent,
    ]
    .choose(rng)
    .unwrap();
    let names = match said {
        Said::PolledOpen | Said::PolledClosed => (true, true),
        Said::Absent => (true, rng.random_bool(0.5)),
        // the last is a hint
        Said::Open | Said::Resolve => {
            *[(true, true), (true, true), (true, false), (false, true), (false, true), (false, false)]
                .choose(rng)
                .unwrap()
        }
    };
    let number = names.0.then(|| number.to_string());
    // few moments, so that many are equal
    let mut fact = world.fact(said, rng.random_range(0..12), number.as_deref(), names.1.then_some(alert_time_s));
    fact.agent_id = agent.to_owned();
    fact.needs_fetch = said == Said::Resolve && rng.random_bool(0.15);
    let mut word = |words: &[&str]| words.choose(rng).filter(|word| !word.is_empty()).map(|word| (*word).to_owned());
    fact.details = Details {
        severity: None,
        message: word(&["", "disk", "cpu"]),
        alert_type: word(&["", "check", "task"]),
        check_id: word(&["", "", "17"]),
        host_name: word(&["", "PC-1", "PC-2"]),
        client_id: None,
        snooze: None,
        hidden: None,
        site_id: None,
    };
    fact.details.severity = *[None, Some(Severity::Minor), Some(Severity::Critical)].choose(rng).unwrap();
    fact
}

/// The same facts as a careless world delivers them: some several times, in any order, in batches of any size.
fn batches(facts: &[Fact], rng: &mut StdRng) -> Vec<Vec<Fact>> {
    let mut stream: Vec<Fact> = Vec::new();
    for fact in facts {
        stream.extend(std::iter::repeat_n(fact.clone(), *[1, 1, 2, 3].choose(rng).unwrap()));
    }
    stream.shuffle(rng);
    let mut batches = Vec::new();
    while !stream.is_empty() {
        let size = rng.random_range(1..=stream.len().min(8));
        batches.push(stream.drain(..size).collect());
    }
    batches
}

/// The rows, the revs and the names are those of the specification; the events tell the same story.
async fn check(world: &World, facts: &[Fact], assets: &BTreeMap<String, Uuid>, events: &[AlertChanged], seed: u64) {
    let told = Meaning { rows: world.rows().await, hidden_revs: world.hidden_revs().await };
    let meant = model::meaning(facts, assets);
    assert_eq!(told, meant, "MUSTER_TEST_SEED={seed}");

    let mut heard = BTreeSet::new();
    let mut last: BTreeMap<Uuid, &AlertChanged> = BTreeMap::new();
    for event in events {
        let is_first = heard.insert((event.alert_id, event.rev, event.transition));
        assert!(is_first, "MUSTER_TEST_SEED={seed}: twice: {event:?}");
        let newest = last.entry(event.alert_id).or_insert(event);
        if (newest.rev, newest.transition) <= (event.rev, event.transition) {
            *newest = event;
        }
    }
    let ids: Vec<(Uuid, String)> =
        sqlx::query_as("select alert_id, external_alert_id from rmm_alerts where tenant = $1")
            .bind(world.tenant)
            .fetch_all(&world.pool)
            .await
            .unwrap();
    let ids: BTreeMap<Uuid, String> = ids.into_iter().collect();
    for (alert_id, event) in last {
        let Some(external_id) = ids.get(&alert_id) else {
            // merged into another: its readers must not hold it open
            assert_eq!(event.status, "resolved", "MUSTER_TEST_SEED={seed}: {event:?}");
            continue;
        };
        let row = &told.rows[external_id];
        let heard = (&event.status, &event.severity, event.asset_id, event.resolved_at, event.triggered_at);
        let seen = (&row.status, &row.severity, row.asset_id, row.resolved_at, Some(row.triggered_at));
        assert_eq!(heard, seen, "MUSTER_TEST_SEED={seed}: {external_id}");
        assert!(event.rev <= row.rev);
    }
    let silent: Vec<&String> = ids
        .iter()
        .filter(|(id, _)| !events.iter().any(|event| event.alert_id == **id))
        .map(|(_, external)| external)
        .collect();
    assert!(silent.is_empty(), "MUSTER_TEST_SEED={seed}: no event of {silent:?}");
}

#[tokio::test]
async fn any_order_duplication_and_split_end_in_the_same_rows_and_revs() {
    let database = TestDatabase::create().await;
    let first = World::new(&database).await;
    for seed in seeds(CASES) {
        let mut rng = StdRng::seed_from_u64(seed);
        let world = World::beside(&first.pool, &first.store).await;
        let facts = facts(&world, &mut rng);
        let mut assets = BTreeMap::new();
        let mut events = Vec::new();
        for batch in batches(&facts, &mut rng) {
            if rng.random_bool(0.2) {
                let agent = *AGENTS.choose(&mut rng).unwrap();
                if !assets.contains_key(agent) {
                    assets.insert(agent.to_owned(), world.asset(agent).await);
                    world.link(agent).await;
                }
            }
            world.observe(&batch).await;
            events.extend(world.drain().await);
        }
        check(&world, &facts, &assets, &events, seed).await;

        let before = world.versions().await;
        assert_eq!(world.observe(&facts).await, 0, "MUSTER_TEST_SEED={seed}");
        assert_eq!(world.versions().await, before, "MUSTER_TEST_SEED={seed}: a redelivery wrote");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_writers_and_assets_end_in_the_same_rows_and_revs_without_a_deadlock() {
    let database = TestDatabase::create().await;
    let first = World::new(&database).await;
    for seed in seeds(RACES) {
        let mut rng = StdRng::seed_from_u64(seed);
        let world = Arc::new(World::beside(&first.pool, &first.store).await);
        let facts = facts(&world, &mut rng);
        let mut queues = vec![Vec::new(); WRITERS];
        // every fact comes to some writer, many to two
        for (position, batch) in batches(&facts, &mut rng).into_iter().chain(batches(&facts, &mut rng)).enumerate() {
            queues[position % WRITERS].push(batch);
        }
        let mut writers = tokio::task::JoinSet::new();
        for queue in queues {
            let store = database.second_store();
            writers.spawn(async move {
                for batch in queue {
                    observe(&store, &batch).await.expect("no deadlock, no lost ground");
                }
                store.close().await;
            });
        }
        let syncing = Arc::clone(&world);
        let sync = tokio::spawn(async move {
            let mut assets = BTreeMap::new();
            for agent in AGENTS {
                assets.insert(agent.to_owned(), syncing.asset(agent).await);
                syncing.link(agent).await;
            }
            assets
        });
        let is_over = Arc::new(AtomicBool::new(false));
        let relay = tokio::spawn(relay(Arc::clone(&world), Arc::clone(&is_over)));
        while let Some(done) = writers.join_next().await {
            done.unwrap();
        }
        let assets = sync.await.unwrap();
        is_over.store(true, Ordering::SeqCst);
        let events = relay.await.unwrap();
        check(&world, &facts, &assets, &events, seed).await;
    }
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    assert_eq!(first.number(deadlocks).await, 0);
}

/// Takes events out of the outbox while they are written.
async fn relay(world: Arc<World>, is_over: Arc<AtomicBool>) -> Vec<AlertChanged> {
    let mut connection = world.pool.acquire().await.unwrap();
    let mut events = Vec::new();
    loop {
        let is_last = is_over.load(Ordering::SeqCst);
        events.extend(world::drain(&mut connection, world.tenant).await);
        if is_last {
            return events;
        }
        // a relay's own pace, not a wait for something
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn open_and_resolve_of_an_unseen_alert_in_one_batch_are_heard_at_the_same_rev() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let facts = [world.fact(Said::Resolve, 9, Some("7"), Some(1)), world.fact(Said::Open, 5, Some("7"), Some(1))];
    world.observe(&facts).await;
    assert_eq!(world.heard().await, [(4, Transition::Opened), (4, Transition::Resolved)]);
    assert_eq!(world.row().await.triggered_at, time(1));
}
