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

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError};
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

/// Room on the disk for one step out of a damaged store.
const RESCUE_BYTES: u64 = 32 * 1024 * 1024;

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
    /// Opens the store in a folder, which is made where there is none, and starts the thread that writes it. It reads a
    /// handful of pages, however much is in it.
    ///
    /// A damaged one is moved aside and an empty one takes its place: a gateway that refused to start would lose what is
    /// sent meanwhile. The thread then takes out of the old one what can be read; see [`Figures::broken`].
    ///
    /// # Errors
    /// [`OpenError`]: another process has it, or the folder cannot be used.
    pub fn open(folder: &Path, limits: Limits) -> Result<(Self, Writer), OpenError> {
        Self::begin(Disk::open(folder)?, limits)
    }

    /// Opens a spool that is there, to read and to empty it; what is appended has no limit. It looks at everything in it
    /// first, and takes out of a damaged one what can be read.
    ///
    /// # Errors
    /// [`OpenError`]: there is none, another process has it, or it cannot be read.
    pub fn adopt(folder: &Path) -> Result<(Self, Writer), OpenError> {
        if !disk::is_spool(folder) {
            return Err(OpenError::NoSpool { folder: folder.to_owned(), why: "nothing of one is in it".to_owned() });
        }
        let disk = Disk::open(folder)?;
        let unusable = |error: DiskError| OpenError::Unusable { folder: folder.to_owned(), why: error.to_string() };
        disk.check().map_err(unusable)?;
        while disk.has_rescue() {
            disk.rescue().map_err(unusable)?;
        }
        if !disk.totals().is_sure {
            disk.recount().map_err(unusable)?;
        }
        Self::begin(disk, Limits { bytes_max: u64::MAX, free_bytes_min: 0 })
    }

    fn begin(disk: Disk, limits: Limits) -> Result<(Self, Writer), OpenError> {
        let (appends, inbox) = std::sync::mpsc::sync_channel(WAITING_MAX);
        let (ending, ended) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new().name("spool".to_owned());
        let shared = Arc::new(Shared { disk, gauge: Gauge::new(), limits, appended: Notify::new() });
        shared.look();
        let writing = Arc::clone(&shared);
        let run = move || {
            // dropped last, also by a panic: the lock on the folder is free before anybody hears of the end
            let _ending: Sender<()> = ending;
            let writing = writing;
            writer::run(&writing, &inbox);
        };
        thread
            .spawn(run)
            .map_err(|error| OpenError::Unusable { folder: shared.disk.root().to_owned(), why: error.to_string() })?;
        Ok((Self { appends, shared }, Writer(ended)))
    }

    /// Keeps a record; `Ok` means that it is on the disk. Many that come at once share one sync.
    ///
    /// # Errors
    /// [`AppendError`].
    pub async fn append(&self, record: &Record) -> Result<(), AppendError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.appends.try_send(Append { bytes: record.encode(), reply });
        let answered = match sent {
            Ok(()) => tokio::time::timeout(APPEND_TIMEOUT, answer).await.ok().and_then(Result::ok),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => None,
        };
        answered.unwrap_or_else(|| {
            // the writer hangs or is dead and cannot say so itself; its next success clears this
            self.shared.gauge.note_sound(false);
            Err(AppendError::Failed)
        })
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

    /// Removes records that are elsewhere now, set aside or not.
    ///
    /// # Errors
    /// [`DiskError`]; they then stay.
    pub fn remove(&self, entries: &[Entry]) -> Result<(), DiskError> {
        self.shared.disk.remove(entries)?;
        self.shared.look_for_room();
        Ok(())
    }

    /// Sets a record aside: it is kept and counted, and not offered any more.
    ///
    /// # Errors
    /// [`DiskError`]; it then stays where it is.
    pub fn set_aside(&self, entry: &Entry) -> Result<(), DiskError> {
        self.shared.disk.set_aside(entry)
    }

    /// What is in it now. Waits for no disk.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.shared.gauge.figures(self.shared.disk.totals())
    }

    /// Whether an append has a chance now.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.shared.gauge.is_sound() && self.shared.gauge.full().is_none()
    }

    /// Whether no record waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shared.disk.totals().waiting == 0
    }

    /// Changes whenever records may have appeared before others: who reads in order begins anew.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.shared.disk.generation()
    }

    /// Returns after the next append, or at once if there was one since the last call.
    pub async fn appended(&self) {
        self.shared.appended.notified().await;
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.shared.disk.root()
    }
}

impl Shared {
    /// Whether there is room, and a disk that works.
    fn look(&self) {
        let is_open = self.disk.mend();
        if !is_open {
            self.gauge.note_sound(false);
        } else if !self.gauge.is_sound() {
            self.gauge.note_sound(self.disk.probe().is_ok());
        }
        self.gauge.note_broken(self.disk.broken_count());
        self.look_for_room();
    }

