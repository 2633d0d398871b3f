//! Parked messages: what is there and why, one of them with its body, sending again, dropping.
//!
//! These routes have no tenant in their path: a message that cannot be read is nobody's. The token of a tenant sees and
//! touches that tenant's messages only.

mod show;

pub(crate) use show::one;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use store::audit::Entry;
use store::parked::{self, BATCH_ROWS_MAX, ParkedState, Selection, Summary};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::call::{Call, Reply};
use crate::cursor::{self, List};
use crate::problem::Problem;
use crate::redact::Redactor;
use crate::route::{Json, NoBody, NoQuery};

/// Why a message waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Waits {
    /// It failed, and waits for a person.
    Parked,
    /// Its tenant or kind is paused, and it waits for the end of that.
    Held,
}

impl From<Waits> for ParkedState {
    fn from(waits: Waits) -> Self {
        match waits {
            Waits::Parked => Self::Parked,
            Waits::Held => Self::Held,
        }
    }
}

/// Which messages.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ParkedQuery {
    /// Only this tenant's.
    tenant: Option<Uuid>,
    /// Only of this kind, such as `alert.observed.v1`.
    kind: Option<String>,
    /// Only of this class: retryable, contention, permanent, panic, timeout, poison, `unknown_kind`, unrouted or held.
    class: Option<String>,
    /// Only those that wait so.
    #[param(inline)]
    state: Option<Waits>,
    /// Only those that were parked so many seconds ago at least.
    older_than_s: Option<u32>,
    /// Only those that were parked so many seconds ago at most.
    newer_than_s: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows of the page, 1 to 500; 100 where absent.
    limit: Option<u16>,
}

/// A parked message without its body.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ParkedMessage {
    parked_id: i64,
    /// Null: its envelope does not say.
    tenant: Option<Uuid>,
    kind: Option<String>,
    message_id: Option<String>,
    /// parked: it failed; held: its tenant or kind is paused
    state: String,
    /// What kind of failure it was.
    class: String,
    /// The error with its causes.
    reason: String,
    /// Attempts that it has burnt.
    attempt: i32,
    /// Name and version of the program that gave it up.
    worker_version: String,
    /// The queue that it was in.
    queue: Option<String>,
    /// Its trace, for Jaeger and the like.
    trace_id: Option<String>,
    first_published_at: Option<DateTime<Utc>>,
    parked_at: DateTime<Utc>,
    body_bytes: i32,
}

impl ParkedMessage {
    fn of(redactor: &Redactor, row: Summary) -> Self {
        Self {
            parked_id: row.parked_id,
            tenant: row.tenant,
            kind: row.kind,
            message_id: row.message_id,
            state: row.state,
            class: row.class,
            reason: redactor.text(&row.reason),
            attempt: row.attempt,
            worker_version: row.worker_version,
            queue: row.queue,
            trace_id: trace_id(row.traceparent.as_deref()),
            first_published_at: row.first_published_at,
            parked_at: row.parked_at,
            body_bytes: row.body_bytes,
        }
    }
}

/// What takes the secrets out of a message of this tenant.
async fn redactor(call: &Call, tenant: Option<Uuid>) -> Result<Redactor, Problem> {
    Ok(Redactor::of(match tenant {
        Some(tenant) => call.app.connections.texts(tenant).await?,
        None => Vec::new(),
    }))
}

/// The second of a traceparent's four parts.
fn trace_id(traceparent: Option<&str>) -> Option<String> {
    traceparent?.split('-').nth(1).map(str::to_owned)
}

/// Parked messages, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ParkedMessages {
    messages: Vec<ParkedMessage>,
    /// `cursor` of the next page; null: this is the last.
    next_cursor: Option<String>,
}

/// `GET /api/v1/parked`, the newest first.
pub(crate) async fn list(call: Call, query: ParkedQuery, _: NoBody) -> Result<Reply<ParkedMessages>, Problem> {
    let limit = cursor::limit(query.limit)?;
    let before = query.cursor.as_deref().map(|text| cursor::to_number(List::Parked, text)).transpose()?;
    let selection = Selection {
        tenant: call.only_tenant(query.tenant)?,
        kind: query.kind,
        class: query.class,
        state: query.state.map(ParkedState::from),
        older_than_s: query.older_than_s.map(f64::from),
        newer_than_s: query.newer_than_s.map(f64::from),
        ids: None,
    };
    let rows = parked::page(&call.app.store, &selection, before, limit + 1).await?;
    let (rows, next_cursor) = cursor::page(rows, limit, |row| cursor::of_number(List::Parked, row.parked_id));
    let tenants: BTreeSet<Option<Uuid>> = rows.iter().map(|row| row.tenant).collect();
    let mut redactors = BTreeMap::new();
    for tenant in tenants {
        redactors.insert(tenant, redactor(&call, tenant).await?);
    }
    let messages = rows.into_iter().map(|row| ParkedMessage::of(&redactors[&row.tenant], row)).collect();
    Ok(Reply::ok(ParkedMessages { messages, next_cursor }))
}

