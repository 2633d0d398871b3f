//! The connection test: asks step by step until something is wrong, and reports it so that a person can act.

mod trial;

use std::time::Duration;

use serde_json::json;
use store::audit::Entry;
use store::connection::{AuthMode, Connection, DeviceSource, TestNote};
use store::secret;
use tactical::{AuthFault, Client, Credential, Gate};
use uuid::Uuid;

use crate::login::{NoSession, Token};
use crate::probe::{self, Seen};
use crate::version::is_too_old;
use crate::{Connections, Error, Outcome};

pub use trial::Trial;

/// What a connection test told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestReport {
    /// How it ended; [`Outcome::word`] is for the answer.
    pub outcome: Outcome,
    /// The server's version, where it said one.
    pub server_version: Option<String>,
    /// Clients that the role sees.
    pub clients_visible: Option<i32>,
    /// Agents that the role sees.
    pub agents_visible: Option<i32>,
    /// Where a sync will read devices from.
    pub device_source: DeviceSource,
    /// Whether the connection is active now.
    pub is_active: bool,
}

impl TestReport {
    /// Whether a sync can work.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.outcome == Outcome::Ok
    }

    /// What was found, a sentence for a person: a server that answers everything may still show nothing.
    #[must_use]
    pub fn sentence(&self) -> String {
        if self.shows_nothing() {
            return "Tactical answers everything that a sync needs, but it shows no client.".to_owned();
        }
        self.outcome.sentence()
    }

    /// What to do about it, for a person.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        if self.shows_nothing() {
            return "Check which clients the role of the key's user may see: a sync reads those only.";
        }
        self.outcome.remedy()
    }

    fn shows_nothing(&self) -> bool {
        self.is_ok() && self.clients_visible == Some(0)
    }

    /// Permissions that the role lacks, by Tactical's names.
    #[must_use]
    pub fn missing_permissions(&self) -> &[&'static str] {
        match &self.outcome {
            Outcome::PermissionsMissing { names } => names,
            _ => &[],
        }
    }

    /// How long to wait before the next test, where that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.outcome.retry_after()
    }
}

/// What is known when the test ends, wherever it ends.
#[derive(Default)]
struct Told {
    server_version: Option<String>,
    seen: Seen,
}

/// Why it ended: an outcome for the person, or something of ours that is none.
enum End {
    Outcome(Outcome),
    Ours(Error),
}

impl From<tactical::Error> for End {
    fn from(error: tactical::Error) -> Self {
        Self::Outcome(Outcome::Failed(error))
    }
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        match error {
            Error::Tactical(error) => error.into(),
            Error::NoUrl => Self::Outcome(Outcome::NoUrl),
            Error::NoSecret { name } => Self::Outcome(Outcome::NoSecret { name }),
            Error::Vault(error) => Self::Outcome(Outcome::SecretUnreadable { reason: error.to_string() }),
            other => Self::Ours(other),
        }
    }
}

impl From<NoSession> for End {
    fn from(no: NoSession) -> Self {
        Self::Outcome(match no {
            NoSession::CodeNeeded => Outcome::CodeNeeded,
            NoSession::CodeRefused => Outcome::CodeRefused,
            NoSession::Later(after) => Outcome::LoginLater { after },
            NoSession::Busy => Outcome::LoginBusy,
            NoSession::NoSecret(name) => Outcome::NoSecret { name },
            NoSession::Failed(error) => return error.into(),
        })
    }
}

impl Connections {
    /// Tests a tenant's connection with the settings that are saved, notes what it told with an audit row, and activates the
    /// connection where everything is answered. `code` is the TOTP code of an account that has one; with it a new session is
    /// opened even if the old one is good. `actor` is who asked, for the audit.
    ///
    /// One test of a connection at a time, which shares the two places of the programs' requests, and not their breaker: an
    /// open one must not answer for the server. Where the connection is saved or disconnected meanwhile, what the test found
    /// is no longer so, and nothing follows from it.
    ///
    /// # Errors
    /// [`Error::NoSuchConnection`], [`Error::Suspended`]; what the database said. Everything else is an [`Outcome`].
    pub async fn test(&self, tenant: Uuid, code: Option<&str>, actor: &str) -> Result<TestReport, Error> {
        let of = store::connection::find(&self.store, tenant).await?.ok_or(Error::NoSuchConnection { tenant })?;
        if of.is_suspended {
            return Err(Error::Suspended);
        }
        let Some(_alone) = self.test_alone(of.integration_id) else { return Ok(busy(&of)) };
        let mut told = Told::default();
        let outcome = match self.examine(&of, code, &mut told).await {
            Ok(()) => Outcome::Ok,
            Err(End::Outcome(outcome)) => outcome,
            Err(End::Ours(error)) => return Err(error),
        };
        let (outcome, is_active) = match self.note(&of, &outcome, &told, actor).await? {
            Some(is_active) => (outcome, is_active),
            None => (Outcome::SettingsChanged, self.is_active(tenant).await?),
        };
        Ok(TestReport {
            outcome,
            server_version: told.server_version,
            clients_visible: told.seen.clients,
            agents_visible: told.seen.agents,
            device_source: of.device_source,
            is_active,
        })
    }

