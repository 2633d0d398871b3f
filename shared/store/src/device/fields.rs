//! Which fields an answer has, and what becomes of those that it has not.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use super::{Device, DeviceType, Source};

/// A machine computes the moment of its start anew each time: nearer than this is the same start.
const SAME_BOOT: TimeDelta = TimeDelta::seconds(90);

/// Fields that come and go together.
#[derive(Clone, Copy)]
pub(super) enum Group {
    /// In every answer.
    Common,
    /// Addresses, make, processor, graphics, drives.
    Hardware,
    /// Serial number, pending patches.
    ListOnly,
    /// Memory, file systems, mesh node, last patches.
    Full,
}

/// Whether an answer has that group: absence there is news.
pub(super) fn has(source: Source, group: Group) -> bool {
    match group {
        Group::Common => true,
        Group::Hardware => matches!(source, Source::List | Source::Detail),
        Group::ListOnly => source == Source::List,
        Group::Full => matches!(source, Source::Detail | Source::Beta),
    }
}

/// A row of `workstation_assets` or `server_assets`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Extension {
    pub(super) os_type: Option<String>,
    pub(super) os_version: Option<String>,
    pub(super) cpu_model: Option<String>,
    pub(super) ram_gb: Option<i32>,
    pub(super) agent_version: Option<String>,
    pub(super) current_user: Option<String>,
    pub(super) uptime_seconds: Option<i64>,
    pub(super) last_reboot_at: Option<DateTime<Utc>>,
    pub(super) lan_ip: Option<String>,
    pub(super) wan_ip: Option<String>,
    pub(super) system_info: Map<String, Value>,
    pub(super) disk_usage: Option<Value>,
    pub(super) pending_patches: Option<i32>,
}

impl Extension {
    /// What stands there after that answer.
    pub(super) fn after(old: &Self, device: &Device, source: Source, fetched_at: DateTime<Utc>) -> Self {
        let take = Take(source);
        let last_reboot_at = match (old.last_reboot_at, device.last_boot_at) {
            (Some(old), Some(new)) if (new - old).abs() <= SAME_BOOT => Some(old),
            (old, new) => take.value(Group::Common, new, old),
        };
        let disks = (!device.disks.is_empty()).then(|| json!(device.disks));
        let pending = device.has_patches_pending;
        Self {
            os_type: device.os_type.clone(),
            os_version: os_version(device),
            cpu_model: take.text(Group::Hardware, &device.cpu_model, &old.cpu_model),
            ram_gb: take.value(Group::Full, device.ram_gb, old.ram_gb),
            agent_version: device.agent_version.clone(),
            current_user: device.current_user.clone(),
            uptime_seconds: last_reboot_at.map(|at| (fetched_at - at).num_seconds().max(0)),
            last_reboot_at,
            lan_ip: take.text(Group::Hardware, &device.lan_ip, &old.lan_ip),
            wan_ip: device.wan_ip.clone(),
            system_info: take.system_info(device, &old.system_info),
            disk_usage: take.value(Group::Full, disks, old.disk_usage.clone()),
            pending_patches: match pending {
                // Tactical says that some wait, not how many
                Some(true) => old.pending_patches.filter(|count| *count > 0),
                Some(false) => Some(0),
                None => take.value(Group::ListOnly, None, old.pending_patches),
            },
        }
    }

    /// Whether both show the same; uptime follows from the start and is no news of its own.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Self { uptime_seconds: None, ..self.clone() } == Self { uptime_seconds: None, ..other.clone() }
    }
}

/// `Windows 11 Pro 23H2`: what AlgaPSA shows beside the type.
fn os_version(device: &Device) -> Option<String> {
    let words: Vec<&str> =
        [&device.os_name, &device.os_version].into_iter().filter_map(|word| word.as_deref()).collect();
    let mut text = words.join(" ");
    crate::alert::bound::cut(&mut text, super::bounds::TEXT_CHARS_MAX);
    (!text.is_empty()).then_some(text)
}

struct Take(Source);

impl Take {
    fn value<T>(&self, group: Group, new: Option<T>, old: Option<T>) -> Option<T> {
        match new {
            None if !has(self.0, group) => old,
            new => new,
        }
    }

