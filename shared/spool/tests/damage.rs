//! Files as a loss of power or a bad disk leaves them: what is damaged is lost, named and kept, and nothing else is.
#![allow(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chrono::DateTime;
use contract::Meta;
use rusqlite::Connection;
use spool::{Limits, Record, Spool, Writer};
use tempfile::TempDir;
use uuid::Uuid;

const LIMITS: Limits = Limits { bytes_max: u64::MAX, free_bytes_min: 0 };
const DEADLINE: Duration = Duration::from_secs(30);
const PAGE_BYTES: usize = 4096;
const LOG_HEAD_BYTES: usize = 32;
const FRAME_BYTES: usize = 24 + PAGE_BYTES;

fn record(number: usize, body_bytes: usize) -> Record {
    let meta = Meta {
        message_id: number.to_string(),
        kind: "alert.observed.v1".to_owned(),
        tenant: Uuid::from_u128(7),
        attempt: 0,
        first_published_at: DateTime::UNIX_EPOCH,
        traceparent: None,
        reason: None,
    };
    let body = vec![u8::try_from(number % 251).unwrap(); body_bytes];
    Record { exchange: "muster.work".to_owned(), routing_key: "key".to_owned(), meta, body }
}

/// The numbers of the records that can be read, each of which is as it was written.
fn numbers(spool: &Spool, body_bytes: usize) -> Vec<usize> {
    let (mut numbers, mut from) = (Vec::new(), 0);
    loop {
        let entries = match spool.read(from, 500) {
            Ok(entries) => entries,
            // it is being replaced
            Err(_) => continue,
        };
        let Some(last) = entries.last() else { return numbers };
        from = last.number + 1;
        for entry in entries.iter().filter(|entry| entry.is_whole) {
            let found = Record::decode(&entry.bytes).unwrap();
            let number = found.meta.message_id.parse().unwrap();
            assert_eq!(found, record(number, body_bytes));
            numbers.push(number);
        }
    }
}

fn close((spool, writer): (Spool, Writer)) {
    drop(spool);
    assert!(writer.join(DEADLINE));
}

/// The files of a store whose process was killed after so many appends, each a group of its own: nothing is copied from
/// the log to its place.
async fn killed(records: usize, body_bytes: usize) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let dead = folder.path().join("dead");
    for attempt in 0..20 {
        let live = folder.path().join(format!("live-{attempt}"));
        let (spool, writer) = Spool::open(&live, LIMITS).unwrap();
        for number in 0..records {
            spool.append(&record(number, body_bytes)).await.unwrap();
        }
        copy(&live, &dead);
        close((spool, writer));
        // on a slow machine a second without an append may have gone by
        if std::fs::metadata(database(&dead)).unwrap().len() <= PAGE_BYTES as u64 {
            return (folder, dead);
        }
    }
    panic!("the log was copied to its place each time");
}

/// The files of a store that was closed: everything is in its place.
async fn closed(records: usize, body_bytes: usize) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("spool");
    let (spool, writer) = Spool::open(&root, LIMITS).unwrap();
    for number in 0..records {
        spool.append(&record(number, body_bytes)).await.unwrap();
    }
    close((spool, writer));
    assert!(!log(&root).exists());
    (folder, root)
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    assert!(std::process::Command::new("cp").arg("-r").args([from, to]).status().unwrap().success());
}

fn log(root: &Path) -> PathBuf {
    root.join("store/spool.db-wal")
}

fn database(root: &Path) -> PathBuf {
    root.join("store/spool.db")
}

/// The first and the last frame of each group.
fn groups(log: &[u8]) -> Vec<(usize, usize)> {
    let frames = (log.len() - LOG_HEAD_BYTES) / FRAME_BYTES;
    let (mut groups, mut first) = (Vec::new(), 0);
    for frame in 0..frames {
        let head = &log[LOG_HEAD_BYTES + frame * FRAME_BYTES..];
        if head[8..16] != log[16..24] {
            break;
        }
        if head[4..8] != [0; 4] {
            groups.push((first, frame));
            first = frame + 1;
        }
    }
    groups
}

