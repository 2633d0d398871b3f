//! `alert.reconcile.v1`: what is open here and what is open in Tactical are made one. One run with two parts: what is open, and
//! then, where some may have opened and closed unseen, the alerts of the last day.

use connection::Connections;
use connection::failure::Error;
use contract::AlertReconcile;
use runs::{SUPERSEDED, Steps, finish};
use store::Store;
use store::run::{NewPart, Part, Scope, Taken};
use worker::{Done, Received};

use crate::poll::{Poll, Stop};
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
        let part = |scope, label: &str| NewPart { scope, label: label.to_owned(), expected: None, fails: None };
        Ok(vec![part(Scope::Alerts, "Open alerts"), part(Scope::AlertsBackfill, "Alerts of the last day")])
    }

    async fn part(&self, message: &Received<AlertReconcile>, part: &Part) -> Result<Done, Error> {
        let (tenant, integration_id) = (message.meta.tenant, message.payload.integration_id);
        let open = self.connections.open(tenant, integration_id).await?;
        let at = self.store.database_now().await?;
        let asked = Asked { tenant, integration_id, at, traceparent: message.meta.traceparent.clone() };
        let poll = Poll { store: &self.store, open: &open, part, asked };
        let ended = match part.scope {
            Scope::AlertsBackfill => poll.backfill().await,
            _ => poll.run().await,
        };
        match ended {
            Ok(()) => finish(&self.store, part).await,
            Err(Stop::Fenced) => Ok(SUPERSEDED),
            Err(Stop::Failed(error)) => Err(error),
        }
    }
}
