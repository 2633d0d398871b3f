//! What stands in the tables about the devices of a batch. Nothing is locked: the connection's lock is held.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::digest::Digest;
use super::fields::{Extension, Face};
use super::{Batch, DeviceType};
use crate::Error;
use crate::error::Attempt;

/// The client that a batch is of.
#[derive(Clone, Copy)]
pub(super) struct Organization {
    pub(super) client_id: Option<Uuid>,
    pub(super) is_on: bool,
    /// A run has once read all of its devices: what comes from now on is told one by one.
    pub(super) is_imported: bool,
    /// Since when its devices are known to be as they are shown.
    pub(super) synced_at: Option<DateTime<Utc>>,
}

pub(super) async fn organization(connection: &mut PgConnection, batch: &Batch) -> Result<Option<Organization>, Error> {
    // a client that is gone is none: where AlgaPSA made the tables nothing else says so
    sqlx::query_as!(
        Organization,
        r#"select c.client_id as "client_id?", coalesce(m.auto_sync_assets, true) as "is_on!",
                  m.last_synced_at as synced_at,
                  exists (
                      select from muster.imported d
                      where d.tenant = m.tenant and d.integration_id = m.integration_id and d.kind = 'devices'
                        and d.scope = m.external_organization_id
                  ) as "is_imported!"
           from rmm_organization_mappings m
           left join clients c on c.tenant = m.tenant and c.client_id = m.client_id
           where m.tenant = $1 and m.integration_id = $2 and m.external_organization_id = $3"#,
        batch.tenant,
        batch.integration_id,
        batch.external_client_id
    )
    .fetch_optional(connection)
    .await
    .attempt(format!("read the mapping of client {}", batch.external_client_id))
}

/// When the client of a refresh was read last by a run that may not have ended, or that failed in the middle: its mapping says
/// nothing of that yet.
pub(super) async fn read_at(connection: &mut PgConnection, batch: &Batch) -> Result<Option<DateTime<Utc>>, Error> {
    let client = &batch.external_client_id;
    sqlx::query_file_scalar!("sql/device/read_at.sql", batch.tenant, batch.integration_id, client)
        .fetch_one(connection)
        .await
        .attempt(format!("read when client {client} was listed"))
}

/// An agent as it was read last.
#[derive(Debug, Clone, Default)]
pub(super) struct Current {
    /// Its asset, where that exists.
    pub(super) asset_id: Option<Uuid>,
    pub(super) digest: Option<Digest>,
    pub(super) external_client_id: Option<String>,
    pub(super) is_missing: bool,
    /// The newest fetch that wrote anything.
    pub(super) fetched_at: Option<DateTime<Utc>>,
    pub(super) client_id: Option<Uuid>,
    pub(super) status: Option<String>,
    pub(super) last_seen_at: Option<DateTime<Utc>>,
    /// What it was told of last with.
    pub(super) rev: i64,
}

/// What is known of these agents, by id; those that nobody knows are not in it.
pub(super) async fn read(
    connection: &mut PgConnection,
    batch: &Batch,
    agent_ids: &[&str],
) -> Result<HashMap<String, Current>, Error> {
    let rows = sqlx::query_file!("sql/device/read_current.sql", batch.tenant, batch.integration_id, agent_ids as _)
        .fetch_all(connection)
        .await
        .attempt(format!("read {} agents", agent_ids.len()))?;
    let current = rows.into_iter().map(|row| {
        let current = Current {
            asset_id: row.asset_id,
            digest: row.digest.as_deref().and_then(Digest::parse),
            external_client_id: row.external_client_id,
            is_missing: row.is_missing,
            fetched_at: row.fetched_at,
            client_id: row.client_id,
            status: row.agent_status,
            last_seen_at: row.last_seen_at,
            rev: row.rev,
        };
        (row.agent_id, current)
    });
    Ok(current.collect())
}

/// The rows of an asset, for a comparison field by field.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    pub(super) face: Face,
    /// Whether the columns that say whose device it is are right for that agent and client.
    pub(super) agent_id: Option<String>,
    pub(super) organization: Option<String>,
    /// Its type is none that we write.
    pub(super) has_other_type: bool,
    /// Where its extension stands; both only where somebody else wrote one of them.
    pub(super) extensions: Vec<(DeviceType, Extension)>,
}

/// The rows of these assets.
pub(super) async fn read_rows(
    connection: &mut PgConnection,
    tenant: Uuid,
    assets: &[Uuid],
) -> Result<HashMap<Uuid, Rows>, Error> {
    if assets.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query_file!("sql/device/read_rows.sql", tenant, assets)
        .fetch_all(connection)
        .await
        .attempt(format!("read {} assets", assets.len()))?;
    let mut found: HashMap<Uuid, Rows> = HashMap::new();
    for row in rows {
        let kind = row.asset_type.as_deref().and_then(DeviceType::parse);
        let one = found.entry(row.asset_id).or_insert_with(|| Rows {
            face: Face {
                client_id: row.client_id,
                name: row.name.unwrap_or_default(),
                serial_number: row.serial_number,
                location: row.location,
                kind: kind.unwrap_or_default(),
            },
            agent_id: row.rmm_device_id,
            organization: row.rmm_organization_id,
            has_other_type: kind.is_none(),
            extensions: Vec::new(),
        });
        let extension = Extension {
            os_type: row.os_type,
            os_version: row.os_version,
            cpu_model: row.cpu_model,
            ram_gb: row.ram_gb,
            agent_version: row.agent_version,
            current_user: row.current_user,
            uptime_seconds: row.uptime_seconds,
            last_reboot_at: row.last_reboot_at,
            lan_ip: row.lan_ip,
            wan_ip: row.wan_ip,
            system_info: match row.system_info {
                Some(Value::Object(info)) => info,
                _ => serde_json::Map::new(),
            },
            disk_usage: row.disk_usage,
            pending_patches: row.pending_patches,
        };
        one.extensions.extend(row.kind.as_deref().and_then(DeviceType::parse).map(|kind| (kind, extension)));
    }
    Ok(found)
}
