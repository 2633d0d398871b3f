//! Measures the first sync of a large fleet against COPY and insert-select of the same rows into the same tables, and what a
//! sync costs that finds every device online again: `cargo run --example first_sync --features testing -- 100000`.
//!
//! Needs `MUSTER_DATABASE_URL`, a server whose role may create databases and the extension `pg_walinspect`. The devices are
//! made before the clock starts; both sides write into a migrated database of their own, one after the other.
#![allow(clippy::print_stdout, reason = "its output is its result")]

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::postgres::{PgConnection, PgPoolCopyExt as _};
use store::device::{self, Batch, Device, DeviceType, Outcome, Source, Status};
use store::organization::{self, Decision, Patch};
use store::testing::{TestDatabase, entry, wal_bytes};
use uuid::Uuid;

/// Rows of a batch, as the sync-worker's.
const BATCH_ROWS: usize = 1_000;
const TENANT: Uuid = Uuid::from_u128(1);
const INTEGRATION: Uuid = Uuid::from_u128(2);
const CLIENT: Uuid = Uuid::from_u128(3);

/// All columns that a first sync writes, one line a device.
const ROWS: &str = "select g.agent_id, g.external_client_id, g.site_name, g.digest, g.fetched_at,
        a.asset_id, a.client_id, a.asset_tag, a.serial_number, a.name, a.status, a.location, a.asset_type, a.rmm_provider,
        a.rmm_device_id, a.rmm_organization_id, a.agent_status, a.last_seen_at, a.last_rmm_sync_at,
        e.os_type, e.os_version, e.cpu_model, e.ram_gb, e.agent_version, e.\"current_user\" as logged_in, e.uptime_seconds,
        e.last_reboot_at, e.lan_ip, e.wan_ip, e.system_info, e.disk_usage, e.pending_patches, m.metadata
    from muster.agent g
    join assets a using (tenant, asset_id)
    join (select * from workstation_assets union all select * from server_assets) e using (tenant, asset_id)
    join tenant_external_entity_mappings m on m.tenant = a.tenant and m.alga_entity_id = a.asset_id::text";

/// The same rows into the same tables.
const INSERTS: &str = "
    insert into muster.agent (tenant, integration_id, agent_id, asset_id, external_client_id, site_name, digest, fetched_at)
        select '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002', agent_id, asset_id,
               external_client_id, site_name, digest, fetched_at from staging;
    insert into assets (tenant, asset_id, client_id, asset_tag, serial_number, name, status, location, asset_type,
            rmm_provider, rmm_device_id, rmm_organization_id, agent_status, last_seen_at, last_rmm_sync_at)
        select '00000000-0000-0000-0000-000000000001', asset_id, client_id, asset_tag, serial_number, name, status, location,
               asset_type, rmm_provider, rmm_device_id, rmm_organization_id, agent_status, last_seen_at, last_rmm_sync_at
        from staging;
    insert into workstation_assets (tenant, asset_id, os_type, os_version, cpu_model, ram_gb, agent_version, \"current_user\",
            uptime_seconds, last_reboot_at, lan_ip, wan_ip, system_info, disk_usage, pending_patches)
        select '00000000-0000-0000-0000-000000000001', asset_id, os_type, os_version, cpu_model, ram_gb, agent_version,
               logged_in, uptime_seconds, last_reboot_at, lan_ip, wan_ip, system_info, disk_usage, pending_patches
        from staging where asset_type = 'workstation';
    insert into server_assets (tenant, asset_id, os_type, os_version, cpu_model, ram_gb, agent_version, \"current_user\",
            uptime_seconds, last_reboot_at, lan_ip, wan_ip, system_info, disk_usage, pending_patches)
        select '00000000-0000-0000-0000-000000000001', asset_id, os_type, os_version, cpu_model, ram_gb, agent_version,
               logged_in, uptime_seconds, last_reboot_at, lan_ip, wan_ip, system_info, disk_usage, pending_patches
        from staging where asset_type = 'server';
    insert into tenant_external_entity_mappings (tenant, integration_type, alga_entity_type, alga_entity_id,
            external_entity_id, external_realm_id, sync_status, last_synced_at, metadata)
        select '00000000-0000-0000-0000-000000000001', 'tacticalrmm', 'asset', asset_id::text, agent_id, external_client_id,
               'synced', fetched_at, metadata from staging;";

