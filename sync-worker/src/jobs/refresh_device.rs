//! `device.refresh.v1`: one agent is read anew, because something was said about it.
//!
//! The pending flag is cleared before the request, so that what is said during it asks for another one. Nothing is lost when
//! a refresh fails: the next sync reads the device as well.

use connection::Connections;
use connection::failure::{self, Error};
use contract::DeviceRefresh;
use fault::{Class, Classify as _, JobError};
use futures_util::future::join_all;
use store::device::{self, Batch, Source};
use store::{Store, agent, organization};
use worker::{Done, Job, Outcome, Received};

use crate::device::from_detail;

/// The job.
#[derive(Debug, Clone)]
pub struct RefreshDevice {
    store: Store,
    connections: Connections,
}

impl RefreshDevice {
    /// On this store, with these connections.
    #[must_use]
    pub fn new(store: &Store, connections: &Connections) -> Self {
        Self { store: store.clone(), connections: connections.clone() }
    }

    async fn one(&self, message: &Received<DeviceRefresh>) -> Outcome {
        if failure::exhausted(&message.meta).is_some() {
            return Ok(Done::Discarded("failed"));
        }
        match self.refresh(message).await {
            Ok(done) => Ok(done),
            Err(error) => {
                let cause = failure::judge(&self.store, error, &message.meta).await?;
                let agent_id = &message.payload.agent_id;
                tracing::warn!(agent.id = agent_id, tenant.id = %message.meta.tenant, error = cause.text, "a refresh failed");
                Ok(Done::Discarded("failed"))
            }
        }
    }

    async fn refresh(&self, message: &Received<DeviceRefresh>) -> Result<Done, Error> {
        let (tenant, DeviceRefresh { integration_id, agent_id }) = (message.meta.tenant, &message.payload);
        agent::take_refresh(&self.store, tenant, *integration_id, agent_id).await?;
        let open = match self.connections.open(tenant, *integration_id).await {
            Ok(open) => open,
            // disconnected or suspended since
            Err(error) if error.class() == Class::Permanent => return Ok(Done::Discarded("inactive")),
            Err(error) => return Err(error.into()),
        };
        let fetched_at = self.store.database_now().await?;
        let detail = match open.call(async |client| client.agent(agent_id).await).await {
            Ok(detail) => detail,
            // deleted, or of a client that the role does not see: the next sync tells
            Err(connection::Error::Tactical(tactical::Error::NotFound { .. })) => return Ok(Done::Discarded("gone")),
            Err(error) => return Err(error.into()),
        };
        let (site, name) = (detail.site, detail.client_name.clone());
        let client = organization::find_client(&self.store, tenant, *integration_id, site, name.as_deref()).await?;
        // a client that no sync has read yet
        let Some(client) = client else { return Ok(Done::Discarded("unmapped")) };
        let batch = Batch {
            tenant,
            integration_id: *integration_id,
            external_client_id: client,
            fetched_at,
            server_epoch: open.settings().server_epoch,
            source: Source::Detail,
            fence: None,
            devices: vec![from_detail(detail)],
        };
        Ok(match device::merge(&self.store, &batch).await? {
            device::Outcome::Merged(_) => Done::Applied,
            device::Outcome::Fenced => Done::Discarded("superseded"),
            device::Outcome::Left(left) => Done::Discarded(left.as_str()),
        })
    }
}

impl Job for RefreshDevice {
    type Message = DeviceRefresh;
    /// Two at once go to a server: two rounds of the slowest answer that was measured (14 s) fit a run's time.
    const MESSAGES_MAX: usize = 4;

    async fn run(&self, batch: &[Received<DeviceRefresh>]) -> Result<Vec<Outcome>, JobError> {
        Ok(join_all(batch.iter().map(|message| self.one(message))).await)
    }

    /// Nothing is to be marked: the flag was cleared before the request.
    async fn fail_run(&self, _: &Received<DeviceRefresh>, _: &str) -> Result<(), JobError> {
        Ok(())
    }
}
