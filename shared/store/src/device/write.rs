//! The statements of a batch, each over all of its rows.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use tracing::Instrument as _;
use uuid::Uuid;

use super::decide::Written;
use super::fields::Extension;
use super::{Batch, Device, DeviceType, Status};
use crate::Error;
use crate::alert::{raced, statement};
use crate::error::Attempt;

/// What a batch writes.
#[derive(Default)]
pub(super) struct Writes<'a> {
    /// Rows to be written, by agent.
    pub(super) rows: Vec<(&'a Device, Written)>,
    /// Assets of which status and times are to be written.
    pub(super) seen: Vec<(Uuid, &'a Device)>,
}

/// Writes it all, in the order of the locks: agents, assets, extensions, mappings.
pub(super) async fn write(connection: &mut PgConnection, batch: &Batch, writes: &Writes<'_>) -> Result<(), Error> {
    let rows = &writes.rows;
    if !rows.is_empty() {
        write_agents(connection, batch, rows).await?;
    }
    let (new, old): (Vec<_>, Vec<_>) = rows.iter().partition::<Vec<_>, _>(|(_, written)| written.is_new);
    insert_assets(connection, batch, &new).await?;
    let faces: Vec<_> = old.into_iter().filter(|(_, written)| written.has_new_face).collect();
    update_assets(connection, batch, &faces).await?;
    update_seen(connection, batch, &writes.seen).await?;
    for kind in [DeviceType::Workstation, DeviceType::Server] {
        drop_extensions(connection, batch, kind, rows).await?;
        write_extensions(connection, batch, kind, rows).await?;
    }
    write_mappings(connection, batch, rows).await
}

async fn write_agents(connection: &mut PgConnection, batch: &Batch, rows: &[(&Device, Written)]) -> Result<(), Error> {
    let agents: Vec<&str> = rows.iter().map(|(device, _)| device.agent_id.as_str()).collect();
    let assets: Vec<Uuid> = rows.iter().map(|(_, written)| written.asset_id).collect();
    let sites: Vec<Option<&str>> = rows.iter().map(|(device, _)| device.site.as_deref()).collect();
    let digests: Vec<Vec<u8>> = rows.iter().map(|(_, written)| written.digest.to_bytes()).collect();
    let revs: Vec<i64> = rows.iter().map(|(_, written)| written.rev).collect();
    sqlx::query_file!(
        "sql/device/write_agents.sql",
        batch.tenant,
        batch.integration_id,
        batch.external_client_id,
        batch.fetched_at,
        &agents as _,
        &assets,
        &sites as _,
        &digests,
        &revs
    )
    .execute(connection)
    .instrument(statement("INSERT", "muster.agent", rows.len()))
    .await
    .attempt(format!("write {} agents", rows.len()))
    .map(drop)
}

/// The columns of `assets` that both statements write.
struct Columns<'a> {
    assets: Vec<Uuid>,
    clients: Vec<Uuid>,
    names: Vec<&'a str>,
    serials: Vec<Option<&'a str>>,
    locations: Vec<Option<&'a str>>,
    kinds: Vec<&'static str>,
    agents: Vec<&'a str>,
    statuses: Vec<Option<&'static str>>,
    seen: Vec<Option<DateTime<Utc>>>,
}

impl<'a> Columns<'a> {
    fn of(rows: &[&'a (&'a Device, Written)]) -> Self {
        Self {
            assets: rows.iter().map(|(_, written)| written.asset_id).collect(),
            clients: rows.iter().map(|(_, written)| written.face.client_id).collect(),
            names: rows.iter().map(|(_, written)| written.face.name.as_str()).collect(),
            serials: rows.iter().map(|(_, written)| written.face.serial_number.as_deref()).collect(),
            locations: rows.iter().map(|(_, written)| written.face.location.as_deref()).collect(),
            kinds: rows.iter().map(|(_, written)| written.face.kind.as_str()).collect(),
            agents: rows.iter().map(|(device, _)| device.agent_id.as_str()).collect(),
            statuses: rows.iter().map(|(device, _)| device.status.map(Status::as_str)).collect(),
            seen: rows.iter().map(|(device, _)| device.last_seen_at).collect(),
        }
    }
}

