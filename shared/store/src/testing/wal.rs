//! How much a piece of work writes to the server's log, for benchmarks: told apart from what other databases write, and from
//! the images of whole pages that follow a checkpoint.

use std::future::Future;

use sqlx::Connection;
use sqlx::postgres::PgConnection;

use super::TestDatabase;

/// What was written to the log on behalf of one database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wal {
    /// All records, page images left out.
    pub bytes: u64,
    /// Images of whole pages: each page's first change after a checkpoint. A record beside one may lack its row.
    pub page_image_bytes: u64,
    /// Records.
    pub records: u64,
    /// Updates that stayed on their page and touched no index.
    pub hot_updates: u64,
    /// All other updates.
    pub cold_updates: u64,
}

/// Does the work and says what it wrote to the log of this database's server, on behalf of this database alone; the server
/// may be shared. Needs a superuser, for the extension `pg_walinspect`, and a replication slot.
///
/// `checkpoint`: after a checkpoint, so that each page that the work changes has its image written once.
///
/// # Panics
/// When the server is gone or has no such extension.
pub async fn wal_bytes<T>(database: &TestDatabase, checkpoint: bool, work: impl Future<Output = T>) -> (T, Wal) {
    let mut connection = database.connect().await;
    // the end of what is measured must be on disk, also where the server's commits do not wait for that
    sqlx::raw_sql("set synchronous_commit = on; create extension if not exists pg_walinspect")
        .execute(&mut connection)
        .await
        .expect("the role may create the extension");
    // checkpoints recycle the log: the slot keeps what is written from here on, and goes with its connection
    sqlx::query("select pg_create_physical_replication_slot('muster_wal_' || pg_backend_pid(), true, true)")
        .execute(&mut connection)
        .await
        .expect("the server has a replication slot to give, and its role may take it");
    if checkpoint {
        sqlx::raw_sql("checkpoint").execute(&mut connection).await.expect("the role may checkpoint");
    }
    let before = lsn(&mut connection).await;
    let done = work.await;
    let after = lsn(&mut connection).await;
    let wal = read(&mut connection, &before, &after).await;
    // a connection that stays would keep the database from being dropped
    let _ = connection.close().await;
    (done, wal)
}

async fn lsn(connection: &mut PgConnection) -> String {
    // a message in the log, flushed with its commit: what came before it can be read from disk
    sqlx::query_scalar("select pg_logical_emit_message(true, 'muster', '')::text")
        .fetch_one(connection)
        .await
        .expect("the role may write to the log")
}

/// Records that touch a page of this database, and those of the same transactions that touch none (commits).
async fn read(connection: &mut PgConnection, before: &str, after: &str) -> Wal {
    let row: (i64, i64, i64, i64, i64) = sqlx::query_as(
        "with record as materialized (
             select xid, record_type, record_length, fpi_length,
                    block_ref like '%/' || (select oid from pg_database where datname = current_database()) || '/%' as is_ours
             from pg_get_wal_records_info($1::pg_lsn, $2::pg_lsn)
         )
         select coalesce(sum(record_length - fpi_length), 0)::int8, coalesce(sum(fpi_length), 0)::int8, count(*),
                count(*) filter (where record_type like 'HOT_UPDATE%'),
                count(*) filter (where record_type like 'UPDATE%')
         from record
         where is_ours or (is_ours is null and xid::text in (select xid::text from record where is_ours and xid::text <> '0'))",
    )
    .bind(before)
    .bind(after)
    .fetch_one(connection)
    .await
    .expect("the log of a moment ago can be read");
    let unsigned = |number: i64| u64::try_from(number).unwrap_or_default();
    Wal {
        bytes: unsigned(row.0),
        page_image_bytes: unsigned(row.1),
        records: unsigned(row.2),
        hot_updates: unsigned(row.3),
        cold_updates: unsigned(row.4),
    }
}
