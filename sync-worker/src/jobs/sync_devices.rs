//! `devices.sync.v1`: the run's own message plans its parts, a part's message reads one client (or one of its sites), and
//! the part named `confirm` looks a second time for devices that were not listed.
//!
//! A redelivery of the run's own message takes the run over with a new epoch, and parts of the old one do nothing more. A
//! failed part fails alone: the run then ends as `partial`.

use std::collections::{BTreeMap, HashMap, HashSet};

use connection::failure::Error;
use connection::{Connections, Open, server};
use contract::DevicesSync;
use runs::{SUPERSEDED, Steps, finish};
use store::connection::DeviceSource;
use store::device::{self, Source};
use store::run::{self, NewPart, Part, Scope, Taken};
use store::{Left, Store, organization};
use worker::{Done, Received};

use crate::plan;
use crate::pull::{Pull, Pulled};

/// Devices that are asked for one by one in a run, within the time that [`server::gone`] takes; the rest in the runs after it.
const STRAYS_ASKED_MAX: usize = 100;
/// What every list that is too short is told with.
const NOT_MARKED: &str =
    "nothing was marked as missing. Check that the role of the API key still sees all clients and sites";
const UNKNOWN_SITE: &str = "it is not known which client this site belongs to: sync the clients, then the devices";

/// The job.
#[derive(Debug, Clone)]
pub struct SyncDevices {
    store: Store,
    connections: Connections,
}

impl SyncDevices {
    /// On this store, with these connections.
    #[must_use]
    pub fn new(store: &Store, connections: &Connections) -> Self {
        Self { store: store.clone(), connections: connections.clone() }
    }
}

impl Steps for SyncDevices {
    type Message = DevicesSync;
    const WHAT: &'static str = "sync of devices";

    fn store(&self) -> &Store {
        &self.store
    }

    async fn plan(&self, message: &Received<DevicesSync>, taken: &Taken) -> Result<Vec<NewPart>, Error> {
        let (tenant, integration_id) = (message.meta.tenant, taken.integration_id);
        let open = self.connections.open(tenant, integration_id).await?;
        let shown = server::clients(&self.store, &open).await?;
        let mappings = organization::list(&self.store, tenant).await?;
        let wanted: BTreeMap<String, String> = (mappings.into_iter())
            .filter(|mapping| mapping.integration_id == integration_id)
            .filter(|mapping| mapping.client.is_some() && mapping.auto_sync_assets)
            .map(|mapping| {
                let id = mapping.external_organization_id;
                (id.clone(), mapping.external_organization_name.unwrap_or(id))
            })
            .collect();
        let devices_max = match open.settings().device_source {
            DeviceSource::Classic => plan::PART_DEVICES_MAX,
            DeviceSource::Beta => plan::BETA_PART_DEVICES_MAX,
        };
        Ok(plan::parts(&wanted, &shown, devices_max))
    }

    async fn part(&self, message: &Received<DevicesSync>, part: &Part) -> Result<Done, Error> {
        let open = self.connections.open(message.meta.tenant, message.payload.integration_id).await?;
        match &part.scope {
            Scope::Confirm => self.confirm(&open, part).await,
            Scope::Client(_) | Scope::Site(..) => self.read(&open, part).await,
            Scope::Clients | Scope::Software | Scope::SoftwareByAgent | Scope::Alerts | Scope::AlertsBackfill => {
                Ok(SUPERSEDED)
            }
        }
    }
}

/// The devices of a part.
impl SyncDevices {
    async fn read(&self, open: &Open, part: &Part) -> Result<Done, Error> {
        let settings = open.settings();
        let client = match &part.scope {
            Scope::Site(site, _) => {
                let site = site.parse().ok();
                organization::find_client(&self.store, settings.tenant, settings.integration_id, site, None).await?
            }
            Scope::Client(id) => Some(id.clone()),
            Scope::Clients
            | Scope::Confirm
            | Scope::Software
            | Scope::SoftwareByAgent
            | Scope::Alerts
            | Scope::AlertsBackfill => None,
        };
        let Some(client) = client else { return Err(Error::Doubtful(UNKNOWN_SITE.to_owned())) };
        let fetched_at = self.store.database_now().await?;
        let (source, sites) = match settings.device_source {
            DeviceSource::Classic => (Source::List, HashMap::new()),
            DeviceSource::Beta => (Source::Beta, sites(open, &client).await?),
        };
        let pull = Pull { store: &self.store, open, part, client, sites, fetched_at, source };
        let seen = match pull.run().await? {
            Pulled::All(seen) => seen,
            Pulled::Fenced => return Ok(SUPERSEDED),
            Pulled::Left(left) => return self.end_left(part, left).await,
        };
        let expected = part.expected.and_then(|expected| usize::try_from(expected).ok()).unwrap_or_default();
        if server::is_narrow(seen.len(), expected) {
            let listed = seen.len();
            return Err(Error::Doubtful(format!("Tactical lists {listed} of {expected} devices: {NOT_MARKED}")));
        }
        device::candidates(&self.store, &part.fence, &seen).await?;
        finish(&self.store, part).await
    }

    /// The second look: what no list shows is gone, as long as the list shows what was seen a moment ago, and the device's
    /// client and site are still shown. What no list should show is asked for one by one.
    async fn confirm(&self, open: &Open, part: &Part) -> Result<Done, Error> {
        let run = &part.fence.run;
        let Some(strays) = device::strays(&self.store, &part.fence).await? else {
            return Ok(SUPERSEDED);
        };
        let shown = server::clients(&self.store, open).await?;
        let listed: HashSet<String> = server::agents(open).await?.into_keys().collect();
        let view = run::get(&self.store, run.tenant, run.run_id).await?;
        let seen = view.map_or(0, |(view, _)| usize::try_from(view.counts.seen).unwrap_or_default());
        if (listed.is_empty() && strays.has_candidates) || server::is_narrow(listed.len(), seen) {
            let listed = listed.len();
            return Err(Error::Doubtful(format!(
                "Tactical lists {listed} devices where it has just shown {seen}: {NOT_MARKED}"
            )));
        }
        device::forget_hidden(&self.store, &part.fence, &server::organizations(&shown)).await?;
        device::confirm_missing(&self.store, &part.fence, &listed).await?;
        let unlisted = strays.agent_ids.into_iter().filter(|agent_id| !listed.contains(agent_id));
        let gone = server::gone(open, unlisted.take(STRAYS_ASKED_MAX)).await;
        device::mark_strays(&self.store, &part.fence, &gone).await?;
        finish(&self.store, part).await
    }

    /// A part whose devices must not be written (any more). A person's own decision is no failure.
    async fn end_left(&self, part: &Part, left: Left) -> Result<Done, Error> {
        match left {
            Left::Unmapped | Left::AutoSyncOff => {
                let state = run::leave_part(&self.store, &part.fence).await?;
                Ok(if state.is_some() { Done::Applied } else { SUPERSEDED })
            }
            left => Err(server::left(left)),
        }
    }
}

/// The names of a client's sites, which the beta list does not tell.
async fn sites(open: &Open, client: &str) -> Result<HashMap<i64, String>, Error> {
    let Ok(id) = client.parse() else { return Ok(HashMap::new()) };
    let organization = open.call(async |client| client.organization(id).await).await?;
    Ok(organization.sites.into_iter().map(|site| (site.id, site.name)).collect())
}
