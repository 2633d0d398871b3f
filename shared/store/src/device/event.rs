//! What readers are told of devices: what seldom changes, and what became of them. Nothing of status, times, user, addresses
//! and how full disks are, which change all day.

use chrono::{DateTime, Utc};
use contract::event::{AssetChange, AssetChanged};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::Batch;
use super::current::Rows;
use super::decide::Written;
use super::fields::Extension;
use super::write::Writes;
use crate::Error;
use crate::error::Attempt;
use crate::outbox::{self, NewRow};

/// Devices that one statement tells of, where a whole fleet may be concerned.
const TOLD_MAX: usize = 1_000;
/// Keys of `system_info` that change all day.
const VOLATILE_KEYS: [&str; 1] = ["local_ips"];

/// What is told of one device of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) change: AssetChange,
    pub(super) changed: Vec<String>,
    pub(super) previous_client_id: Option<Uuid>,
}

impl Told {
    /// Of a device that has just got its asset.
    pub(super) fn created() -> Self {
        Self { change: AssetChange::Created, changed: Vec::new(), previous_client_id: None }
    }
}

/// The rows of a device before a batch, beside what the batch makes of them.
pub(super) struct Compared<'a> {
    pub(super) rows: &'a Rows,
    pub(super) before: &'a Extension,
    pub(super) written: &'a Written,
    /// The agent, and Tactical's number of the client, as they were read.
    pub(super) here: (&'a str, &'a str),
    pub(super) was_missing: bool,
}

impl Compared<'_> {
    /// What is to be told of it; `None`: nothing.
    pub(super) fn told(&self) -> Option<Told> {
        let (old, new) = (&self.rows.face, &self.written.face);
        let mut changed = self.changed();
        if self.was_missing {
            changed.push("is_missing".to_owned());
        }
        let change = match self.written.is_moved || old.client_id != new.client_id {
            true => AssetChange::Moved,
            false if changed.is_empty() => return None,
            false => AssetChange::Updated,
        };
        let previous_client_id = (old.client_id != new.client_id).then_some(old.client_id);
        Some(Told { change, changed, previous_client_id })
    }

    fn changed(&self) -> Vec<String> {
        let (old, new) = (&self.rows.face, &self.written.face);
        let is_typed = !self.rows.has_other_type;
        let mut changed: Vec<String> = [
            ("client_id", old.client_id == new.client_id),
            ("external_client_id", self.rows.organization.as_deref() == Some(self.here.1)),
            ("agent_id", self.rows.agent_id.as_deref() == Some(self.here.0)),
            ("name", old.name == new.name),
            ("serial_number", old.serial_number == new.serial_number),
            ("site", old.location == new.location),
            ("asset_type", is_typed && old.kind == new.kind),
        ]
        .into_iter()
        .filter(|(_, is_same)| !is_same)
        .map(|(name, _)| name.to_owned())
        .collect();
        if let Some(after) = &self.written.extension {
            changed.extend(told_of_extension(self.before, after));
        }
        changed
    }
}

fn told_of_extension(before: &Extension, after: &Extension) -> Vec<String> {
    let columns = [
        ("os_type", before.os_type == after.os_type),
        ("os_version", before.os_version == after.os_version),
        ("cpu_model", before.cpu_model == after.cpu_model),
        ("ram_gb", before.ram_gb == after.ram_gb),
        ("agent_version", before.agent_version == after.agent_version),
        ("pending_patches", before.pending_patches == after.pending_patches),
    ];
    let mut changed: Vec<String> =
        columns.into_iter().filter(|(_, is_same)| !is_same).map(|(name, _)| name.to_owned()).collect();
    let (old, new) = (&before.system_info, &after.system_info);
    // a map is sorted, and so is what is told of it
    let gone = old.keys().filter(|key| !new.contains_key(*key));
    let other = new.iter().filter(|(key, value)| old.get(*key) != Some(value)).map(|(key, _)| key);
    changed.extend(other.chain(gone).filter(|key| !VOLATILE_KEYS.contains(&key.as_str())).cloned());
    changed
}

/// Writes what a batch tells, one statement for all of it. Of a client that is being imported nothing but moves is told.
pub(super) async fn write(
    connection: &mut PgConnection,
    batch: &Batch,
    writes: &Writes<'_>,
    is_imported: bool,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let rows = writes.rows.iter().filter_map(|(device, written)| {
        let told = written.told.clone().filter(|told| is_imported || told.change == AssetChange::Moved)?;
        let event = AssetChanged {
            tenant: batch.tenant,
            asset_id: written.asset_id,
            integration_id: batch.integration_id,
            rev: written.rev,
            change: told.change,
            agent_id: device.agent_id.clone(),
            name: Some(written.face.name.clone()),
            asset_type: Some(written.face.kind.as_str().to_owned()),
            client_id: Some(written.face.client_id),
            external_client_id: Some(batch.external_client_id.clone()),
            site: device.site.clone(),
            serial_number: written.face.serial_number.clone(),
            is_missing: false,
            changed: told.changed,
            previous_client_id: told.previous_client_id,
            merged_into: None,
        };
        Some(NewRow::event(event, now, None))
    });
    let rows: Vec<NewRow> = rows.collect();
    outbox::insert(connection, &rows).await.map(drop)
}

/// What became of devices outside of a batch; the fields that it does not name are as they stand in the tables.
#[derive(Debug, Clone)]
pub(crate) struct Fate {
    pub(crate) change: AssetChange,
    pub(crate) changed: &'static [&'static str],
    pub(crate) previous_client_id: Option<Uuid>,
    pub(crate) merged_into: Option<Uuid>,
}

impl Fate {
    /// Gone from Tactical.
    pub(crate) fn missing() -> Self {
        let changed = &["is_missing"];
        Self { change: AssetChange::Missing, changed, previous_client_id: None, merged_into: None }
    }
}

/// Raises the revision of the devices of these agents and tells what became of each. Agents without an asset are left out.
/// The connection's lock is held.
pub(crate) async fn tell(
    connection: &mut PgConnection,
    tenant: Uuid,
    integration_id: Uuid,
    fates: &[(String, Fate)],
) -> Result<(), Error> {
    // in the order of their bytes, as every writer of agents takes them
    let mut fates: Vec<&(String, Fate)> = fates.iter().collect();
    fates.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    for fates in fates.chunks(TOLD_MAX) {
        let agents: Vec<&str> = fates.iter().map(|(agent_id, _)| agent_id.as_str()).collect();
        let rows = sqlx::query_file!("sql/device/raise_revs.sql", tenant, integration_id, &agents as _)
            .fetch_all(&mut *connection)
            .await
            .attempt(format!("raise the revisions of {} devices", agents.len()))?;
        let events = rows.into_iter().filter_map(|row| {
            let place = fates.binary_search_by(|fate| fate.0.cmp(&row.agent_id)).ok()?;
            let fate = &fates[place].1;
            let event = AssetChanged {
                tenant,
                asset_id: row.asset_id,
                integration_id,
                rev: row.rev,
                change: fate.change,
                agent_id: row.agent_id,
                name: Some(row.name),
                asset_type: row.asset_type,
                client_id: Some(row.client_id),
                external_client_id: row.external_client_id,
                site: row.site_name,
                serial_number: row.serial_number,
                is_missing: row.is_missing,
                changed: fate.changed.iter().map(|name| (*name).to_owned()).collect(),
                previous_client_id: fate.previous_client_id,
                merged_into: fate.merged_into,
            };
            Some(NewRow::event(event, row.now, None))
        });
        let events: Vec<NewRow> = events.collect();
        outbox::insert(connection, &events).await?;
    }
    Ok(())
}
