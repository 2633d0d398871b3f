//! An open connection: a client that is logged in, and logs in once more where a session has ended.

use std::fmt;
use std::future::Future;
use std::sync::{Mutex, PoisonError};

use store::connection::{AuthMode, Connection};
use store::secret::{self, Sealed};
use tactical::{AuthFault, Client, Credential, Gate};
use uuid::Uuid;

use crate::login::Token;
use crate::{Connections, Error};

/// An open connection. Its settings are those of the moment when it was opened.
pub struct Open {
    connections: Connections,
    settings: Connection,
    gate: Gate,
    held: Mutex<Held>,
}

/// The client, and the token that it has, where it has one.
#[derive(Clone)]
struct Held {
    client: Client,
    token: Option<Sealed>,
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open")
            .field("tenant", &self.settings.tenant)
            .field("integration_id", &self.settings.integration_id)
            .finish_non_exhaustive()
    }
}

impl Connections {
    /// Opens a tenant's connection: reads its settings, and logs in where it has no session.
    ///
    /// # Errors
    /// [`Error::NoSuchConnection`], [`Error::Inactive`], [`Error::Suspended`], [`Error::NoUrl`], [`Error::NoSecret`]; with
    /// user and password also [`Error::NeedsCode`], [`Error::LoginRefused`], [`Error::LoginLater`]; what database, vault and
    /// Tactical said.
    pub async fn open(&self, tenant: Uuid, integration_id: Uuid) -> Result<Open, Error> {
        let found = store::connection::find(&self.store, tenant).await?;
        let settings =
            found.filter(|found| found.integration_id == integration_id).ok_or(Error::NoSuchConnection { tenant })?;
        if settings.is_suspended {
            return Err(Error::Suspended);
        }
        if !settings.is_active {
            return Err(Error::Inactive);
        }
        let gate = self.gate(integration_id, settings.instance_url.as_deref().ok_or(Error::NoUrl)?);
        let held = match settings.auth_mode {
            AuthMode::ApiKey => {
                let key = self.secret(tenant, secret::API_KEY).await?;
                let key = key.ok_or(Error::NoSecret { name: secret::API_KEY })?;
                let client = self.client(&settings, &gate, Some(Credential::ApiKey(key)))?;
                Held { client, token: None }
            }
            AuthMode::Knox => {
                let token = self.token(&settings, &gate, None).await?;
                self.with_token(&settings, &gate, token)?
            }
        };
        Ok(Open { connections: self.clone(), settings, gate, held: Mutex::new(held) })
    }

    /// A client of a connection's server.
    pub(crate) fn client(
        &self,
        settings: &Connection,
        gate: &Gate,
        credential: Option<Credential>,
    ) -> Result<Client, Error> {
        let url = settings.instance_url.as_deref().ok_or(Error::NoUrl)?;
        Ok(Client::new(&self.config, url, credential, gate.clone())?)
    }

    fn with_token(&self, settings: &Connection, gate: &Gate, token: Token) -> Result<Held, Error> {
        let client = self.client(settings, gate, Some(Credential::Session(token.text)))?;
        Ok(Held { client, token: Some(token.sealed) })
    }
}

impl Open {
    /// The settings of the moment when it was opened.
    #[must_use]
    pub fn settings(&self) -> &Connection {
        &self.settings
    }

    /// The client as it is now. A session may end at any time: prefer [`Open::call`], which then logs in again.
    #[must_use]
    pub fn client(&self) -> Client {
        self.held().client
    }

    /// Asks with the client: `open.call(|client| async move { client.clients().await })`. Where a session turns out
    /// to have ended, it logs in once more and asks once more.
    ///
    /// # Errors
    /// What Tactical said; where the login needs a person, [`Error::NeedsCode`] or [`Error::LoginRefused`], and from then on
    /// every [`Connections::open`] says so without asking the server.
    // an `AsyncFn(&Client)` would be nicer, but a future that borrows what its closure captured is not `Send` then
    pub async fn call<T, F>(&self, ask: impl Fn(Client) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, tactical::Error>>,
    {
        let held = self.held();
        match (ask(held.client).await, &held.token) {
            (Err(tactical::Error::Unauthorized(AuthFault::Invalid)), Some(dead)) => {
                let client = self.renew(dead).await?;
                Ok(ask(client).await?)
            }
            (answer, _) => Ok(answer?),
        }
    }

    /// A client with another token than the dead one.
    async fn renew(&self, dead: &Sealed) -> Result<Client, Error> {
        let token = self.connections.token(&self.settings, &self.gate, Some(dead)).await?;
        let held = self.connections.with_token(&self.settings, &self.gate, token)?;
        let client = held.client.clone();
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
        Ok(client)
    }

    fn held(&self) -> Held {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send<T: Send>(_: T) {}

    /// Jobs run on several threads, so what they await must be `Send`; that is checked where a closure is given.
    #[expect(dead_code, reason = "it is a proof that it compiles")]
    fn a_call_can_be_awaited_in_a_job(connections: Connections, open: &Open, filter: &tactical::AgentFilter) {
        send(open.call(|client| async move { client.agents(filter).await }));
        send(async move {
            connections.open(Uuid::nil(), Uuid::nil()).await?.call(async |client| client.clients().await).await
        });
    }
}
