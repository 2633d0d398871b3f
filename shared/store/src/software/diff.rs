//! What has to be written so that a device's rows become its list. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::list::{Details, Key, List, highest};
use super::version;

/// What happened to a program of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    Installed,
    Updated,
    Removed,
}

impl What {
    /// The word in `muster.software_change.change`.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Installed => "installed",
            Self::Updated => "updated",
            Self::Removed => "removed",
        }
    }
}

/// A version of a program of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) asset_id: Uuid,
    pub(super) software_id: Uuid,
    pub(super) version: String,
    pub(super) details: Details,
}

/// A row of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) asset_id: Uuid,
    pub(super) software_id: Uuid,
    pub(super) what: What,
    pub(super) previous: Option<String>,
    pub(super) version: String,
    pub(super) rev: i64,
}

/// The report as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remembered {
    pub(super) asset_id: Uuid,
    pub(super) digest: [u8; 16],
    pub(super) programs: i32,
    pub(super) rev: i64,
}

/// What a batch writes.
#[derive(Debug, Default)]
pub(super) struct Writes {
    /// The highest version of each program, where it is new or differs.
    pub(super) links: Vec<Row>,
    /// Programs that a device has no more.
    pub(super) gone: Vec<(Uuid, Uuid)>,
    /// Versions that are new or told differently.
    pub(super) versions: Vec<Row>,
    /// Versions that a device has no more.
    pub(super) versions_gone: Vec<(Uuid, Uuid, String)>,
    pub(super) changes: Vec<Changed>,
    pub(super) reports: Vec<Remembered>,
    /// Devices whose list has just come empty, or is no longer empty.
    pub(super) emptied: Vec<(Uuid, Option<DateTime<Utc>>)>,
    /// The agents of the devices whose list is written.
    pub(super) agents: HashMap<Uuid, String>,
}

/// Versions that a device has, by program.
pub(super) type Versions = BTreeMap<Uuid, BTreeMap<String, Details>>;

impl Writes {
    /// Adds what makes `old` the list. `ids` has every key of the list. Without `is_first` it becomes history.
    pub(super) fn add(
        &mut self,
        asset_id: Uuid,
        old: &Versions,
        list: &List,
        ids: &HashMap<Key, Uuid>,
        rev: i64,
        is_first: bool,
    ) {
        let none = BTreeMap::new();
        let new: BTreeMap<Uuid, &BTreeMap<String, Details>> =
            list.0.iter().map(|(key, entry)| (ids[key], &entry.versions)).collect();
        let programs: BTreeSet<Uuid> = old.keys().chain(new.keys()).copied().collect();
        for software_id in programs {
            let before = old.get(&software_id).unwrap_or(&none);
            let after = new.get(&software_id).copied().unwrap_or(&none);
            if before == after {
                continue;
            }
            let row = |(version, details): (&String, &Details)| Row {
                asset_id,
                software_id,
                version: version.clone(),
                details: details.clone(),
            };
            match highest(after) {
                None => self.gone.push((asset_id, software_id)),
                Some(top) if highest(before) != Some(top) => self.links.push(row(top)),
                Some(_) => {}
            }
            self.versions.extend(after.iter().filter(|(version, told)| before.get(*version) != Some(told)).map(row));
            let lost = before.keys().filter(|version| !after.contains_key(*version));
            self.versions_gone.extend(lost.map(|version| (asset_id, software_id, version.clone())));
            if !is_first {
                let changes = history(before, after).into_iter();
                self.changes.extend(changes.map(|(what, previous, version)| Changed {
                    asset_id,
                    software_id,
                    what,
                    previous,
                    version,
                    rev,
                }));
            }
        }
    }
}

/// The versions that went and those that came, in pairs from the highest down: an update. What has no partner was installed,
/// or removed.
fn history(
    before: &BTreeMap<String, Details>,
    after: &BTreeMap<String, Details>,
) -> Vec<(What, Option<String>, String)> {
    let only = |one: &BTreeMap<String, Details>, other: &BTreeMap<String, Details>| {
        let mut versions: Vec<String> = one.keys().filter(|version| !other.contains_key(*version)).cloned().collect();
        versions.sort_by(|one, other| version::compare(other, one));
        versions
    };
    let (mut lost, mut come) = (only(before, after).into_iter(), only(after, before).into_iter());
    let mut happened = Vec::new();
    loop {
        happened.push(match (lost.next(), come.next()) {
            (Some(previous), Some(version)) => (What::Updated, Some(previous), version),
            (Some(version), None) => (What::Removed, None, version),
            (None, Some(version)) => (What::Installed, None, version),
            (None, None) => return happened,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(versions: &[&str]) -> BTreeMap<String, Details> {
        versions.iter().map(|version| ((*version).to_owned(), Details::default())).collect()
    }

    fn told(before: &[&str], after: &[&str]) -> Vec<String> {
        let happened = history(&versions(before), &versions(after)).into_iter();
        happened
            .map(|(what, previous, version)| format!("{what:?} {} {version}", previous.unwrap_or_default()))
            .collect()
    }

    #[test]
    fn the_table_of_histories() {
        assert_eq!(told(&[], &["1"]), ["Installed  1"]);
        assert_eq!(told(&["1"], &[]), ["Removed  1"]);
        assert_eq!(told(&["1.9"], &["1.10"]), ["Updated 1.9 1.10"]);
        assert_eq!(told(&["1"], &["1", "2"]), ["Installed  2"]);
        assert_eq!(told(&["1", "2"], &["2"]), ["Removed  1"]);
        assert_eq!(told(&["1", "2"], &["3", "4"]), ["Updated 2 4", "Updated 1 3"]);
        assert_eq!(told(&["1", "2"], &["10"]), ["Updated 2 10", "Removed  1"]);
        assert_eq!(told(&["1"], &["1"]), [""; 0]);
    }
}