async fn insert_assets(
    connection: &mut PgConnection,
    batch: &Batch,
    rows: &[&(&Device, Written)],
) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let columns = Columns::of(rows);
    sqlx::query_file!(
        "sql/device/insert_assets.sql",
        batch.tenant,
        batch.external_client_id,
        batch.fetched_at,
        &columns.assets,
        &columns.clients,
        &columns.names as _,
        &columns.serials as _,
        &columns.locations as _,
        &columns.kinds as _,
        &columns.agents as _,
        &columns.statuses as _,
        &columns.seen as _
    )
    .execute(connection)
    .instrument(statement("INSERT", "assets", rows.len()))
    .await
    .attempt(format!("make {} assets", rows.len()))
    .map(drop)
}

async fn update_assets(
    connection: &mut PgConnection,
    batch: &Batch,
    rows: &[&(&Device, Written)],
) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let columns = Columns::of(rows);
    let done = sqlx::query_file!(
        "sql/device/update_assets.sql",
        batch.tenant,
        batch.external_client_id,
        batch.fetched_at,
        &columns.assets,
        &columns.clients,
        &columns.names as _,
        &columns.serials as _,
        &columns.locations as _,
        &columns.kinds as _,
        &columns.agents as _,
        &columns.statuses as _,
        &columns.seen as _
    )
    .execute(connection)
    .instrument(statement("UPDATE", "assets", rows.len()))
    .await
    .attempt(format!("update {} assets", rows.len()))?;
    all(done.rows_affected(), rows.len())
}

/// The narrow update of a device that was only seen again.
async fn update_seen(connection: &mut PgConnection, batch: &Batch, seen: &[(Uuid, &Device)]) -> Result<(), Error> {
    if seen.is_empty() {
        return Ok(());
    }
    let assets: Vec<Uuid> = seen.iter().map(|(asset_id, _)| *asset_id).collect();
    let statuses: Vec<Option<&str>> = seen.iter().map(|(_, device)| device.status.map(Status::as_str)).collect();
    let times: Vec<Option<DateTime<Utc>>> = seen.iter().map(|(_, device)| device.last_seen_at).collect();
    let done = sqlx::query_file!(
        "sql/device/update_seen.sql",
        batch.tenant,
        batch.fetched_at,
        &assets,
        &statuses as _,
        &times as _
    )
    .execute(connection)
    .instrument(statement("UPDATE", "assets", seen.len()))
    .await
    .attempt(format!("stamp {} assets", seen.len()))?;
    all(done.rows_affected(), seen.len())
}

/// Every asset that was to be updated is still there; else somebody deleted it, and the batch reads again.
fn all(rows: u64, expected: usize) -> Result<(), Error> {
    if rows == expected as u64 { Ok(()) } else { Err(raced("write devices")) }
}

async fn drop_extensions(
    connection: &mut PgConnection,
    batch: &Batch,
    kind: DeviceType,
    rows: &[(&Device, Written)],
) -> Result<(), Error> {
    let leaving = rows.iter().filter(|(_, written)| written.leaves == Some(kind));
    let assets: Vec<Uuid> = leaving.map(|(_, written)| written.asset_id).collect();
    if assets.is_empty() {
        return Ok(());
    }
    let what = || format!("take {} assets out of the {}s", assets.len(), kind.as_str());
    let done = match kind {
        DeviceType::Workstation => {
            let drop = sqlx::query!(
                "delete from workstation_assets where tenant = $1 and asset_id = any ($2)",
                batch.tenant,
                &assets
            );
            drop.execute(connection).await
        }
        DeviceType::Server => {
            let drop = sqlx::query!(
                "delete from server_assets where tenant = $1 and asset_id = any ($2)",
                batch.tenant,
                &assets
            );
            drop.execute(connection).await
        }
    };
    done.attempt(what()).map(drop)
}

