//! Every program of every device against what its agent reports.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::Row as _;
use store::software::version;
use tests::Fleet;
use tests::simulator::Program;
use uuid::Uuid;

use super::devices::Device;
use super::seen::normal;
use super::side::Side;

/// Agents before 2.0 tell names and versions only.
const OLD_AGENT: &str = "1.5.9";

/// A program: its name in small letters with single spaces, its publisher.
type Name = (String, String);
/// All versions that stand side by side, the highest first.
type Programs = BTreeMap<Name, Vec<String>>;

/// What a reader sees of a tenant's devices.
pub(super) struct Shown {
    /// What is installed, by device.
    current: BTreeMap<Uuid, Programs>,
    /// Names of all programs, also of those that are gone, with their device.
    all: BTreeSet<(Uuid, String)>,
    /// Rows that contradict themselves.
    broken: Vec<String>,
}

impl Shown {
    /// Whether anything is installed there.
    pub(super) fn has_any(&self, asset_id: Uuid) -> bool {
        self.current.contains_key(&asset_id)
    }
}

/// Reads all of it.
pub(super) async fn shown(fleet: &Fleet, tenant: Uuid) -> Shown {
    let sql = "select s.asset_id, c.normalized_name, c.publisher, s.is_current, s.uninstalled_at is not null,
                      coalesce(s.version, ''),
                      array(select v.version from muster.software_version v
                            where (v.tenant, v.asset_id, v.software_id) = (s.tenant, s.asset_id, s.software_id))
               from asset_software s
               join software_catalog c on (c.tenant, c.software_id) = (s.tenant, s.software_id)
               where s.tenant = $1";
    let mut connection = fleet.database().connect().await;
    let rows = sqlx::query(sql).bind(tenant).fetch_all(&mut connection).await.expect("the database answers");
    let mut shown = Shown { current: BTreeMap::new(), all: BTreeSet::new(), broken: Vec::new() };
    for row in rows {
        let (asset_id, name, publisher): (Uuid, String, Option<String>) = (row.get(0), row.get(1), row.get(2));
        let (is_current, is_uninstalled, top): (bool, bool, String) = (row.get(3), row.get(4), row.get(5));
        let mut versions: Vec<String> = row.get(6);
        versions.sort_by(|one, other| version::compare(other, one));
        let is_sound = if is_current { !is_uninstalled && versions.first() == Some(&top) } else { versions.is_empty() };
        let publisher = publisher.unwrap_or_else(|| "null".to_owned());
        if !is_sound || is_current == is_uninstalled {
            let flags = format!("current {is_current}, uninstalled {is_uninstalled}");
            shown.broken.push(format!("{asset_id} {name} ({publisher}): {flags}, shows {top:?} of {versions:?}"));
        }
        shown.all.insert((asset_id, name.clone()));
        if is_current {
            shown.current.entry(asset_id).or_default().insert((name, publisher), versions);
        }
    }
    shown
}

/// What differs between the programs of the devices that the key sees, and what their agents report. Of the others nothing is
/// said any more: they keep what they had. Nobody has a program that was never reported of it.
pub(super) fn differences(side: &Side, devices: &BTreeMap<String, Device>, shown: &Shown) -> Vec<String> {
    let (role, control) = (side.role(), side.control());
    let mut differences = shown.broken.clone();
    let agents: BTreeMap<Uuid, &String> =
        devices.iter().map(|(agent_id, device)| (device.asset_id, agent_id)).collect();
    let strange = shown.all.iter().filter(|(asset_id, name)| {
        let had = |agent_id: &&String| {
            side.script.seen.had(agent_id.as_str(), side.script.may_be_merged(agent_id.as_str()), name)
        };
        !agents.get(asset_id).is_some_and(had)
    });
    differences.extend(strange.map(|(asset_id, name)| format!("{name} was never on {asset_id}")));
    for truth in control.agents() {
        let Some(device) = devices.get(&truth.agent_id).filter(|_| role.sees(truth.client.0, truth.site.0)) else {
            continue;
        };
        let reported = control.programs(truth.pk).expect("the agent exists");
        // nobody has heard of it since its list came empty, so that the list before may stand
        if reported.is_empty() && truth.status != "online" {
            continue;
        }
        let expected = programs(&reported, truth.version == OLD_AGENT);
        let none = Programs::new();
        let current = shown.current.get(&device.asset_id).unwrap_or(&none);
        let names: BTreeSet<&Name> = expected.keys().chain(current.keys()).collect();
        for name in names.into_iter().filter(|name| expected.get(*name) != current.get(*name)) {
            let (wanted, there) = (expected.get(name), current.get(name));
            differences.push(format!("{} {}: {name:?} is {wanted:?}, shown {there:?}", truth.agent_id, truth.hostname));
        }
    }
    differences
}

fn programs(reported: &[Program], is_old: bool) -> Programs {
    let mut versions: BTreeMap<Name, BTreeSet<String>> = BTreeMap::new();
    for program in reported {
        let publisher = if is_old { String::new() } else { program.publisher.clone() };
        versions.entry((normal(&program.name), publisher)).or_default().insert(program.version.clone());
    }
    let sorted = versions.into_iter().map(|(name, versions)| {
        let mut versions: Vec<String> = versions.into_iter().collect();
        versions.sort_by(|one, other| version::compare(other, one));
        (name, versions)
    });
    sorted.collect()
}
