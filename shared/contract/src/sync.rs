//! `clients.sync.v1`, `devices.sync.v1` and `device.refresh.v1`: reads of Tactical that are to be made.
//!
//! They carry names and no data: whoever runs one reads Tactical at that moment. All three are superseded by the next of
//! their kind, so nothing is parked when they run out of attempts.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::topology::{Lane, Worker};
use crate::{Exhausted, Message, RunMessage};

/// Reads a server's clients and sites and brings the organisation mappings up to date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientsSync {
    /// The connection.
    pub integration_id: Uuid,
    /// `muster.run`; says the outcome.
    pub run_id: Uuid,
}

impl Message for ClientsSync {
    const KIND: &'static str = "clients.sync.v1";
    const WORKER: Worker = Worker::Sync;
    const LANE: Lane = Lane::Bulk;
    const EXHAUSTED: Exhausted = Exhausted::RunFails;
}

impl RunMessage for ClientsSync {
    const HAS_PARTS: bool = false;

    fn run_id(&self) -> Uuid {
        self.run_id
    }
}

/// Reads a server's devices: the run's own message plans its parts, and each part has a message of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevicesSync {
    /// The connection.
    pub integration_id: Uuid,
    /// `muster.run`; says the outcome.
    pub run_id: Uuid,
    /// One part of the run; `None` is the run's own message: it takes the run over and plans what is left of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<RunPart>,
}

/// One part of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunPart {
    /// The epoch of the run that planned it; a part of an older epoch does nothing.
    pub epoch: i32,
    /// Its name in `muster.run_part`.
    pub name: String,
}

impl Message for DevicesSync {
    const KIND: &'static str = "devices.sync.v1";
    const WORKER: Worker = Worker::Sync;
    const LANE: Lane = Lane::Bulk;
    const EXHAUSTED: Exhausted = Exhausted::RunFails;
}

impl RunMessage for DevicesSync {
    const HAS_PARTS: bool = true;

    fn run_id(&self) -> Uuid {
        self.run_id
    }

    fn part(&self) -> Option<&RunPart> {
        self.part.as_ref()
    }
}

/// Reads one device anew, because something was said about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRefresh {
    /// The connection.
    pub integration_id: Uuid,
    /// Tactical's agent.
    pub agent_id: String,
}

impl Message for DeviceRefresh {
    const KIND: &'static str = "device.refresh.v1";
    const WORKER: Worker = Worker::Sync;
    const LANE: Lane = Lane::Main;
    const EXHAUSTED: Exhausted = Exhausted::RunFails;
}
