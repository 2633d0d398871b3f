//! A fleet's further gateways, whether they tick, and where gateways spool.

use std::path::PathBuf;

use super::{Builder, Fleet};
use crate::process::Process;

/// Where a gateway's state directory holds the spool.
const SPOOL: &str = "spool";

impl Builder {
    /// The gateways start what is due by the schedules, which they look for every 50 ms. Without this nothing runs by itself.
    #[must_use]
    pub fn ticks(self) -> Self {
        self.set("MUSTER_GATEWAY_TICKS", true)
    }
}

impl Fleet {
    /// Starts one more gateway with other settings than the fleet's, beside the one that takes the simulator's webhooks; its
    /// place in [`Fleet::further_gateway`].
    ///
    /// # Panics
    /// If it does not become ready.
    pub async fn add_gateway(&mut self, settings: &[(&str, &str)]) -> usize {
        let place = self.further_gateways.len();
        let state = self.state_of(place).display().to_string();
        let own = [("MUSTER_GATEWAY_STATE_DIR", state.as_str())];
        let changed = own.iter().chain(settings).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let environment: Vec<_> = self.environment.iter().cloned().chain(changed).collect();
        let mut gateway = self.begin("ingest-gateway", &format!("further gateway {place}"), &environment);
        gateway.ready().await;
        self.further_gateways.push(gateway);
        place
    }

    /// The folder of the gateway's spool.
    ///
    /// # Panics
    /// If the fleet has no folder for it, which it always has.
    #[must_use]
    pub fn spool_folder(&self) -> PathBuf {
        let folder = self.environment.iter().rev().find(|(name, _)| name == "MUSTER_GATEWAY_STATE_DIR");
        PathBuf::from(&folder.expect("the harness sets it").1).join(SPOOL)
    }

    /// Those of all gateways.
    pub(super) fn spool_folders(&self) -> Vec<PathBuf> {
        let further = (0..self.further_gateways.len()).map(|place| self.state_of(place).join(SPOOL));
        std::iter::once(self.spool_folder()).chain(further).collect()
    }

    fn state_of(&self, place: usize) -> PathBuf {
        self.state.path().join(format!("gateway-{place}"))
    }

    /// A gateway that was added, by the order of adding; one that was ended keeps its place.
    ///
    /// # Panics
    /// If there is none.
    pub fn further_gateway(&mut self, place: usize) -> &mut Process {
        self.further_gateways[place].process()
    }
}