async fn write_extensions(
    connection: &mut PgConnection,
    batch: &Batch,
    kind: DeviceType,
    rows: &[(&Device, Written)],
) -> Result<(), Error> {
    let rows: Vec<(Uuid, &Extension)> = rows
        .iter()
        .filter(|(_, written)| written.face.kind == kind)
        .filter_map(|(_, written)| Some((written.asset_id, written.extension.as_ref()?)))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let assets: Vec<Uuid> = rows.iter().map(|(asset_id, _)| *asset_id).collect();
    let os_types: Vec<Option<&str>> = rows.iter().map(|(_, row)| row.os_type.as_deref()).collect();
    let os_versions: Vec<Option<&str>> = rows.iter().map(|(_, row)| row.os_version.as_deref()).collect();
    let cpus: Vec<Option<&str>> = rows.iter().map(|(_, row)| row.cpu_model.as_deref()).collect();
    let rams: Vec<Option<i32>> = rows.iter().map(|(_, row)| row.ram_gb).collect();
    let versions: Vec<Option<&str>> = rows.iter().map(|(_, row)| row.agent_version.as_deref()).collect();
    let users: Vec<Option<&str>> = rows.iter().map(|(_, row)| row.current_user.as_deref()).collect();
    let uptimes: Vec<Option<i64>> = rows.iter().map(|(_, row)| row.uptime_seconds).collect();
    let boots: Vec<Option<DateTime<Utc>>> = rows.iter().map(|(_, row)| row.last_reboot_at).collect();
    let lan: Vec<Option<&str>> = rows.iter().map(|(_, row)| row.lan_ip.as_deref()).collect();
    let wan: Vec<Option<&str>> = rows.iter().map(|(_, row)| row.wan_ip.as_deref()).collect();
    let infos: Vec<Value> = rows.iter().map(|(_, row)| Value::Object(row.system_info.clone())).collect();
    let disks: Vec<Option<Value>> = rows.iter().map(|(_, row)| row.disk_usage.clone()).collect();
    let patches: Vec<Option<i32>> = rows.iter().map(|(_, row)| row.pending_patches).collect();
    macro_rules! write {
        ($file:literal) => {
            sqlx::query_file!(
                $file,
                batch.tenant,
                &assets,
                &os_types as _,
                &os_versions as _,
                &cpus as _,
                &rams as _,
                &versions as _,
                &users as _,
                &uptimes as _,
                &boots as _,
                &lan as _,
                &wan as _,
                &infos,
                &disks as _,
                &patches as _
            )
            .execute(connection)
            .await
        };
    }
    let done = match kind {
        DeviceType::Workstation => write!("sql/device/write_workstations.sql"),
        DeviceType::Server => write!("sql/device/write_servers.sql"),
    };
    done.attempt(format!("write {} {}s", rows.len(), kind.as_str())).map(drop)
}

/// AlgaPSA's link between asset and agent. What links the agent elsewhere under the same client is stale and goes.
async fn write_mappings(
    connection: &mut PgConnection,
    batch: &Batch,
    rows: &[(&Device, Written)],
) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let agents: Vec<&str> = rows.iter().map(|(device, _)| device.agent_id.as_str()).collect();
    let assets: Vec<String> = rows.iter().map(|(_, written)| written.asset_id.to_string()).collect();
    let metadata: Vec<Value> = site_metadata(connection, batch, rows).await?;
    let what = || format!("write {} mappings", rows.len());
    sqlx::query_file!("sql/device/drop_mappings.sql", batch.tenant, batch.external_client_id, &agents as _, &assets)
        .execute(&mut *connection)
        .await
        .attempt(what())?;
    sqlx::query_file!(
        "sql/device/write_mappings.sql",
        batch.tenant,
        batch.external_client_id,
        batch.fetched_at,
        &agents as _,
        &assets,
        &metadata
    )
    .execute(connection)
    .instrument(statement("INSERT", "tenant_external_entity_mappings", rows.len()))
    .await
    .attempt(what())
    .map(drop)
}

/// `{site_id, site_name}`, as AlgaPSA keeps them. The lists name a site only; its number is looked up.
async fn site_metadata(
    connection: &mut PgConnection,
    batch: &Batch,
    rows: &[(&Device, Written)],
) -> Result<Vec<Value>, Error> {
    let found = sqlx::query!(
        "select name, site_id from muster.site where tenant = $1 and integration_id = $2 and external_client_id = $3",
        batch.tenant,
        batch.integration_id,
        batch.external_client_id
    );
    let found = found.fetch_all(connection).await.attempt("read the sites of a client")?;
    let sites: std::collections::HashMap<String, String> =
        found.into_iter().map(|site| (site.name, site.site_id)).collect();
    let metadata = rows.iter().map(|(device, _)| {
        let named = || device.site.as_ref().and_then(|name| sites.get(name).cloned());
        json!({
            "site_id": device.site_id.map(|id| id.to_string()).or_else(named),
            "site_name": device.site,
        })
    });
    Ok(metadata.collect())
}
