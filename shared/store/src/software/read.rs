//! What stands in the tables about the devices of a batch. Nothing is locked: the connection's lock is held.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::Batch;
use super::diff::Versions;
use super::list::{Details, Key};
use crate::Error;
use crate::error::Attempt;

/// A device and the list that was written last.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) asset_id: Uuid,
    /// When its agent was last heard of, as a sync of devices has told.
    pub(super) last_seen_at: Option<DateTime<Utc>>,
    /// `None`: it has never reported.
    pub(super) last: Option<Last>,
}

/// A list as it was written.
#[derive(Debug, Clone)]
pub(super) struct Last {
    pub(super) digest: Vec<u8>,
    pub(super) programs: i32,
    pub(super) rev: i64,
    pub(super) fetched_at: DateTime<Utc>,
    pub(super) emptied_at: Option<DateTime<Utc>>,
}

/// The devices of these agents, by agent; agents that are none, or whose client is not imported, are not in it.
pub(super) async fn known(
    connection: &mut PgConnection,
    batch: &Batch,
    agent_ids: &[&str],
) -> Result<HashMap<String, Known>, Error> {
    let rows = sqlx::query_file!("sql/software/read_devices.sql", batch.tenant, batch.integration_id, agent_ids as _)
        .fetch_all(connection)
        .await
        .attempt(format!("read the software reports of {} agents", agent_ids.len()))?;
    let known = rows.into_iter().map(|row| {
        let last = match (row.digest, row.programs, row.rev, row.fetched_at) {
            (Some(digest), Some(programs), Some(rev), Some(fetched_at)) => {
                Some(Last { digest, programs, rev, fetched_at, emptied_at: row.emptied_at })
            }
            _ => None,
        };
        (row.agent_id, Known { asset_id: row.asset_id, last_seen_at: row.last_seen_at, last })
    });
    Ok(known.collect())
}

/// Every version that these devices have, by asset.
pub(super) async fn versions(
    connection: &mut PgConnection,
    tenant: Uuid,
    assets: &[Uuid],
) -> Result<HashMap<Uuid, Versions>, Error> {
    if assets.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query!(
        "select asset_id, software_id, version, install_date, install_path, size_bytes
         from muster.software_version where tenant = $1 and asset_id = any ($2)",
        tenant,
        assets
    );
    let rows = rows.fetch_all(connection).await.attempt(format!("read the software of {} devices", assets.len()))?;
    let mut versions: HashMap<Uuid, Versions> = HashMap::new();
    for row in rows {
        let details = Details { install_date: row.install_date, size_bytes: row.size_bytes, path: row.install_path };
        let programs = versions.entry(row.asset_id).or_default();
        programs.entry(row.software_id).or_default().insert(row.version, details);
    }
    Ok(versions)
}

/// The catalogue's ids of these programs; those that it lacks are added, each with the name beside it.
pub(super) async fn catalogue(
    connection: &mut PgConnection,
    tenant: Uuid,
    programs: &BTreeMap<&Key, &str>,
) -> Result<HashMap<Key, Uuid>, Error> {
    let mut ids = find(connection, tenant, programs.keys().copied()).await?;
    let absent: Vec<(&Key, &str)> =
        programs.iter().filter(|(key, _)| !ids.contains_key(**key)).map(|(key, name)| (*key, *name)).collect();
    if absent.is_empty() {
        return Ok(ids);
    }
    let names: Vec<&str> = absent.iter().map(|(_, name)| *name).collect();
    let normalized: Vec<&str> = absent.iter().map(|(key, _)| key.name.as_str()).collect();
    let publishers: Vec<&str> = absent.iter().map(|(key, _)| key.publisher.as_str()).collect();
    // in the order of the keys, so that two writers of the same ones wait and never deadlock
    sqlx::query!(
        "insert into software_catalog (tenant, name, normalized_name, publisher)
         select $1, n.name, n.normalized_name, n.publisher
         from unnest($2::text[], $3::text[], $4::text[]) n (name, normalized_name, publisher)
         on conflict (tenant, normalized_name, publisher) do nothing",
        tenant,
        &names as _,
        &normalized as _,
        &publishers as _
    )
    .execute(&mut *connection)
    .await
    .attempt(format!("add {} programs to the catalogue", absent.len()))?;
    let added = find(connection, tenant, absent.into_iter().map(|(key, _)| key)).await?;
    ids.extend(added);
    Ok(ids)
}

async fn find(
    connection: &mut PgConnection,
    tenant: Uuid,
    keys: impl Iterator<Item = &Key>,
) -> Result<HashMap<Key, Uuid>, Error> {
    let (names, publishers): (Vec<&str>, Vec<&str>) =
        keys.map(|key| (key.name.as_str(), key.publisher.as_str())).unzip();
    let rows = sqlx::query_file!("sql/software/find_programs.sql", tenant, &names as _, &publishers as _)
        .fetch_all(connection)
        .await
        .attempt(format!("look {} programs up", names.len()))?;
    let ids = rows.into_iter().map(|row| (Key { name: row.name, publisher: row.publisher }, row.software_id));
    Ok(ids.collect())
}