/// Processor time in seconds that this process and the backends of a database have taken so far; the server must run on this
/// machine. What a busy machine does to the clock it does not do to this.
async fn cpu(database: &TestDatabase) -> (f64, f64) {
    let pids: Vec<i32> = sqlx::query_scalar("select pid from pg_stat_activity where datname = current_database()")
        .fetch_all(&mut database.connect().await)
        .await
        .expect("the server is there");
    let of = |pid: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |n: usize| fields.get(n).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
        // user and system time, in hundredths of a second on every Linux
        (ticks(11) + ticks(12)) / 100.0
    };
    (of("self"), pids.iter().map(|pid| of(&pid.to_string())).sum())
}

#[tokio::main]
async fn main() {
    let count = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(100_000);
    let now = Utc::now();
    let mut devices: Vec<Device> = (0..count).map(|number| device(number, now)).collect();

    let database = TestDatabase::create().await;
    prepare(&mut database.connect().await).await;
    database.store().ping().await.expect("the server is there");
    let before = cpu(&database).await;
    let (ours, wal) = wal_bytes(&database, true, sync(&database, &devices, now)).await;
    let after = cpu(&database).await;
    report("first sync", count, ours);
    println!("  {:.2} s of processor time here, {:.2} s in the server", after.0 - before.0, after.1 - before.1);
    println!("  {} bytes a row in the log, page images left out", wal.bytes / count as u64);

    let lines = dump(&database).await;
    let base = TestDatabase::create().await;
    prepare(&mut base.connect().await).await;
    let ((theirs, server), _) = wal_bytes(&base, true, copy(&base, &lines)).await;
    report("COPY + insert-select", count, theirs);
    println!("  {server:.2} s of processor time in the server");
    println!("  ours is at {:.0} % of it", 100.0 * theirs.as_secs_f64() / ours.as_secs_f64());

    for round in 1..=3 {
        let now = now + TimeDelta::minutes(5 * round);
        devices.iter_mut().for_each(|device| device.last_seen_at = Some(now - TimeDelta::seconds(20)));
        let checkpoint = round == 1;
        let (took, wal) = wal_bytes(&database, checkpoint, sync(&database, &devices, now)).await;
        report(&format!("every device seen again, round {round}"), count, took);
        println!(
            "  {:.0} bytes a row, {:.0} more of page images, {:.1} % HOT",
            wal.bytes as f64 / count as f64,
            wal.page_image_bytes as f64 / count as f64,
            100.0 * wal.hot_updates as f64 / (wal.hot_updates + wal.cold_updates) as f64,
        );
    }
    let (took, wal) = wal_bytes(&database, false, sync(&database, &devices, now + TimeDelta::hours(1))).await;
    report("frozen", count, took);
    println!("  {} bytes and {} updates in all", wal.bytes, wal.hot_updates + wal.cold_updates);
    decide(&database, count).await;
}

/// What a person decides about all devices at once, in one transaction: their client is another one of the PSA's, and then the
/// server behind the connection is another one.
async fn decide(database: &TestDatabase, count: usize) {
    let (store, other) = (database.store(), Uuid::from_u128(4));
    let mapping_id = Uuid::from_u128(5);
    let sql = format!(
        "insert into clients (tenant, client_id, client_name) values ('{TENANT}', '{other}', 'Beta');
         update rmm_organization_mappings set mapping_id = '{mapping_id}' where tenant = '{TENANT}';
         insert into muster.connection (tenant, integration_id) values ('{TENANT}', '{INTEGRATION}') on conflict do nothing;
         update muster.connection set held_at = now(), held = '{{}}' where tenant = '{TENANT}'"
    );
    database.execute(&sql).await;
    let began = Instant::now();
    let patch = Patch { client_id: Some(Some(other)), ..Patch::default() };
    let patched = organization::patch(&store, TENANT, mapping_id, patch, &entry("mapping.changed")).await;
    let moved = patched.expect("it is written").map(|patched| patched.moved);
    report("mapped to another client", count, began.elapsed());
    assert_eq!(moved, Some(count as u64));
    let began = Instant::now();
    let entry = entry("connection.confirmed");
    let confirmed = organization::confirm(&store, TENANT, INTEGRATION, Decision::Other, None, &entry).await;
    assert!(confirmed.expect("it is written"));
    report("another server confirmed", count, began.elapsed());
}

fn report(what: &str, count: usize, took: Duration) {
    println!("{what}: {count} devices in {:.2} s, {:.0}/s", took.as_secs_f64(), count as f64 / took.as_secs_f64());
}

