//! Software: the catalogue, what one device has, and the history.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use store::software::{self, CatalogProgram, ChangeFilter, ProgramFilter};
use store::view;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::call::{Call, Reply};
use crate::cursor::{self, List};
use crate::problem::Problem;
use crate::route::NoBody;

/// Which programs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct SoftwareQuery {
    /// Only those whose name or publisher holds this text, whatever its case.
    q: Option<String>,
    /// Only those that some device has now (true), or that none has any more (false).
    installed: Option<bool>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows of the page, 1 to 500; 100 where absent.
    limit: Option<u16>,
}

/// A program.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Program {
    software_id: Uuid,
    /// As its installer writes it.
    name: String,
    /// Empty where nobody says.
    publisher: String,
    /// Devices that have it now.
    devices: i64,
}

impl From<CatalogProgram> for Program {
    fn from(program: CatalogProgram) -> Self {
        let CatalogProgram { software_id, name, publisher, devices, .. } = program;
        Self { software_id, name, publisher, devices }
    }
}

/// Programs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Programs {
    software: Vec<Program>,
    /// `cursor` of the next page; null: this is the last.
    next_cursor: Option<String>,
}

/// What happened to a program.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChangeKind {
    Installed,
    Updated,
    Removed,
}

impl ChangeKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Installed => "installed",
            Self::Updated => "updated",
            Self::Removed => "removed",
        }
    }
}

/// Which changes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangesQuery {
    /// Only those of this device.
    asset_id: Option<Uuid>,
    /// Only those of this program.
    software_id: Option<Uuid>,
    /// Only those of this kind.
    #[param(inline)]
    change: Option<ChangeKind>,
    /// Only those that were noticed then or later.
    since: Option<DateTime<Utc>>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows of the page, 1 to 500; 100 where absent.
    limit: Option<u16>,
}

/// Something that happened to a program on a device.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Change {
    asset_id: Uuid,
    /// null: the device is gone.
    asset_name: Option<String>,
    software_id: Uuid,
    /// null: the program is gone from the catalogue.
    name: Option<String>,
    publisher: Option<String>,
    /// installed, updated or removed
    change: String,
    /// Of an update the version before.
    previous_version: Option<String>,
    /// The version that is there now; of a removal the one that was. Empty where it is not told.
    version: String,
    /// When the list was read that shows it.
    noticed_at: DateTime<Utc>,
}

impl From<software::Change> for Change {
    fn from(change: software::Change) -> Self {
        Self {
            asset_id: change.asset_id,
            asset_name: change.asset_name,
            software_id: change.software_id,
            name: change.name,
            publisher: change.publisher,
            change: change.change,
            previous_version: change.previous_version,
            version: change.version,
            noticed_at: change.noticed_at,
        }
    }
}

/// The history, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Changes {
    changes: Vec<Change>,
    /// `cursor` of the next page; null: this is the last.
    next_cursor: Option<String>,
}

/// Which of a device's programs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssetSoftwareQuery {
    /// Also what it had (true).
    gone: Option<bool>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows of the page, 1 to 500; 100 where absent.
    limit: Option<u16>,
}

/// A program on a device.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Installed {
    software_id: Uuid,
    /// As its installer writes it.
    name: String,
    /// Empty where nobody says.
    publisher: String,
    /// The highest version there is; null: not told.
    version: Option<String>,
    /// Of that version.
    install_date: Option<NaiveDate>,
    /// Of that version.
    install_path: Option<String>,
    /// Of that version.
    size_bytes: Option<i64>,
    /// When a list showed the program first.
    first_seen_at: DateTime<Utc>,
    /// Gone since then; null: it is there.
    uninstalled_at: Option<DateTime<Utc>>,
    /// Every version that is there, the highest first.
    versions: Vec<Version>,
}

/// A version of a program on a device.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Version {
    /// Empty where it is not told.
    version: String,
    install_date: Option<NaiveDate>,
    install_path: Option<String>,
    size_bytes: Option<i64>,
    /// When a list showed it first.
    first_seen_at: DateTime<Utc>,
}

