//! The tables of a spool and their statements.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use crc::{CRC_32_ISO_HDLC, Crc};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, Row, Transaction, params};

use super::{Entry, Shelf};
use crate::gauge::Totals;

/// Bytes of a page: that of the disk's, so that what one bad page costs is small.
pub(super) const PAGE_BYTES: u64 = 4096;
/// Pages of the log after which they are copied to their places, 16 MiB: more would make the copy felt.
const CHECKPOINT_PAGES: i64 = 4096;
/// What the log may keep of the disk once it was copied.
const LOG_BYTES_MAX: i64 = 64 * 1024 * 1024;
/// KiB of pages in memory; a record is read once.
const CACHE_KIB: i64 = 4096;
/// Pages given back to the disk in one go, 4 MiB.
const VACUUM_PAGES: u32 = 1024;
/// Bytes of one read; a record has at most 256 KiB and a little.
const READ_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The version of the tables.
const VERSION: i64 = 1;
/// The index holds every number a second time: by it the records beyond a damaged page are found, and those in it named.
const TABLES: &str = "
    create table waiting (number integer primary key, bytes blob not null, sum integer not null) strict;
    create index waiting_numbers on waiting (number);
    create table aside (number integer primary key, bytes blob not null, sum integer not null) strict;
    create index aside_numbers on aside (number);
    create table totals (one integer primary key check (one = 1), waiting integer not null, aside integer not null,
        bytes integer not null) strict;
    insert into totals values (1, 0, 0, 0);
    pragma user_version = 1;";

const SUM: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// The open database.
pub(super) struct Table {
    connection: Connection,
}

/// What a write changes of the totals.
#[derive(Debug, Clone, Copy, Default)]
struct Change {
    waiting: i64,
    aside: i64,
    bytes: i64,
}

/// Whether the file is not what was written: nothing that passes or that room or rights would mend.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

