//! The store on a real disk: what survives, what is refused, what is set aside.
#![allow(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use chrono::DateTime;
use contract::Meta;
use spool::{AppendError, Entry, Full, Limits, OpenError, Record, Spool, Writer};
use uuid::Uuid;

/// Set in the environment of the process that is killed: this test binary again.
const CHILD: &str = "MUSTER_TEST_SPOOL_CHILD";
/// No guard: the tests' disk may be nearly full.
const LIMITS: Limits = Limits { bytes_max: 64 * 1024 * 1024, free_bytes_min: 0 };

fn record(number: u32) -> Record {
    let meta = Meta {
        message_id: format!("{number:032x}"),
        kind: "alert.observed.v1".to_owned(),
        tenant: Uuid::from_u128(7),
        attempt: 0,
        first_published_at: DateTime::UNIX_EPOCH,
        traceparent: None,
        reason: None,
    };
    let body = format!("{{\"number\":{number}}}").into_bytes();
    Record { exchange: "muster.work".to_owned(), routing_key: "key".to_owned(), meta, body }
}

fn open(folder: &Path) -> (Spool, Writer) {
    Spool::open(folder, LIMITS).unwrap()
}

fn close((spool, writer): (Spool, Writer)) {
    drop(spool);
    writer.join();
}

fn all(spool: &Spool) -> Vec<Entry> {
    spool.read(0, usize::MAX).unwrap()
}

fn decoded(spool: &Spool) -> Vec<Record> {
    all(spool).iter().map(|entry| Record::decode(&entry.bytes).unwrap()).collect()
}

#[tokio::test]
async fn what_is_appended_is_there_after_a_restart_and_gone_once_removed() {
    let folder = tempfile::tempdir().unwrap();
    let opened = open(folder.path());
    for number in 0..3 {
        opened.0.append(&record(number)).await.unwrap();
    }
    let bytes = opened.0.figures().bytes;
    close(opened);

    let opened = open(folder.path());
    let spool = &opened.0;
    assert_eq!(decoded(spool), [record(0), record(1), record(2)]);
    assert_eq!((spool.figures().records, spool.figures().bytes), (3, bytes));
    assert!(spool.figures().oldest_age > Duration::ZERO);
    spool.remove(&all(spool)[..2]).unwrap();
    assert_eq!(decoded(spool), [record(2)]);
    spool.append(&record(3)).await.unwrap();
    close(opened);

    let opened = open(folder.path());
    assert_eq!(decoded(&opened.0), [record(2), record(3)]);
    opened.0.remove(&all(&opened.0)).unwrap();
    let figures = opened.0.figures();
    assert_eq!((figures.records, figures.bytes, figures.oldest_age), (0, 0, Duration::ZERO));
    assert!(opened.0.is_empty());
}

#[tokio::test]
async fn appends_that_come_at_once_share_a_sync_and_none_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let opened = open(folder.path());
    let mut appends = tokio::task::JoinSet::new();
    for number in 0..2_000 {
        let spool = opened.0.clone();
        appends.spawn(async move { spool.append(&record(number)).await });
    }
    let kept = appends.join_all().await.into_iter().filter(Result::is_ok).count();
    assert_eq!(kept, 2_000);
    close(opened);
    let opened = open(folder.path());
    let mut numbers: Vec<String> = decoded(&opened.0).into_iter().map(|record| record.meta.message_id).collect();
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len(), 2_000);
}

#[tokio::test]
async fn the_quota_holds_to_the_byte_and_counts_what_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let opened = open(folder.path());
    opened.0.append(&record(1)).await.unwrap();
    let one = opened.0.figures().bytes;
    close(opened);

    let (spool, _writer) = Spool::open(folder.path(), Limits { bytes_max: 2 * one, ..LIMITS }).unwrap();
    spool.append(&record(2)).await.unwrap();
    assert_eq!(spool.append(&record(3)).await, Err(AppendError::Full(Full::Quota)));
    assert!(!spool.is_writable());
    assert_eq!(spool.figures().full, Some(Full::Quota));
    let entries = all(&spool);
    spool.set_aside(&entries[0]).unwrap();
    assert_eq!(spool.append(&record(3)).await, Err(AppendError::Full(Full::Quota)));
    spool.remove(&entries[1..]).unwrap();
    spool.append(&record(3)).await.unwrap();
    assert_eq!(spool.figures().records, 1);
}

#[tokio::test]
async fn a_disk_below_its_guard_takes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { free_bytes_min: u64::MAX, ..LIMITS };
    let (spool, _writer) = Spool::open(folder.path(), limits).unwrap();
    assert!(!spool.is_writable());
    assert_eq!(spool.append(&record(1)).await, Err(AppendError::Full(Full::Disk)));
    assert!(spool.is_empty());
}

#[tokio::test]
async fn what_is_set_aside_is_kept_and_not_offered() {
    let folder = tempfile::tempdir().unwrap();
    let opened = open(folder.path());
    for number in 0..2 {
        opened.0.append(&record(number)).await.unwrap();
    }
    opened.0.set_aside(&all(&opened.0)[0]).unwrap();
    close(opened);
    let (spool, _writer) = open(folder.path());
    assert_eq!(decoded(&spool), [record(1)]);
    let aside = spool.read_aside(0, 10).unwrap();
    assert_eq!(Record::decode(&aside[0].bytes), Ok(record(0)));
    assert_eq!((spool.figures().records, spool.figures().set_aside), (1, 1));
    spool.remove(&aside).unwrap();
    assert_eq!(spool.figures().set_aside, 0);
}

