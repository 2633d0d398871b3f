//! `clients.sync.v1`: Tactical's clients and sites become organisation mappings. One run with one part.

use connection::failure::{self, Concerns, Error};
use connection::{Connections, server};
use contract::ClientsSync;
use fault::JobError;
use store::run::{self, Fence, NewPart, Scope, Taken};
use store::{Store, organization};
use worker::{Done, Job, Outcome, Received};

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

    async fn one(&self, message: &Received<ClientsSync>) -> Outcome {
        let (tenant, run_id) = (message.meta.tenant, message.payload.run_id);
        if let Some(cause) = failure::exhausted(&message.meta) {
            self.fail(message, None, &cause).await?;
            return Ok(Done::Discarded("failed"));
        }
        let Some(taken) = run::take_over(&self.store, tenant, run_id).await? else {
            return Ok(Done::Discarded("ended"));
        };
        match self.sync(message, &taken).await {
            Ok(done) => Ok(done),
            Err(error) => {
                let cause = failure::judge_run(&self.store, Concerns::Run(&taken.fence), error, &message.meta).await?;
                self.fail(message, Some(&taken.fence), &cause).await?;
                Ok(Done::Discarded("failed"))
            }
        }
    }

    async fn sync(&self, message: &Received<ClientsSync>, taken: &Taken) -> Result<Done, Error> {
        let scope = Scope::Clients;
        let name = scope.to_string();
        let part = NewPart { scope, label: "Clients and sites".to_owned(), expected: None, fails: None };
        run::plan(&self.store, &taken.fence, &[part]).await?;
        let Some(part) = run::begin_part(&self.store, &taken.fence, &name).await? else {
            return Ok(Done::Discarded("superseded"));
        };
        let open = self.connections.open(message.meta.tenant, taken.integration_id).await?;
        let shown = server::organizations(&server::clients(&self.store, &open).await?);
        match organization::apply_clients(&self.store, &part.fence, taken.integration_id, &shown).await? {
            organization::Outcome::Applied(_) => {}
            organization::Outcome::Fenced => return Ok(Done::Discarded("superseded")),
            organization::Outcome::Left(left) => return Err(server::left(left)),
        }
        let state = run::finish_part(&self.store, &part.fence).await?;
        Ok(if state.is_some() { Done::Applied } else { Done::Discarded("superseded") })
    }

    async fn fail(&self, message: &Received<ClientsSync>, fence: Option<&Fence>, cause: &str) -> Result<(), JobError> {
        let (tenant, run_id) = (message.meta.tenant, message.payload.run_id);
        if run::fail(&self.store, tenant, run_id, fence.map(|fence| fence.epoch), cause).await? {
            tracing::warn!(run.id = %run_id, tenant.id = %tenant, error = cause, "a sync of clients failed");
        }
        Ok(())
    }
}

impl Job for SyncClients {
    type Message = ClientsSync;
    /// Two requests to Tactical, each of which may take half of a run's time.
    const MESSAGES_MAX: usize = 1;

    async fn run(&self, batch: &[Received<ClientsSync>]) -> Result<Vec<Outcome>, JobError> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for message in batch {
            outcomes.push(self.one(message).await);
        }
        Ok(outcomes)
    }

    async fn fail_run(&self, message: &Received<ClientsSync>, reason: &str) -> Result<(), JobError> {
        self.fail(message, None, failure::cause(reason)).await
    }
}
