//! The records on disk: the only file that knows the embedded store.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use fjall::config::CompressionPolicy;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::gauge::Totals;

/// What is in memory before it is sorted into files; twice this for a moment.
const MEMORY_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Blocks that stay in memory; a record is read once.
const CACHE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Journals kept until their records are sorted into files; the least that the store takes.
const JOURNAL_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// The file by which a folder is known to hold a store.
const MARKER: &str = "version";

/// Whether a folder holds a spool.
pub(crate) fn is_spool(folder: &Path) -> bool {
    folder.join(MARKER).is_file()
}

/// Why there is no spool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the spool in {} belongs to a process that is running", .0.display())]
    Locked(PathBuf),
    /// The folder cannot be made, read or written.
    #[error("cannot use the spool in {}: {why}", folder.display())]
    Unusable {
        /// Which.
        folder: PathBuf,
        /// What the system said.
        why: String,
    },
    /// What is in it is no spool, or a damaged one.
    #[error("cannot read the spool in {}: {why}", folder.display())]
    Unreadable {
        /// Which.
        folder: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// What the disk, or the store on its behalf, said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the spool's disk: {0}")]
pub struct DiskError(String);

impl From<fjall::Error> for DiskError {
    fn from(error: fjall::Error) -> Self {
        Self(error.to_string())
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

/// A record as it lies there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number: the microsecond since the epoch in which it came, or the next free one.
    pub number: u64,
    /// What [`crate::Record::decode`] takes.
    pub bytes: Vec<u8>,
    pub(crate) shelf: Shelf,
}

/// The open store. After a failed write it takes no other; [`Disk::mend`] then opens it anew.
pub(crate) struct Disk {
    folder: PathBuf,
    shelves: RwLock<Option<Shelves>>,
}

struct Shelves {
    database: Database,
    waiting: Keyspace,
    aside: Keyspace,
}

impl Shelves {
    fn open(folder: &Path) -> fjall::Result<Self> {
        let database = Database::builder(folder)
            .cache_size(CACHE_BYTES_MAX)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .worker_threads(1)
            .open()?;
        let options = || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(MEMORY_BYTES_MAX)
                .data_block_compression_policy(CompressionPolicy::disabled())
        };
        let (waiting, aside) = (database.keyspace("waiting", options)?, database.keyspace("aside", options)?);
        Ok(Self { database, waiting, aside })
    }

    fn shelf(&self, shelf: Shelf) -> &Keyspace {
        match shelf {
            Shelf::Waiting => &self.waiting,
            Shelf::Aside => &self.aside,
        }
    }
}

impl Disk {
    pub(crate) fn open(folder: &Path) -> Result<Self, OpenError> {
        let unusable = |error: io::Error| OpenError::Unusable { folder: folder.to_owned(), why: error.to_string() };
        std::fs::create_dir_all(folder).map_err(unusable)?;
        let shelves = Shelves::open(folder).map_err(|error| match error {
            fjall::Error::Locked => OpenError::Locked(folder.to_owned()),
            fjall::Error::Io(error) if is_for_the_operator(&error) => unusable(error),
            other => OpenError::Unreadable { folder: folder.to_owned(), why: other.to_string() },
        })?;
        Ok(Self { folder: folder.to_owned(), shelves: RwLock::new(Some(shelves)) })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn with<T>(&self, what: impl FnOnce(&Shelves) -> fjall::Result<T>) -> Result<T, DiskError> {
        let shelves = self.shelves.read().unwrap_or_else(PoisonError::into_inner);
        let shelves = shelves.as_ref().ok_or_else(|| DiskError("it could not be opened again".to_owned()))?;
        what(shelves).map_err(DiskError::from)
    }

    /// Appends and syncs; the numbers must be free.
    pub(crate) fn append(&self, records: &[(u64, &[u8])]) -> Result<(), DiskError> {
        let done = self.with(|shelves| {
            let mut batch = shelves.database.batch().durability(Some(PersistMode::SyncData));
            for (number, bytes) in records {
                batch.insert(&shelves.waiting, number.to_be_bytes(), *bytes);
            }
            batch.commit()
        });
        if done.is_err() {
            // the store takes no write after a failed one: what the disk holds is no longer known
            *self.shelves.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
        done
    }

    /// Opens the store anew after a failed write; whether it did.
    pub(crate) fn mend(&self) -> bool {
        if self.is_sound() {
            return false;
        }
        let mut shelves = self.shelves.write().unwrap_or_else(PoisonError::into_inner);
        match Shelves::open(&self.folder) {
            Ok(opened) => *shelves = Some(opened),
            Err(error) => tracing::debug!(error = %DiskError::from(error), "open the spool again failed"),
        }
        shelves.is_some()
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.shelves.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(crate) fn read(&self, shelf: Shelf, from: u64, records_max: usize) -> Result<Vec<Entry>, DiskError> {
        self.with(|shelves| {
            let found = shelves.shelf(shelf).range(from.to_be_bytes()..).take(records_max);
            found
                .map(|guard| {
                    let (key, value) = guard.into_inner()?;
                    Ok(Entry { number: number(&key), bytes: value.to_vec(), shelf })
                })
                .collect()
        })
    }

    pub(crate) fn remove(&self, entries: &[Entry]) -> Result<(), DiskError> {
        self.with(|shelves| {
            let mut batch = shelves.database.batch();
            for entry in entries {
                batch.remove(shelves.shelf(entry.shelf), entry.number.to_be_bytes());
            }
            batch.commit()
        })
    }

    pub(crate) fn set_aside(&self, entry: &Entry) -> Result<(), DiskError> {
        self.with(|shelves| {
            let mut batch = shelves.database.batch().durability(Some(PersistMode::SyncData));
            batch.insert(&shelves.aside, entry.number.to_be_bytes(), entry.bytes.as_slice());
            batch.remove(&shelves.waiting, entry.number.to_be_bytes());
            batch.commit()
        })
    }

    /// The number of the oldest record that waits.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.with(|shelves| shelves.waiting.first_key_value().map(|guard| guard.key()).transpose())
            .ok()
            .flatten()
            .map(|key| number(&key))
    }

    /// Counts everything; reads the whole store.
    pub(crate) fn totals(&self) -> Result<Totals, DiskError> {
        self.with(|shelves| {
            let mut totals = Totals::default();
            for guard in shelves.waiting.iter() {
                let (key, value) = guard.into_inner()?;
                totals.waiting += 1;
                totals.bytes += value.len() as u64;
                totals.last = totals.last.max(number(&key));
            }
            for guard in shelves.aside.iter() {
                let (key, value) = guard.into_inner()?;
                totals.aside += 1;
                totals.bytes += value.len() as u64;
                totals.last = totals.last.max(number(&key));
            }
            Ok(totals)
        })
    }

    /// What the disk has left for us; `None` where it cannot say.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(&self.folder).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }
}

/// What whoever runs us can mend; anything else that reading a store ends in says that it is damaged, or that its making
/// was broken off.
fn is_for_the_operator(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), NotADirectory | PermissionDenied | QuotaExceeded | ReadOnlyFilesystem | StorageFull)
}

/// A key that is not ours counts as the oldest and is then found to be unreadable.
fn number(key: &[u8]) -> u64 {
    key.try_into().map(u64::from_be_bytes).unwrap_or_default()
}
