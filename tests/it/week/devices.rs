//! Every device against its agent.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::Row as _;
use sync_worker::os;
use tests::Fleet;
use tests::simulator::AgentTruth;
use uuid::Uuid;

use super::side::Side;

/// Last seen moved by less is no news (pipeline §5).
const SEEN_AGAIN: TimeDelta = TimeDelta::seconds(60);

/// What a reader sees of one device.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Device {
    pub(super) asset_id: Uuid,
    pub(super) client_id: Uuid,
    pub(super) serial: Option<String>,
    pub(super) missing_since: Option<DateTime<Utc>>,
    name: String,
    kind: Option<String>,
    site: Option<String>,
    organization: Option<String>,
    status: Option<String>,
    last_seen: Option<DateTime<Utc>>,
    os_version: Option<String>,
    agent_version: Option<String>,
    user: Option<String>,
    extensions: i64,
    mappings: i64,
}

impl Device {
    /// What an event tells as well: name, client, serial number. The site that it tells is where the agent was read last,
    /// which after a merge need not be the device's.
    pub(super) fn shown(&self) -> (Option<&str>, Option<Uuid>, Option<&str>) {
        (Some(&self.name), Some(self.client_id), self.serial.as_deref())
    }
}

/// Every device of a tenant, by its agent. Two of one agent are one too many, and so is one without an identity.
pub(super) async fn rows(fleet: &Fleet, tenant: Uuid) -> BTreeMap<String, Device> {
    let sql = r#"
        select a.rmm_device_id, a.asset_id, a.client_id, a.serial_number, g.missing_since, a.name, a.asset_type, a.location,
               a.rmm_organization_id, a.agent_status, a.last_seen_at, e.os_version, e.agent_version, e."current_user",
               (select count(*) from workstation_assets w where (w.tenant, w.asset_id) = (a.tenant, a.asset_id))
               + (select count(*) from server_assets s where (s.tenant, s.asset_id) = (a.tenant, a.asset_id)),
               (select count(*) from tenant_external_entity_mappings m
                where m.tenant = a.tenant and m.alga_entity_id = a.asset_id::text
                  and m.external_entity_id = a.rmm_device_id)
        from assets a
        join muster.agent g on g.tenant = a.tenant and g.asset_id = a.asset_id and g.agent_id = a.rmm_device_id
        left join lateral (
            select os_version, agent_version, "current_user" from workstation_assets w
            where (w.tenant, w.asset_id) = (a.tenant, a.asset_id)
            union all
            select os_version, agent_version, "current_user" from server_assets s
            where (s.tenant, s.asset_id) = (a.tenant, a.asset_id)
            limit 1
        ) e on true
        where a.tenant = $1"#;
    let mut connection = fleet.database().connect().await;
    let rows = sqlx::query(sql).bind(tenant).fetch_all(&mut connection).await.expect("the database answers");
    let count = rows.len();
    let devices: BTreeMap<String, Device> = rows.into_iter().map(|row| (row.get(0), device(&row))).collect();
    assert_eq!(devices.len(), count, "two devices of one agent");
    let all = sqlx::query_scalar::<_, i64>("select count(*) from assets where tenant = $1").bind(tenant);
    let all = all.fetch_one(&mut connection).await.expect("the database answers");
    assert_eq!(all, count as i64, "a device without its agent");
    devices
}

fn device(row: &sqlx::postgres::PgRow) -> Device {
    Device {
        asset_id: row.get(1),
        client_id: row.get(2),
        serial: row.get(3),
        missing_since: row.get(4),
        name: row.get(5),
        kind: row.get(6),
        site: row.get(7),
        organization: row.get(8),
        status: row.get(9),
        last_seen: row.get(10),
        os_version: row.get(11),
        agent_version: row.get(12),
        user: row.get(13),
        extensions: row.get(14),
        mappings: row.get(15),
    }
}

/// What differs between the devices and the agents.
///
/// An agent that the key sees has a device that shows it as it is. One that the key does not see is left alone: it is not
/// missing, unless it was before, or was read last where the key does see, so that both lists lack it. One that does not
/// exist has kept its device, which is missing, unless a person merged it. No device looks as the key never saw its agent, so
/// that an agent that it never saw has none.
pub(super) fn differences(side: &Side, devices: &BTreeMap<String, Device>) -> Vec<String> {
    let (role, mut differences) = (side.role(), Vec::new());
    let shown: BTreeSet<String> = side.shown_clients().iter().map(i64::to_string).collect();
    let truths: BTreeMap<String, AgentTruth> =
        side.control().agents().into_iter().map(|truth| (truth.agent_id.clone(), truth)).collect();
    for (agent_id, truth) in &truths {
        let device = devices.get(agent_id);
        if role.sees(truth.client.0, truth.site.0) {
            match device {
                Some(device) => differences.extend(compare(side, truth, device)),
                None => differences.push(format!("{agent_id} has no device: {truth:?}")),
            }
        } else if let Some(device) = device
            && device.missing_since.is_some()
            && !device.organization.as_ref().is_some_and(|client| shown.contains(client))
            && !side.missing.contains(agent_id)
        {
            differences.push(format!("{agent_id} is hidden and marked as missing: {device:?}"));
        }
    }
    let looks = devices.iter().filter(|(agent_id, device)| {
        let face = (device.name.clone(), text(&device.organization), text(&device.site), text(&device.kind));
        !side.script.seen.looked(agent_id, side.script.may_be_merged(agent_id), &face)
    });
    differences.extend(looks.map(|(agent_id, device)| format!("{agent_id} never looked like that: {device:?}")));
    let gone =
        devices.iter().filter(|(agent_id, device)| !truths.contains_key(*agent_id) && device.missing_since.is_none());
    differences.extend(gone.map(|(agent_id, device)| format!("{agent_id} is gone and not missing: {device:?}")));
    let lost = side
        .imported
        .iter()
        .filter(|agent_id| !devices.contains_key(*agent_id) && !side.script.may_be_merged(agent_id));
    differences.extend(lost.map(|agent_id| format!("the device of {agent_id} is gone")));
    differences
}

fn text(text: &Option<String>) -> String {
    text.clone().unwrap_or_default()
}

fn compare(side: &Side, truth: &AgentTruth, device: &Device) -> Option<String> {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let os = os::parse(None, truth.operating_system.as_deref());
    let os = [os.name, os.version].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let client = truth.client.0.to_string();
    let seen_again = |shown: DateTime<Utc>, truth: DateTime<Utc>| (truth - shown).abs() < SEEN_AGAIN;
    let expected = Device {
        name: truth.hostname.clone(),
        kind: text(&truth.monitoring_type),
        site: text(&truth.site.1),
        client_id: side.mapped[&client],
        organization: Some(client),
        status: text(&truth.status),
        serial: text(&truth.serial_number),
        missing_since: None,
        last_seen: match (device.last_seen, truth.last_seen) {
            (Some(shown), Some(seen)) if seen_again(shown, seen) => Some(shown),
            (_, seen) => seen,
        },
        os_version: text(&os),
        agent_version: text(&truth.version),
        user: truth.user.clone(),
        asset_id: device.asset_id,
        extensions: 1,
        mappings: 1,
    };
    (expected != *device).then(|| format!("{} should be {expected:?} and is {device:?}", truth.agent_id))
}
