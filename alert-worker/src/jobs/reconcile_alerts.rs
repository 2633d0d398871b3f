//! `alert.reconcile.v1`: what is open here and what is open in Tactical are made one. One run with one part.

use connection::Connections;
use connection::failure::{self, Concerns, Error};
use contract::AlertReconcile;
use fault::JobError;
use store::Store;
use store::run::{self, Fence, NewPart, Scope, Taken};
use worker::{Done, Job, Outcome, Received};

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

    async fn one(&self, message: &Received<AlertReconcile>) -> Outcome {
        let (tenant, run_id) = (message.meta.tenant, message.payload.run_id);
        if let Some(cause) = failure::exhausted(&message.meta) {
            self.fail(message, None, &cause).await?;
            return Ok(Done::Discarded("failed"));
        }
        let Some(taken) = run::take_over(&self.store, tenant, run_id).await? else {
            return Ok(Done::Discarded("ended"));
        };
        match self.reconcile(message, &taken).await {
            Ok(done) => Ok(done),
            Err(error) => {
                let cause = failure::judge_run(&self.store, Concerns::Run(&taken.fence), error, &message.meta).await?;
                self.fail(message, Some(&taken.fence), &cause).await?;
                Ok(Done::Discarded("failed"))
            }
        }
    }

    async fn reconcile(&self, message: &Received<AlertReconcile>, taken: &Taken) -> Result<Done, Error> {
        let name = Scope::Alerts.to_string();
        let part = NewPart { scope: Scope::Alerts, label: "Open alerts".to_owned(), expected: None, fails: None };
        run::plan(&self.store, &taken.fence, &[part]).await?;
        let Some(part) = run::begin_part(&self.store, &taken.fence, &name).await? else {
            return Ok(Done::Discarded("superseded"));
        };
        let open = self.connections.open(message.meta.tenant, taken.integration_id).await?;
        let asked = Asked {
            tenant: message.meta.tenant,
            integration_id: taken.integration_id,
            at: self.store.database_now().await?,
            traceparent: message.meta.traceparent.clone(),
        };
        let poll = Poll { store: &self.store, open: &open, part: &part, asked };
        if matches!(poll.run().await?, Ended::Fenced) {
            return Ok(Done::Discarded("superseded"));
        }
        let state = run::finish_part(&self.store, &part.fence).await?;
        Ok(if state.is_some() { Done::Applied } else { Done::Discarded("superseded") })
    }

    async fn fail(
        &self,
        message: &Received<AlertReconcile>,
        fence: Option<&Fence>,
        cause: &str,
    ) -> Result<(), JobError> {
        let (tenant, run_id) = (message.meta.tenant, message.payload.run_id);
        if run::fail(&self.store, tenant, run_id, fence.map(|fence| fence.epoch), cause).await? {
            tracing::warn!(run.id = %run_id, tenant.id = %tenant, error = cause, "a sync of alerts failed");
        }
        Ok(())
    }
}

impl Job for ReconcileAlerts {
    type Message = AlertReconcile;
    /// Three lists of Tactical's; the largest may take half of a run's time.
    const MESSAGES_MAX: usize = 1;

    async fn run(&self, batch: &[Received<AlertReconcile>]) -> Result<Vec<Outcome>, JobError> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for message in batch {
            outcomes.push(self.one(message).await);
        }
        Ok(outcomes)
    }

    async fn fail_run(&self, message: &Received<AlertReconcile>, reason: &str) -> Result<(), JobError> {
        self.fail(message, None, failure::cause(reason)).await
    }
}
