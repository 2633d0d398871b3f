//! Pauses: which tenants and kinds wait. Their messages stand in `muster.parked` with state `held` meanwhile.
//!
//! Workers read the pauses every second, so what they know may be old in both directions. Whoever has not heard of a new
//! pause runs a message more. Whoever has not heard of an end would hold a message for ever: [`hold`] therefore locks the
//! pauses in the transaction that holds, and a resume waits for it. Every message that was held stands in the table once
//! the resume has committed, and [`crate::parked::release`] finds it, whoever calls that and whenever. A resume locks the
//! table, not the row: rows may be shared past whoever waits to change them, and workers that hold a backlog always do.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::audit::{self, Entry};
use crate::error::Attempt as _;
use crate::parked::{self, Parked};
use crate::{Error, Store};

/// What is paused. `None`: every one; both `None` is refused, since a fleet that does nothing is stopped by stopping it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Whose messages.
    pub tenant: Option<Uuid>,
    /// Messages of which kind.
    pub kind: Option<String>,
}

impl Scope {
    /// Whether such a message waits.
    #[must_use]
    pub fn holds(&self, tenant: Uuid, kind: &str) -> bool {
        self.tenant.is_none_or(|it| it == tenant) && self.kind.as_deref().is_none_or(|it| it == kind)
    }
}

/// A pause in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Names it; a pause that was ended and made anew has another one.
    pub pause_id: i64,
    /// What waits.
    pub scope: Scope,
}

/// A pause in force, as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Names it.
    pub pause_id: i64,
    /// Whose messages wait; `None`: every tenant's.
    pub tenant: Option<Uuid>,
    /// Messages of which kind; `None`: of every kind.
    pub kind: Option<String>,
    /// `person`, or `parks`: too many messages of the kind were parked within a minute.
    pub cause: String,
    /// Who paused it: a token's name, or the program that saw too many parks.
    pub paused_by: String,
    /// Since when.
    pub paused_at: DateTime<Utc>,
    /// Messages that wait for its end, also where another pause holds them, too.
    pub held: i64,
}

/// Every pause in force.
///
/// # Errors
/// What the database said.
pub async fn in_force(store: &Store) -> Result<Vec<Pause>, Error> {
    let rows =
        sqlx::query!("select pause_id, tenant, kind from muster.pause where resumed_at is null order by pause_id");
    let rows = store.run("read the pauses", rows.fetch_all(store.pool())).await?;
    let pause = |pause_id, tenant, kind| Pause { pause_id, scope: Scope { tenant, kind } };
    Ok(rows.into_iter().map(|row| pause(row.pause_id, row.tenant, row.kind)).collect())
}

/// The pauses in force, the oldest first; of a tenant those that concern it, with its messages only.
///
/// # Errors
/// What the database said.
pub async fn list(store: &Store, tenant: Option<Uuid>) -> Result<Vec<Shown>, Error> {
    let rows = sqlx::query_file_as!(Shown, "sql/pause/list.sql", tenant);
    store.run("list the pauses", rows.fetch_all(store.pool())).await
}

/// Pauses; `false`: it was paused already.
///
/// # Errors
/// [`Error::Refused`] where the scope is everything; otherwise what the database said.
pub async fn pause(store: &Store, scope: &Scope, entry: &Entry) -> Result<bool, Error> {
    let what = "pause a tenant or a kind";
    if scope.tenant.is_none() && scope.kind.is_none() {
        return Err(Error::Refused { what: what.into(), reason: "neither a tenant nor a kind was named".to_owned() });
    }
    let working = async {
        let mut transaction = store.pool().begin().await.attempt(what)?;
        let done = sqlx::query!(
            "insert into muster.pause (tenant, kind, cause, paused_by) values ($1, $2, 'person', left($3, 200))
             on conflict (tenant, kind) where resumed_at is null do nothing",
            scope.tenant,
            scope.kind,
            entry.actor
        );
        let is_new = done.execute(&mut *transaction).await.attempt(what)?.rows_affected() > 0;
        if is_new {
            audit::insert(&mut transaction, entry).await?;
        }
        transaction.commit().await.attempt(what)?;
        Ok(is_new)
    };
    store.within(what, store.work_ends(), working).await
}

