//! Looking at parked messages, sending them again and dropping them: a selection at a time, in batches of bounded size.
//!
//! A redrive moves rows into the outbox in one transaction, so that at every moment a message stands in exactly one of the
//! two tables; no message passes through the caller's memory. What the relay then publishes twice is the same message twice,
//! which changes nothing. A message that fails again is parked again under a new id; whoever works through a selection in
//! batches gives the newest id of its beginning with each, so that it comes to an end.

use chrono::{DateTime, Utc};
use contract::envelope::BODY_BYTES_MAX;
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::ParkedState;
use crate::audit::{self, Entry};
use crate::error::Attempt as _;
use crate::{Error, Store};

/// Messages of one batch of a redrive or a drop at most: a transaction of milliseconds.
pub const BATCH_ROWS_MAX: u16 = 500;

/// Which messages; what is `None` is not asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selection {
    /// Whose. Messages of nobody are in no tenant's selection.
    pub tenant: Option<Uuid>,
    /// Of this kind.
    pub kind: Option<String>,
    /// Of this class of failure.
    pub class: Option<String>,
    /// That wait for a person, or for their tenant.
    pub state: Option<ParkedState>,
    /// Parked so many seconds ago at least, on the database's clock.
    pub older_than_s: Option<f64>,
    /// Parked so many seconds ago at most.
    pub newer_than_s: Option<f64>,
    /// With one of these ids; [`page`] has no such filter.
    pub ids: Option<Vec<i64>>,
}

impl Selection {
    /// What the audit says of it: what was asked for, and nothing else.
    #[must_use]
    pub fn detail(&self) -> Value {
        let mut detail = json!({
            "tenant": self.tenant, "kind": self.kind, "class": self.class, "state": self.state.map(ParkedState::as_str),
            "older_than_s": self.older_than_s, "newer_than_s": self.newer_than_s, "ids": self.ids,
        });
        if let Some(members) = detail.as_object_mut() {
            members.retain(|_, value| !value.is_null());
        }
        detail
    }

    fn state(&self) -> Option<&'static str> {
        self.state.map(ParkedState::as_str)
    }
}

/// A message without its body.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Names it.
    pub parked_id: i64,
    /// Whose message.
    pub tenant: Option<Uuid>,
    /// The kind.
    pub kind: Option<String>,
    /// The message's id.
    pub message_id: Option<String>,
    /// The class of the failure.
    pub class: String,
    /// The chain of errors.
    pub reason: String,
    /// Attempts burnt.
    pub attempt: i32,
    /// Name and version of the program that gave it up.
    pub worker_version: String,
    /// `parked` or `held`.
    pub state: String,
    /// The queue that it was in.
    pub queue: Option<String>,
    /// The trace that it belongs to.
    pub traceparent: Option<String>,
    /// When its first copy was published.
    pub first_published_at: Option<DateTime<Utc>>,
    /// When it was parked.
    pub parked_at: DateTime<Utc>,
    /// Bytes of its body.
    pub body_bytes: i32,
}

/// A message as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Whole {
    /// Names it.
    pub parked_id: i64,
    /// Whose message.
    pub tenant: Option<Uuid>,
    /// The kind.
    pub kind: Option<String>,
    /// The message's id.
    pub message_id: Option<String>,
    /// The class of the failure.
    pub class: String,
    /// The chain of errors.
    pub reason: String,
    /// Attempts burnt.
    pub attempt: i32,
    /// Name and version of the program that gave it up.
    pub worker_version: String,
    /// `parked` or `held`.
    pub state: String,
    /// The exchange that it was published to first.
    pub exchange: String,
    /// The routing key that it was published with.
    pub routing_key: String,
    /// The queue that it was in.
    pub queue: Option<String>,
    /// All headers, an object of texts.
    pub headers: Value,
    /// The bytes as they came. They may hold a secret that somebody wrote into a webhook's body: show them redacted.
    pub body: Vec<u8>,
    /// The trace that it belongs to.
    pub traceparent: Option<String>,
    /// When its first copy was published.
    pub first_published_at: Option<DateTime<Utc>>,
    /// When it was parked.
    pub parked_at: DateTime<Utc>,
}

/// How much a selection holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matched {
    /// Messages.
    pub total: i64,
    /// Those of them that can be sent again: not poison unless it is asked for by class or id, and with an envelope that a
    /// worker can read.
    pub sendable: i64,
    /// The newest id in the table, 0 where it is empty.
    pub up_to: i64,
}

/// The newest messages of a selection below the id `before`, at most `rows_max`.
///
/// # Errors
/// What the database said.
pub async fn page(
    store: &Store,
    selection: &Selection,
    before: Option<i64>,
    rows_max: u16,
) -> Result<Vec<Summary>, Error> {
    let rows = sqlx::query_file_as!(
        Summary,
        "sql/parked/page.sql",
        selection.tenant,
        selection.kind,
        selection.class,
        selection.state(),
        selection.older_than_s,
        selection.newer_than_s,
        before,
        i64::from(rows_max)
    );
    store.run("list parked messages", rows.fetch_all(store.pool())).await
}

/// One message; `None` where there is none, or none of `tenant`.
///
/// # Errors
/// What the database said.
pub async fn find(store: &Store, tenant: Option<Uuid>, parked_id: i64) -> Result<Option<Whole>, Error> {
    let row = sqlx::query_file_as!(Whole, "sql/parked/get.sql", parked_id, tenant);
    store.run(format!("read parked message {parked_id}"), row.fetch_optional(store.pool())).await
}

