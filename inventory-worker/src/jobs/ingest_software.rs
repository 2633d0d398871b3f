//! `software.ingest.v1`: the run's own message chooses how the software is read, a part's message reads the one list or takes
//! one step of a walk.
//!
//! A redelivery of the run's own message takes the run over with a new epoch; a walk then goes on where it was. A list that
//! is cut, slow or too large becomes a walk of the same run.

use std::time::Duration;

use connection::failure::Error;
use connection::{Connections, Open, server};
use contract::SoftwareIngest;
use runs::{SUPERSEDED, Steps, finish};
use store::Store;
use store::run::{self, NewPart, Part, PartState, Scope, Taken};
use store::software::{self, Outcome as Written};
use uuid::Uuid;
use worker::{Done, Received};

use crate::list::{Pull, Pulled};
use crate::walk::{self, Step};
use crate::{Limits, plan};

/// Longest time for the one list: what was merged by then stays, and the rest is asked agent by agent.
const LIST_TIME_MAX: Duration = Duration::from_secs(22);

/// Why a list without a single program is not believed: nothing of it was written, not even that it was empty.
const NOTHING_REPORTED: &str = "Tactical lists no software at all where devices have reported some before: nothing was \
    changed. Check that the role of the API key still may list software and sees all clients and sites";

/// The job.
#[derive(Debug, Clone)]
pub struct IngestSoftware {
    store: Store,
    connections: Connections,
    limits: Limits,
}

impl IngestSoftware {
    /// On this store, with these connections.
    #[must_use]
    pub fn new(store: &Store, connections: &Connections, limits: Limits) -> Self {
        Self { store: store.clone(), connections: connections.clone(), limits }
    }
}

impl Steps for IngestSoftware {
    type Message = SoftwareIngest;
    const WHAT: &'static str = "sync of software";

    fn store(&self) -> &Store {
        &self.store
    }

    async fn plan(&self, message: &Received<SoftwareIngest>, taken: &Taken) -> Result<Vec<NewPart>, Error> {
        let (tenant, integration_id) = (message.meta.tenant, taken.integration_id);
        let open = self.connections.open(tenant, integration_id).await?;
        // also the look whether it is the server that the devices are from
        let shown = server::clients(&self.store, &open).await?;
        let is_small = plan::agents(&shown).is_some_and(|agents| agents <= u64::from(self.limits.list_agents_max));
        Ok(vec![if is_small && !self.walks_already(taken).await? {
            plan::list()
        } else {
            self.walk(tenant, integration_id).await?
        }])
    }

    async fn part(&self, message: &Received<SoftwareIngest>, part: &Part) -> Result<Done, Error> {
        let open = self.connections.open(message.meta.tenant, message.payload.integration_id).await?;
        let attempt = message.meta.attempt;
        match &part.scope {
            Scope::Software => self.list(&open, part, attempt).await,
            Scope::SoftwareByAgent => match walk::step(&self.store, &open, part, self.limits, attempt).await? {
                Step::Taken => Ok(Done::Applied),
                Step::End => finish(&self.store, part).await,
                Step::Stopped(Written::Left(left)) => Err(server::left(left)),
                Step::Stopped(_) => Ok(SUPERSEDED),
            },
            _ => Ok(SUPERSEDED),
        }
    }
}

/// The one list, and the walk.
impl IngestSoftware {
    /// Whether the run was walking when it was taken over.
    async fn walks_already(&self, taken: &Taken) -> Result<bool, Error> {
        let found = run::get(&self.store, taken.fence.tenant, taken.fence.run_id).await?;
        let name = Scope::SoftwareByAgent.to_string();
        Ok(found.is_some_and(|(_, parts)| parts.iter().any(|part| part.name == name && part.state == PartState::Open)))
    }

    async fn walk(&self, tenant: Uuid, integration_id: Uuid) -> Result<NewPart, Error> {
        Ok(plan::walk(software::count_agents(&self.store, tenant, integration_id).await?))
    }

    async fn list(&self, open: &Open, part: &Part, attempt: u32) -> Result<Done, Error> {
        let fetched_at = self.store.database_now().await?;
        let pull = Pull { store: &self.store, open, part, fetched_at };
        let reported = match tokio::time::timeout(LIST_TIME_MAX, pull.run()).await {
            Ok(Ok(Pulled::All(reported))) => reported,
            Ok(Ok(Pulled::Fenced)) => return Ok(SUPERSEDED),
            Ok(Ok(Pulled::Left(left))) => return Err(server::left(left)),
            Ok(Err(Error::Tactical { error })) if plan::is_too_much(&error, attempt) => {
                return self.walk_instead(open, part, &fault::chain(&error)).await;
            }
            Ok(Err(error)) => return Err(error),
            Err(_) => return self.walk_instead(open, part, "reading and writing it takes too long").await,
        };
        let settings = open.settings();
        if reported == 0 && software::has_reported(&self.store, settings.tenant, settings.integration_id).await? {
            return Err(Error::Doubtful(NOTHING_REPORTED.to_owned()));
        }
        finish(&self.store, part).await
    }

    /// The list's part gives way to a walk.
    async fn walk_instead(&self, open: &Open, part: &Part, cause: &str) -> Result<Done, Error> {
        let run = &part.fence.run;
        let walk = self.walk(run.tenant, open.settings().integration_id).await?;
        if !run::plan(&self.store, run, &[walk]).await? {
            return Ok(SUPERSEDED);
        }
        tracing::warn!(run.id = %run.run_id, tenant.id = %run.tenant, error = cause, "the list of all software is too much: each agent is asked");
        Ok(Done::Applied)
    }
}
