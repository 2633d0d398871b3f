//! What a worker holds of a run, and the look at whether it still does.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::Kind;
use crate::Error;
use crate::error::Attempt;
use crate::lock::{self, Left};

/// A run as one worker took it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// Whose run.
    pub tenant: Uuid,
    /// The run.
    pub run_id: Uuid,
    /// Which takeover: another number means that somebody else has it now.
    pub epoch: i32,
}

/// A part of a run as one attempt began it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartFence {
    /// The run.
    pub run: Fence,
    /// The part's name.
    pub name: String,
    /// Which attempt: another number means that the part was begun anew.
    pub attempt: i32,
}

/// A run whose row is locked, and its connection's with it.
pub(crate) struct Held {
    pub(crate) integration_id: Uuid,
    pub(crate) kind: Kind,
    /// Why devices of the connection must not be written, if so.
    pub(crate) left: Option<Left>,
}

/// A part whose row is locked.
pub(crate) struct HeldPart {
    pub(crate) started_at: DateTime<Utc>,
}

/// Which connection a run is of; that never changes, so it needs no lock.
pub(crate) async fn integration_of(
    connection: &mut PgConnection,
    tenant: Uuid,
    run_id: Uuid,
) -> Result<Option<Uuid>, Error> {
    sqlx::query_scalar!("select integration_id from muster.run where tenant = $1 and run_id = $2", tenant, run_id)
        .fetch_optional(connection)
        .await
        .attempt(format!("read run {run_id}"))
}

/// Locks the connection and then the run; `None`: the run ended, or somebody else has it.
pub(crate) async fn hold(connection: &mut PgConnection, fence: &Fence) -> Result<Option<Held>, Error> {
    let Some(integration_id) = integration_of(connection, fence.tenant, fence.run_id).await? else { return Ok(None) };
    let Some(locked) = lock::connection(connection, fence.tenant, integration_id).await? else { return Ok(None) };
    let kind = hold_run(connection, fence).await?;
    Ok(kind.map(|kind| Held { integration_id, kind, left: locked.left() }))
}

/// Locks the run alone; the connection is locked already.
pub(crate) async fn hold_run(connection: &mut PgConnection, fence: &Fence) -> Result<Option<Kind>, Error> {
    let kind = sqlx::query_scalar!(
        "select kind from muster.run where tenant = $1 and run_id = $2 and epoch = $3 and state = 'running'
         for no key update",
        fence.tenant,
        fence.run_id,
        fence.epoch
    );
    let kind = kind.fetch_optional(connection).await.attempt(format!("lock run {}", fence.run_id))?;
    Ok(kind.as_deref().and_then(Kind::parse))
}

/// Locks a part; its run is locked already. `None`: it was ended, or begun anew.
pub(crate) async fn hold_part(connection: &mut PgConnection, fence: &PartFence) -> Result<Option<HeldPart>, Error> {
    sqlx::query_as!(
        HeldPart,
        r#"select coalesce(started_at, now()) as "started_at!" from muster.run_part
           where tenant = $1 and run_id = $2 and name = $3 and attempt = $4 and state = 'open'
           for no key update"#,
        fence.run.tenant,
        fence.run.run_id,
        fence.name,
        fence.attempt
    )
    .fetch_optional(connection)
    .await
    .attempt(format!("lock part {} of run {}", fence.name, fence.run.run_id))
}

/// Locks run and part of a batch; the connection is locked already. `false`: stop.
pub(crate) async fn hold_batch(connection: &mut PgConnection, fence: &PartFence) -> Result<bool, Error> {
    Ok(hold_run(connection, &fence.run).await?.is_some() && hold_part(connection, fence).await?.is_some())
}

/// Rows that one transaction adds to its part; what they are says [`super::Counts`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names of Counts")]
pub struct Step {
    pub seen: usize,
    pub created: usize,
    pub updated: usize,
    pub moved: usize,
    pub unchanged: usize,
    pub missing: usize,
    pub unverifiable: usize,
}

/// Adds rows to a part, in the transaction that wrote them. `fetched_at`: when they were asked for.
pub(crate) async fn advance(
    connection: &mut PgConnection,
    fence: &PartFence,
    step: &Step,
    fetched_at: Option<DateTime<Utc>>,
) -> Result<(), Error> {
    let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    sqlx::query!(
        "update muster.run_part
         set seen = seen + $5, created = created + $6, updated = updated + $7, moved = moved + $8,
             unchanged = unchanged + $9, missing = missing + $10, unverifiable = unverifiable + $11,
             fetched_at = least(fetched_at, $12)
         where tenant = $1 and run_id = $2 and name = $3 and attempt = $4",
        fence.run.tenant,
        fence.run.run_id,
        fence.name,
        fence.attempt,
        count(step.seen),
        count(step.created),
        count(step.updated),
        count(step.moved),
        count(step.unchanged),
        count(step.missing),
        count(step.unverifiable),
        fetched_at
    )
    .execute(&mut *connection)
    .await
    .attempt(format!("note the progress of part {}", fence.name))?;
    touch(connection, &fence.run).await
}

/// Notes that a run goes on; for the display, and for whoever asks whether it does.
pub(crate) async fn touch(connection: &mut PgConnection, fence: &Fence) -> Result<(), Error> {
    sqlx::query!(
        "update muster.run set progressed_at = now() where tenant = $1 and run_id = $2",
        fence.tenant,
        fence.run_id
    )
    .execute(connection)
    .await
    .attempt(format!("note the progress of run {}", fence.run_id))
    .map(drop)
}
