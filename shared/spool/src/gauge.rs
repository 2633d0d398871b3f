//! How much is in the spool and whether it takes more, kept beside the disk so that nobody has to read it for that.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use chrono::Utc;

use crate::disk::{Entry, Shelf};

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
}

/// What was found when it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) waiting: u64,
    pub(crate) aside: u64,
    pub(crate) bytes: u64,
    /// The greatest number.
    pub(crate) last: u64,
}

#[derive(Debug)]
pub(crate) struct Gauge {
    waiting: AtomicU64,
    aside: AtomicU64,
    bytes: AtomicU64,
    last: AtomicU64,
    /// 0: none, else the place of a [`Full`] plus one.
    full: AtomicU8,
    is_sound: AtomicBool,
}

impl Gauge {
    pub(crate) fn new(totals: Totals) -> Self {
        Self {
            waiting: AtomicU64::new(totals.waiting),
            aside: AtomicU64::new(totals.aside),
            bytes: AtomicU64::new(totals.bytes),
            last: AtomicU64::new(totals.last),
            full: AtomicU8::new(0),
            is_sound: AtomicBool::new(true),
        }
    }

    /// Counts anew: a write that failed may be on the disk all the same.
    pub(crate) fn recount(&self, totals: Totals) {
        self.waiting.store(totals.waiting, Ordering::Relaxed);
        self.aside.store(totals.aside, Ordering::Relaxed);
        self.bytes.store(totals.bytes, Ordering::Relaxed);
        self.last.fetch_max(totals.last, Ordering::Relaxed);
    }

    /// The number of the next record; only the writer asks.
    pub(crate) fn next_number(&self) -> u64 {
        let now = u64::try_from(Utc::now().timestamp_micros()).unwrap_or_default();
        let next = now.max(self.last.load(Ordering::Relaxed) + 1);
        self.last.store(next, Ordering::Relaxed);
        next
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn appended(&self, records: u64, bytes: u64) {
        self.waiting.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn removed(&self, entry: &Entry) {
        let shelf = if entry.shelf == Shelf::Waiting { &self.waiting } else { &self.aside };
        less(shelf, 1);
        less(&self.bytes, entry.bytes.len() as u64);
    }

    pub(crate) fn moved_aside(&self, entry: &Entry) {
        debug_assert_eq!(entry.shelf, Shelf::Waiting);
        less(&self.waiting, 1);
        self.aside.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes how it stands; one line in the log for each change.
    pub(crate) fn note(&self, full: Option<Full>, is_sound: bool) {
        let word = full.map_or(0, |full| full as u8 + 1);
        let before = self.full.swap(word, Ordering::Relaxed);
        match full {
            Some(full) if before != word => tracing::error!("the spool takes no more: {full}"),
            None if before != 0 => tracing::info!("the spool has room again"),
            _ => {}
        }
        let was_sound = self.is_sound.swap(is_sound, Ordering::Relaxed);
        match (was_sound, is_sound) {
            (false, true) => tracing::info!("the spool's disk takes writes again"),
            (true, false) => tracing::error!("the spool's disk takes no writes"),
            _ => {}
        }
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.full.load(Ordering::Relaxed) == 0 && self.is_sound.load(Ordering::Relaxed)
    }

    pub(crate) fn figures(&self, oldest: Option<u64>) -> Figures {
        let now = u64::try_from(Utc::now().timestamp_micros()).unwrap_or_default();
        Figures {
            records: self.waiting.load(Ordering::Relaxed),
            set_aside: self.aside.load(Ordering::Relaxed),
            bytes: self.bytes(),
            oldest_age: oldest.map_or(Duration::ZERO, |oldest| Duration::from_micros(now.saturating_sub(oldest))),
            full: match self.full.load(Ordering::Relaxed) {
                0 => None,
                1 => Some(Full::Quota),
                _ => Some(Full::Disk),
            },
            is_sound: self.is_sound.load(Ordering::Relaxed),
        }
    }
}

/// Below zero there is nothing: a recount may have come between.
fn less(count: &AtomicU64, by: u64) {
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| Some(now.saturating_sub(by))).ok();
}
