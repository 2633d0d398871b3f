//! `alert.fetch.v1`: one alert is read anew, because the webhook that told of it was broken.
//!
//! Nothing is lost when a fetch fails: the next reconciliation says the same.

use connection::Connections;
use connection::failure::{self, Error};
use contract::AlertFetch;
use fault::{Class, Classify as _, JobError};
use runs::SUPERSEDED;
use store::Store;
use store::alert::{self, Fact, Refused, Under, Written};
use worker::{Done, Outcome, Received, SingleJob};

use crate::place::Places;
use crate::polled::{self, Asked};

/// The job.
#[derive(Debug, Clone)]
pub struct FetchAlert {
    store: Store,
    connections: Connections,
}

impl FetchAlert {
    /// On this store, with these connections.
    #[must_use]
    pub fn new(store: &Store, connections: &Connections) -> Self {
        Self { store: store.clone(), connections: connections.clone() }
    }

    async fn fetch(&self, message: &Received<AlertFetch>) -> Result<Done, Error> {
        let (tenant, AlertFetch { integration_id, number, agent_id }) = (message.meta.tenant, &message.payload);
        let open = match self.connections.open(tenant, *integration_id).await {
            Ok(open) => open,
            // disconnected or suspended since
            Err(error) if error.class() == Class::Permanent => return Ok(Done::Discarded("inactive")),
            Err(error) => return Err(error.into()),
        };
        let asked = Asked {
            tenant,
            integration_id: *integration_id,
            at: self.store.database_now().await?,
            traceparent: message.meta.traceparent.clone(),
        };
        let found = match open.call(async |client| client.alert(*number).await).await {
            Ok(found) => found,
            // whether that means that it is over, only a list tells that shows what the key sees
            Err(connection::Error::Tactical(tactical::Error::NotFound { .. })) => return Ok(Done::Discarded("gone")),
            Err(connection::Error::Tactical(tactical::Error::Forbidden { .. })) => {
                return Ok(Done::Discarded("hidden"));
            }
            Err(error) => return Err(error.into()),
        };
        if found.agent_id.as_deref() != Some(agent_id) {
            return Ok(Done::Discarded("other_agent"));
        }
        let news = alert::news(&self.store, vec![polled::fact(found, &asked, &Places::default())]).await?;
        let facts: Vec<Fact> = news.into_iter().map(|polled| polled.fact).collect();
        // a number means another alert on another server
        let under =
            Under::Server { tenant, integration_id: *integration_id, server_epoch: open.settings().server_epoch };
        Ok(match alert::observe_under(&self.store, &under, &facts).await? {
            Written::Observed(_) => Done::Applied,
            Written::Refused(Refused::Left(left)) => Done::Discarded(left.as_str()),
            Written::Refused(Refused::Fenced) => SUPERSEDED,
        })
    }
}

impl SingleJob for FetchAlert {
    type Message = AlertFetch;

    async fn run(&self, message: &Received<AlertFetch>) -> Outcome {
        if failure::exhausted(&message.meta).is_some() {
            return Ok(Done::Discarded("failed"));
        }
        match self.fetch(message).await {
            Ok(done) => Ok(done),
            Err(error) => {
                let cause = failure::judge(&self.store, error, &message.meta).await?;
                let number = message.payload.number;
                tracing::warn!(tenant.id = %message.meta.tenant, error = cause.text, "alert {number} could not be read");
                Ok(Done::Discarded("failed"))
            }
        }
    }

    /// Nothing is to be marked: the wish stands in the alert's state until a poll has shown it.
    async fn fail_run(&self, _: &Received<AlertFetch>, _: &str) -> Result<(), JobError> {
        Ok(())
    }
}
