//! What the operators' API shows: how the fleet is, its devices and its alerts; reads only.
//!
//! A device's status has an age. A sync writes nothing for a device that did not change, so the status was seen last when
//! its own row was written or when the whole list of its client was read, whichever is later; a missing device's status
//! was seen last when its row was written.

mod alert;
mod asset;
mod webhook;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::hook::PROVIDER;
use crate::{Error, Store};

pub use alert::{Alert, AlertFilter, AlertKey, alerts};
pub use asset::{Asset, AssetDetail, AssetFilter, Vitals, asset, assets};
pub use webhook::{TemplateFinding, Webhook, webhook};

/// How many of a tenant's devices are in which state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fleet {
    /// Online, as Tactical said.
    pub online: i64,
    /// Offline.
    pub offline: i64,
    /// Not seen for longer than its own limit.
    pub overdue: i64,
    /// Without a status.
    pub unknown: i64,
    /// Gone from Tactical; in none of the other counts.
    pub missing: i64,
    /// When the status that was seen longest ago was seen.
    pub oldest_status_at: Option<DateTime<Utc>>,
    /// When the status that was seen last was seen.
    pub newest_status_at: Option<DateTime<Utc>>,
}

/// Counts a tenant's devices; zeros where there are none.
///
/// # Errors
/// What the database said.
pub async fn fleet(store: &Store, tenant: Uuid) -> Result<Fleet, Error> {
    let row = sqlx::query_file_as!(Fleet, "sql/view/fleet.sql", tenant, PROVIDER);
    store.run(format!("count the devices of tenant {tenant}"), row.fetch_one(store.pool())).await
}

/// Whether there is such a tenant.
///
/// # Errors
/// What the database said.
pub async fn tenant_exists(store: &Store, tenant: Uuid) -> Result<bool, Error> {
    let exists = sqlx::query_scalar!(r#"select exists (select from tenants where tenant = $1) as "exists!""#, tenant);
    store.run(format!("look for tenant {tenant}"), exists.fetch_one(store.pool())).await
}
