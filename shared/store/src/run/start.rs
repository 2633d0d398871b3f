//! How a run begins: asked for by a person or by a tick, taken by a worker.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use contract::{AlertReconcile, ClientsSync, DevicesSync, SoftwareIngest};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::fence::integration_of;
use super::{Fence, Kind, end};
use crate::audit::{self, Entry};
use crate::error::Attempt;
use crate::outbox::{self, NewRow};
use crate::{Error, Store, lock};

/// An open run without any progress for this long is sent to the workers once more when somebody asks for it: its message
/// may have been thrown away by a person, or by a broker that lost it. Longer than the longest answer that is waited for.
pub const RESEND_AFTER: Duration = Duration::from_secs(15 * 60);

/// The run that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    /// The run.
    pub run_id: Uuid,
    /// `false`: one was open already, and is the one.
    pub is_new: bool,
}

/// A run that is to begin.
pub(crate) struct Ask {
    pub(crate) tenant: Uuid,
    pub(crate) integration_id: Uuid,
    pub(crate) kind: Kind,
    /// The moment that it is for; `None`: now.
    pub(crate) slot: Option<DateTime<Utc>>,
}

/// A run that is open.
pub(crate) struct Open {
    pub(crate) run_id: Uuid,
    /// When it last made progress, was taken, asked for or sent again.
    pub(crate) moved_at: DateTime<Utc>,
}

/// A run as a worker has just taken it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// What every write of the run is to carry.
    pub fence: Fence,
    /// The connection.
    pub integration_id: Uuid,
    /// What it reads.
    pub kind: Kind,
}

/// Starts a run: its row, its message and the audit's entry in one transaction. An open run of the kind is answered as it
/// is; one that has made no progress for [`RESEND_AFTER`] is sent again.
///
/// # Errors
/// [`Error::Refused`] where the connection does not exist, is inactive, or its tenant is suspended; otherwise what the
/// database said.
pub async fn start(
    store: &Store,
    tenant: Uuid,
    integration_id: Uuid,
    kind: Kind,
    requested_by: &str,
    entry: &Entry,
) -> Result<Started, Error> {
    let work = async {
        let mut transaction = store.pool().begin().await.attempt("begin to start a run")?;
        let refused = |reason: &str| Error::Refused {
            what: format!("start a run of {} for connection {integration_id}", kind.as_str()).into(),
            reason: reason.to_owned(),
        };
        let Some(locked) = lock::connection(&mut transaction, tenant, integration_id).await? else {
            return Err(refused("there is no such connection"));
        };
        if !locked.is_active || locked.is_suspended {
            return Err(refused("the connection is not active, or its tenant is suspended"));
        }
        let started = match find_open(&mut transaction, tenant, integration_id, kind).await? {
            Some(open) => {
                let resend_after = TimeDelta::from_std(RESEND_AFTER).expect("a quarter of an hour fits");
                if open.moved_at + resend_after < locked.now {
                    send_again(&mut transaction, tenant, integration_id, kind, &open).await?;
                    audit::insert(&mut transaction, entry).await?;
                }
                Started { run_id: open.run_id, is_new: false }
            }
            None => {
                let ask = Ask { tenant, integration_id, kind, slot: None };
                let run_ids = begin_all(&mut transaction, &[ask], requested_by).await?;
                audit::insert(&mut transaction, entry).await?;
                Started { run_id: run_ids[0], is_new: true }
            }
        };
        transaction.commit().await.attempt("commit a new run")?;
        Ok(started)
    };
    store.within("start a run", store.work_ends(), work).await
}

async fn find_open(
    connection: &mut PgConnection,
    tenant: Uuid,
    integration_id: Uuid,
    kind: Kind,
) -> Result<Option<Open>, Error> {
    sqlx::query_as!(
        Open,
        r#"select run_id, greatest(requested_at, started_at, progressed_at) as "moved_at!" from muster.run
           where tenant = $1 and integration_id = $2 and kind = $3 and state in ('queued', 'running')"#,
        tenant,
        integration_id,
        kind.as_str()
    )
    .fetch_optional(connection)
    .await
    .attempt("look for an open run")
}

