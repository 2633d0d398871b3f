//! What the broker could not take yet, on local disk: synced before anybody is told that it is kept.
//!
//! One folder, one process: the lock ends with the process that holds it. Records are numbered by the microsecond in
//! which they came, so the first number tells the age of the oldest. A record is read, published and then removed; who
//! dies in between publishes it again, which its message id makes harmless. `docs/adr/` says why this store.

pub mod config;
mod disk;
mod gauge;
pub mod record;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

pub use config::{Config, Limits};
pub use disk::{DiskError, Entry, OpenError};
pub use gauge::{Figures, Full};
pub use record::Record;

use disk::Disk;
use gauge::Gauge;
use writer::Append;

/// Appends that may wait for their turn; each of the gateway's connections has at most one.
const WAITING_MAX: usize = 4_096;
/// A sync of a healthy disk takes milliseconds. A sender waits eight seconds for its answer, so a disk that hangs is
/// given up well before.
const APPEND_TIMEOUT: Duration = Duration::from_secs(3);

/// Why a record is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The quota or the disk is used up.
    #[error("cannot spool: {0}")]
    Full(Full),
    /// The disk refused, or did not answer in time. The record may be on it all the same.
    #[error("cannot spool: the disk failed")]
    Failed,
}

/// The store, open; every clone is the same one.
#[derive(Clone)]
pub struct Spool {
    appends: SyncSender<Append>,
    shared: Arc<Shared>,
}

/// What the handles and the writer's thread share.
struct Shared {
    disk: Disk,
    gauge: Gauge,
    limits: Limits,
    /// Rings when something was appended.
    appended: Notify,
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool").field("folder", &self.folder()).field("figures", &self.figures()).finish()
    }
}

impl Spool {
    /// Opens the store in a folder, which is made where there is none, and starts the thread that writes it.
    ///
    /// One that cannot be read is moved aside as `<folder>.broken-<microseconds>` and reported; an empty one takes its
    /// place:
    /// a gateway that refused to start would lose what is sent meanwhile.
    ///
    /// # Errors
    /// [`OpenError`]: another process has it, or the folder cannot be used.
    pub fn open(folder: &Path, limits: Limits) -> Result<(Self, Writer), OpenError> {
        let disk = match Disk::open(folder) {
            Err(OpenError::Unreadable { why, .. }) => {
                let aside = move_aside(folder)?;
                tracing::error!(
                    error = why,
                    "the spool cannot be read, it was moved to {} and an empty one begun",
                    aside.display()
                );
                Disk::open(folder)?
            }
            other => other?,
        };
        Self::begin(disk, limits)
    }

    /// Opens a spool that is there, to read and to empty it; what is appended has no limit.
    ///
    /// # Errors
    /// [`OpenError`]: there is none, another process has it, or it cannot be read.
    pub fn adopt(folder: &Path) -> Result<(Self, Writer), OpenError> {
        if !disk::is_spool(folder) {
            return Err(OpenError::Unusable { folder: folder.to_owned(), why: "there is no spool in it".to_owned() });
        }
        Self::begin(Disk::open(folder)?, Limits { bytes_max: u64::MAX, free_bytes_min: 0 })
    }

    fn begin(disk: Disk, limits: Limits) -> Result<(Self, Writer), OpenError> {
        let unusable = |why: String| OpenError::Unusable { folder: disk.folder().to_owned(), why };
        let totals = disk.totals().map_err(|error| unusable(error.to_string()))?;
        let (appends, inbox) = std::sync::mpsc::sync_channel(WAITING_MAX);
        let thread = std::thread::Builder::new().name("spool".to_owned());
        let shared = Arc::new(Shared { disk, gauge: Gauge::new(totals), limits, appended: Notify::new() });
        shared.look();
        let writing = Arc::clone(&shared);
        let thread = thread
            .spawn(move || writer::run(&writing, &inbox))
            .map_err(|error| OpenError::Unusable { folder: shared.disk.folder().to_owned(), why: error.to_string() })?;
        Ok((Self { appends, shared }, Writer(thread)))
    }

