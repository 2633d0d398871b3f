//! Parked messages: what nobody could work on, kept for people to look at, its bytes untouched.
//!
//! The parker moves messages from the landing queue into this table and then acks; when it dies between the two, the
//! message comes again and is the same row, recognised by a hash ([`Parked::dedup`]). While a row stands its twin is
//! left out; whoever redrives a row must delete it in the transaction that writes its message to the outbox, so that a
//! message which fails once more finds no row in its way.

mod select;

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, Utc};
use serde_json::Value;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::{Error, Store, removal};

pub use select::{
    BATCH_ROWS_MAX, Matched, Selection, Summary, Waiting, Whole, discard, find, matched, newest, page, redrive,
    release, waiting,
};

/// Reasons are cut to this many characters; the header that carries them is at most as long in bytes.
const REASON_CHARS_MAX: usize = 2_048;
/// Other texts that came over the wire, in characters; AMQP's short strings are at most 255 bytes.
const FIELD_CHARS_MAX: usize = 512;
/// Headers nested deeper than this are replaced by their text: jsonb has a limit, and AMQP tables nest as deep as they like.
const HEADER_DEPTH_MAX: usize = 16;
/// The header in which the broker counts redeliveries: the one that differs when the same message comes again.
const DELIVERY_COUNT: &str = "x-delivery-count";

/// Whether a message waits for a person or for its tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParkedState {
    /// It failed, and waits for a person.
    Parked,
    /// Its tenant or kind is paused, and it waits for that to end.
    Held,
}

impl ParkedState {
    /// The word that stands in the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parked => "parked",
            Self::Held => "held",
        }
    }
}

/// A message to be parked. Its texts may hold anything: what Postgres cannot store in them is replaced or cut.
#[derive(Debug, Clone, PartialEq)]
pub struct Parked {
    /// Whose message; `None` where its header is absent or unreadable.
    pub tenant: Option<Uuid>,
    /// The kind, where it has one.
    pub kind: Option<String>,
    /// The message's id, where it has one.
    pub message_id: Option<String>,
    /// The class of the last failure, or `poison`, `unknown_kind`.
    pub class: String,
    /// The chain of errors, or what else is wrong.
    pub reason: String,
    /// Attempts burnt.
    pub attempt: u32,
    /// The version of the program that gave it up.
    pub worker_version: String,
    /// Why it waits.
    pub state: ParkedState,
    /// The exchange that it was published to first.
    pub exchange: String,
    /// The routing key that it was published with.
    pub routing_key: String,
    /// The queue that it was in, where the broker or the worker says so.
    pub queue: Option<String>,
    /// All headers as they came, as a JSON object.
    pub headers: Value,
    /// The bytes as they came.
    pub body: Vec<u8>,
    /// The trace that it belongs to.
    pub traceparent: Option<String>,
    /// When its first copy was published.
    pub first_published_at: Option<DateTime<Utc>>,
}

impl Parked {
    /// What the same message is recognised by.
    ///
    /// A worker that dies between a retry's publish and its ack leaves two copies, which may fail in two ways and in two
    /// lanes: whose it is, its id and kind, the moment of its first publish and its body are theirs in common, and they
    /// are one row. An id alone is not enough (poison may have none or a foreign one): without that moment it is
    /// everything that is the same when a delivery comes again.
    #[must_use]
    pub fn dedup(&self) -> String {
        let place = match (&self.message_id, self.first_published_at) {
            (Some(_), Some(at)) => {
                [self.tenant.unwrap_or_default().to_string(), at.to_rfc3339(), self.state.as_str().to_owned()]
            }
            _ => {
                let queue = self.queue.as_deref().unwrap_or_default();
                [format!("{} {queue}", self.exchange), self.routing_key.clone(), self.lasting_headers().to_string()]
            }
        };
        contract::id::of(&[
            self.message_id.as_deref().unwrap_or_default().as_bytes(),
            self.kind.as_deref().unwrap_or_default().as_bytes(),
            place[0].as_bytes(),
            place[1].as_bytes(),
            place[2].as_bytes(),
            &self.body,
        ])
    }

