//! Measures the first ingest of 1,000 devices' software against COPY and insert-select of the same rows into the same tables,
//! and an ingest that finds everything as it was: `cargo run --example first_ingest --features testing -- 1000 150`.
//!
//! Needs `MUSTER_DATABASE_URL`, a server whose role may create databases. The lists are made before the clock starts. With
//! figures beside limits it ends with exit code 1 where one is not kept.
#![allow(clippy::print_stdout, reason = "its output is its result")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use chrono::Utc;
use futures_util::StreamExt as _;
use sqlx::postgres::PgPoolCopyExt as _;
use sqlx::{AssertSqlSafe, PgPool};
use store::device::{self, Device, Source};
use store::run::{self, Kind, NewPart, PartFence, Scope};
use store::software::{self, Batch, Merged, Outcome, Program, Report};
use store::testing::{TestDatabase, entry};
use uuid::Uuid;

/// Programs of a batch, as the inventory-worker's.
const BATCH_PROGRAMS: usize = 10_000;
/// Programs that a fleet has in all.
const CATALOG: usize = 600;
/// Share of the baseline's rate that a first ingest must reach.
const FIRST_SHARE_MIN: f64 = 0.5;
/// Programs a second of an ingest that finds everything as it was.
const UNCHANGED_MIN: f64 = 200_000.0;
const TENANT: Uuid = Uuid::from_u128(1);
const INTEGRATION: Uuid = Uuid::from_u128(2);
const CLIENT: Uuid = Uuid::from_u128(3);

/// All columns that a first ingest writes, one line a version of a device.
const ROWS: &str =
    "select v.asset_id, v.software_id, v.version, v.install_date, v.install_path, v.size_bytes, v.first_seen_at,
        c.name, c.normalized_name, c.publisher, r.digest, r.programs, r.fetched_at
    from muster.software_version v
    join software_catalog c using (tenant, software_id)
    join muster.software_report r using (tenant, asset_id)";

/// The same rows into the same tables.
const INSERTS: &str = "
    insert into software_catalog (tenant, software_id, name, normalized_name, publisher)
        select distinct '00000000-0000-0000-0000-000000000001'::uuid, software_id, name, normalized_name, publisher from staging;
    insert into asset_software (tenant, asset_id, software_id, version, install_date, install_path, size_bytes, first_seen_at,
            last_seen_at)
        select '00000000-0000-0000-0000-000000000001', asset_id, software_id, version, install_date, install_path, size_bytes,
               first_seen_at, first_seen_at from staging;
    insert into muster.software_version
            (tenant, asset_id, software_id, version, install_date, install_path, size_bytes, first_seen_at)
        select '00000000-0000-0000-0000-000000000001', asset_id, software_id, version, install_date, install_path, size_bytes,
               first_seen_at from staging;
    insert into muster.software_report (tenant, asset_id, digest, programs, fetched_at, first_fetched_at)
        select distinct '00000000-0000-0000-0000-000000000001'::uuid, asset_id, digest, programs, fetched_at, fetched_at
        from staging;";

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map_while(|argument| argument.parse::<usize>().ok());
    let (agents, programs) = (arguments.next().unwrap_or(1_000), arguments.next().unwrap_or(150));
    let database = TestDatabase::create().await;
    let pool = PgPool::connect(database.url()).await.expect("the server is there");
    prepare(&database, &pool, agents).await;
    let reports: Vec<Report> = (0..agents).map(|agent| report(agent, programs)).collect();
    let items = (agents * programs) as f64;

    let (first, merged) = ingest(&database, &reports).await;
    assert_eq!(merged.first, agents, "{merged:?}");
    show("first ingest", items, first);

    let before = rows(&pool).await;
    let (again, merged) = ingest(&database, &reports).await;
    assert_eq!(merged.unchanged, agents, "{merged:?}");
    show("again, unchanged", items, again);
    let rewritten = if rows(&pool).await == before { 0 } else { 1 };
    println!("  rows rewritten: {rewritten} (limit 0)");

    let lines = dump(&pool).await;
    let base = copy(&pool, &lines).await;
    show("COPY + insert-select", items, base);
    let share = base.as_secs_f64() / first.as_secs_f64();
    println!("  the first ingest is at {:.0} % of it (limit {:.0} %)", 100.0 * share, 100.0 * FIRST_SHARE_MIN);
    let rate = items / again.as_secs_f64();
    println!("  unchanged: {rate:.0} programs/s (limit {UNCHANGED_MIN:.0})");
    let is_kept = share >= FIRST_SHARE_MIN && rate >= UNCHANGED_MIN && rewritten == 0;
    println!("{}", if is_kept { "every limit is kept" } else { "NOT every limit is kept" });
    if is_kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn show(what: &str, items: f64, took: Duration) {
    println!("{what}: {items} programs in {:.2} s, {:.0}/s", took.as_secs_f64(), items / took.as_secs_f64());
}

