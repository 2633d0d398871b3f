//! Taking the readable records out of a damaged store, a few at a time, while a new one takes what comes.

use std::path::PathBuf;

use super::folder::DATABASE;
use super::table::{Table, is_damage};
use super::{DiskError, Entry, Shelf};

/// Records of one step, and their bytes.
const STEP_RECORDS: usize = 256;
const STEP_BYTES: usize = 8 * 1024 * 1024;

/// A damaged store that is being emptied.
pub(super) struct Rescue {
    pub(super) folder: PathBuf,
    table: Table,
    /// What is still to be looked at, the oldest first.
    numbers: std::vec::IntoIter<(Shelf, u64)>,
    /// Records that were counted in it, where that can be read.
    counted: Option<u64>,
    rescued: u64,
    /// The numbers of what could not be read.
    lost: Vec<u64>,
}

impl Rescue {
    /// Opens the damaged store. `None`: it cannot be read at all.
    pub(super) fn begin(folder: PathBuf) -> Result<Option<Self>, DiskError> {
        let table = match Table::open(&folder.join(DATABASE), |_| {}) {
            Ok(table) => table,
            Err(error) if is_damage(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let numbers: Vec<(Shelf, u64)> = [Shelf::Waiting, Shelf::Aside]
            .into_iter()
            .flat_map(|shelf| table.numbers(shelf).into_iter().map(move |number| (shelf, number)))
            .collect();
        let counted = table.totals().ok().map(|totals| totals.waiting + totals.aside);
        Ok(Some(Self { folder, table, numbers: numbers.into_iter(), counted, rescued: 0, lost: Vec::new() }))
    }

    /// The next few that can be read; none: that was all.
    pub(super) fn next(&mut self) -> Result<Vec<Entry>, DiskError> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        while found.len() < STEP_RECORDS && bytes < STEP_BYTES {
            let Some((shelf, number)) = self.numbers.next() else { break };
            match self.table.get(shelf, number) {
                Ok(Some(entry)) if entry.is_whole => {
                    bytes += entry.bytes.len();
                    found.push(entry);
                }
                Ok(_) => self.lost.push(number),
                Err(error) if is_damage(&error) => self.lost.push(number),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(found)
    }

    pub(super) fn note_rescued(&mut self, records: usize) {
        self.rescued += records as u64;
    }

    /// What came of it, in words.
    pub(super) fn summary(&self) -> String {
        let known = self.rescued + self.lost.len() as u64;
        let lost = self.counted.map_or(self.lost.len() as u64, |counted| counted.max(known) - self.rescued);
        let came = |number: &u64| {
            let came = i64::try_from(*number).ok().and_then(chrono::DateTime::from_timestamp_micros);
            came.unwrap_or_default().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
        };
        let between = match (self.lost.iter().min(), self.lost.iter().max()) {
            (Some(first), Some(last)) => format!(", which came between {} and {}", came(first), came(last)),
            _ => String::new(),
        };
        format!("{} messages were taken from it, {lost} could not be read{between}", self.rescued)
    }
}
