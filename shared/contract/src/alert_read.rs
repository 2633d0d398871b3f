//! `alert.reconcile.v1` and `alert.fetch.v1`: reads of Tactical's alerts that are to be made.
//!
//! They carry names and no data. The next reconciliation supersedes both, so nothing is parked when they run out of attempts.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::topology::{Lane, Worker};
use crate::{Exhausted, Message, RunMessage};

/// Reads all open alerts of a server and brings ours up to date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertReconcile {
    /// The connection.
    pub integration_id: Uuid,
    /// `muster.run`; says the outcome.
    pub run_id: Uuid,
}

impl Message for AlertReconcile {
    const KIND: &'static str = "alert.reconcile.v1";
    const WORKER: Worker = Worker::Alert;
    const LANE: Lane = Lane::Bulk;
    const EXHAUSTED: Exhausted = Exhausted::RunFails;
}

impl RunMessage for AlertReconcile {
    const HAS_PARTS: bool = false;

    fn run_id(&self) -> Uuid {
        self.run_id
    }
}

/// Reads one alert, because the webhook that told of it was broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertFetch {
    /// The connection.
    pub integration_id: Uuid,
    /// Tactical's number of the alert.
    pub number: i64,
    /// The agent that the webhook named: behind another server the number may be another alert's.
    pub agent_id: String,
}

impl Message for AlertFetch {
    const KIND: &'static str = "alert.fetch.v1";
    const WORKER: Worker = Worker::Alert;
    /// Tactical answers when it likes, and observed alerts must not wait for that.
    const LANE: Lane = Lane::Bulk;
    const EXHAUSTED: Exhausted = Exhausted::RunFails;
}
