//! What the events say of devices, programs and runs, against their rows.

use std::collections::{BTreeMap, BTreeSet};

use contract::event::{AssetChange, AssetChanged, SoftwareChanged, SyncEnded};
use sqlx::Row as _;
use tests::Fleet;
use uuid::Uuid;

use super::devices::Device;

/// The newest event of each device is as its row shows it; each revision is told once, and a device comes once: those that were
/// imported in one come without an event of their own.
pub(super) fn devices(
    events: &[AssetChanged],
    devices: &BTreeMap<Uuid, BTreeMap<String, Device>>,
    imported: &BTreeSet<Uuid>,
) -> Vec<String> {
    let mut of_asset: BTreeMap<(Uuid, Uuid), Vec<&AssetChanged>> = BTreeMap::new();
    for event in events {
        of_asset.entry((event.tenant, event.asset_id)).or_default().push(event);
    }
    let came = |event: &&AssetChanged| event.change == AssetChange::Created;
    let created: BTreeSet<Uuid> = events.iter().filter(came).map(|event| event.asset_id).collect();
    let rows = devices.values().flat_map(BTreeMap::values).map(|device| device.asset_id);
    let silent = rows.filter(|asset_id| imported.contains(asset_id) == created.contains(asset_id));
    let mut differences: Vec<String> =
        silent.map(|asset_id| format!("the device {asset_id} came unheard, or was imported and told")).collect();
    for ((tenant, asset_id), mut events) in of_asset {
        // what another agent's device becomes has that agent's revisions from there on
        events.sort_by_key(|event| event.rev);
        let told: Vec<_> = events.iter().map(|event| (event.rev, event.change, &event.agent_id)).collect();
        let revs: BTreeSet<(i64, &String)> = events.iter().map(|event| (event.rev, &event.agent_id)).collect();
        if revs.len() != events.len() {
            differences.push(format!("one revision of the device {asset_id} is told twice: {told:?}"));
        }
        if events.iter().filter(|event| came(event)).count() > 1 {
            differences.push(format!("the device {asset_id} came twice: {told:?}"));
        }
        let row = devices[&tenant].iter().find(|(_, device)| device.asset_id == asset_id);
        let Some((agent_id, device)) = row else {
            if events.iter().all(|event| event.merged_into.is_none()) {
                differences.push(format!("there is no such device {asset_id}: {told:?}"));
            }
            continue;
        };
        // a merge does not raise what stands in the old agent's row, which is forgotten
        let last = events.iter().rfind(|event| event.agent_id == *agent_id);
        let Some(last) = last else { continue };
        let said = (last.name.as_deref(), last.client_id, last.serial_number.as_deref());
        let shown = device.shown();
        if said != shown || last.is_missing != device.missing_since.is_some() {
            differences.push(format!("the device {asset_id} was heard of as {last:?} and is {device:?}"));
        }
    }
    differences
}

/// Each row of the history is told, and nothing else.
pub(super) async fn software(fleet: &Fleet, events: Vec<SoftwareChanged>) -> Vec<String> {
    type Change = (Uuid, Uuid, Uuid, i64, String, Option<String>, String);
    let sql =
        "select tenant, asset_id, software_id, rev, change, previous_version, version from muster.software_change";
    let mut connection = fleet.database().connect().await;
    let rows = sqlx::query(sql).fetch_all(&mut connection).await.expect("the database answers");
    let history: BTreeSet<Change> = (rows.iter())
        .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4), row.get(5), row.get(6)))
        .collect();
    let assets: Vec<Uuid> = sqlx::query_scalar("select asset_id from assets")
        .fetch_all(&mut connection)
        .await
        .expect("the database answers");
    // a device that was merged away has lost its history
    let events = events.into_iter().filter(|event| assets.contains(&event.asset_id)).map(|event| {
        let change = serde_json::to_value(event.change).expect("a word is JSON");
        let change = change.as_str().unwrap_or_default().to_owned();
        let SoftwareChanged { tenant, asset_id, software_id, rev, previous_version, version, .. } = event;
        (tenant, asset_id, software_id, rev, change, previous_version, version)
    });
    let events: BTreeSet<Change> = events.collect();
    let differs = history.symmetric_difference(&events);
    differs.map(|one| format!("in the history or told, and not both: {one:?}")).collect()
}

/// Each run that has ended is told once, as it ended.
pub(super) async fn runs(fleet: &Fleet, events: Vec<SyncEnded>) -> Vec<String> {
    let sql = "select run_id, state from muster.run where finished_at is not null";
    let mut connection = fleet.database().connect().await;
    let rows = sqlx::query(sql).fetch_all(&mut connection).await.expect("the database answers");
    let ended: BTreeSet<(Uuid, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let count = events.len();
    let told: BTreeSet<(Uuid, String)> = events.into_iter().map(|event| (event.run_id, event.state)).collect();
    let mut differences: Vec<String> = ended
        .symmetric_difference(&told)
        .map(|run| format!("a run that has ended, or was told, and not both: {run:?}"))
        .collect();
    if told.len() != count {
        differences.push(format!("{count} events told of {} runs", told.len()));
    }
    differences
}