impl Table {
    /// Opens a database's file, an empty one too; `recovered` learns how many frames of the log hold before anything is
    /// written.
    pub(super) fn open(file: &Path, recovered: impl FnOnce(usize)) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(file, flags)?;
        connection.busy_timeout(Duration::ZERO)?;
        // exclusive: the log's index is in our memory, not in a file that a failing disk takes from under us
        connection.pragma_update(None, "locking_mode", "exclusive")?;
        if std::fs::metadata(file).is_ok_and(|file| file.len() == 0) {
            // where there is a database these would write before the log was looked at
            connection.pragma_update(None, "page_size", PAGE_BYTES as i64)?;
            connection.pragma_update(None, "auto_vacuum", "incremental")?;
        }
        connection.pragma_update(None, "trusted_schema", "off")?;
        connection.pragma_update(None, "cell_size_check", "on")?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
        // a commit is on the disk when it returns
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        connection.pragma_update(None, "journal_size_limit", LOG_BYTES_MAX)?;
        let version: i64 = connection.query_row("pragma user_version", [], |row| row.get(0))?;
        let frames: i64 = connection.query_row("pragma wal_checkpoint(noop)", [], |row| row.get(1))?;
        recovered(usize::try_from(frames).unwrap_or_default());
        match version {
            0 => {
                let making = connection.transaction()?;
                making.execute_batch(TABLES)?;
                making.commit()?;
            }
            VERSION => {}
            later => {
                return Err(rusqlite::Error::InvalidParameterName(format!("a later Muster wrote it: form {later}")));
            }
        }
        Ok(Self { connection })
    }

    /// Appends, syncs; the numbers must be free.
    pub(super) fn append(&mut self, records: &[(u64, &[u8])]) -> rusqlite::Result<Totals> {
        self.write(|writing| {
            let mut insert = writing.prepare("insert into waiting (number, bytes, sum) values (?1, ?2, ?3)")?;
            let mut change = Change::default();
            for (number, bytes) in records {
                insert.execute(params![key(*number), bytes, sum(*number, bytes)])?;
                change.waiting += 1;
                change.bytes += length(bytes);
            }
            Ok(change)
        })
    }

    pub(super) fn remove(&mut self, entries: &[Entry]) -> rusqlite::Result<Totals> {
        self.write(|writing| {
            let mut change = Change::default();
            for entry in entries {
                let statement = format!("delete from {} where number = ?1", entry.shelf.name());
                let gone = i64::try_from(writing.execute(&statement, [key(entry.number)])?).unwrap_or_default();
                match entry.shelf {
                    Shelf::Waiting => change.waiting -= gone,
                    Shelf::Aside => change.aside -= gone,
                }
                change.bytes -= gone * length(&entry.bytes);
            }
            Ok(change)
        })
    }

    pub(super) fn set_aside(&mut self, entry: &Entry) -> rusqlite::Result<Totals> {
        let number = [key(entry.number)];
        self.write(|writing| {
            // the sum goes with it: what rotted is not made whole by being moved
            let copy =
                "insert into aside (number, bytes, sum) select number, bytes, sum from waiting where number = ?1";
            writing.execute(copy, number)?;
            let gone = i64::try_from(writing.execute("delete from waiting where number = ?1", number)?);
            let gone = gone.unwrap_or_default();
            Ok(Change { waiting: -gone, aside: gone, bytes: 0 })
        })
    }

    /// Takes in what was rescued. A number that another record has meanwhile is raised; the same record is not doubled.
    pub(super) fn take_in(&mut self, entries: &[Entry]) -> rusqlite::Result<Totals> {
        self.write(|writing| {
            let mut change = Change::default();
            for entry in entries {
                let name = entry.shelf.name();
                let mut number = entry.number;
                loop {
                    let there = format!("select bytes from {name} where number = ?1");
                    let there: Option<Vec<u8>> =
                        writing.query_row(&there, [key(number)], |row| row.get(0)).optional()?;
                    match there {
                        Some(bytes) if bytes == entry.bytes => break,
                        Some(_) => number += 1,
                        None => {
                            let insert = format!("insert into {name} (number, bytes, sum) values (?1, ?2, ?3)");
                            writing.execute(&insert, params![key(number), entry.bytes, sum(number, &entry.bytes)])?;
                            match entry.shelf {
                                Shelf::Waiting => change.waiting += 1,
                                Shelf::Aside => change.aside += 1,
                            }
                            change.bytes += length(&entry.bytes);
                            break;
                        }
                    }
                }
            }
            Ok(change)
        })
    }

    /// A write that changes nothing: whether the disk takes any.
    pub(super) fn probe(&mut self) -> rusqlite::Result<Totals> {
        self.write(|_| Ok(Change::default()))
    }

    /// One transaction, the totals in it.
    fn write(&mut self, what: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<Change>) -> rusqlite::Result<Totals> {
        let writing = self.connection.transaction()?;
        let Change { waiting, aside, bytes } = what(&writing)?;
        let change = "update totals set waiting = waiting + ?1, aside = aside + ?2, bytes = bytes + ?3";
        writing.execute(change, [waiting, aside, bytes])?;
        let totals = totals(&writing)?;
        writing.commit()?;
        Ok(totals)
    }

    /// What is in it; reads a handful of pages.
    pub(super) fn totals(&self) -> rusqlite::Result<Totals> {
        totals(&self.connection)
    }

    /// Counts anew; reads everything.
    pub(super) fn recount(&mut self) -> rusqlite::Result<Totals> {
        let counting = self.connection.transaction()?;
        counting.execute(
            "update totals set waiting = (select count(*) from waiting), aside = (select count(*) from aside),
                bytes = (select coalesce(sum(length(bytes)), 0) from waiting)
                    + (select coalesce(sum(length(bytes)), 0) from aside)",
            [],
        )?;
        let totals = totals(&counting)?;
        counting.commit()?;
        Ok(totals)
    }

    /// From a number on, in order, at most so many and no more than [`READ_BYTES_MAX`] unless it is one.
    pub(super) fn read(&self, shelf: Shelf, from: u64, records_max: usize) -> rusqlite::Result<Vec<Entry>> {
        let name = shelf.name();
        let read = format!("select number, bytes, sum from {name} where number >= ?1 order by number limit ?2");
        let mut read = self.connection.prepare(&read)?;
        let limit = i64::try_from(records_max).unwrap_or(i64::MAX);
        let mut rows = read.query([key(from), limit])?;
        let (mut found, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            let entry = entry(row, shelf)?;
            bytes += entry.bytes.len();
            found.push(entry);
            if bytes >= READ_BYTES_MAX {
                break;
            }
        }
        Ok(found)
    }

    /// One record.
    pub(super) fn get(&self, shelf: Shelf, number: u64) -> rusqlite::Result<Option<Entry>> {
        let get = format!("select number, bytes, sum from {} where number = ?1", shelf.name());
        self.connection.query_row(&get, [key(number)], |row| entry(row, shelf)).optional()
    }

    /// Every number that is found on any way through a damaged file.
    pub(super) fn numbers(&self, shelf: Shelf) -> BTreeSet<u64> {
        let (name, mut found) = (shelf.name(), BTreeSet::new());
        for way in [format!("indexed by {name}_numbers"), "not indexed".to_owned()] {
            for order in ["asc", "desc"] {
                let walk = format!("select number from {name} {way} order by number {order}");
                let walked = self.connection.prepare(&walk).and_then(|mut walk| {
                    let mut rows = walk.query([])?;
                    while let Some(row) = rows.next()? {
                        found.insert(unkey(row.get(0)?));
                    }
                    Ok(())
                });
                if walked.is_ok() {
                    return found;
                }
            }
        }
        found
    }

    /// Whether every page is what it should be; reads everything.
    pub(super) fn is_whole(&self) -> rusqlite::Result<bool> {
        let answer: String = self.connection.query_row("pragma quick_check(1)", [], |row| row.get(0))?;
        Ok(answer == "ok")
    }

    /// Copies what is in the log to its place, and gives pages that are empty back to the disk; whether there are more.
    pub(super) fn tidy(&self) -> rusqlite::Result<bool> {
        let free =
            |connection: &Connection| connection.query_row("pragma freelist_count", [], |row| row.get::<_, u32>(0));
        if free(&self.connection)? > 0 {
            let mut vacuum = self.connection.prepare(&format!("pragma incremental_vacuum({VACUUM_PAGES})"))?;
            let mut rows = vacuum.query([])?;
            while rows.next()?.is_some() {}
        }
        self.connection.query_row("pragma wal_checkpoint(passive)", [], |_| Ok(()))?;
        Ok(free(&self.connection)? > 0)
    }

    /// How a setting stands at the open connection.
    #[cfg(test)]
    pub(super) fn pragma(&self, name: &str) -> i64 {
        self.connection.query_row(&format!("pragma {name}"), [], |row| row.get(0)).unwrap_or(-1)
    }
}