/// Begins these runs in the caller's transaction, each with its message; their ids, in the order of the asking. The caller has
/// locked the connections and has seen that none of them has an open run of the kind.
pub(crate) async fn begin_all(
    connection: &mut PgConnection,
    asks: &[Ask],
    requested_by: &str,
) -> Result<Vec<Uuid>, Error> {
    if asks.is_empty() {
        return Ok(Vec::new());
    }
    let run_ids: Vec<Uuid> = asks.iter().map(|_| Uuid::now_v7()).collect();
    let tenants: Vec<Uuid> = asks.iter().map(|ask| ask.tenant).collect();
    let integrations: Vec<Uuid> = asks.iter().map(|ask| ask.integration_id).collect();
    let kinds: Vec<String> = asks.iter().map(|ask| ask.kind.as_str().to_owned()).collect();
    let slots: Vec<Option<DateTime<Utc>>> = asks.iter().map(|ask| ask.slot).collect();
    sqlx::query!(
        "insert into muster.run (tenant, run_id, integration_id, kind, slot, requested_by)
         select n.tenant, n.run_id, n.integration_id, n.kind, coalesce(n.slot, now()), left($6, 100)
         from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::timestamptz[])
             n (tenant, run_id, integration_id, kind, slot)",
        &tenants,
        &run_ids,
        &integrations,
        &kinds,
        &slots as _,
        requested_by
    )
    .execute(&mut *connection)
    .await
    .attempt(format!("write {} new runs", asks.len()))?;
    let messages: Vec<NewRow> = asks.iter().zip(&run_ids).map(|(ask, run_id)| message(ask, *run_id, &[])).collect();
    outbox::insert(connection, &messages).await?;
    Ok(run_ids)
}

/// Sends an open run's own message once more, in the caller's transaction, and notes that. The connection is locked.
pub(crate) async fn send_again(
    connection: &mut PgConnection,
    tenant: Uuid,
    integration_id: Uuid,
    kind: Kind,
    open: &Open,
) -> Result<(), Error> {
    let ask = Ask { tenant, integration_id, kind, slot: None };
    let stamp = open.moved_at.timestamp_micros().to_be_bytes();
    outbox::insert(connection, &[message(&ask, open.run_id, &stamp)]).await?;
    sqlx::query!("update muster.run set progressed_at = now() where tenant = $1 and run_id = $2", tenant, open.run_id)
        .execute(connection)
        .await
        .attempt(format!("note that run {} was sent again", open.run_id))
        .map(drop)
}

/// The run's own message; `again` tells a further copy from those before.
fn message(ask: &Ask, run_id: Uuid, again: &[u8]) -> NewRow {
    let (tenant, integration_id) = (ask.tenant, ask.integration_id);
    let identity: [&[u8]; 2] = [run_id.as_bytes(), again];
    match ask.kind {
        Kind::Clients => NewRow::message(tenant, &identity, &ClientsSync { integration_id, run_id }, None),
        Kind::Devices => NewRow::message(tenant, &identity, &DevicesSync { integration_id, run_id, part: None }, None),
        Kind::Software => {
            NewRow::message(tenant, &identity, &SoftwareIngest { integration_id, run_id, part: None }, None)
        }
        Kind::Alerts => NewRow::message(tenant, &identity, &AlertReconcile { integration_id, run_id }, None),
    }
}

/// Takes a run over: from now on only this worker's batches count. `None`: the run has ended, or never was.
///
/// # Errors
/// What the database said.
pub async fn take_over(store: &Store, tenant: Uuid, run_id: Uuid) -> Result<Option<Taken>, Error> {
    let work = async {
        let mut transaction = store.pool().begin().await.attempt("begin to take a run over")?;
        let Some(integration_id) = integration_of(&mut transaction, tenant, run_id).await? else { return Ok(None) };
        if lock::connection(&mut transaction, tenant, integration_id).await?.is_none() {
            return Ok(None);
        }
        let row = sqlx::query!(
            "update muster.run
             set epoch = epoch + 1, state = 'running', started_at = coalesce(started_at, now()), progressed_at = now()
             where tenant = $1 and run_id = $2 and state in ('queued', 'running')
             returning epoch, kind",
            tenant,
            run_id
        )
        .fetch_optional(&mut *transaction)
        .await
        .attempt(format!("take run {run_id} over"))?;
        let Some((epoch, kind)) = row.and_then(|row| Some((row.epoch, Kind::parse(&row.kind)?))) else {
            return Ok(None);
        };
        end::show(&mut transaction, tenant, integration_id, None).await?;
        transaction.commit().await.attempt("commit a takeover")?;
        Ok(Some(Taken { fence: Fence { tenant, run_id, epoch }, integration_id, kind }))
    };
    store.within("take a run over", store.work_ends(), work).await
}
