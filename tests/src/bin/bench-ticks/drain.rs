//! Takes the outbox as a relay does, and ends the runs that it tells of, as their workers would; counts every message.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use contract::topology;
use sqlx::postgres::PgConnection;
use store::testing::TestDatabase;
use store::{Store, outbox};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Rows of a claim, and the time between two where nothing is due.
const ROWS_MAX: u32 = 1_000;
const PAUSE: Duration = Duration::from_millis(20);
/// Longer than it takes to end the runs of a claim.
const LEASE: Duration = Duration::from_secs(60);

/// Messages by run.
type Counts = Arc<Mutex<HashMap<Uuid, u32>>>;

/// The task that drains.
pub(crate) struct Drain {
    counts: Counts,
    task: JoinHandle<anyhow::Result<()>>,
    store: Store,
}

impl Drain {
    pub(crate) async fn start(database: &TestDatabase) -> Self {
        let (counts, store) = (Counts::default(), database.second_store());
        let task = tokio::spawn(run(store.clone(), database.connect().await, Arc::clone(&counts)));
        Self { counts, task, store }
    }

    /// Waits until the outbox is empty; then tells how many messages each run has had.
    pub(crate) async fn messages_of_runs(&mut self, sql: &mut PgConnection) -> anyhow::Result<HashMap<Uuid, u32>> {
        loop {
            if outbox::count(&self.store).await? == 0 {
                // a run is ended before its message goes
                let open = sqlx::query_scalar("select count(*) from muster.run where finished_at is null");
                let open: i64 = open.fetch_one(sql).await?;
                ensure!(open == 0, "{open} runs are open whose message is gone");
                return Ok(std::mem::take(&mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner)));
            }
            if self.task.is_finished() {
                (&mut self.task).await.context("the drain ended")?.context("drain the outbox")?;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    pub(crate) fn stop(&self) {
        self.task.abort();
    }
}

async fn run(store: Store, mut sql: PgConnection, counts: Counts) -> anyhow::Result<()> {
    loop {
        let rows = outbox::claim(&store, ROWS_MAX, LEASE).await?;
        let (mut tenants, mut runs) = (Vec::new(), Vec::new());
        for row in rows.iter().filter(|row| row.exchange == topology::WORK) {
            let body: serde_json::Value = serde_json::from_slice(&row.body)?;
            let run_id = body["run_id"].as_str().context("a message names its run")?;
            tenants.push(row.tenant);
            runs.push(run_id.parse::<Uuid>()?);
        }
        {
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            runs.iter().for_each(|run_id| *counts.entry(*run_id).or_default() += 1);
        }
        end(&mut sql, &tenants, &runs).await?;
        let published: Vec<i64> = rows.iter().map(|row| row.outbox_id).collect();
        outbox::delete(&store, &published).await?;
        if rows.len() < ROWS_MAX as usize {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Ends runs as if there had been nothing to do.
async fn end(sql: &mut PgConnection, tenants: &[Uuid], runs: &[Uuid]) -> anyhow::Result<()> {
    let end = sqlx::query(
        "update muster.run r set state = 'completed', started_at = now(), finished_at = now()
         from unnest($1::uuid[], $2::uuid[]) n (tenant, run_id) where r.tenant = n.tenant and r.run_id = n.run_id",
    );
    end.bind(tenants).bind(runs).execute(sql).await?;
    Ok(())
}
