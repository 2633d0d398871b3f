//! The store on a real disk: what survives, what is refused, what is set aside.
#![allow(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use chrono::DateTime;
use contract::Meta;
use spool::{AppendError, Entry, Full, Limits, OpenError, Record, Spool, Writer};
use uuid::Uuid;

/// Set in the environment of the process that is killed: this test binary again.
const CHILD: &str = "MUSTER_TEST_SPOOL_CHILD";
const DEADLINE: Duration = Duration::from_secs(30);
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
    assert!(writer.join(DEADLINE));
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
    assert!(matches!(Spool::adopt(&empty), Err(OpenError::NoSpool { .. })));
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
    assert!(matches!(Spool::open(&file, LIMITS), Err(OpenError::NoSpool { .. })));
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
async fn a_store_whose_making_was_broken_off_is_made_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    for (place, left) in [vec!["lock"], vec!["lock", "store/spool.db"]].iter().enumerate() {
        let root = folder.path().join(place.to_string());
        std::fs::create_dir_all(root.join("store")).unwrap();
        for file in left {
            std::fs::write(root.join(file), "").unwrap();
        }
        let (spool, _writer) = open(&root);
        spool.append(&record(1)).await.unwrap();
        assert_eq!(spool.figures().broken, 0);
    }
}

#[tokio::test]
async fn at_its_quota_it_refuses_until_something_was_removed_however_little_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let opened = open(folder.path());
    opened.0.append(&record(1)).await.unwrap();
    let one = opened.0.figures().bytes;
    close(opened);
    for left in [0, 1, one - 1] {
        let limits = Limits { bytes_max: one + left, ..LIMITS };
        let (spool, writer) = Spool::open(folder.path(), limits).unwrap();
        assert_eq!(spool.append(&record(2)).await, Err(AppendError::Full(Full::Quota)), "{left} bytes left");
        for _ in 0..3 {
            assert_eq!(spool.append(&record(2)).await, Err(AppendError::Full(Full::Quota)));
            assert_eq!((spool.figures().full, spool.is_writable()), (Some(Full::Quota), false), "{left} bytes left");
        }
        let kept = all(&spool);
        spool.remove(&kept).unwrap();
        assert!(spool.is_writable());
        spool.append(&record(1)).await.unwrap();
        close((spool, writer));
    }
}

#[tokio::test]
async fn nobody_else_on_the_machine_may_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("state/spool");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for _ in 0..2 {
        let opened = open(&root);
        opened.0.append(&record(1)).await.unwrap();
        assert_eq!([root.parent().unwrap(), &root, &root.join("store")].map(mode), [0o700; 3]);
        let files = ["lock", "store/spool.db", "store/spool.db-wal"].map(|file| root.join(file));
        assert_eq!(files.each_ref().map(|file| mode(file)), [0o600; 3]);
        close(opened);
        // as an earlier version, or a restore, may have left it
        for (path, wide) in [(&root, 0o755), (&root.join("store"), 0o755), (&root.join("store/spool.db"), 0o644)] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(wide)).unwrap();
        }
    }
}

#[tokio::test]
async fn the_disk_comes_back_when_the_spool_was_emptied() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, writer) = open(folder.path());
    let mut large = record(1);
    large.body = vec![b'x'; 200_000];
    for _ in 0..100 {
        spool.append(&large).await.unwrap();
    }
    let database = folder.path().join("store/spool.db");
    let size = || std::fs::metadata(&database).unwrap().len();
    let begun = std::time::Instant::now();
    while size() < 20_000_000 {
        assert!(begun.elapsed() < DEADLINE, "the log is copied while nobody appends");
        tokio::task::yield_now().await;
    }
    while !spool.is_empty() {
        spool.remove(&all(&spool)).unwrap();
    }
    while size() > 1_000_000 {
        assert!(begun.elapsed() < 2 * DEADLINE, "{} bytes for nothing", size());
        tokio::task::yield_now().await;
    }
    close((spool, writer));
}
