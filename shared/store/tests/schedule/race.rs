//! Who may tick at once, and what a tick does not wait for.

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::Connection as _;
use store::run::Kind;
use store::schedule::{self, Outcome, Patch, PatchEnd, ROWS_MAX};
use uuid::Uuid;

use crate::world::{World, connect, entry};

/// Longer than any sound test waits.
const DEADLINE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tickers_at_once_take_each_slot_once() {
    let world = World::new().await;
    for n in 0..60 {
        connect(&world.store, Uuid::from_u128(1_000 + n)).await;
    }
    world
        .run(
            "insert into muster.agent (tenant, integration_id, agent_id)
               select tenant, integration_id, 'B' from rmm_integrations",
        )
        .await;
    world.settle().await;
    for round in 1..=3 {
        world.run("update muster.schedule set next_due_at = clock_timestamp()").await;
        let tickers: Vec<_> = (0..4)
            .map(|_| {
                let store = world.database.second_store();
                tokio::spawn(async move {
                    let mut taken = Vec::new();
                    loop {
                        let ticks = schedule::tick(&store, 20).await.unwrap();
                        if ticks.is_empty() {
                            return taken;
                        }
                        taken.extend(ticks);
                    }
                })
            })
            .collect();
        // a row that another one held was passed over, and the last one to look takes it
        let mut taken = Vec::new();
        for ticker in tickers {
            taken.extend(tokio::time::timeout(DEADLINE, ticker).await.unwrap().unwrap());
        }
        taken.extend(world.tick().await);
        let slots: BTreeSet<_> = taken.iter().map(|tick| (tick.tenant, tick.kind.as_str(), tick.slot)).collect();
        assert_eq!((taken.len(), slots.len()), (61 * Kind::ALL.len(), 61 * Kind::ALL.len()), "round {round}");
        let doubled = "select count(*) from (select from muster.run group by tenant, kind having count(*) > 1) d";
        assert_eq!(world.number(doubled).await, 0, "an open run is the only one");
        assert_eq!(world.number("select count(*) from muster.run").await, 61 * 4);
        assert_eq!(world.messages().await, 61 * 4);
    }
}

#[tokio::test]
async fn a_connection_that_a_batch_has_locked_holds_nobody_up_and_its_slot_stays_due() {
    let world = World::new().await;
    let other = Uuid::from_u128(8);
    connect(&world.store, other).await;
    world.settle().await;
    world.run("update muster.schedule set next_due_at = case when kind = 'alerts' then now() end").await;
    let mut batch = world.database.connect().await;
    let mut held = batch.begin().await.unwrap();
    sqlx::query("select from muster.connection where tenant = $1 for no key update")
        .bind(world.tenant)
        .execute(&mut *held)
        .await
        .unwrap();
    let ticks = world.tick().await;
    assert_eq!((ticks.len(), ticks[0].tenant), (1, other));
    assert!(world.tick().await.is_empty());
    held.rollback().await.unwrap();
    let ticks = world.tick().await;
    assert_eq!((ticks.len(), ticks[0].tenant, ticks[0].outcome), (1, world.tenant, Outcome::Started));
}

