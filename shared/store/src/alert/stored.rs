//! An alert's state in its table: locked, read, and the alerts that turned out to be another's double.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use sqlx::postgres::PgConnection;
use tracing::Instrument as _;
use uuid::Uuid;

use super::fact::Fact;
use super::name::AlertId;
use super::state::{DetailsTold, Digests, Group, Stamps, State};
use super::statement;
use crate::Error;
use crate::error::Attempt;

/// An alert as it stands, its lock held.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) alert: AlertId,
    pub(crate) integration_id: Uuid,
    pub(crate) state: State,
    pub(crate) dedup_key: Option<String>,
    pub(crate) opening_at: Option<DateTime<Utc>>,
    pub(crate) external_alert_id: Option<String>,
    /// Since when its details and digests are gone: it ended long before (`store::retention`).
    pub(crate) retired_at: Option<DateTime<Utc>>,
    /// Its row in `rmm_alerts`, where it has one.
    pub(crate) row: Option<RowNow>,
}

impl Stored {
    /// Whether a fact is of the past that was let go: it came, or should have come, while the alert was kept whole.
    /// What it says of an alert that ended so long ago nobody needs, and it must not change what a reader sees. A later
    /// incarnation is news whenever it comes.
    pub(crate) fn has_outlived(&self, fact: &Fact) -> bool {
        self.retired_at.is_some_and(|at| fact.at < at && fact.alert_time <= self.state.alert_time)
    }
}

/// What people and the database may have made of the visible row.
#[derive(Debug, Clone)]
pub(crate) struct RowNow {
    pub(crate) status: String,
    pub(crate) resolved_at: Option<DateTime<Utc>>,
    pub(crate) asset_id: Option<Uuid>,
    pub(crate) occurrence_count: i32,
}

/// Takes the alerts' locks; those that did not exist come back.
pub(crate) async fn lock(
    connection: &mut PgConnection,
    alerts: &BTreeSet<(AlertId, Uuid)>,
) -> Result<HashSet<Uuid>, Error> {
    if alerts.is_empty() {
        return Ok(HashSet::new());
    }
    let tenants: Vec<Uuid> = alerts.iter().map(|(alert, _)| alert.0).collect();
    let ids: Vec<Uuid> = alerts.iter().map(|(alert, _)| alert.1).collect();
    let integrations: Vec<Uuid> = alerts.iter().map(|(_, integration)| *integration).collect();
    sqlx::query_file_scalar!("sql/alert/lock_states.sql", &tenants, &ids, &integrations)
        .fetch_all(connection)
        .instrument(statement("LOCK", "muster.alert_state", alerts.len()))
        .await
        .attempt(format!("lock {} alerts", alerts.len()))
        .map(|made| made.into_iter().collect())
}

/// Reads locked alerts.
pub(crate) async fn read(
    connection: &mut PgConnection,
    alerts: &BTreeSet<(AlertId, Uuid)>,
) -> Result<HashMap<AlertId, Stored>, Error> {
    if alerts.is_empty() {
        return Ok(HashMap::new());
    }
    let tenants: Vec<Uuid> = alerts.iter().map(|(alert, _)| alert.0).collect();
    let ids: Vec<Uuid> = alerts.iter().map(|(alert, _)| alert.1).collect();
    let rows = sqlx::query_file!("sql/alert/read_states.sql", &tenants, &ids)
        .fetch_all(connection)
        .await
        .attempt(format!("read {} alerts", alerts.len()))?;
    let stored = rows.into_iter().map(|row| {
        let timed = Stamps {
            opened_at: row.opened_at,
            resolve_said_at: row.resolve_said_at,
            absent_at: row.absent_at,
            open_polled_at: row.open_polled_at,
        };
        let loose = Stamps {
            opened_at: row.loose_opened_at,
            resolve_said_at: row.loose_resolve_said_at,
            absent_at: row.loose_absent_at,
            open_polled_at: row.loose_open_polled_at,
        };
        let state = State {
            alert_time: row.alert_time,
            timed: Group { stamps: timed, details: details(row.details)? },
            loose: Group { stamps: loose, details: details(row.loose_details)? },
            number: row.number,
            place: row.place,
            fetch_wanted_at: row.fetch_wanted_at,
            digests: Digests { facts: row.facts, known: unpack(&row.digests) },
        };
        let alert = (row.tenant, row.alert_id);
        let (row_resolved_at, row_asset_id) = (row.row_resolved_at, row.row_asset_id);
        let now = row.row_status.map(|status| RowNow {
            status,
            resolved_at: row_resolved_at,
            asset_id: row_asset_id,
            occurrence_count: row.row_occurrence_count.unwrap_or(1),
        });
        let stored = Stored {
            alert,
            integration_id: row.integration_id,
            state,
            dedup_key: row.dedup_key,
            opening_at: row.opening_at,
            external_alert_id: row.external_alert_id,
            retired_at: row.retired_at,
            row: now,
        };
        Ok((alert, stored))
    });
    stored.collect()
}

fn details<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, Error> {
    serde_json::from_value(value)
        .map_err(|source| Error::from_sqlx("read an alert's details", sqlx::Error::Decode(source.into())))
}