fn totals(connection: &Connection) -> rusqlite::Result<Totals> {
    let counted = connection.query_row("select waiting, aside, bytes from totals", [], |row| {
        Ok([row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?])
    })?;
    let outermost = |what: &str, shelf: Shelf| {
        let find = format!("select {what}(number) from {}", shelf.name());
        connection.query_row(&find, [], |row| row.get::<_, Option<i64>>(0))
    };
    let oldest = outermost("min", Shelf::Waiting)?.map(unkey);
    let last = outermost("max", Shelf::Waiting)?.max(outermost("max", Shelf::Aside)?);
    let has_aside = outermost("min", Shelf::Aside)?.is_some();
    let [waiting, aside, bytes] = counted.map(|count| u64::try_from(count).unwrap_or_default());
    Ok(Totals {
        waiting,
        aside,
        bytes,
        oldest,
        last: last.map(unkey).unwrap_or_default(),
        is_sure: counted.iter().all(|count| *count >= 0)
            && (waiting > 0) == oldest.is_some()
            && (aside > 0) == has_aside
            && (bytes > 0) == (waiting + aside > 0),
    })
}

fn entry(row: &Row<'_>, shelf: Shelf) -> rusqlite::Result<Entry> {
    let number = unkey(row.get(0)?);
    // what has another type was not written by us
    let bytes = row.get_ref(1)?.as_blob().unwrap_or_default().to_vec();
    let is_whole = row.get_ref(2)?.as_i64().is_ok_and(|kept| kept == sum(number, &bytes));
    Ok(Entry { number, bytes, is_whole, shelf })
}

/// The sum of a record and its number, so that no record is taken for another.
fn sum(number: u64, bytes: &[u8]) -> i64 {
    let mut sum = SUM.digest();
    sum.update(&number.to_be_bytes());
    sum.update(bytes);
    i64::from(sum.finalize())
}

/// Numbers are microseconds since the epoch, far below the greatest.
fn key(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unkey(key: i64) -> u64 {
    u64::try_from(key).unwrap_or_default()
}

fn length(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}
