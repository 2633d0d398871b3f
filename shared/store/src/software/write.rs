//! The statements of a batch, each over all of its rows.
//!
//! Rows that are changed or dropped are found one by one and taken by their place: `lock::by_key` leaves the order of a join
//! to the statement, and a tenant's whole table joined with ten thousand rows takes longer than a statement may. The report and
//! the versions are written under the connection's lock alone; the programs, which are AlgaPSA's table, are locked as they are
//! found, so that none that somebody has just changed is left out.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::postgres::PgConnection;
use tracing::Instrument as _;
use uuid::Uuid;

use super::Batch;
use super::diff::{Row, Writes};
use crate::Error;
use crate::alert::statement;
use crate::error::Attempt;

/// Writes it all.
pub(super) async fn write(connection: &mut PgConnection, batch: &Batch, writes: &Writes) -> Result<(), Error> {
    write_links(connection, batch, &writes.links).await?;
    end_links(connection, batch, &writes.gone).await?;
    drop_versions(connection, batch, &writes.versions_gone).await?;
    write_versions(connection, batch, &writes.versions).await?;
    write_changes(connection, batch, writes).await?;
    write_reports(connection, batch, writes).await?;
    note_emptied(connection, batch, &writes.emptied).await
}

/// The columns of a version.
struct Columns<'a> {
    assets: Vec<Uuid>,
    programs: Vec<Uuid>,
    versions: Vec<&'a str>,
    dates: Vec<Option<NaiveDate>>,
    paths: Vec<Option<&'a str>>,
    sizes: Vec<Option<i64>>,
}

impl<'a> Columns<'a> {
    fn of(rows: &'a [Row]) -> Self {
        Self {
            assets: rows.iter().map(|row| row.asset_id).collect(),
            programs: rows.iter().map(|row| row.software_id).collect(),
            versions: rows.iter().map(|row| row.version.as_str()).collect(),
            dates: rows.iter().map(|row| row.details.install_date).collect(),
            paths: rows.iter().map(|row| row.details.path.as_deref()).collect(),
            sizes: rows.iter().map(|row| row.details.size_bytes).collect(),
        }
    }
}

async fn write_links(connection: &mut PgConnection, batch: &Batch, rows: &[Row]) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let columns = Columns::of(rows);
    sqlx::query_file!(
        "sql/software/write_links.sql",
        batch.tenant,
        batch.fetched_at,
        &columns.assets,
        &columns.programs,
        &columns.versions as _,
        &columns.dates as _,
        &columns.paths as _,
        &columns.sizes as _
    )
    .execute(connection)
    .instrument(statement("INSERT", "asset_software", rows.len()))
    .await
    .attempt(format!("write {} programs of devices", rows.len()))
    .map(drop)
}

async fn end_links(connection: &mut PgConnection, batch: &Batch, gone: &[(Uuid, Uuid)]) -> Result<(), Error> {
    if gone.is_empty() {
        return Ok(());
    }
    let (assets, programs): (Vec<Uuid>, Vec<Uuid>) = gone.iter().copied().unzip();
    sqlx::query!(
        "update asset_software s set is_current = false, uninstalled_at = $2
         from unnest($3::uuid[], $4::uuid[]) n (asset_id, software_id)
         cross join lateral (
             select o.ctid as place from asset_software o
             where o.tenant = $1 and o.asset_id = n.asset_id and o.software_id = n.software_id and o.is_current
             offset 0
             for no key update
         ) old
         where s.ctid = old.place",
        batch.tenant,
        batch.fetched_at,
        &assets,
        &programs
    )
    .execute(connection)
    .instrument(statement("UPDATE", "asset_software", gone.len()))
    .await
    .attempt(format!("mark {} programs of devices as gone", gone.len()))
    .map(drop)
}

async fn drop_versions(
    connection: &mut PgConnection,
    batch: &Batch,
    gone: &[(Uuid, Uuid, String)],
) -> Result<(), Error> {
    if gone.is_empty() {
        return Ok(());
    }
    let assets: Vec<Uuid> = gone.iter().map(|(asset_id, _, _)| *asset_id).collect();
    let programs: Vec<Uuid> = gone.iter().map(|(_, software_id, _)| *software_id).collect();
    let versions: Vec<&str> = gone.iter().map(|(_, _, version)| version.as_str()).collect();
    sqlx::query!(
        "delete from muster.software_version v
         using unnest($2::uuid[], $3::uuid[], $4::text[]) n (asset_id, software_id, version)
         cross join lateral (
             select o.ctid as place from muster.software_version o
             where o.tenant = $1 and o.asset_id = n.asset_id and o.software_id = n.software_id and o.version = n.version
             offset 0
         ) old
         where v.ctid = old.place",
        batch.tenant,
        &assets,
        &programs,
        &versions as _
    )
    .execute(connection)
    .instrument(statement("DELETE", "muster.software_version", gone.len()))
    .await
    .attempt(format!("drop {} versions of programs", gone.len()))
    .map(drop)
}

