//! The jobs of this worker, one line each.

pub mod fetch_alert;
pub mod observe_alert;
pub mod reconcile_alerts;

use connection::Connections;
use runs::InRuns;
use store::Store;
use worker::{OneByOne, Registry};

/// Every kind that this worker does.
#[must_use]
pub fn registry(store: &Store, connections: &Connections) -> Registry {
    Registry::new(contract::Worker::Alert)
        .with(observe_alert::ObserveAlert::new(store))
        .with(OneByOne(fetch_alert::FetchAlert::new(store, connections)))
        .with(OneByOne(InRuns(reconcile_alerts::ReconcileAlerts::new(store, connections))))
}
