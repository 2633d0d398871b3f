//! The connection to Tactical: how it stands, its settings, its test, its end.

mod settings;
mod trial;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::connection;
use store::run::{self, RunFilter, State};
use store::{parked, pause, secret, view};
use utoipa::ToSchema;
use uuid::Uuid;

use super::pauses::Pause;
use super::runs::Run;
use super::schedules::{self, Failing};
use crate::call::{Call, Reply};
use crate::problem::Problem;
use crate::route::{NoBody, NoQuery, OptionalJson};

use settings::Settings;
pub(crate) use settings::save;

/// A TOTP code has six digits, some have eight.
const CODE_CHARS_MAX: usize = 16;

/// How Muster says to Tactical who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AuthMode {
    /// With an API key.
    ApiKey,
    /// With user name and password.
    Knox,
}

impl From<connection::AuthMode> for AuthMode {
    fn from(mode: connection::AuthMode) -> Self {
        match mode {
            connection::AuthMode::ApiKey => Self::ApiKey,
            connection::AuthMode::Knox => Self::Knox,
        }
    }
}

impl From<AuthMode> for connection::AuthMode {
    fn from(mode: AuthMode) -> Self {
        match mode {
            AuthMode::ApiKey => Self::ApiKey,
            AuthMode::Knox => Self::Knox,
        }
    }
}

/// Where devices are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeviceSource {
    /// The list behind Tactical's own pages.
    Classic,
    /// Tactical's beta API, which is off by default.
    Beta,
}

impl From<connection::DeviceSource> for DeviceSource {
    fn from(source: connection::DeviceSource) -> Self {
        match source {
            connection::DeviceSource::Classic => Self::Classic,
            connection::DeviceSource::Beta => Self::Beta,
        }
    }
}

impl From<DeviceSource> for connection::DeviceSource {
    fn from(source: DeviceSource) -> Self {
        match source {
            DeviceSource::Classic => Self::Classic,
            DeviceSource::Beta => Self::Beta,
        }
    }
}

/// In one word how the connection stands; the first that holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Standing {
    /// No settings were ever saved.
    #[default]
    NotConnected,
    /// The tenant is suspended: nothing is read and no webhook is recorded.
    Suspended,
    /// No test has succeeded yet, or none since somebody disconnected.
    Inactive,
    /// A person must test the connection with a TOTP code.
    NeedsCode,
    /// User name and password are refused.
    LoginRefused,
    /// Another server seems to stand behind it: see `organization-mappings`.
    Held,
    /// The URL leads to another server than before: no device is written until a sync of the clients has found the same
    /// server there.
    Unconfirmed,
    /// It is switched on, but has no URL or no credentials, so that nothing can be read: see `missing`. Webhooks are
    /// recorded.
    Incomplete,
    /// Syncs fail again and again for a cause that needs a person: see `attention`. They are tried at most once an hour.
    NeedsAttention,
    /// It works.
    Active,
}

/// How the connection stands. Holds no secret.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Status {
    state: Standing,
    integration_id: Option<Uuid>,
    /// Tactical's API host.
    instance_url: Option<String>,
    auth_mode: Option<AuthMode>,
    device_source: Option<DeviceSource>,
    is_active: bool,
    /// Settings without which nothing can be read, by the names that saving them takes: `instance_url`, `api_key`,
    /// `username`, `password`.
    missing: Vec<&'static str>,
    connected_at: Option<DateTime<Utc>>,
    /// The secrets that are set.
    secrets: Vec<Secret>,
    /// When a sync last ended, completely or in part.
    last_sync_at: Option<DateTime<Utc>>,
    /// When all devices were last read completely.
    last_full_sync_at: Option<DateTime<Utc>>,
    /// pending, syncing, completed or error
    sync_status: Option<String>,
    sync_error: Option<String>,
    /// A person must test the connection with a TOTP code.
    needs_code: bool,
    /// No login before then: the server allows few of them.
    login_not_before: Option<DateTime<Utc>>,
    /// Another server seems to stand behind it since then.
    held_at: Option<DateTime<Utc>>,
    tested_at: Option<DateTime<Utc>>,
    server_version: Option<String>,
    clients_visible: Option<i32>,
    agents_visible: Option<i32>,
    devices: Devices,
    /// Syncs that are under way.
    open_runs: Vec<Run>,
    /// What fails again and again for a cause that needs a person, and is therefore tried at most once an hour.
    attention: Vec<Failing>,
    /// Messages that nobody could work on: see `GET /api/v1/parked`.
    parked: i64,
    /// Messages that wait for the end of a pause.
    held: i64,
    /// The pauses that concern this tenant.
    pauses: Vec<Pause>,
}