/// A device as the list tells of it, about as long as a real one.
fn device(number: usize, now: DateTime<Utc>) -> Device {
    let is_server = number.is_multiple_of(5);
    Device {
        agent_id: format!("{number:040}"),
        name: format!("HOST-{number:06}"),
        kind: if is_server { DeviceType::Server } else { DeviceType::Workstation },
        site: Some(format!("Site {}", number % 40)),
        status: Some(Status::Online),
        last_seen_at: Some(now - TimeDelta::seconds(20)),
        serial_number: Some(format!("SN{number:08}")),
        os_type: Some("Windows".to_owned()),
        os_name: Some("Windows 11 Pro".to_owned()),
        os_version: Some("23H2".to_owned()),
        os_build: Some("22631.3593".to_owned()),
        agent_version: Some("2.11.0".to_owned()),
        current_user: Some(format!("user{}", number % 977)),
        last_boot_at: Some(now - TimeDelta::hours(30)),
        lan_ip: Some(format!("10.{}.{}.{}", number / 65_536, number / 256 % 256, number % 256)),
        local_ips: vec![format!("10.0.0.{}", number % 256), "192.168.1.7".to_owned()],
        wan_ip: Some("203.0.113.9".to_owned()),
        make_model: Some("HP ProLiant DL380 Gen9".to_owned()),
        cpu_model: Some("Intel(R) Xeon(R) CPU E5-2620 v4 @ 2.10GHz, 8C/16T".to_owned()),
        physical_disks: vec!["ATA CT500MX500SSD1 SCSI Disk Device 466GB SCSI".to_owned()],
        graphics: Some("NVIDIA Quadro P520, Intel(R) UHD Graphics 620".to_owned()),
        platform: Some("windows".to_owned()),
        architecture: Some("amd64".to_owned()),
        needs_reboot: Some(false),
        has_patches_pending: Some(false),
        is_in_maintenance: Some(false),
        ..Device::default()
    }
}

async fn prepare(connection: &mut PgConnection) {
    let sql = format!(
        "insert into tenants (tenant) values ('{TENANT}');
         insert into clients (tenant, client_id, client_name) values ('{TENANT}', '{CLIENT}', 'Acme');
         insert into rmm_integrations (tenant, integration_id, provider, is_active)
             values ('{TENANT}', '{INTEGRATION}', 'tacticalrmm', true);
         insert into rmm_organization_mappings
             (tenant, integration_id, external_organization_id, external_organization_name, client_id)
             values ('{TENANT}', '{INTEGRATION}', '1', 'Acme', '{CLIENT}')"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(connection).await.expect("the tables are there");
}

async fn sync(database: &TestDatabase, devices: &[Device], fetched_at: DateTime<Utc>) -> Duration {
    let store = database.store();
    let mut took = Duration::ZERO;
    for chunk in devices.chunks(BATCH_ROWS) {
        let batch = Batch {
            server_epoch: 0,
            tenant: TENANT,
            integration_id: INTEGRATION,
            external_client_id: "1".to_owned(),
            fetched_at,
            source: Source::List,
            fence: None,
            devices: chunk.to_vec(),
        };
        let began = Instant::now();
        let outcome = device::merge(&store, &batch).await.expect("it is written");
        took += began.elapsed();
        assert!(matches!(outcome, Outcome::Merged(_)), "{outcome:?}");
    }
    took
}

/// The rows as COPY writes them.
async fn dump(database: &TestDatabase) -> Vec<u8> {
    use futures_util::StreamExt as _;
    let pool = sqlx::PgPool::connect(database.url()).await.expect("the server is there");
    let copy = format!("copy ({ROWS}) to stdout");
    let mut lines = Vec::new();
    let mut stream = pool.copy_out_raw(&copy).await.expect("it is copied");
    while let Some(chunk) = stream.next().await {
        lines.extend_from_slice(&chunk.expect("it is read"));
    }
    lines
}

async fn copy(database: &TestDatabase, lines: &[u8]) -> (Duration, f64) {
    let mut connection = database.connect().await;
    let staging = format!("create temporary table staging as {ROWS} limit 0");
    sqlx::raw_sql(sqlx::AssertSqlSafe(staging)).execute(&mut connection).await.expect("it is made");
    let began = Instant::now();
    let mut copy = connection.copy_in_raw("copy staging from stdin").await.expect("it begins");
    for chunk in lines.chunks(1 << 20) {
        copy.send(chunk).await.expect("it is sent");
    }
    copy.finish().await.expect("it is copied");
    sqlx::raw_sql(INSERTS).execute(&mut connection).await.expect("it is inserted");
    let took = began.elapsed();
    (took, cpu(database).await.1)
}
