//! The records on disk: this file and its folder alone know the embedded store.

mod folder;
mod rescue;
mod table;
mod wal;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use folder::Folder;
use rescue::Rescue;
use table::{Table, is_damage, is_full};

use crate::gauge::Totals;

pub(crate) use folder::is_spool;

/// Why there is no spool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the spool in {} belongs to a process that is running", .0.display())]
    Locked(PathBuf),
    /// There is no folder by that name and there can be none, or it holds no spool.
    #[error("there is no spool in {}: {why}", folder.display())]
    NoSpool {
        /// Which.
        folder: PathBuf,
        /// What the system said.
        why: String,
    },
    /// The folder cannot be made, read or written now.
    #[error("cannot use the spool in {}: {why}", folder.display())]
    Unusable {
        /// Which.
        folder: PathBuf,
        /// What the system said.
        why: String,
    },
}

impl OpenError {
    fn of_io(folder: &Path, error: &io::Error) -> Self {
        let (folder, why) = (folder.to_owned(), error.to_string());
        match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename => {
                Self::NoSpool { folder, why }
            }
            _ => Self::Unusable { folder, why },
        }
    }
}

/// What the disk, or the store on its behalf, said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the spool's disk: {why}")]
pub struct DiskError {
    why: String,
    /// Whether the file is not what was written.
    is_damage: bool,
    /// Whether there was no room.
    pub(crate) is_full: bool,
}

impl From<rusqlite::Error> for DiskError {
    fn from(error: rusqlite::Error) -> Self {
        Self { why: error.to_string(), is_full: is_full(&error), is_damage: is_damage(&error) }
    }
}

impl From<io::Error> for DiskError {
    fn from(error: io::Error) -> Self {
        Self { why: error.to_string(), is_full: error.kind() == io::ErrorKind::StorageFull, is_damage: false }
    }
}

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shelf {
    /// Offered to the broker.
    Waiting,
    /// Kept for a person.
    Aside,
}

impl Shelf {
    /// Its table.
    fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Aside => "aside",
        }
    }
}

/// A record as it lies there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number: the microsecond since the epoch in which it came, or the next free one.
    pub number: u64,
    /// What [`crate::Record::decode`] takes.
    pub bytes: Vec<u8>,
    /// Whether they are what was written; what is not must not be published.
    pub is_whole: bool,
    pub(crate) shelf: Shelf,
}

/// The store. After a failed write it is opened anew by [`Disk::mend`], a damaged one is replaced by an empty one.
pub(crate) struct Disk {
    folder: Folder,
    store: Mutex<Store>,
    /// What the last write left; nobody waits for the disk to know it.
    totals: Mutex<Totals>,
    rescue: Mutex<Option<Rescue>>,
    /// Raised whenever records may have appeared before others.
    generation: AtomicU64,
}