    /// Whether there is room for what was refused last.
    fn look_for_room(&self) {
        let needed = self.gauge.needed();
        self.gauge.note_room(self.room_for(needed), needed);
    }

    /// Housekeeping while nobody appends; whether there is more of it.
    fn tidy(&self) -> bool {
        if !self.disk.totals().is_sure
            && let Err(error) = self.disk.recount()
        {
            tracing::warn!(error = %error, "count the spool failed");
        }
        // nobody is kept from anything by what fails here; it is done again
        self.disk.tidy().unwrap_or(false)
    }

    /// Takes a few records out of a damaged store, where there is one; whether there are more.
    fn rescue(&self) -> bool {
        if !self.disk.has_rescue() || self.room_for(RESCUE_BYTES) == Some(Full::Disk) {
            return false;
        }
        match self.disk.rescue() {
            Ok(()) => {
                self.gauge.note_broken(self.disk.broken_count());
                self.appended.notify_one();
                self.disk.has_rescue()
            }
            Err(error) => {
                tracing::warn!(error = %error, "read the damaged spool failed, it is tried again");
                false
            }
        }
    }

    /// What stands against so many bytes more.
    fn room_for(&self, bytes: u64) -> Option<Full> {
        let free = self.disk.free_bytes();
        if free.is_some_and(|free| free < self.limits.free_bytes_min.saturating_add(bytes)) {
            return Some(Full::Disk);
        }
        (self.disk.totals().bytes.saturating_add(bytes) > self.limits.bytes_max).then_some(Full::Quota)
    }
}

/// The thread that writes; it ends once the last [`Spool`] is dropped.
#[derive(Debug)]
pub struct Writer(Receiver<()>);

impl Writer {
    /// Waits for its end, so long at most; whether it came. The lock on the folder is then free. A disk that hangs holds
    /// the thread for as long as it hangs.
    #[must_use]
    pub fn join(self, timeout: Duration) -> bool {
        self.0.recv_timeout(timeout) == Err(RecvTimeoutError::Disconnected)
    }
}

/// The name of this machine, by which people tell spools apart.
#[must_use]
pub fn host() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "unnamed".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let meta = contract::Meta {
            message_id: "id".to_owned(),
            kind: "alert.observed.v1".to_owned(),
            tenant: uuid::Uuid::from_u128(7),
            attempt: 0,
            first_published_at: chrono::DateTime::UNIX_EPOCH,
            traceparent: None,
            reason: None,
        };
        Record { exchange: "muster.work".to_owned(), routing_key: "key".to_owned(), meta, body: b"{}".to_vec() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_hangs_is_told_by_the_figures_and_holds_nobody_for_ever() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let limits = Limits { free_bytes_min: 0, ..Limits::default() };
        let (spool, writer) = Spool::open(folder.path(), limits).expect("it opens");
        assert!(spool.is_writable());
        let hanging = spool.shared.disk.hang();
        assert_eq!(spool.append(&record()).await, Err(AppendError::Failed));
        assert_eq!((spool.is_writable(), spool.figures().is_sound), (false, false));
        assert!(!writer.join(Duration::from_millis(1)), "it is not waited for");
        drop(hanging);
        while !spool.is_writable() {
            tokio::task::yield_now().await;
        }
        assert_eq!(spool.figures().records, 1, "what the disk took late is there all the same");
    }

    #[tokio::test]
    async fn a_look_does_not_find_room_at_the_quota_until_something_was_removed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let one = record().encode().len() as u64;
        for left in [0, 1, one - 1] {
            let limits = Limits { bytes_max: one + left, free_bytes_min: 0 };
            let (spool, writer) = Spool::open(folder.path(), limits).expect("it opens");
            assert_eq!(spool.append(&record()).await, Ok(()));
            assert_eq!(spool.append(&record()).await, Err(AppendError::Full(Full::Quota)));
            for _ in 0..3 {
                spool.shared.look();
                assert_eq!((spool.figures().full, spool.is_writable()), (Some(Full::Quota), false), "{left} left");
            }
            spool.remove(&spool.read(0, 1).expect("it is read")).expect("it is removed");
            assert!(spool.is_writable());
            drop(spool);
            assert!(writer.join(Duration::from_secs(30)));
        }
    }

    #[tokio::test]
    async fn a_writer_that_died_is_told_by_the_figures() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (mut spool, _writer) = Spool::open(folder.path(), Limits::default()).expect("it opens");
        // the other end of this one is gone, as that of a thread that has panicked
        spool.appends = std::sync::mpsc::sync_channel(1).0;
        assert_eq!(spool.append(&record()).await, Err(AppendError::Failed));
        assert!(!spool.shared.gauge.is_sound());
    }
}
