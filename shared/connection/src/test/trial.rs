//! A test of settings that nobody has saved: what stands there stays, whatever the test tells.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use store::audit::{self, Entry};
use store::connection::{AuthMode, Connection, DeviceSource};
use store::secret;
use tactical::{Client, Credential, Gate};
use uuid::Uuid;

use super::{End, TestReport, Told, busy};
use crate::{Connections, Error, Outcome};

/// Settings to try; what is `None`, and a secret that is not named, is as it is saved. A stored secret is tried on the server
/// that it was saved for, and on no other.
#[derive(Debug, Default)]
pub struct Trial {
    /// Tactical's API host.
    pub instance_url: Option<String>,
    /// How it authenticates.
    pub auth_mode: Option<AuthMode>,
    /// Where devices are read from.
    pub device_source: Option<DeviceSource>,
    /// Secrets by their names in `store::secret`.
    pub secrets: Vec<(&'static str, SecretString)>,
}

/// What is tried: the settings as they would be saved.
struct Tried<'a> {
    of: Connection,
    secrets: &'a [(&'static str, SecretString)],
    is_same_server: bool,
    /// Nothing is tried that bears on logging in: the programs' own session is as good as a new one.
    is_as_saved: bool,
}

impl Connections {
    /// Tests settings as [`Connections::test`] would once they are saved: no setting and no secret is changed, and the audit
    /// has a row. Where server, way of logging in and secrets are as saved, the connection's own session is used, and with
    /// it what [`Connections::open`] may renew is renewed: the session, and whether a person must log in. Else an account
    /// with a second factor ends as [`Outcome::CodeNeeded`]: name and password are right, and a code is good only once.
    ///
    /// # Errors
    /// As [`Connections::test`].
    pub async fn try_out(&self, tenant: Uuid, trial: &Trial, actor: &str) -> Result<TestReport, Error> {
        let saved = store::connection::find(&self.store, tenant).await?.ok_or(Error::NoSuchConnection { tenant })?;
        if saved.is_suspended {
            return Err(Error::Suspended);
        }
        let Some(_alone) = self.test_alone(saved.integration_id) else { return Ok(busy(&saved)) };
        let tried = Tried::new(&saved, trial);
        let mut told = Told::default();
        let outcome = match self.examine_tried(&tried, &mut told).await {
            Ok(()) => Outcome::Ok,
            Err(End::Outcome(outcome)) => outcome,
            Err(End::Ours(error)) => return Err(error),
        };
        let entry = Entry {
            tenant: Some(tenant),
            actor: actor.to_owned(),
            action: "integration.settings.try",
            subject: Some(saved.integration_id.to_string()),
            detail: json!({"outcome": outcome.word(), "instance_url": tried.of.instance_url}),
        };
        audit::note(&self.store, &entry).await?;
        Ok(TestReport {
            outcome,
            server_version: told.server_version,
            clients_visible: told.seen.clients,
            agents_visible: told.seen.agents,
            device_source: tried.of.device_source,
            is_active: saved.is_active,
        })
    }

    async fn examine_tried(&self, tried: &Tried<'_>, told: &mut Told) -> Result<(), End> {
        let (of, url) = (&tried.of, tried.of.instance_url.as_deref().ok_or(Error::NoUrl)?);
        // another server has no programs' requests to share its places with
        let gate = if tried.is_same_server { self.gate(of.integration_id, url).beside() } else { Gate::new() };
        self.client(of, &gate, None)?.health().await?;
        if tried.is_as_saved {
            let client = self.authenticated(of, &gate, None, told).await?;
            return self.ask(of, &client, told).await;
        }
        match of.auth_mode {
            AuthMode::ApiKey => {
                let key = self.tried_secret(tried, secret::API_KEY).await?;
                self.ask_as(of, &gate, Credential::ApiKey(key), told).await.1
            }
            AuthMode::Knox => {
                let user = self.tried_secret(tried, secret::USERNAME).await?;
                let password = self.tried_secret(tried, secret::PASSWORD).await?;
                let checked = self.client(of, &gate, None)?.check_credentials(user.expose_secret(), &password).await?;
                let session = checked.token.ok_or(End::Outcome(Outcome::CodeNeeded))?;
                let (client, end) = self.ask_as(of, &gate, Credential::Session(session.token), told).await;
                // nobody will use it; where that fails, it ends by itself
                if let Some(client) = client {
                    let _ = client.logout().await;
                }
                end
            }
        }
    }

    async fn ask_as(
        &self,
        of: &Connection,
        gate: &Gate,
        credential: Credential,
        told: &mut Told,
    ) -> (Option<Client>, Result<(), End>) {
        let client = match self.client(of, gate, Some(credential)) {
            Ok(client) => client,
            Err(error) => return (None, Err(error.into())),
        };
        let end = match client.version().await {
            Ok(info) => {
                told.server_version = info.trmm_version;
                self.ask(of, &client, told).await
            }
            Err(error) => Err(error.into()),
        };
        (Some(client), end)
    }

    async fn tried_secret(&self, tried: &Tried<'_>, name: &'static str) -> Result<SecretString, End> {
        if let Some((_, text)) = tried.secrets.iter().find(|given| given.0 == name) {
            return Ok(text.clone());
        }
        let stored = if tried.is_same_server { self.secret(tried.of.tenant, name).await? } else { None };
        stored.ok_or(End::Outcome(Outcome::NoSecret { name }))
    }
}

impl<'a> Tried<'a> {
    fn new(saved: &Connection, trial: &'a Trial) -> Self {
        let is_same_server = trial.instance_url.as_deref().is_none_or(|url| saved.is_at(url));
        let mut of = saved.clone();
        of.instance_url = trial.instance_url.clone().or(of.instance_url);
        of.auth_mode = trial.auth_mode.unwrap_or(of.auth_mode);
        of.device_source = trial.device_source.unwrap_or(of.device_source);
        let is_as_saved = is_same_server && trial.secrets.is_empty() && of.auth_mode == saved.auth_mode;
        Self { of, secrets: &trial.secrets, is_same_server, is_as_saved }
    }
}