async fn write_versions(connection: &mut PgConnection, batch: &Batch, rows: &[Row]) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let columns = Columns::of(rows);
    sqlx::query_file!(
        "sql/software/write_versions.sql",
        batch.tenant,
        batch.fetched_at,
        &columns.assets,
        &columns.programs,
        &columns.versions as _,
        &columns.dates as _,
        &columns.paths as _,
        &columns.sizes as _
    )
    .execute(connection)
    .instrument(statement("INSERT", "muster.software_version", rows.len()))
    .await
    .attempt(format!("write {} versions of programs", rows.len()))
    .map(drop)
}

async fn write_changes(connection: &mut PgConnection, batch: &Batch, writes: &Writes) -> Result<(), Error> {
    let changes = &writes.changes;
    if changes.is_empty() {
        return Ok(());
    }
    let assets: Vec<Uuid> = changes.iter().map(|change| change.asset_id).collect();
    let programs: Vec<Uuid> = changes.iter().map(|change| change.software_id).collect();
    let words: Vec<&str> = changes.iter().map(|change| change.what.as_str()).collect();
    let previous: Vec<Option<&str>> = changes.iter().map(|change| change.previous.as_deref()).collect();
    let versions: Vec<&str> = changes.iter().map(|change| change.version.as_str()).collect();
    let revs: Vec<i64> = changes.iter().map(|change| change.rev).collect();
    sqlx::query_file!(
        "sql/software/write_changes.sql",
        batch.tenant,
        batch.fetched_at,
        &assets,
        &programs,
        &words as _,
        &previous as _,
        &versions as _,
        &revs
    )
    .execute(connection)
    .instrument(statement("INSERT", "muster.software_change", changes.len()))
    .await
    .attempt(format!("note {} changes of software", changes.len()))
    .map(drop)
}

async fn write_reports(connection: &mut PgConnection, batch: &Batch, writes: &Writes) -> Result<(), Error> {
    let reports = &writes.reports;
    if reports.is_empty() {
        return Ok(());
    }
    let assets: Vec<Uuid> = reports.iter().map(|report| report.asset_id).collect();
    let digests: Vec<&[u8]> = reports.iter().map(|report| report.digest.as_slice()).collect();
    let programs: Vec<i32> = reports.iter().map(|report| report.programs).collect();
    let revs: Vec<i64> = reports.iter().map(|report| report.rev).collect();
    sqlx::query!(
        "insert into muster.software_report
             (tenant, asset_id, digest, programs, rev, fetched_at, first_fetched_at)
         select $1, n.asset_id, n.digest, n.programs, n.rev, $2, $2
         from unnest($3::uuid[], $4::bytea[], $5::int[], $6::bigint[]) n (asset_id, digest, programs, rev)
         on conflict (tenant, asset_id) do update
         set digest = excluded.digest, programs = excluded.programs, rev = excluded.rev,
             fetched_at = excluded.fetched_at, emptied_at = null",
        batch.tenant,
        batch.fetched_at,
        &assets,
        &digests as _,
        &programs,
        &revs
    )
    .execute(connection)
    .instrument(statement("INSERT", "muster.software_report", reports.len()))
    .await
    .attempt(format!("remember {} software reports", reports.len()))
    .map(drop)
}

async fn note_emptied(
    connection: &mut PgConnection,
    batch: &Batch,
    emptied: &[(Uuid, Option<DateTime<Utc>>)],
) -> Result<(), Error> {
    if emptied.is_empty() {
        return Ok(());
    }
    let (assets, times): (Vec<Uuid>, Vec<Option<DateTime<Utc>>>) = emptied.iter().copied().unzip();
    sqlx::query!(
        "update muster.software_report r set emptied_at = n.emptied_at
         from unnest($2::uuid[], $3::timestamptz[]) n (asset_id, emptied_at)
         cross join lateral (
             select o.ctid as place from muster.software_report o
             where o.tenant = $1 and o.asset_id = n.asset_id
             offset 0
         ) old
         where r.ctid = old.place",
        batch.tenant,
        &assets,
        &times as _
    )
    .execute(connection)
    .instrument(statement("UPDATE", "muster.software_report", emptied.len()))
    .await
    .attempt(format!("note {} empty software reports", emptied.len()))
    .map(drop)
}

/// Forgets what is known of an asset that is about to go.
pub(crate) async fn forget(connection: &mut PgConnection, tenant: Uuid, asset_id: Uuid) -> Result<(), Error> {
    sqlx::query!(
        "with report as (delete from muster.software_report where tenant = $1 and asset_id = $2),
              version as (delete from muster.software_version where tenant = $1 and asset_id = $2)
         delete from muster.software_change where tenant = $1 and asset_id = $2",
        tenant,
        asset_id
    )
    .execute(connection)
    .await
    .attempt(format!("forget the software of asset {asset_id}"))
    .map(drop)
}