    fn text(&self, group: Group, new: &Option<String>, old: &Option<String>) -> Option<String> {
        self.value(group, new.clone(), old.clone())
    }

    /// What has no column of its own. Keys that are not ours stay.
    fn system_info(&self, device: &Device, old: &Map<String, Value>) -> Map<String, Value> {
        let list = |list: &Vec<String>| (!list.is_empty()).then(|| json!(list));
        let text = |text: &Option<String>| text.as_ref().map(|text| json!(text));
        let flag = |flag: Option<bool>| flag.map(|flag| json!(flag));
        let mut info = old.clone();
        for (key, group, value) in [
            ("os_name", Group::Common, text(&device.os_name)),
            ("os_build", Group::Common, text(&device.os_build)),
            ("platform", Group::Common, text(&device.platform)),
            ("architecture", Group::Common, text(&device.architecture)),
            ("description", Group::Common, text(&device.description)),
            ("needs_reboot", Group::Common, flag(device.needs_reboot)),
            ("is_in_maintenance", Group::Common, flag(device.is_in_maintenance)),
            ("make_model", Group::Hardware, text(&device.make_model)),
            ("graphics", Group::Hardware, text(&device.graphics)),
            ("local_ips", Group::Hardware, list(&device.local_ips)),
            ("physical_disks", Group::Hardware, list(&device.physical_disks)),
            ("has_patches_pending", Group::ListOnly, flag(device.has_patches_pending)),
            ("mesh_node_id", Group::Full, text(&device.mesh_node_id)),
            ("patches_last_installed_at", Group::Full, device.patches_last_installed_at.map(|at| json!(at))),
        ] {
            match value {
                Some(value) => drop(info.insert(key.to_owned(), value)),
                None if has(self.0, group) => drop(info.remove(key)),
                None => {}
            }
        }
        info
    }
}

/// The columns of `assets` that seldom change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Face {
    pub(super) client_id: uuid::Uuid,
    pub(super) name: String,
    pub(super) serial_number: Option<String>,
    pub(super) location: Option<String>,
    pub(super) kind: DeviceType,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(1_800_000_000 + second)
    }

    #[test]
    fn a_source_clears_what_it_has_and_keeps_what_it_has_not() {
        let mut full = Device { ram_gb: Some(16), make_model: Some("HP".to_owned()), ..Device::default() };
        full.mesh_node_id = Some("node".to_owned());
        let detail = Extension::after(&Extension::default(), &full, Source::Detail, at(0));
        let list = Extension::after(&detail, &Device::default(), Source::List, at(0));
        assert_eq!((list.ram_gb, list.system_info.get("mesh_node_id")), (Some(16), Some(&json!("node"))));
        assert_eq!(list.system_info.get("make_model"), None);
        let beta = Extension::after(&detail, &Device::default(), Source::Beta, at(0));
        assert_eq!((beta.ram_gb, beta.system_info.get("make_model")), (None, Some(&json!("HP"))));
    }

    #[test]
    fn what_others_wrote_beside_ours_stays() {
        let mut old = Extension::default();
        old.system_info.insert("warranty".to_owned(), json!("2030"));
        let after = Extension::after(&old, &Device::default(), Source::List, at(0));
        assert_eq!(after.system_info.get("warranty"), Some(&json!("2030")));
    }

    #[test]
    fn a_start_told_a_little_otherwise_is_the_same_start_and_uptime_is_no_news() {
        let told = |second| Device { last_boot_at: Some(at(second)), ..Device::default() };
        let first = Extension::after(&Extension::default(), &told(0), Source::List, at(100));
        let later = Extension::after(&first, &told(1), Source::List, at(5_000));
        assert_eq!((first.uptime_seconds, later.uptime_seconds), (Some(100), Some(5_000)));
        assert!(later.is_same(&first));
        assert!(!Extension::after(&first, &told(91), Source::List, at(5_000)).is_same(&first));
    }

    #[test]
    fn pending_patches_are_none_or_an_unknown_number() {
        let told = |pending| Device { has_patches_pending: pending, ..Device::default() };
        let none = Extension::after(&Extension::default(), &told(Some(false)), Source::List, at(0));
        assert_eq!(none.pending_patches, Some(0));
        let some = Extension::after(&none, &told(Some(true)), Source::List, at(0));
        assert_eq!(some.pending_patches, None);
    }
}