#[tokio::test]
async fn a_full_batch_of_locked_schedules_does_not_hide_those_behind_them() {
    let world = World::new().await;
    for n in 0..3 {
        connect(&world.store, Uuid::from_u128(1_000 + n)).await;
    }
    world
        .run("update muster.schedule set next_due_at = case when kind = 'alerts' then now() - interval '9 s' end")
        .await;
    world
        .run(&format!(
            "update muster.schedule set next_due_at = now() where tenant = '{}' and kind = 'alerts'",
            world.tenant
        ))
        .await;
    let mut another = world.database.connect().await;
    let mut held = another.begin().await.unwrap();
    // a gateway that was stopped in its transaction
    sqlx::query("select from muster.schedule where tenant <> $1 and kind = 'alerts' for update")
        .bind(world.tenant)
        .execute(&mut *held)
        .await
        .unwrap();
    let ticks = schedule::tick(&world.store, 2).await.unwrap();
    assert_eq!((ticks.len(), ticks[0].tenant), (1, world.tenant));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ticks_and_disconnects_at_once_end_in_no_deadlock_and_no_run_of_what_is_over() {
    let world = World::new().await;
    let ticking = {
        let store = world.database.second_store();
        tokio::spawn(async move {
            for _ in 0..150 {
                schedule::tick(&store, ROWS_MAX).await.expect("a tick waits for nobody");
            }
        })
    };
    for _ in 0..25 {
        world.run("update muster.schedule set next_due_at = clock_timestamp() where next_due_at is not null").await;
        store::connection::disconnect(&world.store, world.tenant, &entry()).await.unwrap();
        let open = "select count(*) from muster.run where state in ('queued', 'running')";
        assert_eq!(world.number(open).await, 0, "a disconnect has ended them all, and no tick begins one after it");
        connect(&world.store, world.tenant).await;
    }
    tokio::time::timeout(DEADLINE, ticking).await.unwrap().unwrap();
}

/// Statements of AlgaPSA's own, which knows no lock of ours.
async fn switched_on(world: &World) -> sqlx::postgres::PgConnection {
    let mut algapsa = world.database.connect().await;
    sqlx::raw_sql("begin; update rmm_integrations set is_active = true").execute(&mut algapsa).await.unwrap();
    algapsa
}

/// Waits until so many sessions wait for a lock.
async fn waiting(world: &World, sessions: i64) {
    let waiting =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    let reached = async {
        while world.number(waiting).await != sessions {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, reached).await.unwrap();
}

fn patching(world: &World) -> tokio::task::JoinHandle<Result<PatchEnd, store::Error>> {
    let (store, tenant) = (world.database.second_store(), world.tenant);
    let hourly = Patch { interval_s: Some(Some(3_600)), is_enabled: None };
    tokio::spawn(async move { schedule::patch(&store, tenant, Kind::Devices, &hourly, &entry()).await })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_change_beside_a_connection_that_is_switched_on_lets_it_tick_in_either_order() {
    let world = World::new().await;
    for is_patch_first in [false, true] {
        world.run("update rmm_integrations set is_active = false").await;
        assert_eq!(world.schedule(Kind::Devices).await.next_due_at, None);
        let patched = if is_patch_first {
            // it has looked whether the connection is active, and waits for its schedule
            let mut held = world.database.connect().await;
            let hold = "begin; select from muster.schedule where kind = 'devices' for update";
            sqlx::raw_sql(hold).execute(&mut held).await.unwrap();
            let patching = patching(&world);
            waiting(&world, 1).await;
            let switching = tokio::spawn({
                let pool = world.pool.clone();
                async move { sqlx::raw_sql("update rmm_integrations set is_active = true").execute(&pool).await }
            });
            waiting(&world, 2).await;
            sqlx::raw_sql("rollback").execute(&mut held).await.unwrap();
            tokio::time::timeout(DEADLINE, switching).await.unwrap().unwrap().unwrap();
            tokio::time::timeout(DEADLINE, patching).await.unwrap().unwrap().unwrap()
        } else {
            let mut algapsa = switched_on(&world).await;
            let patching = patching(&world);
            waiting(&world, 1).await;
            sqlx::raw_sql("commit").execute(&mut algapsa).await.unwrap();
            tokio::time::timeout(DEADLINE, patching).await.unwrap().unwrap().unwrap()
        };
        assert_eq!(patched, PatchEnd::Changed);
        let schedule = world.schedule(Kind::Devices).await;
        assert_eq!(schedule.interval_s, Some(3_600));
        assert!(schedule.next_due_at.is_some(), "the patch comes first: {is_patch_first}");
    }
}
