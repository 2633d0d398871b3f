//! The jobs of this worker, one line each.

pub mod refresh_device;
pub mod sync_clients;
pub mod sync_devices;

use connection::Connections;
use runs::InRuns;
use store::Store;
use worker::{OneByOne, Registry};

/// Every kind that this worker does.
#[must_use]
pub fn registry(store: &Store, connections: &Connections) -> Registry {
    Registry::new(contract::Worker::Sync)
        .with(OneByOne(InRuns(sync_clients::SyncClients::new(store, connections))))
        .with(OneByOne(InRuns(sync_devices::SyncDevices::new(store, connections))))
        .with(refresh_device::RefreshDevice::new(store, connections))
}