/// Which messages, and how many of them with this request.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Choice {
    /// Only this tenant's.
    tenant: Option<Uuid>,
    /// Only of this kind.
    kind: Option<String>,
    /// Only of this class. Poison is sent again only where it is named here or by its id.
    class: Option<String>,
    /// Only those that wait so; `parked` where absent. Held ones are sent by the end of their pause.
    state: Option<Waits>,
    /// Only those that were parked so many seconds ago at least.
    older_than_s: Option<u32>,
    /// Only those that were parked so many seconds ago at most.
    newer_than_s: Option<u32>,
    /// Only these, 500 at most.
    ids: Option<Vec<i64>>,
    /// Every message: needed where nothing else is chosen.
    #[serde(default)]
    all: bool,
    /// Change nothing, and tell what would be done.
    #[serde(default)]
    dry_run: bool,
    /// `up_to` of the answer before: what is parked since then is not meant.
    up_to: Option<i64>,
    /// Messages of this request, 1 to 500; 500 where absent. Ask again until `is_done`.
    limit: Option<u16>,
}

/// What was done to messages, or would be.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Worked {
    /// Messages that were sent again or dropped with this request; of a dry run those that would be, all of them.
    messages: i64,
    /// Of a dry run: chosen messages that are not sent again, because they are poison that nobody named, or because no worker
    /// could read them.
    left: Option<i64>,
    /// Give it with the next request.
    up_to: i64,
    /// Nothing that was chosen is left to be done.
    is_done: bool,
}

/// `POST /api/v1/parked/redrive`.
pub(crate) async fn redrive(call: Call, _: NoQuery, Json(choice): Json<Choice>) -> Result<Reply<Worked>, Problem> {
    if choice.state == Some(Waits::Held) {
        let remedy = "Resume the tenant or the kind: workers then send what was held.";
        return Err(Problem::invalid("Held messages are not sent again one by one.", remedy));
    }
    work(call, choice, Act::Redrive).await
}

/// `POST /api/v1/parked/drop`.
pub(crate) async fn discard(call: Call, _: NoQuery, Json(choice): Json<Choice>) -> Result<Reply<Worked>, Problem> {
    work(call, choice, Act::Drop).await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Redrive,
    Drop,
}

async fn work(call: Call, choice: Choice, act: Act) -> Result<Reply<Worked>, Problem> {
    let store = &call.app.store;
    let selection = choice.selection(&call)?;
    let limit = choice.limit.unwrap_or(BATCH_ROWS_MAX);
    if !(1..=BATCH_ROWS_MAX).contains(&limit) {
        return Err(Problem::unreadable(format!("`limit` is a number from 1 to {BATCH_ROWS_MAX}.")));
    }
    if choice.dry_run {
        let found = parked::matched(store, &selection).await?;
        let (messages, left) = match act {
            Act::Redrive => (found.sendable, found.total - found.sendable),
            Act::Drop => (found.total, 0),
        };
        return Ok(Reply::ok(Worked { messages, left: Some(left), up_to: found.up_to, is_done: messages == 0 }));
    }
    let up_to = match choice.up_to {
        Some(up_to) => up_to,
        None => parked::newest(store).await?,
    };
    let action = if act == Act::Redrive { "parked.redrive" } else { "parked.drop" };
    let actor = call.token.name.clone();
    let entry = Entry { tenant: selection.tenant, actor, action, subject: None, detail: selection.detail() };
    let worked = match act {
        Act::Redrive => parked::redrive(store, &selection, up_to, limit, &entry).await?,
        Act::Drop => parked::discard(store, &selection, up_to, limit, &entry).await?,
    };
    let messages = i64::try_from(worked).unwrap_or(i64::MAX);
    Ok(Reply::ok(Worked { messages, left: None, up_to, is_done: worked < u64::from(limit) }))
}

impl Choice {
    fn selection(&self, call: &Call) -> Result<Selection, Problem> {
        if self.ids.as_ref().is_some_and(|ids| ids.len() > usize::from(BATCH_ROWS_MAX)) {
            return Err(Problem::unreadable(format!("`ids` holds at most {BATCH_ROWS_MAX} ids.")));
        }
        let selection = Selection {
            tenant: call.only_tenant(self.tenant)?,
            kind: self.kind.clone(),
            class: self.class.clone(),
            state: Some(self.state.map_or(ParkedState::Parked, ParkedState::from)),
            older_than_s: self.older_than_s.map(f64::from),
            newer_than_s: self.newer_than_s.map(f64::from),
            ids: self.ids.clone(),
        };
        // whose messages, and how they wait, only narrows: a shell's MUSTER_TENANT must not stand for a choice
        let chosen = Selection { state: None, tenant: None, ..selection.clone() } != Selection::default();
        if !chosen && !self.all {
            let remedy = "Name a kind, a class, an age or ids; or say `all` (`--all`) where every message of the tenant is meant.";
            return Err(Problem::invalid("Nothing says which messages are meant.", remedy));
        }
        Ok(selection)
    }
}
