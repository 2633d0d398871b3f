//! The settings of a connection on their way in.

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use store::connection::{self, Save, SaveEnd};
use store::secret;
use utoipa::ToSchema;

use super::{AuthMode, DeviceSource, Status, read};
use crate::call::{Call, Reply};
use crate::problem::{Problem, sentence};
use crate::route::{Json, NoQuery};

/// Characters of a secret; Tactical's keys have 32.
const SECRET_CHARS_MAX: usize = 500;

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
    pub(super) instance_url: Option<String>,
    pub(super) auth_mode: Option<AuthMode>,
    pub(super) device_source: Option<DeviceSource>,
    /// Goes in, and never comes out again.
    #[schema(value_type = Option<String>, format = Password, write_only)]
    pub(super) api_key: Option<NewSecret>,
    #[schema(value_type = Option<String>, write_only)]
    pub(super) username: Option<NewSecret>,
    #[schema(value_type = Option<String>, format = Password, write_only)]
    pub(super) password: Option<NewSecret>,
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
pub(super) fn checked_url(call: &Call, text: &str) -> Result<String, Problem> {
    let checked = tactical::guard::check(text, &call.app.tactical).map_err(|error| {
        let remedy = tactical::Error::BadUrl(error.clone()).remedy();
        Problem::invalid(format!("`instance_url`: {}", sentence(&error.to_string())), remedy)
    })?;
    Ok(checked.as_str().trim_end_matches('/').to_owned())
}

impl Settings {
    pub(super) fn secrets(&self) -> Result<Vec<(&'static str, &SecretString)>, Problem> {
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
