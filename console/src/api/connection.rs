//! The connection to Tactical: how it stands, its settings, its test, its end.

mod trial;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::connection::{self, Save, SaveEnd};
use store::run::{self, RunFilter, State};
use store::{secret, view};
use utoipa::ToSchema;
use uuid::Uuid;

use super::runs::Run;
use crate::call::{Call, Reply};
use crate::problem::{Problem, sentence};
use crate::route::{Json, NoBody, NoQuery, OptionalJson};

/// Characters of a secret; Tactical's keys have 32.
const SECRET_CHARS_MAX: usize = 500;
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
    /// It is switched on, but has no URL or no credentials, so that nothing can be read: see `missing`. Webhooks are recorded.
    Incomplete,
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

/// A secret on its way in.
pub(crate) struct NewSecret(SecretString);

impl<'de> Deserialize<'de> for NewSecret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into()))
    }
}

/// Settings. What is absent or null stays as it is; only where the URL leads to another server (scheme, host or port) must
/// the credentials be given anew, and those that are not are deleted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Tactical's API host, such as `https://api.example.com`; not the dashboard's.
    instance_url: Option<String>,
    auth_mode: Option<AuthMode>,
    device_source: Option<DeviceSource>,
    /// Goes in, and never comes out again.
    #[schema(value_type = Option<String>, format = Password, write_only)]
    api_key: Option<NewSecret>,
    #[schema(value_type = Option<String>, write_only)]
    username: Option<NewSecret>,
    #[schema(value_type = Option<String>, format = Password, write_only)]
    password: Option<NewSecret>,
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
    Ok(Status {
        state: Standing::of(&found, &missing),
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
    fn of(found: &connection::Connection, missing: &[&str]) -> Self {
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
        } else {
            Self::Active
        }
    }
}

/// `PUT …/tacticalrmm`. Schedules, and whatever else AlgaPSA keeps in the settings, are not touched.
pub(crate) async fn save(call: Call, _: NoQuery, Json(new): Json<Settings>) -> Result<Reply<Status>, Problem> {
    let instance_url = new.instance_url.as_deref().map(|text| checked_url(&call, text)).transpose()?;
    let secrets = new.secrets()?;
    let names: Vec<_> = secrets.iter().map(|(name, _)| *name).collect();
    let sealed = |(name, text): &(&'static str, &SecretString)| {
        (*name, Some(call.app.connections.seal(call.tenant, name, text)))
    };
    let save = Save {
        tenant: call.tenant,
        device_source: new.device_source.map(Into::into),
        auth_mode: new.auth_mode.map(Into::into),
        secrets: secrets.iter().map(sealed).collect(),
        instance_url,
    };
    let detail = json!({"instance_url": save.instance_url, "auth_mode": save.auth_mode.map(|mode| mode.as_str()),
        "device_source": save.device_source.map(|source| source.as_str()), "secrets_set": names});
    let entry = call.entry("integration.settings.save", None, detail);
    match connection::save(&call.app.store, &save, &entry).await? {
        SaveEnd::Saved(_) => read(&call).await.map(Reply::ok),
        SaveEnd::NoUrl => {
            Err(Problem::invalid("`instance_url` is missing.", "Give the address of Tactical's API host."))
        }
        SaveEnd::NoCredentials(mode) => Err(no_credentials(mode)),
    }
}

/// A stored credential is for the server that it was entered for.
fn no_credentials(mode: connection::AuthMode) -> Problem {
    let (wanted, remedy) = match mode {
        connection::AuthMode::ApiKey => ("`api_key`", "Send `api_key` in the same request."),
        connection::AuthMode::Knox => {
            ("`username` and `password`", "Send `username` and `password` in the same request.")
        }
    };
    let detail = format!(
        "`instance_url` leads to another server, which stored credentials are not sent to: {wanted} must be given with it."
    );
    Problem::invalid(detail, remedy)
}

/// The URL as it is stored.
fn checked_url(call: &Call, text: &str) -> Result<String, Problem> {
    let checked = tactical::guard::check(text, &call.app.tactical).map_err(|error| {
        let remedy = tactical::Error::BadUrl(error.clone()).remedy();
        Problem::invalid(format!("`instance_url`: {}", sentence(&error.to_string())), remedy)
    })?;
    Ok(checked.as_str().trim_end_matches('/').to_owned())
}

impl Settings {
    fn secrets(&self) -> Result<Vec<(&'static str, &SecretString)>, Problem> {
        let given = [
            ("api_key", secret::API_KEY, &self.api_key),
            ("username", secret::USERNAME, &self.username),
            ("password", secret::PASSWORD, &self.password),
        ];
        let mut secrets = Vec::new();
        for (field, name, value) in given {
            let Some(NewSecret(text)) = value else { continue };
            if !(1..=SECRET_CHARS_MAX).contains(&text.expose_secret().chars().count()) {
                let detail = format!("`{field}` must have 1 to {SECRET_CHARS_MAX} characters.");
                return Err(Problem::invalid(detail, "Leave it out where it is to stay as it is."));
            }
            check_characters(field, text.expose_secret())?;
            secrets.push((name, text));
        }
        Ok(secrets)
    }
}

/// What was pasted wrongly would only show as a refusal of Tactical's, later and as something else.
fn check_characters(field: &'static str, text: &str) -> Result<(), Problem> {
    let remedy = "Copy it again, without a space or a line break before, in or after it.";
    if field == "api_key" && !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        let detail = "`api_key` holds a space, a control character or a letter that no key of Tactical's has.";
        return Err(Problem::invalid(detail, remedy));
    }
    if text.chars().any(char::is_control) {
        return Err(Problem::invalid(format!("`{field}` holds a control character."), remedy));
    }
    Ok(())
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
        sentence: report.outcome.sentence(),
        remedy: report.outcome.remedy(),
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
