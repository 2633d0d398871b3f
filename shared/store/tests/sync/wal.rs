//! What a sync costs in the log.

use std::time::Duration;

use store::device::Device;
use store::testing::{TestDatabase, wal_bytes};

use crate::world::{World, device, time};

/// Devices of the measurement: two batches.
const DEVICES: usize = 2_000;
/// Longer than any transaction of another test lasts.
const DEADLINE: Duration = Duration::from_secs(120);

/// Waits until every transaction of the server that runs now has ended, in whatever database, and every snapshot that saw
/// one of them, such as that of an automatic analyze of this database: until then the versions that the last round replaced
/// keep their place on their pages, and the next round would find none.
async fn settled(world: &World) {
    let now = world.number("select pg_current_xact_id()::text::int8").await;
    let oldest = "select least(pg_snapshot_xmin(pg_current_snapshot())::text::int8,
                               (select min(backend_xmin::text::int8) from pg_stat_activity
                                where datname = current_database() and pid <> pg_backend_pid()))";
    let ended = async {
        while world.number(oldest).await <= now {
            world.run("select pg_sleep(0.05)").await;
        }
    };
    tokio::time::timeout(DEADLINE, ended).await.expect("other tests end their transactions");
}

/// Lets no automatic analyze of this database write its statistics into a round: the log tells whose database, not whose work.
async fn unattended(world: &World) {
    world
        .run(
            "do $$ declare t regclass; begin
                 for t in select c.oid::regclass from pg_class c join pg_namespace n on n.oid = c.relnamespace
                          where c.relkind = 'r' and n.nspname in ('public', 'muster') loop
                     execute format('alter table %s set (autovacuum_enabled = false)', t);
                 end loop;
             end $$",
        )
        .await;
}

#[tokio::test]
async fn every_device_seen_again_costs_at_most_150_bytes_and_stays_on_its_page() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    unattended(&world).await;
    // A session asks which versions may leave their pages when the oldest running transaction has changed since it asked last,
    // and first asks at its login: one that logged in during a round could keep the answer of its login for a whole batch.
    database.fill_pool().await;
    let mut devices: Vec<Device> = (0..DEVICES).map(|number| device(&format!("agent-{number:06}"))).collect();
    let batches = |devices: &[Device]| devices.chunks(1_000).map(|chunk| world.batch(chunk)).collect::<Vec<_>>();
    let merge = async |devices: &[Device]| {
        for batch in batches(devices) {
            world.merge(&batch).await;
        }
    };
    merge(&devices).await;
    for round in 1..=4 {
        for device in &mut devices {
            device.last_seen_at = Some(time(60 * round));
        }
        settled(&world).await;
        let ((), wal) = wal_bytes(&database, false, merge(&devices)).await;
        let per_row = wal.bytes as f64 / DEVICES as f64;
        let hot = wal.hot_updates as f64 / (wal.hot_updates + wal.cold_updates) as f64;
        println!("round {round}: {per_row:.0} bytes a row, {:.1} % HOT, {wal:?}", 100.0 * hot);
        assert!(per_row <= 150.0 && hot >= 0.95, "round {round}: {per_row} bytes a row, {hot} HOT, {wal:?}");
    }
    // reading tidies the pages of the last round up; after that nothing is left to be written
    for bytes_max in [20 * DEVICES as u64, 2_000] {
        settled(&world).await;
        let ((), wal) = wal_bytes(&database, false, merge(&devices)).await;
        println!("frozen: {wal:?}");
        assert!(wal.bytes <= bytes_max && wal.hot_updates + wal.cold_updates == 0, "frozen: {wal:?}");
    }
}
