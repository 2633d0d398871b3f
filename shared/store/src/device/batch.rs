//! One batch of devices: one transaction, then the look for alerts that wait for one of its assets.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::current::Organization;
use super::decide::{Context, Decision};
use super::digest::Digest;
use super::write::{Writes, write};
use super::{Batch, Device, Merged, Outcome, adopt, bounds, current, decide, event};
use crate::alert::{self, Tries};
use crate::error::Attempt;
use crate::run::{self, Step};
use crate::{Error, Left, Store, lock};

/// Writes a batch: all of it, or nothing when it fails. Idempotent: the same batch again finds everything as it is.
///
/// Alerts that wait for one of the devices are linked after the commit, also where nothing was written: the worker before
/// may have died between the two.
///
/// # Errors
/// What the database said.
pub async fn merge(store: &Store, batch: &Batch) -> Result<Outcome, Error> {
    let ends = store.work_ends();
    let mut tries = Tries::default();
    let (outcome, assets) = loop {
        match store.within("write devices", ends, merge_once(store, batch)).await {
            Err(error) if tries.is_worth_another(&error) => {}
            done => break done?,
        }
    };
    alert::link_assets(store, &assets, ends).await?;
    Ok(outcome)
}

/// The assets of a batch's agents.
type Assets = HashMap<alert::Agent, Uuid>;

/// A batch of which nothing is written.
fn none(outcome: Outcome) -> (Outcome, Assets) {
    (outcome, Assets::new())
}

async fn merge_once(store: &Store, batch: &Batch) -> Result<(Outcome, Assets), Error> {
    let mut transaction = store.pool().begin().await.attempt("begin to write devices")?;
    let Some(locked) = lock::connection(&mut transaction, batch.tenant, batch.integration_id).await? else {
        return Ok(none(Outcome::Left(Left::NoSuchConnection)));
    };
    lock::by_key(&mut transaction).await?;
    // whoever is fenced is told so first: nothing else about the connection is its business any more
    if let Some(fence) = &batch.fence
        && !run::hold_batch(&mut transaction, fence).await?
    {
        return Ok(none(Outcome::Fenced));
    }
    if let Some(left) = locked.left() {
        return Ok(none(Outcome::Left(left)));
    }
    // the numbers of clients and sites that it was read with are another server's
    if locked.server_epoch != batch.server_epoch {
        return Ok(none(Outcome::Left(Left::ServerChanged)));
    }
    let (organization, client_id) = match current::organization(&mut transaction, batch).await? {
        None => return Ok(none(Outcome::Left(Left::UnknownOrganization))),
        Some(Organization { is_on: false, .. }) => return Ok(none(Outcome::Left(Left::AutoSyncOff))),
        Some(Organization { client_id: None, .. }) => return Ok(none(Outcome::Left(Left::Unmapped))),
        Some(found @ Organization { client_id: Some(client_id), .. }) => (found, client_id),
    };
    // a part that is under way stands in no mapping, and what it found unchanged in no row
    let read_at = match batch.fence {
        None => current::read_at(&mut transaction, batch).await?,
        Some(_) => None,
    };
    let context = Context {
        source: batch.source,
        fetched_at: batch.fetched_at,
        external_client_id: &batch.external_client_id,
        client_id,
        synced_at: organization.synced_at.max(read_at),
    };
    let devices = usable(batch, locked.now);
    let (writes, mut merged, assets) = prepare(&mut transaction, batch, &context, &devices).await?;
    write(&mut transaction, batch, &writes).await?;
    event::write(&mut transaction, batch, &writes, organization.is_imported, locked.now).await?;
    merged.odd = batch.devices.iter().filter(|device| !bounds::is_usable(&device.agent_id)).count();
    if let Some(fence) = &batch.fence {
        run::advance(&mut transaction, fence, &step(batch, &merged), Some(batch.fetched_at)).await?;
    }
    transaction.commit().await.attempt("commit devices")?;
    Ok((Outcome::Merged(merged), assets))
}

fn step(batch: &Batch, merged: &Merged) -> Step {
    Step {
        seen: batch.devices.len(),
        created: merged.created,
        updated: merged.updated + merged.seen_again,
        moved: merged.moved,
        unchanged: merged.unchanged + merged.older,
        ..Step::default()
    }
}

