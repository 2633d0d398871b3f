//! The lock of a connection's device writes, and what a writer may do once it has it.
//!
//! Batches of a sync, a refresh and a changed mapping take it first and so come one after the other: no two of them can make
//! the same asset, and the rows that they change need no locks of their own. Everything that takes it takes it before
//! `muster.run`, `muster.run_part`, the mappings, `muster.agent` and `assets`, in this order.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::error::Attempt;
use crate::{Error, origin};

/// Why nothing was written; a later run may do better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// The connection does not exist, or is not the tenant's.
    NoSuchConnection,
    /// A person has disconnected it.
    Inactive,
    /// The tenant is suspended.
    Suspended,
    /// Another server seems to stand behind the connection: a person must decide first.
    Held,
    /// The connection's URL leads to another server than the one that the mappings belong to, and no sync has looked yet
    /// whether it is the same one.
    Unconfirmed,
    /// Another server stands behind the connection than the one that was asked.
    ServerChanged,
    /// Tactical's client has no mapping yet.
    UnknownOrganization,
    /// Tactical's client is assigned to nobody.
    Unmapped,
    /// A person has switched the client's devices off.
    AutoSyncOff,
}

impl Left {
    /// A word for logs and reasons.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoSuchConnection => "no_such_connection",
            Self::Inactive => "inactive",
            Self::Suspended => "suspended",
            Self::Held => "held",
            Self::Unconfirmed => "unconfirmed",
            Self::ServerChanged => "server_changed",
            Self::UnknownOrganization => "unknown_organization",
            Self::Unmapped => "unmapped",
            Self::AutoSyncOff => "auto_sync_off",
        }
    }
}

/// A locked connection.
pub(crate) struct Locked {
    pub(crate) is_active: bool,
    pub(crate) is_suspended: bool,
    pub(crate) is_held: bool,
    instance_url: Option<String>,
    confirmed_url: Option<String>,
    /// Which server stands behind it: raised with each other one.
    pub(crate) server_epoch: i64,
    /// The transaction's clock.
    pub(crate) now: DateTime<Utc>,
}

impl Locked {
    /// Why devices must not be written.
    pub(crate) fn left(&self) -> Option<Left> {
        match self {
            Self { is_active: false, .. } => Some(Left::Inactive),
            Self { is_suspended: true, .. } => Some(Left::Suspended),
            Self { is_held: true, .. } => Some(Left::Held),
            _ if self.is_unconfirmed() => Some(Left::Unconfirmed),
            _ => None,
        }
    }

    /// The mappings are those of another URL.
    fn is_unconfirmed(&self) -> bool {
        self.confirmed_url.is_some() && !origin::is_same(self.confirmed_url.as_deref(), self.instance_url.as_deref())
    }
}

/// Takes the lock until the transaction ends; `None`: the tenant has no such connection, or one that is not active and has no
/// row of ours, as a removal leaves it: who only looks at it does not bring the row back.
pub(crate) async fn connection(
    connection: &mut PgConnection,
    tenant: Uuid,
    integration_id: Uuid,
) -> Result<Option<Locked>, Error> {
    let what = || format!("lock connection {integration_id}");
    if !take(connection, tenant, integration_id).await.attempt(what())? {
        // an active one that was adopted may have no row of ours yet
        sqlx::query!(
            "insert into muster.connection (tenant, integration_id)
             select tenant, integration_id from rmm_integrations where tenant = $1 and integration_id = $2 and is_active
             on conflict (tenant, integration_id) do nothing",
            tenant,
            integration_id
        )
        .execute(&mut *connection)
        .await
        .attempt(what())?;
        take(connection, tenant, integration_id).await.attempt(what())?;
    }
    // a statement of its own: one that waited for the lock would still see the rows beside it as they were before
    let found = sqlx::query_as!(
        Locked,
        r#"select coalesce(i.is_active, false) as "is_active!", t.suspended_at is not null as "is_suspended!",
                  c.held_at is not null as "is_held!", i.instance_url, c.confirmed_url, c.server_epoch, now() as "now!"
           from rmm_integrations i
           join tenants t on t.tenant = i.tenant
           join muster.connection c on c.tenant = i.tenant and c.integration_id = i.integration_id
           where i.tenant = $1 and i.integration_id = $2"#,
        tenant,
        integration_id
    );
    found.fetch_optional(connection).await.attempt(what())
}

async fn take(connection: &mut PgConnection, tenant: Uuid, integration_id: Uuid) -> Result<bool, sqlx::Error> {
    let row = sqlx::query!(
        "select tenant from muster.connection where tenant = $1 and integration_id = $2 for no key update",
        tenant,
        integration_id
    );
    Ok(row.fetch_optional(connection).await?.is_some())
}

/// Says until the transaction ends that statements look rows up by their keys, a thousand at most.
///
/// Tables that are being filled for the first time have no statistics, and look empty to a plan that was made when they were:
/// the planner then joins such a batch with the whole table, or reads it once for each key, and a first sync of 100,000
/// devices would be quadratic. What is switched off counts as very dear, for which the planner would compile a statement of a
/// millisecond or start workers for it: both are off, too. The order of the joins is the statements' own affair.
pub(crate) async fn by_key(connection: &mut PgConnection) -> Result<(), Error> {
    sqlx::query!(
        "select set_config(name, value, true) as done
         from (values ('enable_hashjoin', 'off'), ('enable_mergejoin', 'off'), ('enable_seqscan', 'off'),
                      ('enable_material', 'off'), ('jit', 'off'), ('max_parallel_workers_per_gather', '0')) n (name, value)"
    )
    .fetch_all(connection)
    .await
    .attempt("set how a batch's rows are looked up")
    .map(drop)
}