    /// Keeps a record; `Ok` means that it is on the disk. Many that come at once share one sync.
    ///
    /// # Errors
    /// [`AppendError`].
    pub async fn append(&self, record: &Record) -> Result<(), AppendError> {
        let (reply, answer) = oneshot::channel();
        self.appends.try_send(Append { bytes: record.encode(), reply }).map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => AppendError::Failed,
        })?;
        match tokio::time::timeout(APPEND_TIMEOUT, answer).await {
            Ok(Ok(kept)) => kept,
            Ok(Err(_)) | Err(_) => Err(AppendError::Failed),
        }
    }

    /// The oldest records from a number on, at most so many. Reads the disk: call it where blocking is allowed.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn read(&self, from: u64, records_max: usize) -> Result<Vec<Entry>, DiskError> {
        self.shared.disk.read(disk::Shelf::Waiting, from, records_max)
    }

    /// As [`Spool::read`], of what was set aside.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn read_aside(&self, from: u64, records_max: usize) -> Result<Vec<Entry>, DiskError> {
        self.shared.disk.read(disk::Shelf::Aside, from, records_max)
    }

    /// Removes records that are elsewhere now, set aside or not. It is not synced: what a crash brings back is published
    /// a second time.
    ///
    /// # Errors
    /// [`DiskError`]; they then stay.
    pub fn remove(&self, entries: &[Entry]) -> Result<(), DiskError> {
        self.shared.disk.remove(entries)?;
        for entry in entries {
            self.shared.gauge.removed(entry);
        }
        Ok(())
    }

    /// Sets a record aside: it is kept and counted, and not offered any more.
    ///
    /// # Errors
    /// [`DiskError`]; it then stays where it is.
    pub fn set_aside(&self, entry: &Entry) -> Result<(), DiskError> {
        self.shared.disk.set_aside(entry)?;
        self.shared.gauge.moved_aside(entry);
        Ok(())
    }

    /// What is in it now. Looks for the oldest on the disk: call it where blocking is allowed.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let oldest = if self.is_empty() { None } else { self.shared.disk.oldest() };
        self.shared.gauge.figures(oldest)
    }

    /// Whether an append has a chance now.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.shared.gauge.is_writable()
    }

    /// Whether records wait.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shared.gauge.is_empty()
    }

    /// Returns after the next append, or at once if there was one since the last call.
    pub async fn appended(&self) {
        self.shared.appended.notified().await;
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.shared.disk.folder()
    }
}

impl Shared {
    /// Whether there is room, and a disk that works.
    fn look(&self) {
        self.mend();
        self.gauge.note(self.room_for(1), self.disk.is_sound());
    }

    /// Tries to get on after a failed write.
    fn mend(&self) {
        if self.disk.mend()
            && let Ok(totals) = self.disk.totals()
        {
            self.gauge.recount(totals);
        }
    }

    /// What stands against so many bytes more.
    fn room_for(&self, bytes: u64) -> Option<Full> {
        if self.gauge.bytes() + bytes > self.limits.bytes_max {
            return Some(Full::Quota);
        }
        let free = self.disk.free_bytes()?;
        (free < self.limits.free_bytes_min.saturating_add(bytes)).then_some(Full::Disk)
    }
}

/// The thread that writes; it ends once the last [`Spool`] is dropped.
#[derive(Debug)]
pub struct Writer(JoinHandle<()>);

impl Writer {
    /// Waits for its end. The lock on the folder is then free.
    pub fn join(self) {
        // a panic in there has been logged by the panic hook
        let _ = self.0.join();
    }
}

/// The name of this machine, by which people tell spools apart.
#[must_use]
pub fn host() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "unnamed".to_owned() } else { name }
}

fn move_aside(folder: &Path) -> Result<PathBuf, OpenError> {
    let mut aside = folder.as_os_str().to_owned();
    aside.push(format!(".broken-{}", chrono::Utc::now().timestamp_micros()));
    let aside = PathBuf::from(aside);
    std::fs::rename(folder, &aside)
        .map_err(|error| OpenError::Unusable { folder: folder.to_owned(), why: error.to_string() })?;
    Ok(aside)
}
