//! Software as the operators' API shows it: the catalogue with its devices, what one device has, and the history.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use crate::{Error, Store};

/// Which programs; the default lets all through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProgramFilter {
    /// Part of the name or of the publisher, in letters of any size.
    pub q: Option<String>,
    /// Only those that some device has now, or (`false`) that none has any more.
    pub installed: Option<bool>,
}

/// A program of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The program.
    pub software_id: Uuid,
    /// As its installer writes it.
    pub name: String,
    /// Its place in the list.
    pub normalized_name: String,
    /// Who made it; empty where nobody says.
    pub publisher: String,
    /// Devices that have it now.
    pub devices: i64,
}

/// One page of a tenant's programs by name: at most `rows_max`, those after `after`.
///
/// # Errors
/// What the database said.
pub async fn programs(
    store: &Store,
    tenant: Uuid,
    filter: &ProgramFilter,
    after: Option<Uuid>,
    rows_max: u16,
) -> Result<Vec<Program>, Error> {
    let rows = sqlx::query_file_as!(
        Program,
        "sql/software/programs.sql",
        tenant,
        after,
        filter.q.as_deref().map(str::to_lowercase),
        filter.installed,
        i64::from(rows_max)
    );
    store.run(format!("list the software of tenant {tenant}"), rows.fetch_all(store.pool())).await
}

/// Which changes; the default lets all through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeFilter {
    /// Of this device.
    pub asset_id: Option<Uuid>,
    /// Of this program.
    pub software_id: Option<Uuid>,
    /// installed, updated or removed.
    pub change: Option<String>,
    /// Noticed then or later.
    pub since: Option<DateTime<Utc>>,
}

/// Something that happened to a program on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Grows with time; the place in the list.
    pub change_id: i64,
    /// The device.
    pub asset_id: Uuid,
    /// Its name; `None`: it is gone.
    pub asset_name: Option<String>,
    /// The program.
    pub software_id: Uuid,
    /// Its name; `None`: it is gone from the catalogue.
    pub name: Option<String>,
    /// Who made it.
    pub publisher: Option<String>,
    /// installed, updated or removed.
    pub change: String,
    /// Of an update the version before.
    pub previous_version: Option<String>,
    /// The version that is there now; of a removal the one that was. Empty where it is not told.
    pub version: String,
    /// When the list was fetched that shows it: it happened between the list before and then.
    pub noticed_at: DateTime<Utc>,
}

/// One page of a tenant's history, the newest first: at most `rows_max`, those after (older than) `after`.
///
/// # Errors
/// What the database said.
pub async fn changes(
    store: &Store,
    tenant: Uuid,
    filter: &ChangeFilter,
    after: Option<i64>,
    rows_max: u16,
) -> Result<Vec<Change>, Error> {
    let rows = sqlx::query_file_as!(
        Change,
        "sql/software/changes.sql",
        tenant,
        after,
        filter.asset_id,
        filter.software_id,
        filter.change.as_deref(),
        filter.since,
        i64::from(rows_max)
    );
    store.run(format!("list the software changes of tenant {tenant}"), rows.fetch_all(store.pool())).await
}

/// A program on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The program.
    pub software_id: Uuid,
    /// As its installer writes it.
    pub name: String,
    /// Its place in the list.
    pub normalized_name: String,
    /// Who made it; empty where nobody says.
    pub publisher: String,
    /// The highest version there is; `None`: not told.
    pub version: Option<String>,
    /// Of that version.
    pub install_date: Option<NaiveDate>,
    /// Of that version.
    pub install_path: Option<String>,
    /// Of that version.
    pub size_bytes: Option<i64>,
    /// When a list showed the program first.
    pub first_seen_at: DateTime<Utc>,
    /// Since when it is gone; `None`: it is there.
    pub uninstalled_at: Option<DateTime<Utc>>,
    /// Every version that is there, the highest first; none where it is gone.
    pub versions: Vec<Version>,
}

/// A version of a program on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Empty where it is not told.
    pub version: String,
    /// When it was installed.
    pub install_date: Option<NaiveDate>,
    /// Where it lies.
    pub install_path: Option<String>,
    /// How large it is.
    pub size_bytes: Option<i64>,
    /// When a list showed it first.
    pub first_seen_at: DateTime<Utc>,
}

/// One page of what a device has by name: at most `rows_max`, those after `after`; with `gone` also what it had.
///
/// # Errors
/// What the database said.
pub async fn installed(
    store: &Store,
    tenant: Uuid,
    asset_id: Uuid,
    gone: bool,
    after: Option<Uuid>,
    rows_max: u16,
) -> Result<Vec<Installed>, Error> {
    let what = || format!("list the software of asset {asset_id}");
    let rows = sqlx::query_file!("sql/software/installed.sql", tenant, asset_id, gone, after, i64::from(rows_max));
    let rows = store.run(what(), rows.fetch_all(store.pool())).await?;
    let programs: Vec<Uuid> = rows.iter().map(|row| row.software_id).collect();
    let versions = sqlx::query!(
        "select software_id, version, install_date, install_path, size_bytes, first_seen_at
         from muster.software_version where tenant = $1 and asset_id = $2 and software_id = any ($3)",
        tenant,
        asset_id,
        &programs
    );
    let mut by_program: HashMap<Uuid, Vec<Version>> = HashMap::new();
    for row in store.run(what(), versions.fetch_all(store.pool())).await? {
        by_program.entry(row.software_id).or_default().push(Version {
            version: row.version,
            install_date: row.install_date,
            install_path: row.install_path,
            size_bytes: row.size_bytes,
            first_seen_at: row.first_seen_at,
        });
    }
    let installed = rows.into_iter().map(|row| {
        let mut versions = by_program.remove(&row.software_id).unwrap_or_default();
        versions.sort_by(|one, other| super::version::compare(&other.version, &one.version));
        Installed {
            software_id: row.software_id,
            name: row.name,
            normalized_name: row.normalized_name,
            publisher: row.publisher,
            version: row.version,
            install_date: row.install_date,
            install_path: row.install_path,
            size_bytes: row.size_bytes,
            first_seen_at: row.first_seen_at,
            uninstalled_at: row.uninstalled_at,
            versions,
        }
    });
    Ok(installed.collect())
}
