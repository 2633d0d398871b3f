//! What one sync costs: time on the database's clock, rows written, and WAL with its full-page images told apart.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use crate::stage::Stage;

/// The tables that a sync of devices writes; whatever else it writes (runs, parts, outbox) is a few rows.
pub(crate) const TABLES: [&str; 5] = [
    "public.assets",
    "public.workstation_assets",
    "public.server_assets",
    "public.tenant_external_entity_mappings",
    "muster.agent",
];
/// A backend that has become idle hands its counts in after ten seconds at the latest.
const COUNTED_AFTER: Duration = Duration::from_secs(12);

/// Reads the counters of the database around each sync.
pub(crate) struct Meter {
    sql: PgConnection,
}

/// One sync.
#[derive(Debug, Clone)]
pub(crate) struct Cost {
    /// From the run's start to its end.
    pub(crate) took: Duration,
    /// Rows that the run's parts say they saw.
    pub(crate) seen: i64,
    /// Rows of [`TABLES`] that another transaction than before has written.
    pub(crate) rewritten: i64,
    /// Updates of [`TABLES`], and those of them that touched no index.
    pub(crate) updates: i64,
    pub(crate) hot_updates: i64,
    /// WAL without full-page images, and the images.
    pub(crate) wal_record_bytes: i64,
    pub(crate) wal_image_bytes: i64,
}

struct Counters {
    updates: i64,
    hot_updates: i64,
}

impl Meter {
    pub(crate) async fn new(stage: &Stage) -> anyhow::Result<Self> {
        let mut sql = stage.sql().await;
        for statement in [
            "create extension if not exists pg_walinspect",
            "create unlogged table public.bench_before (relation text, row_id tid, written_by text)",
        ] {
            sqlx::raw_sql(statement).execute(&mut sql).await.context("this needs the server's contrib modules")?;
        }
        Ok(Self { sql })
    }

    /// Runs a sync of all devices and tells what it cost. It begins with a checkpoint, as one would come from time to time:
    /// the first write of each page is a full-page image then.
    pub(crate) async fn sync(&mut self, stage: &Stage) -> anyhow::Result<Cost> {
        self.note_rows().await?;
        let before = self.counters().await?;
        for table in TABLES {
            // now, so that the server's own does not come in the middle
            sqlx::raw_sql(AssertSqlSafe(format!("vacuum (analyze) {table}"))).execute(&mut self.sql).await?;
        }
        sqlx::raw_sql("checkpoint").execute(&mut self.sql).await?;
        let from = self.wal_at().await?;
        stage.muster(&["sync", "devices", "--wait"])?;
        let to = self.wal_at().await?;
        let (took, seen) = self.last_run().await?;
        tokio::time::sleep(COUNTED_AFTER).await;
        let after = self.counters().await?;
        let (wal_record_bytes, wal_image_bytes) = self.wal(&from, &to).await?;
        Ok(Cost {
            took,
            seen,
            rewritten: self.rewritten().await?,
            updates: after.updates - before.updates,
            hot_updates: after.hot_updates - before.hot_updates,
            wal_record_bytes,
            wal_image_bytes,
        })
    }

    async fn note_rows(&mut self) -> anyhow::Result<()> {
        sqlx::raw_sql("truncate public.bench_before").execute(&mut self.sql).await?;
        for table in TABLES {
            let note = format!("insert into public.bench_before select '{table}', ctid, xmin::text from {table}");
            sqlx::raw_sql(AssertSqlSafe(note)).execute(&mut self.sql).await?;
        }
        Ok(())
    }

    /// Rows that stand elsewhere, or were written by another transaction, than [`Meter::note_rows`] saw.
    async fn rewritten(&mut self) -> anyhow::Result<i64> {
        let mut rewritten = 0;
        for table in TABLES {
            let count = format!(
                "select count(*) from (select ctid, xmin::text from {table}
                 except select row_id, written_by from public.bench_before where relation = '{table}') as changed"
            );
            rewritten += sqlx::query_scalar::<_, i64>(AssertSqlSafe(count)).fetch_one(&mut self.sql).await?;
        }
        Ok(rewritten)
    }

    async fn counters(&mut self) -> anyhow::Result<Counters> {
        let row = sqlx::query(
            "select sum(n_tup_upd)::bigint, sum(n_tup_hot_upd)::bigint from pg_stat_user_tables
             where schemaname || '.' || relname = any($1)",
        );
        let row = row.bind(&TABLES[..]).fetch_one(&mut self.sql).await?;
        Ok(Counters { updates: row.try_get(0)?, hot_updates: row.try_get(1)? })
    }

    async fn wal_at(&mut self) -> anyhow::Result<String> {
        Ok(sqlx::query_scalar("select pg_current_wal_flush_lsn()::text").fetch_one(&mut self.sql).await?)
    }

    async fn wal(&mut self, from: &str, to: &str) -> anyhow::Result<(i64, i64)> {
        let row = sqlx::query(
            "select sum(record_size)::bigint, sum(fpi_size)::bigint from pg_get_wal_stats($1::pg_lsn, $2::pg_lsn)",
        );
        let row = row
            .bind(from)
            .bind(to)
            .fetch_one(&mut self.sql)
            .await
            .context("read the WAL back (wal_keep_size must hold a whole sync)")?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }

    async fn last_run(&mut self) -> anyhow::Result<(Duration, i64)> {
        let row = sqlx::query(
            "select state, extract(epoch from finished_at - started_at)::float8,
                    (select sum(seen) from muster.run_part p where p.tenant = r.tenant and p.run_id = r.run_id)
             from muster.run r where kind = 'devices' order by requested_at desc limit 1",
        );
        let row = row.fetch_one(&mut self.sql).await?;
        let (state, took_s): (String, f64) = (row.try_get(0)?, row.try_get(1)?);
        ensure!(state == "completed", "the run ended as {state}");
        Ok((Duration::from_secs_f64(took_s), row.try_get(2)?))
    }
}
