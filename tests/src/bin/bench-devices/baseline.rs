//! The same rows, in the same batches, by COPY into a staging table and insert-select into tables with the same indexes
//! and foreign keys: the fastest that this Postgres takes them without looking at what stands there already.

use std::time::{Duration, Instant};

use anyhow::ensure;
use futures_util::TryStreamExt as _;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use store::testing::TestDatabase;

use crate::measure::TABLES;
use crate::stage::Stage;

/// Rows of a transaction, as the worker has them.
const BATCH_ROWS: i64 = 1_000;
/// What the rows point at.
const PARENTS: [&str; 3] = ["public.tenants", "public.clients", "public.rmm_integrations"];

/// How long it took to write how many assets, with all that belongs to them.
pub(crate) struct Baseline {
    pub(crate) assets: i64,
    pub(crate) took: Duration,
}

/// One batch: what COPY said of each of [`TABLES`].
type Batch = Vec<Vec<u8>>;

/// Reads what the syncs have written and writes it into a second database of the same schema.
pub(crate) async fn measure(stage: &Stage) -> anyhow::Result<Baseline> {
    let mut from = stage.sql().await;
    let other = TestDatabase::create().await;
    let mut to = other.connect().await;
    for table in PARENTS {
        let rows = copy_out(&mut from, &format!("copy {table} to stdout")).await?;
        copy_in(&mut to, table, rows).await?;
    }
    let batches = read(&mut from).await?;
    for table in TABLES {
        let staging = format!("create temp table {} (like {table}) on commit delete rows", staging(table));
        sqlx::raw_sql(AssertSqlSafe(staging)).execute(&mut to).await?;
    }
    sqlx::raw_sql("checkpoint").execute(&mut to).await?;
    let began = Instant::now();
    for batch in batches {
        write(&mut to, batch).await?;
    }
    let took = began.elapsed();
    let assets: i64 = sqlx::query_scalar("select count(*) from assets").fetch_one(&mut to).await?;
    ensure!(assets > 0, "the first sync has written no asset");
    Ok(Baseline { assets, took })
}

async fn read(from: &mut PgConnection) -> anyhow::Result<Vec<Batch>> {
    let number = format!(
        "create temp table batch as
         select asset_id, (row_number() over (order by asset_id) - 1) / {BATCH_ROWS} as number from public.assets
         where rmm_device_id is not null"
    );
    sqlx::raw_sql(AssertSqlSafe(number)).execute(&mut *from).await?;
    sqlx::raw_sql("create index on batch (number); analyze batch").execute(&mut *from).await?;
    let count: i64 = sqlx::query_scalar("select coalesce(max(number) + 1, 0) from batch").fetch_one(&mut *from).await?;
    let mut batches = Vec::new();
    for number in 0..count {
        let mut batch = Batch::new();
        for table in TABLES {
            let asset = if table.ends_with("mappings") { "t.alga_entity_id::uuid" } else { "t.asset_id" };
            let rows = format!(
                "copy (select t.* from {table} t join batch b on b.asset_id = {asset} where b.number = {number}) to stdout"
            );
            batch.push(copy_out(from, &rows).await?);
        }
        batches.push(batch);
    }
    Ok(batches)
}

async fn write(to: &mut PgConnection, batch: Batch) -> anyhow::Result<()> {
    sqlx::raw_sql("begin").execute(&mut *to).await?;
    for (table, rows) in TABLES.into_iter().zip(batch) {
        let staging = staging(table);
        copy_in(to, &staging, rows).await?;
        let merge = format!("insert into {table} select * from {staging}");
        sqlx::raw_sql(AssertSqlSafe(merge)).execute(&mut *to).await?;
    }
    sqlx::raw_sql("commit").execute(&mut *to).await?;
    Ok(())
}

fn staging(table: &str) -> String {
    format!("staging_{}", table.replace('.', "_"))
}

async fn copy_out(from: &mut PgConnection, statement: &str) -> anyhow::Result<Vec<u8>> {
    let mut rows = Vec::new();
    let mut stream = from.copy_out_raw(statement).await?;
    while let Some(chunk) = stream.try_next().await? {
        rows.extend_from_slice(&chunk);
    }
    Ok(rows)
}

async fn copy_in(to: &mut PgConnection, table: &str, rows: Vec<u8>) -> anyhow::Result<()> {
    let mut copy = to.copy_in_raw(&format!("copy {table} from stdin")).await?;
    copy.send(rows).await?;
    copy.finish().await?;
    Ok(())
}
