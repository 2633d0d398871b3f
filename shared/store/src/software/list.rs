//! A device's list as it is compared and written: bounded, normalised, each program and version once. Pure.
//!
//! Two reports of the same programs in any order, with any number of exact duplicates, make the same list and digest.

use std::collections::BTreeMap;

use chrono::{Datelike as _, NaiveDate};
use sha2::{Digest as _, Sha256};

use super::{Program, value, version};
use crate::alert::bound;

/// `software_catalog.name` and `normalized_name`.
const NAME_CHARS_MAX: usize = 500;
/// `software_catalog.publisher`.
const PUBLISHER_CHARS_MAX: usize = 255;
/// A program's key stands in one entry of an index, which Postgres refuses over 2,704 bytes; letters may have four each.
const NAME_BYTES_MAX: usize = 1_600;
const PUBLISHER_BYTES_MAX: usize = 800;
/// `asset_software.version`.
const VERSION_CHARS_MAX: usize = 100;
/// Longer than any path that Windows lets a program be installed to.
const PATH_CHARS_MAX: usize = 1_000;
/// Programs of one device that are kept, each version once: a full machine has a few hundred.
pub const PROGRAMS_MAX: usize = 5_000;

/// About how many bytes of a program are hashed.
const ENTRY_BYTES: usize = 192;

/// What tells a program from others, as the catalogue has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    /// In small letters of any alphabet, single spaces between words.
    pub(super) name: String,
    /// Empty where nobody says: never null, which is a new row each time.
    pub(super) publisher: String,
}

/// What is told of one version on one device.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Details {
    pub(super) install_date: Option<NaiveDate>,
    pub(super) size_bytes: Option<i64>,
    pub(super) path: Option<String>,
}

/// A program of a device with all of its versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// As the installer writes it.
    pub(super) name: String,
    pub(super) versions: BTreeMap<String, Details>,
}

/// What a device has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct List(pub(super) BTreeMap<Key, Entry>);

impl List {
    /// Of a report; what has no name is no program.
    pub(super) fn of(programs: &[Program]) -> Self {
        let mut list = Self::default();
        for program in programs {
            list.add(program);
        }
        list.cut();
        list
    }

    /// To the programs that are kept: the first by name, whatever order they were told in.
    fn cut(&mut self) {
        let mut left = PROGRAMS_MAX;
        self.0.retain(|_, entry| {
            let kept: BTreeMap<String, Details> = std::mem::take(&mut entry.versions).into_iter().take(left).collect();
            left -= kept.len();
            entry.versions = kept;
            !entry.versions.is_empty()
        });
    }

    fn add(&mut self, program: &Program) {
        let name = words(program.name.as_deref().unwrap_or_default());
        if name.is_empty() {
            return;
        }
        let publisher = words(program.publisher.as_deref().unwrap_or_default());
        let key = Key {
            name: short(&name.to_lowercase(), NAME_CHARS_MAX, NAME_BYTES_MAX),
            publisher: short(&publisher, PUBLISHER_CHARS_MAX, PUBLISHER_BYTES_MAX),
        };
        let version = bound::identifier(program.version.as_deref().unwrap_or_default().trim(), VERSION_CHARS_MAX);
        let path = program.location.as_deref().map(str::trim).filter(|path| !path.is_empty()).map(|path| {
            let mut path = path.to_owned();
            bound::cut(&mut path, PATH_CHARS_MAX);
            path
        });
        let details = Details {
            install_date: program.install_date.as_deref().and_then(value::install_date),
            size_bytes: program.size.as_deref().and_then(value::size_bytes),
            path,
        };
        let mut name = name;
        bound::cut(&mut name, NAME_CHARS_MAX);
        let entry = self.0.entry(key).or_default();
        // of two spellings the one with capitals stands, of two stories about one version the greater: whichever came first
        if entry.name.is_empty() || name < entry.name {
            entry.name = name;
        }
        let known = entry.versions.entry(version).or_default();
        *known = std::mem::take(known).max(details);
    }

    /// Programs, each version once.
    pub(super) fn count(&self) -> usize {
        self.0.values().map(|entry| entry.versions.len()).sum()
    }

    /// 16 bytes that are the same for the same list, whatever order it was told in.
    pub(super) fn digest(&self) -> [u8; 16] {
        // gathered first: a hash that is fed a few bytes at a time takes several times as long
        let mut bytes = Vec::with_capacity(self.0.len() * ENTRY_BYTES);
        let number = |bytes: &mut Vec<u8>, number: i64| bytes.extend_from_slice(&number.to_be_bytes());
        let text = |bytes: &mut Vec<u8>, text: &str| {
            number(bytes, text.len() as i64);
            bytes.extend_from_slice(text.as_bytes());
        };
        for (key, entry) in &self.0 {
            text(&mut bytes, &key.name);
            text(&mut bytes, &key.publisher);
            // so that a version is never taken for the name of a next program
            number(&mut bytes, entry.versions.len() as i64);
            for (version, details) in &entry.versions {
                text(&mut bytes, version);
                number(&mut bytes, details.install_date.map_or(0, |date| date.num_days_from_ce().into()));
                number(&mut bytes, details.size_bytes.unwrap_or_default());
                text(&mut bytes, details.path.as_deref().unwrap_or_default());
            }
        }
        let mut digest = [0; 16];
        digest.copy_from_slice(&Sha256::digest(&bytes)[..16]);
        digest
    }
}

/// The highest of these versions.
pub(super) fn highest(versions: &BTreeMap<String, Details>) -> Option<(&String, &Details)> {
    versions.iter().max_by(|one, other| version::compare(one.0, other.0))
}

/// Without the space around it, single spaces between its words, and without what Postgres cannot store.
fn words(text: &str) -> String {
    text.replace('\0', "\u{FFFD}").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A text that fits by letters and bytes; two that differ stay two.
fn short(text: &str, chars_max: usize, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return bound::identifier(text, chars_max);
    }
    // with letters of four bytes each it fits as well
    bound::identifier(text, chars_max.min(bytes_max / 4))
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
