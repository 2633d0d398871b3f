//! The outbox: messages written in the transaction of the change that they tell, published once it has committed.
//!
//! A relay claims rows in a short transaction, publishes them with the broker's confirm and deletes them; nobody holds a
//! transaction over a confirm. A claim is a lease: when a relay dies, its rows are claimable again after it. A message is
//! therefore published at least once. No reader keeps a high-water mark: a transaction that commits late would hide below it.
//!
//! `dedup` guards against a second row only while the first one stands, since published rows are deleted. That a message
//! is *written* once is its writer's promise: an alert's `rev` only grows under the lock of the alert's row, so the key
//! (alert, rev, transition) cannot come twice from two commits.

use std::time::Duration;

use chrono::{DateTime, Utc};
use contract::event::{CloudEvent, Data};
use contract::{Message, Meta, topology};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::error::Attempt;
use crate::{Error, Store};

/// Rows that one statement writes: an event has some 600 bytes, and a change of a mapping may tell of a whole fleet.
const INSERT_ROWS_MAX: usize = 1_000;

/// A message to be written. The texts other than `dedup` are AMQP short strings: at most 255 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRow {
    /// Whose message.
    pub tenant: Uuid,
    /// The exchange to publish to.
    pub exchange: String,
    /// The routing key.
    pub routing_key: String,
    /// The kind, or an event's type.
    pub kind: String,
    /// The message's stable id.
    pub message_id: String,
    /// What a second row of the same message would be recognised by, while this one stands.
    pub dedup: String,
    /// The payload.
    pub body: Vec<u8>,
    /// The trace that wrote it.
    pub traceparent: Option<String>,
    /// Not before; `None`: at once.
    pub available_at: Option<DateTime<Utc>>,
}

impl NewRow {
    /// A job's message, as its first copy is published. `identity` are the parts that tell it from every other of its kind;
    /// a second row of the same identity is left out while the first one stands.
    #[must_use]
    pub fn message<M: Message>(
        tenant: Uuid,
        identity: &[&[u8]],
        payload: &M,
        available_at: Option<DateTime<Utc>>,
    ) -> Self {
        let meta = Meta::first::<M>(tenant, identity, DateTime::UNIX_EPOCH, None);
        Self {
            tenant,
            exchange: topology::WORK.to_owned(),
            routing_key: contract::envelope::routing_key::<M>(),
            kind: meta.kind,
            dedup: meta.message_id.clone(),
            message_id: meta.message_id,
            body: serde_json::to_vec(payload).expect("a payload of texts, numbers and times is JSON"),
            traceparent: None,
            available_at,
        }
    }

    /// What happened, for whoever listens. `at`: the database's clock in the transaction of the change.
    #[must_use]
    pub fn event<D: Data>(data: D, at: DateTime<Utc>, traceparent: Option<String>) -> Self {
        let event = CloudEvent::of(data, at, traceparent);
        Self {
            tenant: event.tenant,
            exchange: topology::EVENTS.to_owned(),
            routing_key: event.routing_key(),
            kind: event.event_type.clone(),
            message_id: event.id.clone(),
            dedup: event.id.clone(),
            body: serde_json::to_vec(&event).expect("an event of texts, numbers and times is JSON"),
            traceparent: event.traceparent,
            available_at: None,
        }
    }
}

/// A claimed message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What [`delete`] and [`release`] take.
    pub outbox_id: i64,
    /// Whose message.
    pub tenant: Uuid,
    /// The exchange to publish to.
    pub exchange: String,
    /// The routing key.
    pub routing_key: String,
    /// The kind, or an event's type.
    pub kind: String,
    /// The message's stable id.
    pub message_id: String,
    /// The payload.
    pub body: Vec<u8>,
    /// The trace that wrote it.
    pub traceparent: Option<String>,
    /// When it was written, on the database's clock; when the message counts as first published.
    pub created_at: DateTime<Utc>,
}

/// Writes messages into the caller's transaction; how many were new. Rows whose `dedup` stands already are left out.
///
/// # Errors
/// [`Error::Data`] when a text is over its limit; otherwise what the database said.
pub async fn insert(connection: &mut PgConnection, rows: &[NewRow]) -> Result<u64, Error> {
    let mut rows: Vec<&NewRow> = rows.iter().collect();
    // over all statements of the transaction, so that two writers of the same keys wait and never deadlock
    rows.sort_by(|one, other| one.dedup.cmp(&other.dedup));
    let mut written = 0;
    for rows in rows.chunks(INSERT_ROWS_MAX) {
        written += insert_some(connection, rows).await?;
    }
    Ok(written)
}

