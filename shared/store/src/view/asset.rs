//! Devices as the operators' API shows them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::hook::PROVIDER;
use crate::{Error, Store};

/// Which devices; an absent filter lets all through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AssetFilter {
    /// `online`, `offline` or `overdue`; no missing device has one.
    pub status: Option<String>,
    /// The client that they belong to.
    pub client_id: Option<Uuid>,
    /// `workstation` or `server`.
    pub asset_type: Option<String>,
    /// Gone from Tactical, or not.
    pub missing: Option<bool>,
    /// A part of the name, the serial number or the current user, whatever its case.
    pub q: Option<String>,
    /// Changed since then, or their status seen.
    pub updated_since: Option<DateTime<Utc>>,
}

/// A device in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// The asset.
    pub asset_id: Uuid,
    /// Its client.
    pub client_id: Uuid,
    /// The client's name.
    pub client_name: Option<String>,
    /// What AlgaPSA labels it with.
    pub asset_tag: String,
    /// Its name.
    pub name: String,
    /// `workstation` or `server`.
    pub asset_type: Option<String>,
    /// Its serial number.
    pub serial_number: Option<String>,
    /// The asset's own status in AlgaPSA, not the device's.
    pub status: String,
    /// The site.
    pub location: Option<String>,
    /// Tactical's agent.
    pub agent_id: Option<String>,
    /// Tactical's number of the client.
    pub organization_id: Option<String>,
    /// Tactical's name of the client.
    pub organization_name: Option<String>,
    /// `online`, `offline` or `overdue`.
    pub agent_status: Option<String>,
    /// When Tactical saw it last.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// Gone from Tactical since then.
    pub missing_since: Option<DateTime<Utc>>,
    /// When its status was read from Tactical last.
    pub status_observed_at: Option<DateTime<Utc>>,
    /// The operating system with its version.
    pub os_version: Option<String>,
    /// Who is logged in.
    pub current_user: Option<String>,
    /// When the row was changed last.
    pub updated_at: DateTime<Utc>,
    /// The database's clock when it was read.
    pub database_now: DateTime<Utc>,
}

/// What is known of a device beyond the list.
#[derive(Debug, Clone, PartialEq)]
pub struct Vitals {
    /// The operating system.
    pub os_type: Option<String>,
    /// The version of Tactical's agent.
    pub agent_version: Option<String>,
    /// When it was started last.
    pub last_reboot_at: Option<DateTime<Utc>>,
    /// Running for so long, in seconds, as it was written last.
    pub uptime_seconds: Option<i64>,
    /// Its address in its own network.
    pub lan_ip: Option<String>,
    /// Its address to the world.
    pub wan_ip: Option<String>,
    /// The processor.
    pub cpu_model: Option<String>,
    /// Memory in GB.
    pub ram_gb: Option<i32>,
    /// Disks, as they were read.
    pub disk_usage: Option<serde_json::Value>,
    /// Whatever else was read.
    pub system_info: Option<serde_json::Value>,
    /// Patches that wait.
    pub pending_patches: Option<i32>,
}

/// One device.
#[derive(Debug, Clone, PartialEq)]
pub struct AssetDetail {
    /// What the list shows, too.
    pub asset: Asset,
    /// When the asset was made.
    pub created_at: DateTime<Utc>,
    /// The rest.
    pub vitals: Vitals,
}

/// One page of a tenant's devices by asset id: at most `rows_max`, those after `after`.
///
/// # Errors
/// What the database said.
pub async fn assets(
    store: &Store,
    tenant: Uuid,
    filter: &AssetFilter,
    after: Option<Uuid>,
    rows_max: u16,
) -> Result<Vec<Asset>, Error> {
    let rows = sqlx::query_file_as!(
        Asset,
        "sql/view/assets.sql",
        tenant,
        PROVIDER,
        after,
        filter.status.as_deref(),
        filter.client_id,
        filter.asset_type.as_deref(),
        filter.missing,
        filter.q.as_deref(),
        filter.updated_since,
        i64::from(rows_max)
    );
    store.run(format!("list the assets of tenant {tenant}"), rows.fetch_all(store.pool())).await
}

/// One device of a tenant.
///
/// # Errors
/// What the database said.
pub async fn asset(store: &Store, tenant: Uuid, asset_id: Uuid) -> Result<Option<AssetDetail>, Error> {
    let row = sqlx::query_file!("sql/view/asset.sql", tenant, PROVIDER, asset_id);
    let row = store.run(format!("read asset {asset_id} of tenant {tenant}"), row.fetch_optional(store.pool())).await?;
    Ok(row.map(|row| AssetDetail {
        created_at: row.created_at,
        vitals: Vitals {
            os_type: row.os_type,
            agent_version: row.agent_version,
            last_reboot_at: row.last_reboot_at,
            uptime_seconds: row.uptime_seconds,
            lan_ip: row.lan_ip,
            wan_ip: row.wan_ip,
            cpu_model: row.cpu_model,
            ram_gb: row.ram_gb,
            disk_usage: row.disk_usage,
            system_info: row.system_info,
            pending_patches: row.pending_patches,
        },
        asset: Asset {
            asset_id: row.asset_id,
            client_id: row.client_id,
            client_name: row.client_name,
            asset_tag: row.asset_tag,
            name: row.name,
            asset_type: row.asset_type,
            serial_number: row.serial_number,
            status: row.status,
            location: row.location,
            agent_id: row.agent_id,
            organization_id: row.organization_id,
            organization_name: row.organization_name,
            agent_status: row.agent_status,
            last_seen_at: row.last_seen_at,
            missing_since: row.missing_since,
            status_observed_at: row.status_observed_at,
            os_version: row.os_version,
            current_user: row.current_user,
            updated_at: row.updated_at,
            database_now: row.database_now,
        },
    }))
}
