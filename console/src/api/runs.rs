//! Syncs: started, and watched while they run.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::connection;
use store::run::{self, Counts, Kind, PartView, RunFilter, RunView, State};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::call::{Call, Reply};
use crate::cursor::{self, List};
use crate::problem::Problem;
use crate::route::{NoBody, NoQuery};

/// What a run reads.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RunKind {
    Clients,
    Devices,
    Software,
    Alerts,
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RunState {
    /// Queued or running.
    Open,
    Queued,
    Running,
    Completed,
    Partial,
    Failed,
}

impl RunState {
    fn states(self) -> Vec<State> {
        match self {
            Self::Open => vec![State::Queued, State::Running],
            Self::Queued => vec![State::Queued],
            Self::Running => vec![State::Running],
            Self::Completed => vec![State::Completed],
            Self::Partial => vec![State::Partial],
            Self::Failed => vec![State::Failed],
        }
    }
}

/// Which runs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunsQuery {
    /// Only those that read this.
    #[param(inline)]
    kind: Option<RunKind>,
    /// Only those that have come so far.
    #[param(inline)]
    state: Option<RunState>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows of the page, 1 to 500; 100 where absent.
    limit: Option<u16>,
}

/// A run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Run {
    run_id: Uuid,
    /// clients, devices, software or alerts
    kind: &'static str,
    /// queued, running, completed, partial or failed
    state: &'static str,
    requested_by: String,
    requested_at: DateTime<Utc>,
    /// When a worker first took it.
    started_at: Option<DateTime<Utc>>,
    /// Its last batch.
    progressed_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    /// What failed, and why.
    error: Option<String>,
    parts: i64,
    parts_done: i64,
    parts_failed: i64,
    /// Devices that Tactical is expected to show.
    expected: Option<i64>,
    /// Devices, or open alerts, that it has shown.
    seen: i64,
    created: i64,
    updated: i64,
    /// Came from another client; counted as updated too.
    moved: i64,
    unchanged: i64,
    /// Devices that are newly known to be gone; alerts that were resolved here since Tactical has them open no more.
    missing: i64,
    /// Alerts that were not shown and may be open all the same, since the key does not see their device; left as they are.
    unverifiable: i64,
}

impl From<RunView> for Run {
    fn from(run: RunView) -> Self {
        let Counts { expected, seen, created, updated, moved, unchanged, missing, unverifiable } = run.counts;
        Self {
            run_id: run.run_id,
            kind: run.kind.as_str(),
            state: run.state.as_str(),
            requested_by: run.requested_by,
            requested_at: run.requested_at,
            started_at: run.started_at,
            progressed_at: run.progressed_at,
            finished_at: run.finished_at,
            error: run.error,
            parts: run.parts,
            parts_done: run.parts_done,
            parts_failed: run.parts_failed,
            expected,
            seen,
            created,
            updated,
            moved,
            unchanged,
            missing,
            unverifiable,
        }
    }
}

/// A part of a run: a client, a site of a large one, or the software of all devices.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Part {
    /// clients; `client:<number>`; `site:<number>`, or `site:<number>:server` and `site:<number>:workstation`; confirm; software;
    /// `software:agents`; alerts; `alerts:backfill`
    name: String,
    /// What a person calls it: the client's name.
    label: String,
    /// open, done or failed
    state: &'static str,
    expected: Option<i64>,
    seen: i64,
    created: i64,
    updated: i64,
    moved: i64,
    unchanged: i64,
    missing: i64,
    unverifiable: i64,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    /// Why it failed.
    error: Option<String>,
}

impl From<PartView> for Part {
    fn from(part: PartView) -> Self {
        let Counts { expected, seen, created, updated, moved, unchanged, missing, unverifiable } = part.counts;
        Self {
            name: part.name,
            label: part.label,
            state: part.state.as_str(),
            expected,
            seen,
            created,
            updated,
            moved,
            unchanged,
            missing,
            unverifiable,
            started_at: part.started_at,
            finished_at: part.finished_at,
            error: part.error,
        }
    }
}

/// Runs, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Runs {
    runs: Vec<Run>,
    /// `cursor` of the next page; null: this is the last.
    next_cursor: Option<String>,
}

