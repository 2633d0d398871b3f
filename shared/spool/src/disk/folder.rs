//! The files of a spool: who owns them, who may read them, and where damaged ones go.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::OpenError;

/// The folder of the database and what belongs to it, so that one rename moves all of it.
const STORE: &str = "store";
/// The database.
pub(super) const DATABASE: &str = "spool.db";
/// Its write-ahead log.
const LOG: &str = "spool.db-wal";
/// Locked while a process has the spool.
const LOCK: &str = "lock";
/// Begins the name of a damaged store from which the readable records are still to be taken.
const RESCUE: &str = "rescue-";
/// Begins the name of what could not be read, kept for a person.
const BROKEN: &str = "broken-";
/// Message texts and script output are in it: for its owner alone.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// A spool's folder, locked for this process.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    _lock: File,
}

/// Whether a folder holds a spool, whole or damaged.
pub(crate) fn is_spool(root: &Path) -> bool {
    root.join(STORE).join(DATABASE).is_file() || named(root, RESCUE).next().is_some()
}

impl Folder {
    /// Makes what is missing, closes it to others, and locks it.
    pub(super) fn open(root: &Path) -> Result<Self, OpenError> {
        let unusable = |error: io::Error| OpenError::of_io(root, &error);
        private_folder(root).map_err(unusable)?;
        let lock = private_file(&root.join(LOCK)).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { root: root.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked(root.to_owned())),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The database's file, empty where there was none.
    pub(super) fn database(&self) -> io::Result<PathBuf> {
        let store = self.root.join(STORE);
        private_folder(&store)?;
        let database = store.join(DATABASE);
        private_file(&database)?;
        // the names must survive a loss of power as well as what is in the files
        for folder in [&store, &self.root] {
            File::open(folder)?.sync_all()?;
        }
        Ok(database)
    }

    /// The database's log, where there is one.
    pub(super) fn log(&self) -> PathBuf {
        self.root.join(STORE).join(LOG)
    }

    /// Moves the store aside, to be rescued; the next [`Folder::database`] is an empty one.
    pub(super) fn quarantine(&self) -> io::Result<()> {
        std::fs::rename(self.root.join(STORE), self.root.join(format!("{RESCUE}{}", stamp())))?;
        File::open(&self.root)?.sync_all()
    }

    /// A store that is to be rescued.
    pub(super) fn to_rescue(&self) -> Option<PathBuf> {
        named(&self.root, RESCUE).min()
    }

    /// Keeps a store from which nothing more can be taken.
    pub(super) fn keep_broken(&self, rescued: &Path) -> io::Result<PathBuf> {
        let broken = self.broken();
        std::fs::rename(rescued, &broken)?;
        Ok(broken)
    }

    /// A copy of a file for a person.
    pub(super) fn keep_copy(&self, file: &Path) -> io::Result<PathBuf> {
        let broken = self.broken();
        private_folder(&broken)?;
        std::fs::copy(file, broken.join(file.file_name().unwrap_or_default()))?;
        Ok(broken)
    }

    /// How many damaged parts are there, to be rescued or kept.
    pub(super) fn broken_count(&self) -> u64 {
        (named(&self.root, RESCUE).count() + named(&self.root, BROKEN).count()) as u64
    }

    /// What the disk has left for us; `None` where it cannot say.
    pub(super) fn free_bytes(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(&self.root).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    fn broken(&self) -> PathBuf {
        self.root.join(format!("{BROKEN}{}", stamp()))
    }
}

/// A name that no other has: nobody moves two aside in one microsecond.
fn stamp() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

fn named(root: &Path, prefix: &'static str) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(root).into_iter().flatten().filter_map(Result::ok);
    entries.filter(move |entry| entry.file_name().to_string_lossy().starts_with(prefix)).map(|entry| entry.path())
}

/// A folder for its owner alone, also where it was there before.
fn private_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
    std::fs::set_permissions(folder, Permissions::from_mode(FOLDER_MODE))
}

/// A file for its owner alone; the store makes those beside it with the same mode.
fn private_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(path)?;
    file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    Ok(file)
}
