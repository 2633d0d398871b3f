//! Runs as a person sees them, live.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Kind, PartState, State};
use crate::{Error, Store};

/// Rows of a part, or of all parts of a run: devices, or alerts. A part's are those of its current attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// How many Tactical is expected to show, where that is known.
    pub expected: Option<i64>,
    /// How many it has shown.
    pub seen: i64,
    /// Assets made or adopted; alerts that were not known.
    pub created: i64,
    /// Assets or alerts of which anything was written.
    pub updated: i64,
    /// Assets that came from another client; they count as updated too.
    pub moved: i64,
    /// Devices or alerts of which nothing was written.
    pub unchanged: i64,
    /// Devices that are newly known to be gone; alerts that are no longer open and were resolved here.
    pub missing: i64,
    /// Alerts that were not shown and may be open all the same: the key does not see their device. Devices whose software the
    /// key may not read.
    pub unverifiable: i64,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunView {
    /// The run.
    pub run_id: Uuid,
    /// The connection.
    pub integration_id: Uuid,
    /// What it reads.
    pub kind: Kind,
    /// How far it has come.
    pub state: State,
    /// How often it was taken over.
    pub epoch: i32,
    /// Who asked for it.
    pub requested_by: String,
    /// When.
    pub requested_at: DateTime<Utc>,
    /// When a worker first took it.
    pub started_at: Option<DateTime<Utc>>,
    /// Its last batch.
    pub progressed_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// What failed, and why.
    pub error: Option<String>,
    /// Its parts.
    pub parts: i64,
    /// Those that are done.
    pub parts_done: i64,
    /// Those that have failed.
    pub parts_failed: i64,
    /// All parts together.
    pub counts: Counts,
}

/// A part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartView {
    /// Its name, see [`super::Scope`].
    pub name: String,
    /// What a person calls it.
    pub label: String,
    /// How far it has come.
    pub state: PartState,
    /// How often it was begun.
    pub attempt: i32,
    /// Its rows.
    pub counts: Counts,
    /// When its current attempt began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Why it failed.
    pub error: Option<String>,
}

/// One run of a tenant with its parts, by label; `None`: there is none.
///
/// # Errors
/// What the database said.
pub async fn get(store: &Store, tenant: Uuid, run_id: Uuid) -> Result<Option<(RunView, Vec<PartView>)>, Error> {
    let Some(run) = read(store, tenant, Some(run_id), &RunFilter::default(), 1).await?.pop() else { return Ok(None) };
    let rows = sqlx::query!(
        "select name, label, state, attempt, expected, seen, created, updated, moved, unchanged, missing, unverifiable, started_at,
                finished_at, error
         from muster.run_part where tenant = $1 and run_id = $2 order by label, name",
        tenant,
        run_id
    );
    let rows = store.run("read a run's parts", rows.fetch_all(store.pool())).await?;
    let parts = rows.into_iter().map(|row| PartView {
        name: row.name,
        label: row.label,
        state: PartState::parse(&row.state).unwrap_or(PartState::Open),
        attempt: row.attempt,
        counts: Counts {
            expected: row.expected.map(i64::from),
            seen: row.seen.into(),
            created: row.created.into(),
            updated: row.updated.into(),
            moved: row.moved.into(),
            unchanged: row.unchanged.into(),
            missing: row.missing.into(),
            unverifiable: row.unverifiable.into(),
        },
        started_at: row.started_at,
        finished_at: row.finished_at,
        error: row.error,
    });
    Ok(Some((run, parts.collect())))
}

/// Which runs; the default lets all through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Only of this kind.
    pub kind: Option<Kind>,
    /// Only in one of these states; none is any.
    pub states: Vec<State>,
    /// Only those after this run in the list.
    pub after: Option<Uuid>,
}

/// One page of a tenant's runs that the filter lets through, newest first, at most `rows_max`.
///
/// # Errors
/// What the database said.
pub async fn page(store: &Store, tenant: Uuid, filter: &RunFilter, rows_max: u32) -> Result<Vec<RunView>, Error> {
    read(store, tenant, None, filter, rows_max).await
}

async fn read(
    store: &Store,
    tenant: Uuid,
    run_id: Option<Uuid>,
    filter: &RunFilter,
    rows_max: u32,
) -> Result<Vec<RunView>, Error> {
    let states: Vec<String> = filter.states.iter().map(|state| state.as_str().to_owned()).collect();
    let rows = sqlx::query_file!(
        "sql/run/read.sql",
        tenant,
        run_id,
        i64::from(rows_max),
        filter.kind.map(Kind::as_str),
        (!states.is_empty()).then_some(&states[..]) as Option<&[String]>,
        filter.after
    );
    let rows = store.run("read the runs", rows.fetch_all(store.pool())).await?;
    let runs = rows.into_iter().map(|row| RunView {
        run_id: row.run_id,
        integration_id: row.integration_id,
        kind: Kind::parse(&row.kind).unwrap_or(Kind::Devices),
        state: State::parse(&row.state).unwrap_or(State::Failed),
        epoch: row.epoch,
        requested_by: row.requested_by,
        requested_at: row.requested_at,
        started_at: row.started_at,
        progressed_at: row.progressed_at,
        finished_at: row.finished_at,
        error: row.error,
        parts: row.parts,
        parts_done: row.parts_done,
        parts_failed: row.parts_failed,
        counts: Counts {
            expected: row.expected,
            seen: row.seen,
            created: row.created,
            updated: row.updated,
            moved: row.moved,
            unchanged: row.unchanged,
            missing: row.missing,
            unverifiable: row.unverifiable,
        },
    });
    Ok(runs.collect())
}
