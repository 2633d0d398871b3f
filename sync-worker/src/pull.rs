//! The devices of one part: read, gathered into batches, and merged while the reading goes on.
//!
//! One batch is read while another one waits and a third is merged: the memory is that of three batches, whatever the
//! client's size and however large its devices are, and a database that does not keep up slows the server's answer down.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use connection::Open;
use connection::failure::Error;
use store::device::{self, Batch, Device, DeviceType, Outcome, Source};
use store::run::{Part, Scope};
use store::{Left, Store};
use tactical::{AgentFilter, Monitoring};
use tokio::sync::mpsc;

use crate::device::{from_beta, from_row};
use crate::sink::Sink;

/// Devices of one page of the beta list, at 105 to 154 KB each: some 25 MB.
const BETA_PAGE_DEVICES: u16 = 200;

/// How the reading of a part ended.
pub(crate) enum Pulled {
    /// All of it is written; these agents were listed.
    All(HashSet<String>),
    /// Somebody else has the part: nothing more may be written.
    Fenced,
    /// The rest must not be written, for this reason.
    Left(Left),
}

/// What a part reads.
pub(crate) struct Pull<'a> {
    pub(crate) store: &'a Store,
    pub(crate) open: &'a Open,
    pub(crate) part: &'a Part,
    /// Tactical's number of the client, which the rows do not tell.
    pub(crate) client: String,
    /// Names of the client's sites, which the beta list does not tell.
    pub(crate) sites: HashMap<i64, String>,
    /// The database's clock before the request.
    pub(crate) fetched_at: DateTime<Utc>,
    /// The list that the connection chose.
    pub(crate) source: Source,
}

impl Pull<'_> {
    /// Reads and merges all of it.
    pub(crate) async fn run(self) -> Result<Pulled, Error> {
        let (batches, merging) = mpsc::channel(1);
        let reading = async {
            let mut sink = Sink::new(batches);
            match self.source {
                Source::Beta => self.read_beta(&mut sink).await?,
                Source::List | Source::Detail => self.read_list(&mut sink).await?,
            }
            Ok::<_, Error>(sink.end().await)
        };
        let (read, stopped) = tokio::join!(reading, self.merge_all(merging));
        // why nothing more is written comes first: the reading only ended because of it
        if let Some(stopped) = stopped? {
            return Ok(stopped);
        }
        Ok(Pulled::All(read?))
    }

    async fn read_list(&self, sink: &mut Sink) -> Result<(), Error> {
        let Some(filter) = filter(&self.part.scope) else { return Ok(()) };
        let mut rows = self.open.call(async |client| client.agents(&filter).await).await?;
        while let Some(row) = rows.next().await {
            if !sink.take(from_row(row?)).await {
                break;
            }
        }
        Ok(())
    }

    /// The beta list has pages. What a site's part asks for is its own share of the client and no more.
    async fn read_beta(&self, sink: &mut Sink) -> Result<(), Error> {
        let (Some(filter), Ok(client)) = (filter(&self.part.scope), self.client.parse()) else { return Ok(()) };
        let filter = AgentFilter { client: Some(client), ..filter };
        for page in 1.. {
            let page =
                self.open.call(async |client| client.beta_agents(&filter, page, BETA_PAGE_DEVICES).await).await?;
            for agent in page.results {
                let device = from_beta(agent, |site| self.sites.get(&site).cloned(), self.fetched_at);
                if !sink.take(device).await {
                    return Ok(());
                }
            }
            if !page.has_next {
                break;
            }
        }
        Ok(())
    }

    /// Merges until the reading ends; `Some`: it must not go on.
    async fn merge_all(&self, mut batches: mpsc::Receiver<Vec<Device>>) -> Result<Option<Pulled>, Error> {
        while let Some(devices) = batches.recv().await {
            let batch = Batch {
                tenant: self.part.fence.run.tenant,
                integration_id: self.open.settings().integration_id,
                external_client_id: self.client.clone(),
                fetched_at: self.fetched_at,
                server_epoch: self.open.settings().server_epoch,
                source: self.source,
                fence: Some(self.part.fence.clone()),
                devices,
            };
            match device::merge(self.store, &batch).await? {
                Outcome::Merged(_) => {}
                Outcome::Fenced => return Ok(Some(Pulled::Fenced)),
                Outcome::Left(left) => return Ok(Some(Pulled::Left(left))),
            }
        }
        Ok(None)
    }
}

/// What Tactical is asked for.
fn filter(scope: &Scope) -> Option<AgentFilter> {
    match scope {
        Scope::Client(id) => Some(AgentFilter { client: Some(id.parse().ok()?), ..AgentFilter::default() }),
        Scope::Site(id, kind) => Some(AgentFilter {
            site: Some(id.parse().ok()?),
            monitoring_type: kind.map(|kind| match kind {
                DeviceType::Server => Monitoring::Server,
                DeviceType::Workstation => Monitoring::Workstation,
            }),
            ..AgentFilter::default()
        }),
        Scope::Clients
        | Scope::Confirm
        | Scope::Software
        | Scope::SoftwareByAgent
        | Scope::Alerts
        | Scope::AlertsBackfill => None,
    }
}