impl From<software::Installed> for Installed {
    fn from(program: software::Installed) -> Self {
        let version = |version: software::Version| Version {
            version: version.version,
            install_date: version.install_date,
            install_path: version.install_path,
            size_bytes: version.size_bytes,
            first_seen_at: version.first_seen_at,
        };
        Self {
            software_id: program.software_id,
            name: program.name,
            publisher: program.publisher,
            version: program.version,
            install_date: program.install_date,
            install_path: program.install_path,
            size_bytes: program.size_bytes,
            first_seen_at: program.first_seen_at,
            uninstalled_at: program.uninstalled_at,
            versions: program.versions.into_iter().map(version).collect(),
        }
    }
}

/// What a device has.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AssetSoftware {
    software: Vec<Installed>,
    /// `cursor` of the next page; null: this is the last.
    next_cursor: Option<String>,
}

/// `GET …/software`.
pub(crate) async fn list(call: Call, query: SoftwareQuery, _: NoBody) -> Result<Reply<Programs>, Problem> {
    let limit = cursor::limit(query.limit)?;
    let after = query.cursor.as_deref().map(|text| cursor::to_id(List::Software, text)).transpose()?;
    let filter = ProgramFilter { q: query.q.filter(|text| !text.is_empty()), installed: query.installed };
    let rows = software::programs(&call.app.store, call.tenant, &filter, after, limit + 1).await?;
    let (rows, next_cursor) = cursor::page(rows, limit, |row| cursor::of_id(List::Software, row.software_id));
    Ok(Reply::ok(Programs { software: rows.into_iter().map(Program::from).collect(), next_cursor }))
}

/// `GET …/software/changes`.
pub(crate) async fn changes(call: Call, query: ChangesQuery, _: NoBody) -> Result<Reply<Changes>, Problem> {
    let limit = cursor::limit(query.limit)?;
    if query.since.is_some_and(|since| !cursor::is_storable(since)) {
        let detail = "`since` is not a time of the years 1 to 9999.";
        return Err(Problem::invalid(detail, "Send a time such as `2026-01-31T12:00:00Z`."));
    }
    let after = query.cursor.as_deref().map(|text| cursor::to_number(List::SoftwareChanges, text)).transpose()?;
    let filter = ChangeFilter {
        asset_id: query.asset_id,
        software_id: query.software_id,
        change: query.change.map(|change| change.as_str().to_owned()),
        since: query.since,
    };
    let rows = software::changes(&call.app.store, call.tenant, &filter, after, limit + 1).await?;
    let next = |row: &software::Change| cursor::of_number(List::SoftwareChanges, row.change_id);
    let (rows, next_cursor) = cursor::page(rows, limit, next);
    Ok(Reply::ok(Changes { changes: rows.into_iter().map(Change::from).collect(), next_cursor }))
}

/// `GET …/assets/{asset}/software`.
pub(crate) async fn of_asset(
    call: Call,
    query: AssetSoftwareQuery,
    _: NoBody,
) -> Result<Reply<AssetSoftware>, Problem> {
    let asset_id = call.id("asset", "asset")?;
    let limit = cursor::limit(query.limit)?;
    let after = query.cursor.as_deref().map(|text| cursor::to_id(List::Software, text)).transpose()?;
    let store = &call.app.store;
    if view::asset(store, call.tenant, asset_id).await?.is_none() {
        return Err(Problem::not_found("asset"));
    }
    let gone = query.gone.unwrap_or(false);
    let rows = software::installed(store, call.tenant, asset_id, gone, after, limit + 1).await?;
    let (rows, next_cursor) = cursor::page(rows, limit, |row| cursor::of_id(List::Software, row.software_id));
    Ok(Reply::ok(AssetSoftware { software: rows.into_iter().map(Installed::from).collect(), next_cursor }))
}