#[derive(Default)]
struct Store {
    table: Option<Table>,
    is_damaged: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Disk {
    pub(crate) fn open(root: &Path) -> Result<Self, OpenError> {
        let disk = Self {
            folder: Folder::open(root)?,
            store: Mutex::default(),
            totals: Mutex::default(),
            rescue: Mutex::default(),
            generation: AtomicU64::new(0),
        };
        let opened = disk.open_store(&mut lock(&disk.store));
        opened.map_err(|error| OpenError::Unusable { folder: root.to_owned(), why: error.to_string() })?;
        Ok(disk)
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.root()
    }

    pub(crate) fn free_bytes(&self) -> Option<u64> {
        self.folder.free_bytes()
    }

    /// Damaged stores, being rescued or kept for a person.
    pub(crate) fn broken_count(&self) -> u64 {
        self.folder.broken_count()
    }

    pub(crate) fn totals(&self) -> Totals {
        *lock(&self.totals)
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Opens the store, an empty one where the one that is there is damaged.
    fn open_store(&self, store: &mut Store) -> Result<(), DiskError> {
        if store.is_damaged {
            self.replace(store)?;
        }
        let opened = self.open_table().and_then(|table| Ok((table.totals()?, table)));
        let (totals, table) = match opened {
            Err(error) if error.is_damage => {
                tracing::error!(error = %error, "open the spool failed");
                self.replace(store)?;
                let table = self.open_table()?;
                (table.totals()?, table)
            }
            other => other?,
        };
        *lock(&self.totals) = totals;
        store.table = Some(table);
        self.generation.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// Moves a damaged store aside.
    fn replace(&self, store: &mut Store) -> Result<(), DiskError> {
        self.folder.quarantine()?;
        store.is_damaged = false;
        tracing::error!("the spool is damaged: an empty one is begun, and what can be read is taken from the old one");
        Ok(())
    }

    fn open_table(&self) -> Result<Table, DiskError> {
        let database = self.folder.database()?;
        let log = self.folder.log();
        let frames = wal::frames(&log)?;
        Ok(Table::open(&database, |held| self.tell_cut(&log, &frames, held))?)
    }

    /// A group that was cut short at the end of the log was answered to nobody. Groups behind the first bad frame were,
    /// unless the end of a write that failed lay there: they are kept for a person.
    fn tell_cut(&self, log: &Path, frames: &[bool], held: usize) {
        let groups = frames.iter().skip(held).filter(|is_end| **is_end).count();
        if groups < 2 {
            return;
        }
        let kept = self.folder.keep_copy(log).map_or_else(|error| error.to_string(), |kept| kept.display().to_string());
        tracing::error!("the spool's log is damaged: {groups} groups of messages in it cannot be read; a copy: {kept}");
    }

    fn with<T>(&self, what: impl FnOnce(&mut Table) -> rusqlite::Result<T>) -> Result<T, DiskError> {
        let mut store = lock(&self.store);
        let Some(table) = store.table.as_mut() else {
            let why = "it could not be opened again".to_owned();
            return Err(DiskError { why, is_full: false, is_damage: false });
        };
        what(table).map_err(|error| {
            let error = DiskError::from(error);
            if !error.is_full {
                // what failed once may fail for ever on the same descriptor
                store.table = None;
                store.is_damaged |= error.is_damage;
            }
            error
        })
    }

    /// The totals follow while the store is held: nobody sees a record before it is counted.
    fn write(&self, what: impl FnOnce(&mut Table) -> rusqlite::Result<Totals>) -> Result<(), DiskError> {
        self.with(|table| {
            let totals = what(table)?;
            *lock(&self.totals) = totals;
            Ok(())
        })
    }

    /// Appends and syncs; the numbers must be free.
    pub(crate) fn append(&self, records: &[(u64, &[u8])]) -> Result<(), DiskError> {
        self.write(|table| table.append(records))
    }

    /// Opens the store anew where it was closed by a failure; whether it is open.
    pub(crate) fn mend(&self) -> bool {
        let mut store = lock(&self.store);
        if store.table.is_none()
            && let Err(error) = self.open_store(&mut store)
        {
            tracing::debug!(error = %error, "open the spool again failed");
        }
        store.table.is_some()
    }

    /// Hangs every use of the disk until it is dropped.
    #[cfg(test)]
    pub(crate) fn hang(&self) -> impl Sized + '_ {
        lock(&self.store)
    }

    /// Whether the disk takes a write.
    pub(crate) fn probe(&self) -> Result<(), DiskError> {
        self.write(Table::probe)
    }

    pub(crate) fn read(&self, shelf: Shelf, from: u64, records_max: usize) -> Result<Vec<Entry>, DiskError> {
        self.with(|table| table.read(shelf, from, records_max))
    }

    pub(crate) fn remove(&self, entries: &[Entry]) -> Result<(), DiskError> {
        self.write(|table| table.remove(entries))
    }

    pub(crate) fn set_aside(&self, entry: &Entry) -> Result<(), DiskError> {
        self.write(|table| table.set_aside(entry))
    }

    /// Counts anew where the totals cannot be right; reads everything.
    pub(crate) fn recount(&self) -> Result<(), DiskError> {
        tracing::error!("the spool's totals are not those of its messages: they are counted anew");
        self.write(Table::recount)
    }

    /// Looks at every page, and replaces a store that is damaged.
    pub(crate) fn check(&self) -> Result<(), DiskError> {
        let is_whole = self.with(|table| table.is_whole());
        if is_whole == Ok(true) {
            return Ok(());
        }
        let mut store = lock(&self.store);
        if is_whole == Ok(false) {
            store.table = None;
            store.is_damaged = true;
        }
        if !store.is_damaged {
            return is_whole.map(|_| ());
        }
        self.open_store(&mut store)
    }

    /// Does some housekeeping; whether there is more to be done.
    pub(crate) fn tidy(&self) -> Result<bool, DiskError> {
        self.with(|table| table.tidy())
    }

    /// Whether a damaged store is still to be emptied.
    pub(crate) fn has_rescue(&self) -> bool {
        lock(&self.rescue).is_some() || self.folder.to_rescue().is_some()
    }

    /// Takes a few records out of a damaged store.
    pub(crate) fn rescue(&self) -> Result<(), DiskError> {
        let mut slot = lock(&self.rescue);
        let mut rescue = match slot.take() {
            Some(rescue) => rescue,
            None => {
                let Some(folder) = self.folder.to_rescue() else { return Ok(()) };
                match Rescue::begin(folder.clone())? {
                    Some(rescue) => rescue,
                    None => return self.end_rescue(&folder, "it cannot be read at all"),
                }
            }
        };
        let entries = rescue.next()?;
        if entries.is_empty() {
            let (folder, summary) = (rescue.folder.clone(), rescue.summary());
            drop(rescue);
            return self.end_rescue(&folder, &summary);
        }
        self.write(|table| table.take_in(&entries))?;
        self.generation.fetch_add(1, Ordering::AcqRel);
        rescue.note_rescued(entries.len());
        *slot = Some(rescue);
        Ok(())
    }

    fn end_rescue(&self, folder: &Path, summary: &str) -> Result<(), DiskError> {
        let kept = self.folder.keep_broken(folder)?;
        tracing::error!("the damaged spool is kept in {}: {summary}", kept.display());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_synced_and_the_log_is_not_shared() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let disk = Disk::open(folder.path()).expect("it opens");
        // no test can end the machine: 2 is FULL, by which each commit is synced
        for (name, value) in [("synchronous", 2), ("page_size", 4096), ("auto_vacuum", 2), ("trusted_schema", 0)] {
            assert_eq!(disk.with(|table| Ok(table.pragma(name))), Ok(value), "{name}");
        }
        disk.append(&[(1, b"x")]).expect("it is kept");
        assert!(disk.folder.log().exists());
        assert!(!disk.folder.log().with_extension("db-shm").exists(), "the log's index is in memory");
    }
}
