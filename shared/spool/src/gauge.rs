//! How much is in the spool and whether it takes more, kept beside the disk so that nobody has to read it for that.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use chrono::Utc;

/// What is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The spool's own quota.
    Quota,
    /// The disk: it must keep some room for others.
    Disk,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Quota => "its quota is used up (--spool-bytes-max)",
            Self::Disk => "the disk has too little room left (--spool-free-bytes-min)",
        })
    }
}

/// What is in a spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Records that wait for the broker.
    pub records: u64,
    /// Records that were set aside.
    pub set_aside: u64,
    /// Bytes of both.
    pub bytes: u64,
    /// How long the oldest one has waited; zero where none does.
    pub oldest_age: Duration,
    /// Why it takes no more, if so.
    pub full: Option<Full>,
    /// Whether the disk takes writes.
    pub is_sound: bool,
    /// Damaged stores that are being emptied or are kept for a person.
    pub broken: u64,
}

/// What the store counted in its last transaction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) waiting: u64,
    pub(crate) aside: u64,
    pub(crate) bytes: u64,
    /// The number of the oldest that waits.
    pub(crate) oldest: Option<u64>,
    /// The greatest number.
    pub(crate) last: u64,
    /// Whether the counts fit what can be seen without counting.
    pub(crate) is_sure: bool,
}

/// Whether it takes more; read without the disk, which may hang.
#[derive(Debug)]
pub(crate) struct Gauge {
    last: AtomicU64,
    /// 0: none, else the place of a [`Full`] plus one.
    full: AtomicU8,
    /// Bytes for which there was no room.
    needed: AtomicU64,
    is_sound: AtomicBool,
    broken: AtomicU64,
}

impl Gauge {
    pub(crate) fn new() -> Self {
        Self {
            last: AtomicU64::new(0),
            full: AtomicU8::new(0),
            needed: AtomicU64::new(1),
            is_sound: AtomicBool::new(true),
            broken: AtomicU64::new(0),
        }
    }

    /// The number of the next record after those that are there; only the writer asks.
    pub(crate) fn next_number(&self, last: u64) -> u64 {
        let now = u64::try_from(Utc::now().timestamp_micros()).unwrap_or_default();
        let next = now.max(self.last.load(Ordering::Relaxed).max(last) + 1);
        self.last.store(next, Ordering::Relaxed);
        next
    }

    /// Notes what so many bytes lack; one line in the log for each change.
    pub(crate) fn note_room(&self, full: Option<Full>, needed: u64) {
        let word = full.map_or(0, |full| full as u8 + 1);
        self.needed.store(if full.is_some() { needed } else { 1 }, Ordering::Relaxed);
        let before = self.full.swap(word, Ordering::Relaxed);
        match full {
            Some(full) if before != word => tracing::error!("the spool takes no more: {full}"),
            None if before != 0 => tracing::info!("the spool has room again"),
            _ => {}
        }
    }

    /// What there must be room for before it takes more: what was refused last.
    pub(crate) fn needed(&self) -> u64 {
        self.needed.load(Ordering::Relaxed)
    }

    /// Notes whether the disk takes writes; one line in the log for each change.
    pub(crate) fn note_sound(&self, is_sound: bool) {
        let was_sound = self.is_sound.swap(is_sound, Ordering::Relaxed);
        match (was_sound, is_sound) {
            (false, true) => tracing::info!("the spool's disk takes writes again"),
            (true, false) => tracing::error!("the spool's disk takes no writes"),
            _ => {}
        }
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.is_sound.load(Ordering::Relaxed)
    }

    pub(crate) fn note_broken(&self, broken: u64) {
        self.broken.store(broken, Ordering::Relaxed);
    }

    pub(crate) fn full(&self) -> Option<Full> {
        match self.full.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(Full::Quota),
            _ => Some(Full::Disk),
        }
    }

    pub(crate) fn figures(&self, totals: Totals) -> Figures {
        let now = u64::try_from(Utc::now().timestamp_micros()).unwrap_or_default();
        let age = |oldest| Duration::from_micros(now.saturating_sub(oldest));
        Figures {
            records: totals.waiting,
            set_aside: totals.aside,
            bytes: totals.bytes,
            oldest_age: totals.oldest.map_or(Duration::ZERO, age),
            full: self.full(),
            is_sound: self.is_sound(),
            broken: self.broken.load(Ordering::Relaxed),
        }
    }
}