/// The devices by id, bounded; the order of their ids is the one in which every writer takes agents' rows.
fn usable(batch: &Batch, now: DateTime<Utc>) -> BTreeMap<String, Device> {
    let devices = batch.devices.iter().filter(|device| bounds::is_usable(&device.agent_id));
    devices.map(|device| (device.agent_id.clone(), bounds::bounded(device.clone(), now))).collect()
}

/// Reads what stands there and decides what is to be written.
async fn prepare<'a>(
    connection: &mut PgConnection,
    batch: &Batch,
    context: &Context<'_>,
    devices: &'a BTreeMap<String, Device>,
) -> Result<(Writes<'a>, Merged, Assets), Error> {
    let agent_ids: Vec<&str> = devices.keys().map(String::as_str).collect();
    let current = current::read(connection, batch, &agent_ids).await?;
    let mut merged = Merged::default();
    let mut writes = Writes::default();
    let mut compared: Vec<(&Device, Digest, Uuid)> = Vec::new();
    let mut homeless: Vec<(&Device, Digest)> = Vec::new();
    for device in devices.values() {
        let told = Digest::of(device, batch.source);
        match decide::decide(context, current.get(&device.agent_id), device, &told) {
            Decision::Unchanged => merged.unchanged += 1,
            Decision::Older => merged.older += 1,
            Decision::Seen(asset_id) => writes.seen.push((asset_id, device)),
            Decision::Compare(asset_id) => compared.push((device, told, asset_id)),
            Decision::Create => homeless.push((device, told)),
        }
    }
    merged.seen_again = writes.seen.len();
    merged.created = homeless.len();
    let homeless_ids: Vec<&str> = homeless.iter().map(|(device, _)| device.agent_id.as_str()).collect();
    let mut adopted = adopt::find(connection, batch, &homeless_ids).await?;
    for (device, told) in homeless {
        match adopted.remove(&device.agent_id) {
            Some(asset_id) => compared.push((device, told, asset_id)),
            None => writes.rows.push((device, decide::create(context, device, told))),
        }
    }
    compare(connection, batch, context, &current, compared, &mut writes, &mut merged).await?;
    writes.rows.sort_unstable_by(|a, b| a.0.agent_id.cmp(&b.0.agent_id));
    for (device, written) in &mut writes.rows {
        let rev = current.get(&device.agent_id).map_or(0, |current| current.rev);
        written.rev = rev + i64::from(written.told.is_some());
    }
    let known = current.into_iter().filter_map(|(agent_id, current)| Some((agent_id, current.asset_id?)));
    let written = writes.rows.iter().map(|(device, written)| (device.agent_id.clone(), written.asset_id));
    let assets = known.chain(written).map(|(id, asset_id)| ((batch.tenant, batch.integration_id, id), asset_id));
    let assets = assets.collect();
    Ok((writes, merged, assets))
}

async fn compare<'a>(
    connection: &mut PgConnection,
    batch: &Batch,
    context: &Context<'_>,
    current: &HashMap<String, current::Current>,
    compared: Vec<(&'a Device, Digest, Uuid)>,
    writes: &mut Writes<'a>,
    merged: &mut Merged,
) -> Result<(), Error> {
    let assets: Vec<Uuid> = compared.iter().map(|(_, _, asset_id)| *asset_id).collect();
    let rows = current::read_rows(connection, batch.tenant, &assets).await?;
    for (device, told, asset_id) in compared {
        // deleted since it was read
        let rows = rows.get(&asset_id).ok_or_else(|| alert::raced("write devices"))?;
        // an agent whose asset is gone is as good as unknown: nothing of it says what this asset holds
        let known = current.get(&device.agent_id).filter(|current| current.asset_id.is_some());
        let written = decide::compare(context, known, asset_id, rows, device, told);
        let was_missing = known.is_some_and(|current| current.is_missing);
        match known {
            None => {}
            Some(_) if written.is_news() || was_missing => merged.updated += 1,
            Some(_) => merged.seen_again += 1,
        }
        merged.moved += usize::from(known.is_some() && written.is_moved);
        if !written.has_new_face {
            writes.seen.push((asset_id, device));
        }
        writes.rows.push((device, written));
    }
    Ok(())
}