/// Zeros over a frame's page, or over the whole frame.
fn zero(log: &mut [u8], frame: usize, with_head: bool) {
    let begin = LOG_HEAD_BYTES + frame * FRAME_BYTES;
    log[begin + if with_head { 0 } else { 24 }..begin + FRAME_BYTES].fill(0);
}

/// What a start finds, and whether it kept something for a person.
fn start(root: &Path, body_bytes: usize) -> (Vec<usize>, u64) {
    let (spool, writer) = Spool::open(root, LIMITS).unwrap();
    let found = (numbers(&spool, body_bytes), spool.figures().broken);
    assert_eq!(spool.figures().records, found.0.len() as u64);
    close((spool, writer));
    found
}

#[tokio::test]
async fn a_page_that_is_missing_in_the_last_group_costs_that_group_alone() {
    const BODY_BYTES: usize = 20_000;
    let (folder, dead) = killed(21, BODY_BYTES).await;
    let whole = std::fs::read(log(&dead)).unwrap();
    assert_eq!(start(&dead, BODY_BYTES).0, (0..21).collect::<Vec<_>>(), "a kill costs nothing");
    let (first, last) = *groups(&whole).last().unwrap();
    assert!(last - first > 4, "a record of 20 KB has pages inside");
    let try_it = |bytes: &[u8], what: &str| {
        let torn = folder.path().join("torn");
        copy(&dead, &torn);
        let _ = std::fs::remove_file(log(&torn));
        std::fs::write(log(&torn), bytes).unwrap();
        assert_eq!(start(&torn, BODY_BYTES), ((0..20).collect::<Vec<_>>(), 0), "{what}");
        assert_eq!(start(&torn, BODY_BYTES).0.len(), 20, "and the next start");
    };
    for frame in first..=last {
        for with_head in [false, true] {
            let mut torn = whole.clone();
            zero(&mut torn, frame, with_head);
            try_it(&torn, &format!("frame {frame} of {first} to {last}, its head too: {with_head}"));
        }
        try_it(&whole[..LOG_HEAD_BYTES + frame * FRAME_BYTES + 100], &format!("cut in frame {frame}"));
    }
}

#[tokio::test]
async fn a_page_that_is_missing_in_an_earlier_group_keeps_what_is_before_it_and_a_copy_of_the_rest() {
    let (_folder, dead) = killed(21, 1_000).await;
    let mut bytes = std::fs::read(log(&dead)).unwrap();
    // the first group made the tables
    let (frame, _) = groups(&bytes)[1 + 10];
    zero(&mut bytes, frame, true);
    std::fs::write(log(&dead), &bytes).unwrap();
    assert_eq!(start(&dead, 1_000), ((0..10).collect::<Vec<_>>(), 1));
    let mut entries = std::fs::read_dir(&dead).unwrap().map(|entry| entry.unwrap().path());
    let kept = entries.find(|path| path.file_name().unwrap().to_string_lossy().starts_with("broken-")).unwrap();
    let kept = std::fs::read(kept.join("spool.db-wal")).unwrap();
    let differs = kept.iter().zip(&bytes).position(|(left, right)| left != right);
    assert_eq!((kept.len(), differs), (bytes.len(), None), "nothing is destroyed");
}

/// Waits until nothing more comes out of the damaged store.
async fn until_rescued(spool: &Spool) {
    let begun = Instant::now();
    let is_rescued = || {
        let mut entries = std::fs::read_dir(spool.folder()).unwrap().map(|entry| entry.unwrap().file_name());
        entries.any(|name| name.to_string_lossy().starts_with("broken-"))
    };
    while !is_rescued() || spool.figures().broken == 0 {
        assert!(begun.elapsed() < DEADLINE, "the damaged store was not emptied");
        // whoever reads notices the damage
        let _ = spool.read(0, usize::MAX);
        tokio::task::yield_now().await;
    }
}

