//! What waits longer than it should: schedules, the outbox, parked messages.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::ROWS_MAX;
use crate::hook::PROVIDER;
use crate::schedule::PROBE_EVERY;
use crate::{Error, Store};

/// A schedule whose slot nobody has taken for more than two of its steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateSchedule {
    /// Whose.
    pub tenant: Uuid,
    /// Of what.
    pub kind: String,
    /// When it was due.
    pub due_at: DateTime<Utc>,
    /// How many there are in all, this one included.
    pub total: i64,
}

/// The latest of them.
///
/// # Errors
/// What the database said.
pub async fn late(store: &Store) -> Result<Vec<LateSchedule>, Error> {
    let probe_s = PROBE_EVERY.as_secs_f64();
    let rows = sqlx::query_file_as!(LateSchedule, "sql/doctor/late.sql", PROVIDER, probe_s, ROWS_MAX);
    store.run("look for schedules that are late", rows.fetch_all(store.pool())).await
}

/// A schedule that ticks once an hour only, since its runs fail for a cause that needs a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlowSchedule {
    /// Whose.
    pub tenant: Uuid,
    /// Of what.
    pub kind: String,
    /// Why.
    pub cause: String,
    /// Since when.
    pub attention_at: DateTime<Utc>,
    /// How many there are in all, this one included.
    pub total: i64,
}

/// The oldest of them; those of suspended tenants do not tick anyway.
///
/// # Errors
/// What the database said.
pub async fn slow(store: &Store) -> Result<Vec<SlowSchedule>, Error> {
    let rows = sqlx::query_as!(
        SlowSchedule,
        r#"select s.tenant, s.kind, coalesce(s.failing_cause, '') as "cause!", s.attention_at as "attention_at!",
                  count(*) over () as "total!"
           from muster.schedule s
           join rmm_integrations i on i.tenant = s.tenant and i.integration_id = s.integration_id
           join tenants t on t.tenant = s.tenant
           where i.provider = $1 and i.is_active and t.suspended_at is null
             and s.attention_at is not null and s.next_due_at is not null
           order by s.attention_at, s.tenant, s.kind limit $2"#,
        PROVIDER,
        ROWS_MAX
    );
    store.run("look for schedules that need a person", rows.fetch_all(store.pool())).await
}

/// What lies in the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outbox {
    /// Messages that may be published.
    pub rows: i64,
    /// How long the first of them has waited; `None`: there is none.
    pub oldest: Option<Duration>,
}

/// Looks at the outbox.
///
/// # Errors
/// What the database said.
pub async fn outbox(store: &Store) -> Result<Outbox, Error> {
    let row = sqlx::query!(
        r#"select count(*) as "rows!", extract(epoch from now() - min(available_at))::double precision as oldest_s
           from muster.outbox where available_at <= now()"#
    );
    let row = store.run("look at the outbox", row.fetch_one(store.pool())).await?;
    Ok(Outbox { rows: row.rows, oldest: row.oldest_s.and_then(|age_s| Duration::try_from_secs_f64(age_s).ok()) })
}

/// Parked messages of one state and class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedCount {
    /// `parked`, or `held` for a pause.
    pub state: String,
    /// Why: a class's word.
    pub class: String,
    /// How many.
    pub count: i64,
    /// When the last one was parked.
    pub last_at: DateTime<Utc>,
}

/// Counts what is parked.
///
/// # Errors
/// What the database said.
pub async fn parked(store: &Store) -> Result<Vec<ParkedCount>, Error> {
    let rows = sqlx::query_as!(
        ParkedCount,
        r#"select state, class, count(*) as "count!", max(parked_at) as "last_at!"
           from muster.parked group by state, class order by state desc, 3 desc, class"#
    );
    store.run("count parked messages", rows.fetch_all(store.pool())).await
}