    /// The headers without what the broker counts.
    fn lasting_headers(&self) -> Value {
        let mut headers = self.headers.clone();
        if let Value::Object(headers) = &mut headers {
            headers.remove(DELIVERY_COUNT);
        }
        headers
    }
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct ParkedRow {
    /// The row's id.
    pub parked_id: i64,
    /// Whose message.
    pub tenant: Option<Uuid>,
    /// The kind.
    pub kind: Option<String>,
    /// The message's id.
    pub message_id: Option<String>,
    /// The class of the failure.
    pub class: String,
    /// Why.
    pub reason: String,
    /// Attempts burnt.
    pub attempt: i32,
    /// `parked` or `held`.
    pub state: String,
    /// The routing key that it was published with.
    pub routing_key: String,
    /// The bytes as they came.
    pub body: Vec<u8>,
    /// When it was parked.
    pub parked_at: DateTime<Utc>,
}

/// Parks messages in one transaction; how many were new. Ack only after this has returned.
///
/// What comes late for a tenant that was removed is not kept: nobody is there any more who could work on it.
///
/// # Errors
/// What the database said; no message's content makes it fail.
pub async fn insert(store: &Store, parked: &[Parked]) -> Result<u64, Error> {
    store
        .run(format!("park {} messages", parked.len()), async {
            let mut transaction = store.pool().begin().await?;
            let new = insert_in(&mut transaction, parked).await?;
            transaction.commit().await?;
            Ok(new)
        })
        .await
}

/// As [`insert`], in the caller's transaction.
pub(crate) async fn insert_in(connection: &mut PgConnection, parked: &[Parked]) -> Result<u64, sqlx::Error> {
    let tenants: BTreeSet<Uuid> = parked.iter().filter_map(|one| one.tenant).collect();
    let removed = removal::removed(connection, &Vec::from_iter(tenants)).await?;
    let (late, kept): (Vec<_>, Vec<_>) =
        parked.iter().partition(|one| one.tenant.is_some_and(|tenant| removed.contains(&tenant)));
    for one in late {
        let (tenant, kind) = (one.tenant.unwrap_or_default(), one.kind.as_deref().unwrap_or_default());
        tracing::info!(tenant.id = %tenant, job.kind = kind, "a message of a removed tenant is discarded");
    }
    let named: Vec<(String, &Parked)> = kept.into_iter().map(|one| (one.dedup(), one)).collect();
    // a kind that is paused comes here with all its traffic: one statement, not one for each
    let each = |text: fn(&Parked) -> Option<String>| named.iter().map(|(_, one)| text(one)).collect::<Vec<_>>();
    let done = sqlx::query_file!(
        "sql/parked_insert.sql",
        &named.iter().map(|(dedup, _)| dedup.clone()).collect::<Vec<_>>(),
        &named.iter().map(|(_, one)| one.tenant).collect::<Vec<_>>() as _,
        &each(|one| one.kind.as_deref().map(field)) as _,
        &each(|one| one.message_id.as_deref().map(field)) as _,
        &each(|one| Some(storable(&one.class, 50))) as _,
        &each(|one| Some(storable(&one.reason, REASON_CHARS_MAX))) as _,
        &named.iter().map(|(_, one)| i32::try_from(one.attempt).unwrap_or(i32::MAX)).collect::<Vec<_>>(),
        &each(|one| Some(storable(&one.worker_version, 100))) as _,
        &each(|one| Some(one.state.as_str().to_owned())) as _,
        &each(|one| Some(field(&one.exchange))) as _,
        &each(|one| Some(field(&one.routing_key))) as _,
        &each(|one| one.queue.as_deref().map(field)) as _,
        &named.iter().map(|(_, one)| storable_json(&one.headers, 0)).collect::<Vec<_>>(),
        &named.iter().map(|(_, one)| one.body.as_slice()).collect::<Vec<_>>() as _,
        &each(|one| one.traceparent.as_deref().map(field)) as _,
        &named.iter().map(|(_, one)| one.first_published_at.filter(is_storable)).collect::<Vec<_>>() as _,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// The newest rows, at most `rows_max`.
///
/// # Errors
/// What the database said.
pub async fn list(store: &Store, rows_max: u32) -> Result<Vec<ParkedRow>, Error> {
    let rows = sqlx::query_as!(
        ParkedRow,
        "select parked_id, tenant, kind, message_id, class, reason, attempt, state, routing_key, body, parked_at
         from muster.parked order by parked_id desc limit $1",
        i64::from(rows_max)
    );
    store.run("list parked messages", rows.fetch_all(store.pool())).await
}

/// How many messages are parked or held.
///
/// # Errors
/// What the database said.
pub async fn count(store: &Store) -> Result<u64, Error> {
    let count = sqlx::query_scalar!(r#"select count(*) as "count!" from muster.parked"#);
    let count = store.run("count parked messages", count.fetch_one(store.pool())).await?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// A stamp out of a header may be any number of milliseconds; Postgres begins at 4713 BC, and sense later than that.
fn is_storable(stamp: &DateTime<Utc>) -> bool {
    (0..10_000).contains(&stamp.year())
}

fn field(text: &str) -> String {
    storable(text, FIELD_CHARS_MAX)
}

/// Postgres stores no NUL; the place shows that one was there.
fn storable(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).map(|char| if char == '\0' { char::REPLACEMENT_CHARACTER } else { char }).collect()
}

fn storable_json(value: &Value, depth: usize) -> Value {
    match value {
        Value::Array(_) | Value::Object(_) if depth >= HEADER_DEPTH_MAX => Value::String("nested too deep".to_owned()),
        Value::String(text) => Value::String(text.replace('\0', "\u{FFFD}")),
        Value::Array(values) => values.iter().map(|value| storable_json(value, depth + 1)).collect(),
        Value::Object(entries) => entries
            .iter()
            .map(|(name, value)| (name.replace('\0', "\u{FFFD}"), storable_json(value, depth + 1)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}
