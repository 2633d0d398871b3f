//! `software.ingest.v1`: a read of Tactical's cached software inventory that is to be made.
//!
//! As with every sync the message carries names and no data, and the next run supersedes it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::sync::RunPart;
use crate::topology::{Lane, Worker};
use crate::{Exhausted, Message, RunMessage};

/// Reads what is installed on a server's devices: the run's own message chooses between one list of everything and a walk
/// from agent to agent, and each step of either has a message of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoftwareIngest {
    /// The connection.
    pub integration_id: Uuid,
    /// `muster.run`; says the outcome.
    pub run_id: Uuid,
    /// One part of the run; `None` is the run's own message. How far a walk has come stands in `muster.run_part`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<RunPart>,
}

impl Message for SoftwareIngest {
    const KIND: &'static str = "software.ingest.v1";
    const WORKER: Worker = Worker::Inventory;
    const LANE: Lane = Lane::Bulk;
    const EXHAUSTED: Exhausted = Exhausted::RunFails;
}

impl RunMessage for SoftwareIngest {
    const HAS_PARTS: bool = true;

    fn run_id(&self) -> Uuid {
        self.run_id
    }

    fn part(&self) -> Option<&RunPart> {
        self.part.as_ref()
    }
}
