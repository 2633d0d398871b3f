//! What became of the slots: how late each began, and whether each has one run with one message.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

/// Of all slots of a part of the measurement.
#[derive(Debug)]
pub(crate) struct Slots {
    /// Slots that came.
    pub(crate) expected: i64,
    /// Those without a run.
    pub(crate) missing: i64,
    /// Runs beyond the first of a slot, and such as are for no slot.
    pub(crate) surplus: i64,
    /// Runs that do not have one message.
    pub(crate) untold: i64,
    /// From the slot to the writing of its run, in seconds: half of them, 99 of 100, all of them.
    pub(crate) late_s: [f64; 3],
    /// From the writing of the first run to that of the last, in seconds.
    pub(crate) took_s: f64,
}

/// Notes the slots that must have come from a moment on and before another one.
pub(crate) async fn expect_slots(
    sql: &mut PgConnection,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("drop table if exists bench_slot; drop table if exists bench_run").execute(&mut *sql).await?;
    sqlx::query(
        "create temp table bench_slot as
         select tenant, integration_id, kind, at as slot
         from muster.schedule, now(), lateral generate_series(
             muster.next_slot($1 - interval '1 ms', interval_s, phase_s), $2 - interval '1 ms',
             make_interval(secs => interval_s)
         ) at",
    )
    .bind(from)
    .bind(to)
    .execute(&mut *sql)
    .await?;
    // what began after the last of them is not looked at
    sqlx::query(
        "create temp table bench_run as
         select tenant, integration_id, kind, slot, run_id, bench_written_at from muster.run
         where slot >= $1 and slot < $2",
    )
    .bind(from)
    .bind(to)
    .execute(sql)
    .await
    .map(drop)
}

/// Compares the slots that were expected with the runs that are there. `messages`: how many each run has had.
pub(crate) async fn slots(sql: &mut PgConnection, messages: HashMap<Uuid, u32>) -> Result<Slots, sqlx::Error> {
    let row = sqlx::query(
        "with slot as (
             select s.slot, count(r.run_id) as runs from bench_slot s
             left join bench_run r using (tenant, integration_id, kind, slot)
             group by s.tenant, s.integration_id, s.kind, s.slot
         ),
         late as (select extract(epoch from bench_written_at - slot)::float8 as s from bench_run)
         select (select count(*) from slot), (select count(*) from slot where runs = 0),
             (select count(*) from bench_run) - (select count(*) from slot where runs > 0),
             (select percentile_disc(array[0.5, 0.99, 1.0]) within group (order by s) from late),
             (select extract(epoch from max(bench_written_at) - min(bench_written_at))::float8 from bench_run)",
    );
    let row = row.fetch_one(&mut *sql).await?;
    let runs: Vec<Uuid> = sqlx::query_scalar("select run_id from bench_run").fetch_all(sql).await?;
    let untold = runs.iter().filter(|run_id| messages.get(run_id) != Some(&1)).count();
    let late_s: Option<Vec<f64>> = row.try_get(3)?;
    Ok(Slots {
        expected: row.try_get(0)?,
        missing: row.try_get(1)?,
        surplus: row.try_get(2)?,
        untold: i64::try_from(untold).unwrap_or(i64::MAX),
        late_s: late_s.and_then(|late_s| late_s.try_into().ok()).unwrap_or([f64::INFINITY; 3]),
        took_s: row.try_get::<Option<f64>, _>(4)?.unwrap_or(f64::INFINITY),
    })
}