/// What `muster.alert_state` holds, under its columns' names.
#[derive(Debug, serde::Serialize)]
pub(crate) struct StateRow<'a> {
    tenant: Uuid,
    alert_id: Uuid,
    integration_id: Uuid,
    pub(crate) rev: i64,
    facts: i64,
    digests: String,
    number: Option<&'a str>,
    place: Option<&'a str>,
    alert_time: Option<DateTime<Utc>>,
    opened_at: Option<DateTime<Utc>>,
    resolve_said_at: Option<DateTime<Utc>>,
    absent_at: Option<DateTime<Utc>>,
    open_polled_at: Option<DateTime<Utc>>,
    details: &'a DetailsTold,
    loose_opened_at: Option<DateTime<Utc>>,
    loose_resolve_said_at: Option<DateTime<Utc>>,
    loose_absent_at: Option<DateTime<Utc>>,
    loose_open_polled_at: Option<DateTime<Utc>>,
    loose_details: &'a DetailsTold,
    fetch_wanted_at: Option<DateTime<Utc>>,
    pub(crate) external_alert_id: Option<&'a str>,
    pub(crate) agent_id: Option<&'a str>,
    pub(crate) asset_id: Option<Uuid>,
    pub(crate) dedup_key: Option<&'a str>,
    pub(crate) opening_at: Option<DateTime<Utc>>,
    pub(crate) opened_rev: Option<i64>,
    pub(crate) updated_rev: Option<i64>,
    pub(crate) resolved_rev: Option<i64>,
    pub(crate) reopened_rev: Option<i64>,
}

impl<'a> StateRow<'a> {
    /// The state's own columns; what follows from it is for the caller to fill in.
    pub(crate) fn of(alert: AlertId, integration_id: Uuid, state: &'a State, asset_id: Option<Uuid>) -> Self {
        let (timed, loose) = (&state.timed.stamps, &state.loose.stamps);
        Self {
            tenant: alert.0,
            alert_id: alert.1,
            integration_id,
            rev: state.rev(asset_id.is_some()),
            facts: state.digests.facts,
            digests: pack(&state.digests.known),
            number: state.number.as_deref(),
            place: state.place.as_deref(),
            alert_time: state.alert_time,
            opened_at: timed.opened_at,
            resolve_said_at: timed.resolve_said_at,
            absent_at: timed.absent_at,
            open_polled_at: timed.open_polled_at,
            details: &state.timed.details,
            loose_opened_at: loose.opened_at,
            loose_resolve_said_at: loose.resolve_said_at,
            loose_absent_at: loose.absent_at,
            loose_open_polled_at: loose.open_polled_at,
            loose_details: &state.loose.details,
            fetch_wanted_at: state.fetch_wanted_at,
            external_alert_id: None,
            agent_id: None,
            asset_id,
            dedup_key: None,
            opening_at: None,
            opened_rev: None,
            updated_rev: None,
            resolved_rev: None,
            reopened_rev: None,
        }
    }
}

/// Writes states; how many it wrote.
pub(crate) async fn write(connection: &mut PgConnection, rows: &[StateRow<'_>]) -> Result<usize, Error> {
    sqlx::query_file!("sql/alert/write_states.sql", json(rows))
        .fetch_all(connection)
        .instrument(statement("INSERT", "muster.alert_state", rows.len()))
        .await
        .attempt(format!("write {} alert states", rows.len()))
        .map(|written| written.len())
}

/// Rows as one value: thirty arrays of one length would say the same in thirty lines more.
pub(crate) fn json(rows: &[impl serde::Serialize]) -> serde_json::Value {
    serde_json::to_value(rows).expect("rows of texts, numbers and times are JSON")
}

/// Removes doubles whose locks are held, after what people wrote on them went to the alert that stays.
pub(crate) async fn drop_doubles(connection: &mut PgConnection, doubles: &[(AlertId, AlertId)]) -> Result<(), Error> {
    if doubles.is_empty() {
        return Ok(());
    }
    let tenants: Vec<Uuid> = doubles.iter().map(|(gone, _)| gone.0).collect();
    let gone: Vec<Uuid> = doubles.iter().map(|(gone, _)| gone.1).collect();
    let stays: Vec<Uuid> = doubles.iter().map(|(_, stays)| stays.1).collect();
    let what = || format!("merge {} alerts", doubles.len());
    sqlx::query_file!("sql/alert/inherit.sql", &tenants, &gone, &stays)
        .execute(&mut *connection)
        .await
        .attempt(what())?;
    sqlx::query_file!("sql/alert/drop_doubles.sql", &tenants, &gone).execute(connection).await.attempt(what())?;
    Ok(())
}

/// Eight bytes each, as Postgres writes bytes in a text.
fn pack(digests: &[u64]) -> String {
    let mut text = String::with_capacity(2 + 16 * digests.len());
    text.push_str("\\x");
    for digest in digests {
        text.push_str(&format!("{digest:016x}"));
    }
    text
}

fn unpack(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks::<8>().0.iter().map(|chunk| u64::from_be_bytes(*chunk)).collect()
}
