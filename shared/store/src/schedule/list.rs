//! Schedules as a person sees them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::kind;
use crate::hook::PROVIDER;
use crate::run::Kind;
use crate::{Error, Store};

/// Runs that fail again and again for a cause that needs a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// Why.
    pub cause: String,
    /// Since when.
    pub since: DateTime<Utc>,
    /// How many in a row.
    pub count: i32,
    /// Since when the schedule therefore ticks at most once an hour.
    pub attention_at: Option<DateTime<Utc>>,
}

/// A schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// What is run.
    pub kind: Kind,
    /// What a person has set, in seconds; `None`: the default.
    pub interval_s: Option<i32>,
    /// The default, in seconds; that of devices follows the size of the fleet.
    pub default_interval_s: i32,
    /// Whether it is switched on.
    pub is_enabled: bool,
    /// The next slot, on the database's clock; `None`: switched off, or the connection is not active.
    pub next_due_at: Option<DateTime<Utc>>,
    /// The last slot that was taken.
    pub last_slot: Option<DateTime<Utc>>,
    /// Failures that need a person.
    pub failing: Option<Failing>,
}

/// The schedules of a tenant's connection in the order of [`Kind::ALL`]; empty where there is no connection.
///
/// # Errors
/// What the database said.
pub async fn list(store: &Store, tenant: Uuid) -> Result<Vec<Schedule>, Error> {
    let rows = sqlx::query!(
        "select s.kind, s.interval_s, s.default_interval_s, s.is_enabled, s.next_due_at, s.last_slot, s.failing_cause,
                s.failing_since, s.failing_count, s.attention_at
         from muster.schedule s
         join rmm_integrations i on i.tenant = s.tenant and i.integration_id = s.integration_id
         where s.tenant = $1 and i.provider = $2",
        tenant,
        PROVIDER
    );
    let rows = store.run(format!("list the schedules of tenant {tenant}"), rows.fetch_all(store.pool())).await?;
    let schedules = rows.into_iter().filter_map(|row| {
        let failing = row.failing_cause.zip(row.failing_since).map(|(cause, since)| Failing {
            cause,
            since,
            count: row.failing_count,
            attention_at: row.attention_at,
        });
        Some(Schedule {
            kind: kind(&row.kind)?,
            interval_s: row.interval_s,
            default_interval_s: row.default_interval_s,
            is_enabled: row.is_enabled,
            next_due_at: row.next_due_at,
            last_slot: row.last_slot,
            failing,
        })
    });
    let mut schedules: Vec<Schedule> = schedules.collect();
    schedules.sort_unstable_by_key(|schedule| Kind::ALL.iter().position(|kind| *kind == schedule.kind));
    Ok(schedules)
}