    /// From the outside to the inside: the URL, the host, who asks, what it may.
    async fn examine(&self, of: &Connection, code: Option<&str>, told: &mut Told) -> Result<(), End> {
        let gate = self.gate(of.integration_id, of.instance_url.as_deref().ok_or(Error::NoUrl)?).beside();
        self.client(of, &gate, None)?.health().await?;
        let client = self.authenticated(of, &gate, code, told).await?;
        self.ask(of, &client, told).await
    }

    /// All that a sync asks, with a client whose credential is good.
    async fn ask(&self, of: &Connection, client: &Client, told: &mut Told) -> Result<(), End> {
        if let Some(version) = told.server_version.as_deref().filter(|version| is_too_old(version)) {
            return Err(End::Outcome(Outcome::TooOld { version: version.to_owned() }));
        }
        told.seen = probe::ask_all(client).await?;
        if !told.seen.missing.is_empty() {
            return Err(End::Outcome(Outcome::PermissionsMissing { names: told.seen.missing.clone() }));
        }
        if of.device_source == DeviceSource::Beta {
            client.beta_probe().await?;
        }
        Ok(())
    }

    /// A client whose credential is known to be good, since the server told it its version.
    async fn authenticated(
        &self,
        of: &Connection,
        gate: &Gate,
        code: Option<&str>,
        told: &mut Told,
    ) -> Result<Client, End> {
        if of.auth_mode == AuthMode::ApiKey {
            let key = self.secret(of.tenant, secret::API_KEY).await?;
            let key = key.ok_or(Outcome::NoSecret { name: secret::API_KEY }).map_err(End::Outcome)?;
            let client = self.client(of, gate, Some(Credential::ApiKey(key)))?;
            told.server_version = client.version().await?.trmm_version;
            return Ok(client);
        }
        let stored = if code.is_none() { self.stored_token(of, None).await? } else { None };
        if let Some(token) = stored {
            let client = self.session(of, gate, token)?;
            match client.version().await {
                // it has ended: log in
                Err(tactical::Error::Unauthorized(AuthFault::Invalid)) => {}
                answer => {
                    told.server_version = answer?.trmm_version;
                    return Ok(client);
                }
            }
        }
        let token = self.log_in_for_person(of, gate, code).await?;
        let client = self.session(of, gate, token)?;
        told.server_version = client.version().await?.trmm_version;
        Ok(client)
    }

    fn session(&self, of: &Connection, gate: &Gate, token: Token) -> Result<Client, Error> {
        self.client(of, gate, Some(Credential::Session(token.text)))
    }

    async fn note(&self, of: &Connection, outcome: &Outcome, told: &Told, actor: &str) -> Result<Option<bool>, Error> {
        let entry = Entry {
            tenant: Some(of.tenant),
            actor: actor.to_owned(),
            action: "integration.test",
            subject: Some(of.integration_id.to_string()),
            detail: json!({"outcome": outcome.word(), "instance_url": of.instance_url}),
        };
        let note = TestNote {
            tenant: of.tenant,
            integration_id: of.integration_id,
            revision: of.revision,
            instance_url: of.instance_url.as_deref().unwrap_or_default(),
            is_success: *outcome == Outcome::Ok,
            server_version: told.server_version.as_deref(),
            clients_visible: told.seen.clients,
            agents_visible: told.seen.agents,
        };
        Ok(store::connection::note_test(&self.store, &note, &entry).await?)
    }
    async fn is_active(&self, tenant: Uuid) -> Result<bool, Error> {
        Ok(store::connection::find(&self.store, tenant).await?.is_some_and(|found| found.is_active))
    }
}

/// What is told to whoever asks during a test.
fn busy(of: &Connection) -> TestReport {
    TestReport {
        outcome: Outcome::TestBusy,
        server_version: None,
        clients_visible: None,
        agents_visible: None,
        device_source: of.device_source,
        is_active: of.is_active,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_shows_no_client_is_well_and_told_apart() {
        let report = |outcome, clients_visible| TestReport {
            outcome,
            server_version: None,
            clients_visible,
            agents_visible: Some(0),
            device_source: DeviceSource::Classic,
            is_active: true,
        };
        let none = report(Outcome::Ok, Some(0));
        assert!(none.is_ok() && none.sentence().contains("but it shows no client"), "{}", none.sentence());
        assert!(none.remedy().contains("role of the key's user"));
        for other in [report(Outcome::Ok, Some(1)), report(Outcome::Ok, None), report(Outcome::NoUrl, Some(0))] {
            assert_eq!((other.sentence(), other.remedy()), (other.outcome.sentence(), other.outcome.remedy()));
        }
    }
}
