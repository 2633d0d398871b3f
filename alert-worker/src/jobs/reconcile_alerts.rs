//! `alert.reconcile.v1`: what is open here and what is open in Tactical are made one. One run with one part.

use connection::Connections;
use connection::failure::Error;
use contract::AlertReconcile;
use runs::{SUPERSEDED, Steps, finish};
use store::Store;
use store::run::{NewPart, Part, Scope, Taken};
use worker::{Done, Received};

use crate::poll::{Ended, Poll};
use crate::polled::Asked;

/// The job.
#[derive(Debug, Clone)]
pub struct ReconcileAlerts {
    store: Store,
    connections: Connections,
}

impl ReconcileAlerts {
    /// On this store, with these connections.
    #[must_use]
    pub fn new(store: &Store, connections: &Connections) -> Self {
        Self { store: store.clone(), connections: connections.clone() }
    }
}

impl Steps for ReconcileAlerts {
    type Message = AlertReconcile;
    const WHAT: &'static str = "sync of alerts";

    fn store(&self) -> &Store {
        &self.store
    }

    async fn plan(&self, _: &Received<AlertReconcile>, _: &Taken) -> Result<Vec<NewPart>, Error> {
        Ok(vec![NewPart { scope: Scope::Alerts, label: "Open alerts".to_owned(), expected: None, fails: None }])
    }

    async fn part(&self, message: &Received<AlertReconcile>, part: &Part) -> Result<Done, Error> {
        let (tenant, integration_id) = (message.meta.tenant, message.payload.integration_id);
        let open = self.connections.open(tenant, integration_id).await?;
        let at = self.store.database_now().await?;
        let asked = Asked { tenant, integration_id, at, traceparent: message.meta.traceparent.clone() };
        let poll = Poll { store: &self.store, open: &open, part, asked };
        match poll.run().await? {
            Ended::All => finish(&self.store, part).await,
            Ended::Fenced => Ok(SUPERSEDED),
        }
    }
}