#[tokio::test]
async fn a_folder_has_one_owner_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    let refused = Spool::open(folder.path(), LIMITS).unwrap_err();
    assert_eq!(refused, OpenError::Locked(folder.path().to_owned()));
    close(first);
    open(folder.path());
}

#[tokio::test]
async fn an_orphan_is_adopted_and_a_folder_without_a_spool_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    assert!(matches!(Spool::adopt(&empty), Err(OpenError::Unusable { .. })));
    assert_eq!(std::fs::read_dir(&empty).unwrap().count(), 0);
    let orphan = folder.path().join("orphan");
    let opened = open(&orphan);
    opened.0.append(&record(1)).await.unwrap();
    assert_eq!(Spool::adopt(&orphan).unwrap_err(), OpenError::Locked(orphan.clone()));
    close(opened);
    let (spool, _writer) = Spool::adopt(&orphan).unwrap();
    assert_eq!(decoded(&spool), [record(1)]);
}

#[tokio::test]
async fn a_folder_that_is_no_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    assert!(matches!(Spool::open(&file, LIMITS), Err(OpenError::Unusable { .. })));
}

#[tokio::test]
async fn a_spool_that_cannot_be_read_is_moved_aside_and_an_empty_one_begun() {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("spool");
    let opened = open(&spool);
    opened.0.append(&record(1)).await.unwrap();
    close(opened);
    std::fs::write(spool.join("version"), "not a version").unwrap();
    let (opened, _writer) = open(&spool);
    assert!(opened.is_empty());
    opened.append(&record(2)).await.unwrap();
    let names: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(names.iter().any(|name| name.starts_with("spool.broken-")), "{names:?}");
}

/// The process that is killed; it says each number once the record is kept.
#[tokio::test]
async fn a_killed_process_appends() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let (spool, _writer) = open(Path::new(&folder));
    for number in 0.. {
        spool.append(&record(number)).await.unwrap();
        use std::io::Write as _;
        writeln!(std::io::stderr(), "kept {number}").unwrap();
    }
}

/// Lets a process append, ends it with SIGKILL, and answers how many records it had been told were kept.
fn killed(folder: &Path) -> u32 {
    use std::io::BufRead as _;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_killed_process_appends", "--nocapture"])
        .env(CHILD, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut kept = lines.filter_map(|line| line.strip_prefix("kept ").and_then(|number| number.parse::<u32>().ok()));
    let last = kept.by_ref().find(|number| *number >= 40).unwrap();
    child.kill().unwrap();
    let last = kept.last().unwrap_or(last);
    child.wait().unwrap();
    last + 1
}

#[tokio::test]
async fn everything_kept_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let kept = killed(folder.path());
    let (spool, _writer) = open(folder.path());
    let found = decoded(&spool);
    assert!(found.len() >= kept as usize, "{} of {kept}", found.len());
    for (number, record) in (0..kept).zip(&found) {
        assert_eq!(*record, self::record(number));
    }
    spool.append(&record(9_999)).await.unwrap();
    assert_eq!(decoded(&spool).last(), Some(&record(9_999)));
}

#[tokio::test]
async fn a_torn_last_record_costs_itself_alone() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    killed(&whole);
    let journal = std::fs::read(journal(&whole)).unwrap();
    let end = journal.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let opened = open(&copy(&whole, &journal));
    let before = decoded(&opened.0);
    close(opened);
    let torn = |cut: usize, fill: Option<u8>| {
        let mut bytes = journal[..end - cut].to_vec();
        if let Some(fill) = fill {
            bytes.resize(end, fill);
        }
        bytes
    };
    for cut in [1, 2, 7, 40, 100] {
        for fill in [None, Some(0), Some(0xaa)] {
            let (spool, writer) = open(&copy(&whole, &torn(cut, fill)));
            let left = decoded(&spool);
            assert_eq!(left, before[..before.len() - 1], "cut {cut}, filled with {fill:?}");
            spool.append(&record(9_999)).await.unwrap();
            close((spool, writer));
        }
    }
}

/// The journal of a store that was killed before it had sorted anything into files.
fn journal(folder: &Path) -> std::path::PathBuf {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|end| end == "jnl")).min().unwrap()
}

/// A copy of a killed store with another journal in it.
fn copy(whole: &Path, bytes: &[u8]) -> std::path::PathBuf {
    let copy = whole.with_file_name("copy");
    let _ = std::fs::remove_dir_all(&copy);
    let copied = Command::new("cp").arg("-r").args([whole, &copy]).status().unwrap();
    assert!(copied.success());
    std::fs::write(journal(&copy), bytes).unwrap();
    copy
}

#[tokio::test]
async fn a_store_whose_making_was_broken_off_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    for (place, left) in [vec!["lock"], vec!["lock", "0.jnl"], vec!["lock", "0.jnl", "version"]].iter().enumerate() {
        let spool = folder.path().join(place.to_string());
        std::fs::create_dir(&spool).unwrap();
        for file in left {
            std::fs::write(spool.join(file), "").unwrap();
        }
        let (spool, _writer) = open(&spool);
        spool.append(&record(1)).await.unwrap();
    }
}