/// Devices by Tactical's own status.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Devices {
    online: i64,
    offline: i64,
    overdue: i64,
    /// Without a status.
    unknown: i64,
    /// Gone from Tactical; in none of the others.
    missing: i64,
    /// When the status that was read longest ago was read.
    status_observed_at: Option<DateTime<Utc>>,
    /// How long ago that was: no status is older.
    status_age_s: Option<i64>,
}

/// A secret, without what is in it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SetSecret)]
pub(crate) struct Secret {
    name: String,
    /// The last four characters, where that many may be shown.
    masked: Option<String>,
    updated_at: DateTime<Utc>,
}

/// `GET …/tacticalrmm`.
pub(crate) async fn status(call: Call, _: NoQuery, _: NoBody) -> Result<Reply<Status>, Problem> {
    read(&call).await.map(Reply::ok)
}

async fn read(call: &Call) -> Result<Status, Problem> {
    let store = &call.app.store;
    let Some(found) = connection::find(store, call.tenant).await? else { return Ok(Status::default()) };
    let fleet = view::fleet(store, call.tenant).await?;
    let open = RunFilter { states: vec![State::Queued, State::Running], ..RunFilter::default() };
    let open_runs = run::page(store, call.tenant, &open, 10).await?;
    let secrets = call.app.connections.shown(call.tenant).await?;
    let secrets: Vec<_> =
        secrets.into_iter().map(|it| Secret { name: it.name, masked: it.masked, updated_at: it.updated_at }).collect();
    let missing = missing(&found, &secrets);
    let attention = schedules::attention(call).await?;
    let waiting = parked::waiting(store, call.tenant).await?;
    let pauses = pause::list(store, Some(call.tenant)).await?;
    Ok(Status {
        state: Standing::of(&found, &missing, &attention),
        missing,
        integration_id: Some(found.integration_id),
        instance_url: found.instance_url,
        auth_mode: Some(found.auth_mode.into()),
        device_source: Some(found.device_source.into()),
        is_active: found.is_active,
        connected_at: found.connected_at,
        secrets,
        last_sync_at: found.last_sync_at,
        last_full_sync_at: found.last_full_sync_at,
        sync_status: found.sync_status,
        sync_error: found.sync_error,
        needs_code: found.code_wanted_at.is_some(),
        login_not_before: found.login_not_before.filter(|at| *at > found.database_now),
        held_at: found.held_at,
        tested_at: found.tested_at,
        server_version: found.server_version,
        clients_visible: found.clients_visible,
        agents_visible: found.agents_visible,
        devices: Devices {
            online: fleet.online,
            offline: fleet.offline,
            overdue: fleet.overdue,
            unknown: fleet.unknown,
            missing: fleet.missing,
            status_observed_at: fleet.oldest_status_at,
            status_age_s: super::age_s(fleet.oldest_status_at, found.database_now),
        },
        open_runs: open_runs.into_iter().map(Run::from).collect(),
        attention,
        parked: waiting.parked,
        held: waiting.held,
        pauses: pauses.into_iter().map(Pause::from).collect(),
    })
}