/// Ends the pause of exactly this scope; `false`: there is none. Workers then release what it held.
///
/// # Errors
/// What the database said.
pub async fn resume(store: &Store, scope: &Scope, entry: &Entry) -> Result<bool, Error> {
    let what = "resume a tenant or a kind";
    let working = async {
        let mut transaction = store.pool().begin().await.attempt(what)?;
        sqlx::query!("lock table muster.pause in exclusive mode").execute(&mut *transaction).await.attempt(what)?;
        let done = sqlx::query!(
            "update muster.pause set resumed_at = now(), resumed_by = left($3, 200)
             where resumed_at is null and tenant is not distinct from $1 and kind is not distinct from $2",
            scope.tenant,
            scope.kind,
            entry.actor
        );
        let was_paused = done.execute(&mut *transaction).await.attempt(what)?.rows_affected() > 0;
        if was_paused {
            audit::insert(&mut transaction, entry).await?;
        }
        transaction.commit().await.attempt(what)?;
        Ok(was_paused)
    };
    store.within(what, store.work_ends(), working).await
}

/// Holds those of the messages that are still paused; which, in their order. Ack only these, and only after this has
/// returned; the others are to be run.
///
/// # Errors
/// What the database said; none is held then.
pub async fn hold(store: &Store, messages: &[Parked]) -> Result<Vec<bool>, Error> {
    let what = format!("hold {} messages", messages.len());
    let working = async {
        let mut transaction = store.pool().begin().await.attempt(what.clone())?;
        let scopes = locked(&mut transaction, messages).await?;
        let is_held = |message: &&Parked| match (message.tenant, &message.kind) {
            (Some(tenant), Some(kind)) => scopes.iter().any(|scope| scope.holds(tenant, kind)),
            _ => false,
        };
        let held: Vec<Parked> = messages.iter().filter(is_held).cloned().collect();
        parked::insert_in(&mut transaction, &held).await.attempt(what.clone())?;
        transaction.commit().await.attempt(what.clone())?;
        Ok(messages.iter().map(|message| is_held(&message)).collect())
    };
    store.within(what.clone(), store.work_ends(), working).await
}

/// The pauses in force that may concern these messages, which nobody ends before the transaction does.
async fn locked(connection: &mut PgConnection, messages: &[Parked]) -> Result<Vec<Scope>, Error> {
    let tenants: BTreeSet<Uuid> = messages.iter().filter_map(|message| message.tenant).collect();
    let kinds: BTreeSet<String> = messages.iter().filter_map(|message| message.kind.clone()).collect();
    let rows = sqlx::query!(
        "select tenant, kind from muster.pause
         where resumed_at is null and (tenant is null or tenant = any($1)) and (kind is null or kind = any($2))
         order by pause_id for share",
        &Vec::from_iter(tenants),
        &Vec::from_iter(kinds)
    );
    let rows = rows.fetch_all(connection).await.attempt("lock the pauses")?;
    Ok(rows.into_iter().map(|row| Scope { tenant: row.tenant, kind: row.kind }).collect())
}

/// Pauses each of these kinds of which more than `parks_max` messages were parked within the last minute, on the database's
/// clock, and since it was resumed last; which ones it has paused. Call it after the parks have committed: of two who park
/// at once, the later one then sees both.
///
/// # Errors
/// What the database said.
pub async fn stop_floods(store: &Store, kinds: &[&str], parks_max: u32, by: &str) -> Result<Vec<String>, Error> {
    let what = "look for kinds that are parked too often";
    let working = async {
        let mut transaction = store.pool().begin().await.attempt(what)?;
        let kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect::<Vec<String>>();
        let stopped = sqlx::query_file_scalar!("sql/pause/stop_floods.sql", &kinds, i64::from(parks_max), by);
        let stopped = stopped.fetch_all(&mut *transaction).await.attempt(what)?;
        for kind in &stopped {
            let detail = serde_json::json!({ "parks_max": parks_max });
            let (actor, subject) = (by.to_owned(), Some(kind.clone()));
            audit::insert(&mut transaction, &Entry { tenant: None, actor, action: "kind.stop", subject, detail })
                .await?;
        }
        transaction.commit().await.attempt(what)?;
        Ok(stopped)
    };
    store.within(what, store.work_ends(), working).await
}