/// A run with its parts, as they are now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunWithParts {
    run: Run,
    parts: Vec<Part>,
}

/// The run that was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Started {
    run_id: Uuid,
    /// false: one was open already, and is the one.
    is_new: bool,
    /// Where to watch it.
    location: String,
}

/// `GET …/runs`.
pub(crate) async fn list(call: Call, query: RunsQuery, _: NoBody) -> Result<Reply<Runs>, Problem> {
    let limit = cursor::limit(query.limit)?;
    let filter = RunFilter {
        kind: query.kind.map(|kind| match kind {
            RunKind::Clients => Kind::Clients,
            RunKind::Devices => Kind::Devices,
            RunKind::Software => Kind::Software,
            RunKind::Alerts => Kind::Alerts,
        }),
        states: query.state.map(RunState::states).unwrap_or_default(),
        after: query.cursor.as_deref().map(|text| cursor::to_id(List::Runs, text)).transpose()?,
    };
    let rows = run::page(&call.app.store, call.tenant, &filter, u32::from(limit) + 1).await?;
    let (rows, next_cursor) = cursor::page(rows, limit, |row| cursor::of_id(List::Runs, row.run_id));
    Ok(Reply::ok(Runs { runs: rows.into_iter().map(Run::from).collect(), next_cursor }))
}

/// `GET …/runs/{run}`.
pub(crate) async fn one(call: Call, _: NoQuery, _: NoBody) -> Result<Reply<RunWithParts>, Problem> {
    let run_id = call.id("run", "run")?;
    let found = run::get(&call.app.store, call.tenant, run_id).await?;
    let (run, parts) = found.ok_or_else(|| Problem::not_found("run"))?;
    Ok(Reply::ok(RunWithParts { run: run.into(), parts: parts.into_iter().map(Part::from).collect() }))
}

/// `POST …/sync/clients`.
pub(crate) async fn sync_clients(call: Call, _: NoQuery, _: NoBody) -> Result<Reply<Started>, Problem> {
    start(call, Kind::Clients).await
}

/// `POST …/sync/devices`.
pub(crate) async fn sync_devices(call: Call, _: NoQuery, _: NoBody) -> Result<Reply<Started>, Problem> {
    start(call, Kind::Devices).await
}

/// What is not read, where another server seems to answer.
fn words(kind: Kind) -> &'static str {
    match kind {
        Kind::Clients => "clients",
        Kind::Devices => "devices",
        Kind::Software => "programs",
        Kind::Alerts => "alerts",
    }
}

/// `POST …/sync/software`.
pub(crate) async fn sync_software(call: Call, _: NoQuery, _: NoBody) -> Result<Reply<Started>, Problem> {
    start(call, Kind::Software).await
}

/// `POST …/sync/alerts`.
pub(crate) async fn sync_alerts(call: Call, _: NoQuery, _: NoBody) -> Result<Reply<Started>, Problem> {
    start(call, Kind::Alerts).await
}

async fn start(call: Call, kind: Kind) -> Result<Reply<Started>, Problem> {
    let store = &call.app.store;
    let found = connection::find(store, call.tenant).await?.ok_or_else(Problem::not_connected)?;
    if !found.is_active {
        let detail = "The connection is not active: no test has succeeded yet, or none since it was disconnected.";
        return Err(Problem::conflict(detail, "Test the connection; a test that succeeds makes it active."));
    }
    if kind != Kind::Clients && found.held_at.is_some() {
        let detail = format!("Another server seems to stand behind this connection, so no {} are read.", words(kind));
        let remedy = "Look at `organization-mappings`, which shows old and new clients, and confirm; where the URL was \
            changed since, sync the clients.";
        return Err(Problem::conflict(detail, remedy));
    }
    let entry = call.entry("sync.start", None, json!({ "kind": kind.as_str() }));
    let started = run::start(store, call.tenant, found.integration_id, kind, &call.token.name, &entry).await?;
    let location = format!("/api/v1/tenants/{}/integrations/tacticalrmm/runs/{}", call.tenant, started.run_id);
    let value = Started { run_id: started.run_id, is_new: started.is_new, location: location.clone() };
    Ok(Reply::accepted(value, location))
}