/// A device's list, each program about as long as a real one.
fn report(agent: usize, programs: usize) -> Report {
    let program = |number: usize| {
        let id = (agent * 7 + number) % CATALOG.max(programs);
        Program {
            name: Some(format!("Contoso Productivity Component {id} (x64)")),
            version: Some(format!("{}.{}.{}", id % 24, agent % 4, number * 3)),
            publisher: Some(format!("Contoso Software {} GmbH", id % 40)),
            install_date: Some(format!("2024-{}-{:02}", 1 + number % 12, 1 + number % 28)),
            size: Some(format!("{}.{} MB", number * 7, number % 10)),
            location: Some(format!("C:\\Program Files\\Contoso\\Component {id}\\")),
        }
    };
    Report { agent_id: agent_id(agent), programs: (0..programs).map(program).collect() }
}

fn agent_id(number: usize) -> String {
    format!("{number:040}")
}

async fn prepare(database: &TestDatabase, pool: &PgPool, agents: usize) {
    let sql = format!(
        "insert into tenants (tenant) values ('{TENANT}');
         insert into clients (tenant, client_id, client_name) values ('{TENANT}', '{CLIENT}', 'Acme');
         insert into rmm_integrations (tenant, integration_id, provider, is_active)
             values ('{TENANT}', '{INTEGRATION}', 'tacticalrmm', true);
         insert into rmm_organization_mappings
             (tenant, integration_id, external_organization_id, external_organization_name, client_id)
             values ('{TENANT}', '{INTEGRATION}', '1', 'Acme', '{CLIENT}')"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.expect("the tables are there");
    let devices: Vec<Device> = (0..agents)
        .map(|number| Device { agent_id: agent_id(number), name: format!("PC{number}"), ..Device::default() })
        .collect();
    for devices in devices.chunks(1_000) {
        let batch = device::Batch {
            tenant: TENANT,
            integration_id: INTEGRATION,
            external_client_id: "1".to_owned(),
            fetched_at: Utc::now(),
            source: Source::List,
            server_epoch: 0,
            fence: None,
            devices: devices.to_vec(),
        };
        device::merge(&database.store(), &batch).await.expect("it is written");
    }
}

async fn begun(database: &TestDatabase) -> PartFence {
    let store = database.store();
    let entry = entry("bench");
    let started = run::start(&store, TENANT, INTEGRATION, Kind::Software, "bench", &entry).await.expect("it starts");
    let taken = run::take_over(&store, TENANT, started.run_id).await.expect("it answers").expect("it is there");
    let part = NewPart { scope: Scope::Software, label: "Software".to_owned(), expected: None, fails: None };
    run::plan(&store, &taken.fence, &[part]).await.expect("it is planned");
    run::begin_part(&store, &taken.fence, "software").await.expect("it answers").expect("it is open").fence
}

async fn ingest(database: &TestDatabase, reports: &[Report]) -> (Duration, Merged) {
    let (store, fence) = (database.store(), begun(database).await);
    let (mut took, mut all) = (Duration::ZERO, Merged::default());
    let fetched_at = store.database_now().await.expect("it answers");
    let per_batch = (BATCH_PROGRAMS / reports[0].programs.len().max(1)).max(1);
    for reports in reports.chunks(per_batch) {
        let batch = Batch {
            tenant: TENANT,
            integration_id: INTEGRATION,
            fetched_at,
            fence: fence.clone(),
            reports: reports.to_vec(),
            silent: 0,
            refused: 0,
            cursor: None,
        };
        let began = Instant::now();
        let outcome = software::merge(&store, &batch).await.expect("it is written");
        took += began.elapsed();
        let Outcome::Merged(merged) = outcome else { panic!("{outcome:?}") };
        all.first += merged.first;
        all.unchanged += merged.unchanged;
    }
    run::finish_part(&store, &fence).await.expect("it ends");
    (took, all)
}

/// Which version of which row stands where.
async fn rows(pool: &PgPool) -> Option<String> {
    let sql = "select md5(string_agg(row, ',' order by row)) from (
                   select 's' || ctid || xmin as row from asset_software
                   union all select 'c' || ctid || xmin from software_catalog
                   union all select 'v' || ctid || xmin from muster.software_version
                   union all select 'r' || ctid || xmin from muster.software_report) rows";
    sqlx::query_scalar(sql).fetch_one(pool).await.expect("the database answers")
}

/// The rows as COPY writes them.
async fn dump(pool: &PgPool) -> Vec<u8> {
    let mut lines = Vec::new();
    let mut stream = pool.copy_out_raw(&format!("copy ({ROWS}) to stdout")).await.expect("it is copied");
    while let Some(chunk) = stream.next().await {
        lines.extend_from_slice(&chunk.expect("it is read"));
    }
    lines
}

/// The same rows once more, after the tables were emptied.
async fn copy(pool: &PgPool, lines: &[u8]) -> Duration {
    let mut connection = pool.acquire().await.expect("the server is there");
    let staging = format!("create temporary table staging as {ROWS} limit 0");
    sqlx::raw_sql(AssertSqlSafe(staging)).execute(&mut *connection).await.expect("it is made");
    let empty = "truncate software_catalog, asset_software, muster.software_version, muster.software_report";
    sqlx::raw_sql(empty).execute(&mut *connection).await.expect("they are emptied");
    let began = Instant::now();
    let mut copy = connection.copy_in_raw("copy staging from stdin").await.expect("it begins");
    for chunk in lines.chunks(1 << 20) {
        copy.send(chunk).await.expect("it is sent");
    }
    copy.finish().await.expect("it is copied");
    sqlx::raw_sql(INSERTS).execute(&mut *connection).await.expect("it is inserted");
    began.elapsed()
}
