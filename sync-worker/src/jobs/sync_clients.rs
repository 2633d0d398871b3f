//! `clients.sync.v1`: Tactical's clients and sites become organisation mappings. One run with one part.

use connection::failure::Error;
use connection::{Connections, server};
use contract::ClientsSync;
use runs::{SUPERSEDED, Steps, finish};
use store::run::{NewPart, Part, Scope, Taken};
use store::{Store, organization};
use worker::{Done, Received};

/// The job.
#[derive(Debug, Clone)]
pub struct SyncClients {
    store: Store,
    connections: Connections,
}

impl SyncClients {
    /// On this store, with these connections.
    #[must_use]
    pub fn new(store: &Store, connections: &Connections) -> Self {
        Self { store: store.clone(), connections: connections.clone() }
    }
}

impl Steps for SyncClients {
    type Message = ClientsSync;
    const WHAT: &'static str = "sync of clients";

    fn store(&self) -> &Store {
        &self.store
    }

    async fn plan(&self, _: &Received<ClientsSync>, _: &Taken) -> Result<Vec<NewPart>, Error> {
        let label = "Clients and sites".to_owned();
        Ok(vec![NewPart { scope: Scope::Clients, label, expected: None, fails: None }])
    }

    async fn part(&self, message: &Received<ClientsSync>, part: &Part) -> Result<Done, Error> {
        let integration_id = message.payload.integration_id;
        let open = self.connections.open(message.meta.tenant, integration_id).await?;
        let shown = server::organizations(&server::clients(&self.store, &open).await?);
        match organization::apply_clients(&self.store, &part.fence, integration_id, &shown).await? {
            organization::Outcome::Applied(_) => finish(&self.store, part).await,
            organization::Outcome::Fenced => Ok(SUPERSEDED),
            organization::Outcome::Left(left) => Err(server::left(left)),
        }
    }
}
