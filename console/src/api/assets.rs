//! Devices.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::view::{self, AssetDetail, AssetFilter};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::call::{Call, Reply};
use crate::cursor::{self, List};
use crate::problem::Problem;
use crate::route::{NoBody, NoQuery};

/// A device's status, Tactical's own.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeviceStatus {
    Online,
    Offline,
    Overdue,
}

impl DeviceStatus {
    fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Overdue => "overdue",
        }
    }
}

/// What a device is.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeviceType {
    Workstation,
    Server,
}

impl DeviceType {
    fn as_str(self) -> &'static str {
        match self {
            Self::Workstation => "workstation",
            Self::Server => "server",
        }
    }
}

/// Which devices.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssetsQuery {
    /// Only those with this status; a missing device has none.
    #[param(inline)]
    status: Option<DeviceStatus>,
    /// Only those of this client.
    client_id: Option<Uuid>,
    /// Only those of this type.
    #[serde(rename = "type")]
    #[param(rename = "type", inline)]
    device_type: Option<DeviceType>,
    /// Only those that are gone from Tactical (true), or not (false).
    missing: Option<bool>,
    /// Only those whose name, serial number or current user holds this text, whatever its case.
    q: Option<String>,
    /// Only those that changed, or whose status was seen, since then.
    updated_since: Option<DateTime<Utc>>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows of the page, 1 to 500; 100 where absent.
    limit: Option<u16>,
}

/// A device in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Asset {
    asset_id: Uuid,
    client_id: Uuid,
    client_name: Option<String>,
    asset_tag: String,
    name: String,
    /// workstation or server
    asset_type: Option<String>,
    serial_number: Option<String>,
    /// The asset's own status in the PSA, not the device's.
    status: String,
    /// The site.
    location: Option<String>,
    /// Tactical's id of the agent.
    agent_id: Option<String>,
    /// Tactical's number of the client.
    organization_id: Option<String>,
    /// Tactical's name of the client.
    organization_name: Option<String>,
    /// online, offline or overdue, as Tactical said
    agent_status: Option<String>,
    /// When Tactical was asked last.
    status_observed_at: Option<DateTime<Utc>>,
    /// How long ago that was.
    status_age_s: Option<i64>,
    /// When Tactical heard from the device last.
    last_seen_at: Option<DateTime<Utc>>,
    /// Gone from Tactical since then.
    missing_since: Option<DateTime<Utc>>,
    os_version: Option<String>,
    current_user: Option<String>,
    updated_at: DateTime<Utc>,
}

impl From<view::Asset> for Asset {
    fn from(asset: view::Asset) -> Self {
        Self {
            status_age_s: super::age_s(asset.status_observed_at, asset.database_now),
            asset_id: asset.asset_id,
            client_id: asset.client_id,
            client_name: asset.client_name,
            asset_tag: asset.asset_tag,
            name: asset.name,
            asset_type: asset.asset_type,
            serial_number: asset.serial_number,
            status: asset.status,
            location: asset.location,
            agent_id: asset.agent_id,
            organization_id: asset.organization_id,
            organization_name: asset.organization_name,
            agent_status: asset.agent_status,
            status_observed_at: asset.status_observed_at,
            last_seen_at: asset.last_seen_at,
            missing_since: asset.missing_since,
            os_version: asset.os_version,
            current_user: asset.current_user,
            updated_at: asset.updated_at,
        }
    }
}

/// Devices.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Assets {
    assets: Vec<Asset>,
    /// `cursor` of the next page; null: this is the last.
    next_cursor: Option<String>,
}

/// A device with everything that is known of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AssetWithVitals {
    #[serde(flatten)]
    asset: Asset,
    created_at: DateTime<Utc>,
    vitals: Vitals,
}

/// A device's vitals.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Vitals {
    os_type: Option<String>,
    os_version: Option<String>,
    /// The version of Tactical's agent.
    agent_version: Option<String>,
    current_user: Option<String>,
    last_boot_at: Option<DateTime<Utc>>,
    /// Since its last boot, where it is online.
    uptime_s: Option<i64>,
    lan_ip: Option<String>,
    wan_ip: Option<String>,
    cpu_model: Option<String>,
    ram_gb: Option<i32>,
    /// Patches that wait.
    pending_patches: Option<i32>,
    #[schema(value_type = Option<Object>)]
    disks: Option<Value>,
    #[schema(value_type = Option<Object>)]
    system: Option<Value>,
}

impl From<AssetDetail> for AssetWithVitals {
    fn from(detail: AssetDetail) -> Self {
        let AssetDetail { asset, created_at, vitals } = detail;
        let is_online = asset.agent_status.as_deref() == Some("online") && asset.missing_since.is_none();
        // it follows from the boot, and is not written again and again for itself
        let uptime_s = super::age_s(vitals.last_reboot_at, asset.database_now).or(vitals.uptime_seconds);
        let vitals = Vitals {
            os_type: vitals.os_type,
            os_version: asset.os_version.clone(),
            agent_version: vitals.agent_version,
            current_user: asset.current_user.clone(),
            last_boot_at: vitals.last_reboot_at,
            uptime_s: uptime_s.filter(|_| is_online),
            lan_ip: vitals.lan_ip,
            wan_ip: vitals.wan_ip,
            cpu_model: vitals.cpu_model,
            ram_gb: vitals.ram_gb,
            pending_patches: vitals.pending_patches,
            disks: vitals.disk_usage,
            system: vitals.system_info,
        };
        Self { asset: asset.into(), created_at, vitals }
    }
}

/// `GET …/assets`.
pub(crate) async fn list(call: Call, query: AssetsQuery, _: NoBody) -> Result<Reply<Assets>, Problem> {
    let limit = cursor::limit(query.limit)?;
    if query.updated_since.is_some_and(|since| !cursor::is_storable(since)) {
        let detail = "`updated_since` is not a time of the years 1 to 9999.";
        return Err(Problem::invalid(detail, "Send a time such as `2026-01-31T12:00:00Z`."));
    }
    let after = query.cursor.as_deref().map(|text| cursor::to_id(List::Assets, text)).transpose()?;
    let filter = AssetFilter {
        status: query.status.map(|status| status.as_str().to_owned()),
        client_id: query.client_id,
        asset_type: query.device_type.map(|device_type| device_type.as_str().to_owned()),
        missing: query.missing,
        q: query.q.filter(|text| !text.is_empty()),
        updated_since: query.updated_since,
    };
    let rows = view::assets(&call.app.store, call.tenant, &filter, after, limit + 1).await?;
    let (rows, next_cursor) = cursor::page(rows, limit, |row| cursor::of_id(List::Assets, row.asset_id));
    Ok(Reply::ok(Assets { assets: rows.into_iter().map(Asset::from).collect(), next_cursor }))
}

/// `GET …/assets/{asset}`.
pub(crate) async fn one(call: Call, _: NoQuery, _: NoBody) -> Result<Reply<AssetWithVitals>, Problem> {
    let asset_id = call.id("asset", "asset")?;
    let found = view::asset(&call.app.store, call.tenant, asset_id).await?;
    found.map(|detail| Reply::ok(detail.into())).ok_or_else(|| Problem::not_found("asset"))
}
