//! What an agent was read as, in a few bytes: how a batch tells without reading its rows that nothing has changed.
//!
//! Three hashes of what people may overwrite (name, serial number, site), then one of all seldom fields for each source that
//! has been read since anything changed. A source that writes a change drops the others' entries: they were read before it.

use sha2::{Digest as _, Sha256};

use super::{Device, Source};

/// Bytes of a hash of one field.
const FIELD_BYTES: usize = 8;
/// Bytes of a source's entry: its letter and a hash.
const ENTRY_BYTES: usize = 16;

/// What was read last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digest {
    pub(super) name: [u8; FIELD_BYTES],
    pub(super) serial: [u8; FIELD_BYTES],
    pub(super) site: [u8; FIELD_BYTES],
    entries: Vec<[u8; ENTRY_BYTES]>,
}

impl Digest {
    /// As it stands in the column; `None` for anything else.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (name, rest) = bytes.split_first_chunk()?;
        let (serial, rest) = rest.split_first_chunk()?;
        let (site, rest) = rest.split_first_chunk()?;
        let (entries, rest) = rest.as_chunks();
        rest.is_empty().then(|| Self { name: *name, serial: *serial, site: *site, entries: entries.to_vec() })
    }

    /// For the column.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = [self.name, self.serial, self.site].concat();
        bytes.extend(self.entries.iter().flatten());
        bytes
    }

    /// Of a device as its source tells it.
    pub(super) fn of(device: &Device, source: Source) -> Self {
        Self {
            name: field(Some(&device.name)),
            serial: field(device.serial_number.as_deref()),
            site: field(device.site.as_deref()),
            entries: vec![entry(device, source)],
        }
    }

    /// Whether the same source told the same thing, and nothing has been written since.
    pub(super) fn has(&self, told: &Self) -> bool {
        told.entries.iter().all(|entry| self.entries.contains(entry))
    }

    /// This digest beside the entries of other sources that still stand.
    pub(super) fn beside(mut self, stored: &Self) -> Self {
        let letters: Vec<u8> = self.entries.iter().map(|entry| entry[0]).collect();
        self.entries.extend(stored.entries.iter().filter(|entry| !letters.contains(&entry[0])));
        self.entries.sort_unstable();
        self
    }
}

fn letter(source: Source) -> u8 {
    match source {
        Source::List => b'l',
        Source::Detail => b'd',
        Source::Beta => b'b',
    }
}

fn field(value: Option<&str>) -> [u8; FIELD_BYTES] {
    let mut hash = Fields(Sha256::new());
    hash.text(value);
    hash.first()
}

/// Status and last seen are not in it; neither is what moves on its own (use of disks but its percentage, seconds of the
/// boot time, which a machine computes anew each time).
fn entry(device: &Device, source: Source) -> [u8; ENTRY_BYTES] {
    let mut hash = Fields(Sha256::new());
    hash.text(Some(&device.name));
    hash.text(Some(device.kind.as_str()));
    hash.number(device.site_id);
    for value in device.texts() {
        hash.text(value.as_deref());
    }
    hash.number(device.last_boot_at.map(|at| at.timestamp().div_euclid(60)));
    hash.number(device.patches_last_installed_at.map(|at| at.timestamp()));
    hash.number(device.ram_gb.map(i64::from));
    for value in [device.needs_reboot, device.has_patches_pending, device.is_in_maintenance] {
        hash.number(value.map(i64::from));
    }
    for list in [&device.local_ips, &device.physical_disks] {
        hash.number(Some(list.len() as i64));
        list.iter().for_each(|value| hash.text(Some(value)));
    }
    hash.number(Some(device.disks.len() as i64));
    for disk in &device.disks {
        hash.text(Some(&disk.device));
        hash.text(disk.fstype.as_deref());
        hash.text(disk.total.as_deref());
        hash.number(disk.percent.map(i64::from));
    }
    let mut entry: [u8; ENTRY_BYTES] = hash.first();
    entry[0] = letter(source);
    entry
}

/// A hash over fields, each with its length, so that `("ab", "c")` and `("a", "bc")` differ, and none from an empty one.
struct Fields(Sha256);

impl Fields {
    fn text(&mut self, value: Option<&str>) {
        self.number(value.map(|value| value.len() as i64));
        self.0.update(value.unwrap_or_default());
    }

    fn number(&mut self, value: Option<i64>) {
        self.0.update([u8::from(value.is_some())]);
        self.0.update(value.unwrap_or_default().to_be_bytes());
    }

    fn first<const N: usize>(self) -> [u8; N] {
        let mut first = [0; N];
        first.copy_from_slice(&self.0.finalize()[..N]);
        first
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;
    use crate::device::{Disk, Status};

    fn device() -> Device {
        Device { agent_id: "a".to_owned(), name: "PC".to_owned(), ..Device::default() }
    }

    #[test]
    fn a_digest_survives_its_column_and_anything_else_is_none() {
        let digest = Digest::of(&device(), Source::List).beside(&Digest::of(&device(), Source::Detail));
        assert_eq!(Digest::parse(&digest.to_bytes()), Some(digest));
        for bytes in [&b""[..], &[7; 23], &[7; 25]] {
            assert_eq!(Digest::parse(bytes), None);
        }
    }

    #[test]
    fn status_last_seen_and_what_moves_on_its_own_are_not_in_it() {
        let mut moved = device();
        let at = DateTime::UNIX_EPOCH + TimeDelta::seconds(1_800_000_005);
        let mut before = device();
        before.last_boot_at = Some(at);
        before.disks = vec![Disk { device: "C:".to_owned(), used: Some("1G".to_owned()), ..Disk::default() }];
        moved.last_boot_at = Some(at + TimeDelta::seconds(10));
        moved.disks = vec![Disk { device: "C:".to_owned(), used: Some("2G".to_owned()), ..Disk::default() }];
        moved.status = Some(Status::Online);
        moved.last_seen_at = Some(at);
        assert_eq!(Digest::of(&before, Source::List), Digest::of(&moved, Source::List));
    }

    #[test]
    fn each_source_has_its_own_entry() {
        let list = Digest::of(&device(), Source::List);
        let detail = Digest::of(&device(), Source::Detail);
        assert!(!list.has(&detail));
        let both = detail.clone().beside(&list);
        assert!(both.has(&list) && both.has(&detail));
        let mut renamed = device();
        renamed.name = "PC2".to_owned();
        let renamed = Digest::of(&renamed, Source::List);
        assert!(!both.has(&renamed) && renamed.name != list.name && renamed.serial == list.serial);
        assert!(renamed.clone().beside(&both).has(&detail), "beside is for those that changed nothing");
    }
}