/// The place of a table's page in the middle, and of the index's.
fn page_of(root: &Path, name: &str) -> usize {
    let connection = Connection::open(database(root)).unwrap();
    let find = "select pageno from dbstat where name = ?1 and pagetype = 'leaf' order by pageno";
    let mut find = connection.prepare(find).unwrap();
    let pages: Vec<u32> = find.query_map([name], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    pages[pages.len() / 2] as usize
}

fn zero_page(root: &Path, page: usize) {
    let mut bytes = std::fs::read(database(root)).unwrap();
    bytes[(page - 1) * PAGE_BYTES..page * PAGE_BYTES].fill(0);
    std::fs::write(database(root), bytes).unwrap();
}

#[tokio::test]
async fn a_page_of_zeros_costs_its_records_alone_and_figures_are_there_before_it_is_touched() {
    const RECORDS: usize = 600;
    let (_folder, root) = closed(RECORDS, 1_000).await;
    zero_page(&root, page_of(&root, "waiting"));
    let (spool, writer) = Spool::open(&root, LIMITS).unwrap();
    assert_eq!((spool.figures().records, spool.figures().broken), (RECORDS as u64, 0), "opening reads no record");
    until_rescued(&spool).await;
    let found = numbers(&spool, 1_000);
    assert!((RECORDS - 4..RECORDS).contains(&found.len()), "{} of {RECORDS}", found.len());
    assert_eq!(spool.figures().records, found.len() as u64);
    spool.append(&record(RECORDS, 1_000)).await.unwrap();
    close((spool, writer));
    assert_eq!(start(&root, 1_000).0.len(), found.len() + 1);
}

#[tokio::test]
async fn a_page_of_the_index_costs_nothing_and_an_orphan_is_rescued_before_it_is_emptied() {
    let (_folder, root) = closed(2_000, 1_000).await;
    zero_page(&root, page_of(&root, "waiting_numbers"));
    let (spool, writer) = Spool::adopt(&root).unwrap();
    assert_eq!(numbers(&spool, 1_000).len(), 2_000);
    assert_eq!(spool.figures().records, 2_000);
    close((spool, writer));
}

#[tokio::test]
async fn a_file_that_is_no_database_is_kept_and_an_empty_one_begun() {
    for rubbish in [vec![0; 3 * PAGE_BYTES], b"no database, but long enough to be looked at as one".repeat(400)] {
        let (_folder, root) = closed(10, 1_000).await;
        std::fs::write(database(&root), &rubbish).unwrap();
        let (spool, writer) = Spool::open(&root, LIMITS).unwrap();
        assert!(spool.is_empty());
        spool.append(&record(1, 1_000)).await.unwrap();
        until_rescued(&spool).await;
        assert_eq!(numbers(&spool, 1_000), [1]);
        close((spool, writer));
    }
}

#[tokio::test]
async fn a_bit_that_has_rotted_is_named_and_is_no_other_message() {
    let (_folder, root) = closed(3, 1_000).await;
    let mut bytes = std::fs::read(database(&root)).unwrap();
    let place = bytes.windows(100).position(|window| window == [1; 100]).unwrap();
    bytes[place] ^= 4;
    std::fs::write(database(&root), bytes).unwrap();
    let (spool, writer) = Spool::open(&root, LIMITS).unwrap();
    let entries = spool.read(0, 10).unwrap();
    assert_eq!(entries.iter().map(|entry| entry.is_whole).collect::<Vec<_>>(), [true, false, true]);
    spool.set_aside(&entries[1]).unwrap();
    assert!(!spool.read_aside(0, 10).unwrap()[0].is_whole, "to be moved does not make it whole");
    assert_eq!((spool.figures().records, spool.figures().set_aside), (2, 1));
    close((spool, writer));
}

#[tokio::test]
async fn totals_that_do_not_fit_are_counted_anew() {
    let (_folder, root) = closed(3, 1_000).await;
    let connection = Connection::open(database(&root)).unwrap();
    connection.execute("update totals set waiting = 0, bytes = 7", []).unwrap();
    drop(connection);
    let (spool, writer) = Spool::open(&root, LIMITS).unwrap();
    let begun = Instant::now();
    while spool.figures().records != 3 || spool.figures().bytes < 3_000 {
        assert!(begun.elapsed() < DEADLINE, "{:?}", spool.figures());
        tokio::task::yield_now().await;
    }
    close((spool, writer));
}