/// What must be saved before anything can be read.
fn missing(found: &connection::Connection, secrets: &[Secret]) -> Vec<&'static str> {
    let wanted: &[_] = match found.auth_mode {
        connection::AuthMode::ApiKey => &[("api_key", secret::API_KEY)],
        connection::AuthMode::Knox => &[("username", secret::USERNAME), ("password", secret::PASSWORD)],
    };
    let unset = wanted.iter().filter(|(_, name)| !secrets.iter().any(|secret| secret.name == *name));
    let url = found.instance_url.is_none().then_some("instance_url");
    url.into_iter().chain(unset.map(|(field, _)| *field)).collect()
}

impl Standing {
    fn of(found: &connection::Connection, missing: &[&str], attention: &[Failing]) -> Self {
        if found.is_suspended {
            Self::Suspended
        } else if found.code_wanted_at.is_some() {
            Self::NeedsCode
        } else if found.login_refused_at.is_some() {
            Self::LoginRefused
        } else if !found.is_active {
            Self::Inactive
        } else if !missing.is_empty() {
            Self::Incomplete
        } else if found.held_at.is_some() {
            Self::Held
        } else if found.is_unconfirmed() {
            Self::Unconfirmed
        } else if !attention.is_empty() {
            Self::NeedsAttention
        } else {
            Self::Active
        }
    }
}

/// What a test of the connection may need.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestRequest {
    /// The TOTP code of an account that has one.
    #[schema(write_only)]
    code: Option<String>,
    /// Settings to test without saving them, over those that are saved; without a code.
    settings: Option<Settings>,
}

/// What a test of the connection told.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TestAnswer {
    /// `ok`, or in one word what is wrong; `code_needed` waits for a test with `code`.
    outcome: &'static str,
    /// The same in a sentence.
    sentence: String,
    /// What to do.
    remedy: &'static str,
    /// Permissions that the role lacks, by Tactical's names.
    missing_permissions: Vec<&'static str>,
    server_version: Option<String>,
    clients_visible: Option<i32>,
    agents_visible: Option<i32>,
    /// Where a sync will read devices from.
    device_source: DeviceSource,
    /// Whether the connection is active now.
    is_active: bool,
    /// Test again after so many seconds, not before.
    retry_after_s: Option<u64>,
}

/// `POST …/tacticalrmm/test`. What is wrong with the connection is no problem of the request's: the answer is 200.
pub(crate) async fn test(
    call: Call,
    _: NoQuery,
    OptionalJson(request): OptionalJson<TestRequest>,
) -> Result<Reply<TestAnswer>, Problem> {
    let code = request.code.as_deref().map(str::trim).filter(|code| !code.is_empty());
    if code.is_some_and(|code| code.len() > CODE_CHARS_MAX || !code.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(Problem::invalid("`code` is no TOTP code.", "Give the digits that the authenticator shows."));
    }
    let report = match &request.settings {
        Some(new) => trial::test(&call, new, code).await?,
        None => call.app.connections.test(call.tenant, code, &call.token.name).await?,
    };
    Ok(Reply::ok(TestAnswer {
        outcome: report.outcome.word(),
        sentence: report.sentence(),
        remedy: report.remedy(),
        missing_permissions: report.missing_permissions().to_vec(),
        retry_after_s: report.retry_after().map(|after| after.as_secs().max(1)),
        server_version: report.server_version,
        clients_visible: report.clients_visible,
        agents_visible: report.agents_visible,
        device_source: report.device_source.into(),
        is_active: report.is_active,
    }))
}

/// `POST …/tacticalrmm/disconnect`.
pub(crate) async fn disconnect(call: Call, _: NoQuery, _: NoBody) -> Result<Reply<Status>, Problem> {
    let entry = call.entry("integration.disconnect", None, json!({}));
    if !connection::disconnect(&call.app.store, call.tenant, &entry).await? {
        return Err(Problem::not_connected());
    }
    read(&call).await.map(Reply::ok)
}