async fn insert_some(connection: &mut PgConnection, rows: &[&NewRow]) -> Result<u64, Error> {
    let tenants: Vec<Uuid> = rows.iter().map(|row| row.tenant).collect();
    let exchanges: Vec<&str> = rows.iter().map(|row| row.exchange.as_str()).collect();
    let routing_keys: Vec<&str> = rows.iter().map(|row| row.routing_key.as_str()).collect();
    let kinds: Vec<&str> = rows.iter().map(|row| row.kind.as_str()).collect();
    let message_ids: Vec<&str> = rows.iter().map(|row| row.message_id.as_str()).collect();
    let dedups: Vec<&str> = rows.iter().map(|row| row.dedup.as_str()).collect();
    let bodies: Vec<&[u8]> = rows.iter().map(|row| row.body.as_slice()).collect();
    let traceparents: Vec<Option<&str>> = rows.iter().map(|row| row.traceparent.as_deref()).collect();
    let available_at: Vec<Option<DateTime<Utc>>> = rows.iter().map(|row| row.available_at).collect();
    sqlx::query_file!(
        "sql/outbox_insert.sql",
        &tenants,
        &exchanges as _,
        &routing_keys as _,
        &kinds as _,
        &message_ids as _,
        &dedups as _,
        &bodies as _,
        &traceparents as _,
        &available_at as _,
    )
    .execute(connection)
    .await
    .attempt(format!("write {} outbox rows", rows.len()))
    .map(|done| done.rows_affected())
}

/// As [`insert`], in a transaction of its own: messages that tell of no change of the database's.
///
/// # Errors
/// As [`insert`]; nothing is written.
pub async fn add(store: &Store, rows: &[NewRow]) -> Result<u64, Error> {
    store
        .within("add outbox rows", store.work_ends(), async {
            let mut connection = store.pool().acquire().await.attempt("add outbox rows")?;
            insert(&mut connection, rows).await
        })
        .await
}

/// Claims the oldest rows that are due and that nobody has, at most `rows_max`, for the time of `lease`; oldest first.
///
/// # Errors
/// What the database said.
pub async fn claim(store: &Store, rows_max: u32, lease: Duration) -> Result<Vec<Row>, Error> {
    let claimed = sqlx::query_file_as!(Row, "sql/outbox_claim.sql", i64::from(rows_max), lease.as_secs_f64());
    let mut rows = store.run("claim outbox rows", claimed.fetch_all(store.pool())).await?;
    // `returning` keeps no order
    rows.sort_unstable_by_key(|row| row.outbox_id);
    Ok(rows)
}

/// Deletes published rows; how many were there. A row that another relay has claimed meanwhile goes too: it is published.
///
/// # Errors
/// What the database said; the rows then stay claimed, and are published again after their lease.
pub async fn delete(store: &Store, outbox_ids: &[i64]) -> Result<u64, Error> {
    let deleted = sqlx::query!("delete from muster.outbox where outbox_id = any($1)", outbox_ids);
    let done = store.run("delete published outbox rows", deleted.execute(store.pool())).await?;
    Ok(done.rows_affected())
}

/// Gives claimed rows back, because they were not confirmed; they can be claimed again after `pause`. How many were there.
///
/// The pause keeps rows that the broker refuses from standing at the head of the queue, where a full claim of them would
/// keep every later row waiting; [`Duration::ZERO`] gives them back at once.
///
/// # Errors
/// What the database said; the rows then come back by the end of their lease.
pub async fn release(store: &Store, outbox_ids: &[i64], pause: Duration) -> Result<u64, Error> {
    let released = sqlx::query!(
        "update muster.outbox set claimed_until = now() + make_interval(secs => $2) where outbox_id = any($1)",
        outbox_ids,
        pause.as_secs_f64(),
    );
    let done = store.run("release outbox rows", released.execute(store.pool())).await?;
    Ok(done.rows_affected())
}

/// How long the oldest row that is due has waited, claimed or not; `None`: nothing is due.
///
/// # Errors
/// What the database said.
pub async fn oldest_age(store: &Store) -> Result<Option<Duration>, Error> {
    let age = sqlx::query_scalar!(
        r#"select extract(epoch from now() - greatest(created_at, available_at))::float8 as "age_s!"
           from muster.outbox where available_at <= now() order by outbox_id limit 1"#
    );
    let age_s = store.run("read the outbox's age", age.fetch_optional(store.pool())).await?;
    Ok(age_s.map(|age_s| Duration::try_from_secs_f64(age_s).unwrap_or_default()))
}

/// How many rows stand, claimed and future ones included. Reads the whole index: for tests and tools.
///
/// # Errors
/// What the database said.
pub async fn count(store: &Store) -> Result<u64, Error> {
    let count = sqlx::query_scalar!(r#"select count(*) as "count!" from muster.outbox"#);
    let count = store.run("count the outbox", count.fetch_one(store.pool())).await?;
    Ok(u64::try_from(count).unwrap_or_default())
}
