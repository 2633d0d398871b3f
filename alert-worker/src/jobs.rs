//! The jobs of this worker, one line each.

pub mod observe_alert;

use store::Store;
use worker::Registry;

/// Every kind that this worker does.
#[must_use]
pub fn registry(store: &Store) -> Registry {
    Registry::new(contract::Worker::Alert).with(observe_alert::ObserveAlert::new(store))
}
