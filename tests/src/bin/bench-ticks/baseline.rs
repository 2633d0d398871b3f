//! The same rows by the bare taking statements in a loop: locked, and moved to their next slot, by one connection that has
//! nothing else to do. No run begins, no message is written, nobody waits for the next look.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};
use store::run::Kind;
use store::schedule::{PROBE_EVERY, ROWS_MAX};
use uuid::Uuid;

use crate::stage::settle;

/// The ticker's own statements.
const TAKE: &str = include_str!("../../../../shared/store/sql/schedule/take.sql");
const ADVANCE: &str = include_str!("../../../../shared/store/sql/schedule/advance.sql");

/// How long it took to take how many schedules.
pub(crate) struct Baseline {
    pub(crate) rows: usize,
    pub(crate) took: Duration,
}

/// Lets everything be due once more and takes it, in transactions as large as the ticker's. No gateway runs.
pub(crate) async fn measure(sql: &mut PgConnection) -> anyhow::Result<Baseline> {
    let due = sqlx::query("update muster.schedule set next_due_at = now() - interval '1 s'");
    due.execute(&mut *sql).await.context("let everything be due")?;
    settle(sql).await?;
    let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    let hour_s = i32::try_from(PROBE_EVERY.as_secs()).context("an hour fits")?;
    let (mut rows, began) = (0, Instant::now());
    loop {
        let mut transaction = sql.begin().await?;
        let taken = sqlx::query(TAKE)
            .bind(i64::from(ROWS_MAX))
            .bind(&kinds)
            .fetch_all(&mut *transaction)
            .await
            .context("take")?;
        if taken.is_empty() {
            break;
        }
        let tenants: Vec<Uuid> = taken.iter().map(|row| row.get(0)).collect();
        let integrations: Vec<Uuid> = taken.iter().map(|row| row.get(1)).collect();
        let of_kinds: Vec<String> = taken.iter().map(|row| row.get(2)).collect();
        let moved = sqlx::query(ADVANCE).bind(tenants).bind(integrations).bind(of_kinds).bind(hour_s).bind(hour_s);
        rows += moved.fetch_all(&mut *transaction).await.context("move")?.len();
        transaction.commit().await?;
    }
    Ok(Baseline { rows, took: began.elapsed() })
}
