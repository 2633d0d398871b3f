//! A disk that is really full: a small file system in memory, where the machine lets the test mount one.
#![allow(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use chrono::DateTime;
use contract::Meta;
use spool::{AppendError, Entry, Full, Limits, OpenError, Record, Spool};
use tempfile::TempDir;
use uuid::Uuid;

/// No guard: what happens where it was set too low, or others write faster.
const LIMITS: Limits = Limits { bytes_max: u64::MAX, free_bytes_min: 0 };
/// Room for the journal and the first files.
const DISK_MIB: u32 = 96;
const BODY_BYTES: usize = 64 * 1024;
const DEADLINE: Duration = Duration::from_secs(30);

/// A file system of [`DISK_MIB`], unmounted when dropped.
struct Disk(TempDir);

impl Disk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={DISK_MIB}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        eprintln!("SKIPPED: a full disk was not tested, this machine does not let the test mount a tmpfs");
        None
    }

    fn spool(&self) -> PathBuf {
        self.0.path().join("spool")
    }

    /// Takes everything that is left but so much.
    fn fill(&self, but_bytes: u64) {
        let mut filler = File::create(self.filler()).unwrap();
        let block = vec![7; 64 * 1024];
        while filler.write_all(&block).is_ok() {}
        let length = filler.metadata().unwrap().len();
        filler.set_len(length.saturating_sub(but_bytes)).unwrap();
    }

    fn empty(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.0.path().join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // lazily: the store's threads may still hold a file
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn record(number: usize) -> Record {
    let meta = Meta {
        message_id: number.to_string(),
        kind: "alert.observed.v1".to_owned(),
        tenant: Uuid::from_u128(7),
        attempt: 0,
        first_published_at: DateTime::UNIX_EPOCH,
        traceparent: None,
        reason: None,
    };
    Record { exchange: "muster.work".to_owned(), routing_key: "key".to_owned(), meta, body: vec![b'x'; BODY_BYTES] }
}

fn all(spool: &Spool) -> Vec<Entry> {
    let (mut found, mut from) = (Vec::new(), 0);
    loop {
        let mut batch = spool.read(from, usize::MAX).unwrap();
        let Some(last) = batch.last() else { return found };
        from = last.number + 1;
        found.append(&mut batch);
    }
}

/// Insists that all of these are there, each as it was.
fn check(spool: &Spool, kept: &[usize]) {
    let found: Vec<String> =
        all(spool).iter().map(|entry| Record::decode(&entry.bytes).unwrap().meta.message_id).collect();
    let missing: Vec<_> = kept.iter().filter(|number| !found.contains(&number.to_string())).collect();
    assert!(missing.is_empty(), "{} of {} are gone: {missing:?}", missing.len(), kept.len());
}

/// Appends until one is refused; which were kept.
async fn until_full(spool: &Spool, from: usize) -> Vec<usize> {
    let mut kept = Vec::new();
    for number in from..from + 10_000 {
        match spool.append(&record(number)).await {
            Ok(()) => kept.push(number),
            Err(AppendError::Full(Full::Disk) | AppendError::Failed) => return kept,
            Err(other) => panic!("{other}"),
        }
    }
    panic!("{DISK_MIB} MiB took {} records", kept.len());
}

/// Appends, once it can.
async fn until_taken(spool: &Spool, number: usize) {
    let begun = Instant::now();
    while let Err(error) = spool.append(&record(number)).await {
        assert!(begun.elapsed() < DEADLINE, "there is room, and still: {error}");
        tokio::task::yield_now().await;
    }
}

fn moved_aside(spool: &Path) -> bool {
    let mut entries = std::fs::read_dir(spool).unwrap().map(|entry| entry.unwrap().file_name());
    entries.any(|name| ["broken", "rescue"].iter().any(|word| name.to_string_lossy().contains(word)))
}

#[tokio::test]
async fn a_full_disk_refuses_what_comes_and_keeps_what_was_kept() {
    let Some(disk) = Disk::mount() else { return };
    let (spool, writer) = Spool::open(&disk.spool(), LIMITS).unwrap();
    let mut kept = Vec::new();
    for number in 0..240 {
        spool.append(&record(number)).await.unwrap();
        kept.push(number);
    }
    disk.fill(2 * 1024 * 1024);
    kept.extend(until_full(&spool, 1_000).await);
    assert!(spool.append(&record(9_998)).await.is_err(), "it stays full");

    disk.empty();
    until_taken(&spool, 9_999).await;
    kept.push(9_999);
    check(&spool, &kept);
    drop(spool);
    assert!(writer.join(DEADLINE));
    let (spool, writer) = Spool::open(&disk.spool(), LIMITS).unwrap();
    check(&spool, &kept);
    drop(spool);
    assert!(writer.join(DEADLINE));
    assert!(!moved_aside(&disk.spool()));
}

#[tokio::test]
async fn a_start_on_a_full_disk_loses_nothing() {
    let Some(disk) = Disk::mount() else { return };
    let (spool, writer) = Spool::open(&disk.spool(), LIMITS).unwrap();
    let kept = until_full(&spool, 0).await;
    drop(spool);
    assert!(writer.join(DEADLINE));
    disk.fill(0);
    // it starts, and takes nothing, or says what is wrong; it never begins an empty one
    match Spool::open(&disk.spool(), LIMITS) {
        Ok((spool, writer)) => {
            check(&spool, &kept);
            drop(spool);
            assert!(writer.join(DEADLINE));
        }
        Err(error) => assert!(matches!(error, OpenError::Unusable { .. }), "{error}"),
    }
    assert!(!moved_aside(&disk.spool()));
    disk.empty();
    let (spool, writer) = Spool::open(&disk.spool(), LIMITS).unwrap();
    check(&spool, &kept);
    drop(spool);
    assert!(writer.join(DEADLINE));
}

#[tokio::test]
async fn what_cannot_be_removed_on_a_full_disk_is_removed_once_there_is_room() {
    let Some(disk) = Disk::mount() else { return };
    let (spool, writer) = Spool::open(&disk.spool(), LIMITS).unwrap();
    for number in 0..240 {
        spool.append(&record(number)).await.unwrap();
    }
    drop(spool);
    assert!(writer.join(DEADLINE));
    // one that was just opened has no log yet in which a removal would find room
    let (spool, writer) = Spool::open(&disk.spool(), LIMITS).unwrap();
    let left = all(&spool);
    disk.fill(0);
    let begun = Instant::now();
    spool.remove(&left[..1]).unwrap_err();
    assert_eq!(spool.figures().records, left.len() as u64, "what was not removed is counted");
    disk.empty();
    // nobody appends in between; where the store is opened anew, that takes a second
    while spool.remove(&left[..1]).is_err() {
        assert!(begun.elapsed() < DEADLINE, "there is room, and still nothing is removed");
        tokio::task::yield_now().await;
    }
    assert_eq!(spool.figures().records, left.len() as u64 - 1);
    assert_eq!(all(&spool), left[1..]);
    drop(spool);
    assert!(writer.join(DEADLINE));
    assert!(!moved_aside(&disk.spool()));
}