/// Counts a selection.
///
/// # Errors
/// What the database said.
pub async fn matched(store: &Store, selection: &Selection) -> Result<Matched, Error> {
    let row = sqlx::query_file_as!(
        Matched,
        "sql/parked/matched.sql",
        selection.tenant,
        selection.kind,
        selection.class,
        selection.state(),
        selection.older_than_s,
        selection.newer_than_s,
        selection.ids.as_deref(),
        BODY_BYTES_MAX as i64
    );
    store.run("count parked messages", row.fetch_one(store.pool())).await
}

/// The newest id in the table; 0 where it is empty.
///
/// # Errors
/// What the database said.
pub async fn newest(store: &Store) -> Result<i64, Error> {
    let newest = sqlx::query_scalar!(r#"select coalesce(max(parked_id), 0) as "newest!" from muster.parked"#);
    store.run("find the newest parked message", newest.fetch_one(store.pool())).await
}

/// How many of a tenant's messages wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// For a person.
    pub parked: i64,
    /// For the end of a pause.
    pub held: i64,
}

/// Counts a tenant's messages.
///
/// # Errors
/// What the database said.
pub async fn waiting(store: &Store, tenant: Uuid) -> Result<Waiting, Error> {
    let row = sqlx::query_as!(
        Waiting,
        r#"select count(*) filter (where state = 'parked') as "parked!", count(*) filter (where state = 'held') as "held!"
           from muster.parked where tenant = $1"#,
        tenant
    );
    store.run(format!("count the parked messages of tenant {tenant}"), row.fetch_one(store.pool())).await
}

/// Sends one batch of a selection again, at most [`BATCH_ROWS_MAX`] of the ids up to `up_to`; how many. Fewer than asked
/// for: there are no more (or somebody else is at them).
///
/// # Errors
/// What the database said; nothing was sent then.
pub async fn redrive(
    store: &Store,
    selection: &Selection,
    up_to: i64,
    rows_max: u16,
    entry: &Entry,
) -> Result<u64, Error> {
    let what = "send parked messages again";
    let working = async {
        let mut transaction = store.pool().begin().await.attempt(what)?;
        let ids = take(&mut transaction, selection, up_to, rows_max, true).await?;
        let sent = send(&mut transaction, &ids).await?;
        note(&mut transaction, entry, &ids).await?;
        transaction.commit().await.attempt(what)?;
        Ok(sent)
    };
    store.within(what, store.work_ends(), working).await
}

/// Deletes one batch of a selection for good; otherwise as [`redrive`], poison included.
///
/// # Errors
/// What the database said; nothing was deleted then.
pub async fn discard(
    store: &Store,
    selection: &Selection,
    up_to: i64,
    rows_max: u16,
    entry: &Entry,
) -> Result<u64, Error> {
    let what = "drop parked messages";
    let working = async {
        let mut transaction = store.pool().begin().await.attempt(what)?;
        let ids = take(&mut transaction, selection, up_to, rows_max, false).await?;
        let deleted = sqlx::query!("delete from muster.parked where parked_id = any($1)", &ids);
        let deleted = deleted.execute(&mut *transaction).await.attempt(what)?.rows_affected();
        note(&mut transaction, entry, &ids).await?;
        transaction.commit().await.attempt(what)?;
        Ok(deleted)
    };
    store.within(what, store.work_ends(), working).await
}

/// The entry with how many messages it was about and from which id to which; nothing where it was none.
async fn note(connection: &mut PgConnection, entry: &Entry, ids: &[i64]) -> Result<(), Error> {
    let (Some(first), Some(last)) = (ids.first(), ids.last()) else { return Ok(()) };
    let mut entry = entry.clone();
    entry.detail["messages"] = json!(ids.len());
    entry.detail["first_id"] = json!(first);
    entry.detail["last_id"] = json!(last);
    audit::insert(connection, &entry).await
}

async fn take(
    connection: &mut PgConnection,
    selection: &Selection,
    up_to: i64,
    rows_max: u16,
    is_to_send: bool,
) -> Result<Vec<i64>, Error> {
    sqlx::query_file_scalar!(
        "sql/parked/take.sql",
        selection.tenant,
        selection.kind,
        selection.class,
        selection.state(),
        selection.older_than_s,
        selection.newer_than_s,
        selection.ids.as_deref(),
        up_to,
        i64::from(rows_max.min(BATCH_ROWS_MAX)),
        is_to_send,
        BODY_BYTES_MAX as i64
    )
    .fetch_all(connection)
    .await
    .attempt("take parked messages")
}

/// Moves locked rows into the outbox; how many.
async fn send(connection: &mut PgConnection, ids: &[i64]) -> Result<u64, Error> {
    let sent = sqlx::query_file!("sql/parked/send.sql", ids).execute(connection).await;
    Ok(sent.attempt("move parked messages into the outbox")?.rows_affected())
}

/// Sends one batch of the held messages that no pause holds any more; how many. Any number of processes may do so at once.
///
/// # Errors
/// What the database said; nothing was sent then.
pub async fn release(store: &Store, rows_max: u16) -> Result<u64, Error> {
    let what = "release held messages";
    let working = async {
        let mut transaction = store.pool().begin().await.attempt(what)?;
        let rows_max = i64::from(rows_max.min(BATCH_ROWS_MAX));
        let ids = sqlx::query_file_scalar!("sql/parked/take_released.sql", rows_max);
        let ids = ids.fetch_all(&mut *transaction).await.attempt(what)?;
        let sent = send(&mut transaction, &ids).await?;
        transaction.commit().await.attempt(what)?;
        Ok(sent)
    };
    store.within(what, store.work_ends(), working).await
}
