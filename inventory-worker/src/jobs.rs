//! The jobs of this worker, one line each.

pub mod ingest_software;

use connection::Connections;
use runs::InRuns;
use store::Store;
use worker::{OneByOne, Registry};

use crate::Limits;

/// Every kind that this worker does.
#[must_use]
pub fn registry(store: &Store, connections: &Connections, limits: Limits) -> Registry {
    Registry::new(contract::Worker::Inventory).with(OneByOne(InRuns(ingest_software::IngestSoftware::new(
        store,
        connections,
        limits,
    ))))
}
