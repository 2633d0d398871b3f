//! The messages and their names: everything that gateway, workers and outside readers must agree on.
//!
//! Serde only, no I/O. A new kind is a file with its [`Message`], one line in `kinds!` below and a golden sample in
//! `golden/`; its job and the job's registry line live in the worker.

pub mod alert_observed;
pub mod alert_read;
pub mod envelope;
pub mod event;
pub mod id;
pub mod software_ingest;
pub mod sync;
pub mod topology;
pub mod webhook;

use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

pub use alert_observed::AlertObserved;
pub use alert_read::{AlertFetch, AlertReconcile};
pub use envelope::Meta;
pub use software_ingest::SoftwareIngest;
pub use sync::{ClientsSync, DeviceRefresh, DevicesSync, RunPart};
pub use topology::{Lane, Worker};

/// What happens to a message whose attempts or age ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exhausted {
    /// Observed or asked-for work: it is parked with the reason, for a person to look at.
    Park,
    /// Superseded by the next tick: its run fails, nothing is parked.
    RunFails,
}

/// A payload that crosses the broker.
pub trait Message: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The stable name, with its version: `alert.observed.v1`. A change that old readers cannot read is a new kind.
    const KIND: &'static str;
    /// Whose queue it goes to.
    const WORKER: Worker;
    /// Which of the worker's queues it goes to while its tenant is within its budget.
    const LANE: Lane;
    /// What exhaustion means.
    const EXHAUSTED: Exhausted;
}

/// A message of a run in `muster.run`: its own, or that of one of its parts.
pub trait RunMessage: Message {
    /// Whether parts have messages of their own. Where they have none, the run's own message does all of it.
    const HAS_PARTS: bool;

    /// The run.
    fn run_id(&self) -> Uuid;

    /// One part of the run; `None`: this is the run's own message.
    fn part(&self) -> Option<&RunPart> {
        None
    }
}

/// What is known of a kind without its type.
#[derive(Debug, Clone, Copy)]
pub struct KindInfo {
    /// [`Message::KIND`].
    pub name: &'static str,
    /// [`Message::WORKER`].
    pub worker: Worker,
    /// [`Message::LANE`].
    pub lane: Lane,
    /// [`Message::EXHAUSTED`].
    pub exhausted: Exhausted,
    /// Decodes a body and encodes it again: how the golden test reads a sample without knowing its type.
    pub recode: fn(&[u8]) -> Result<serde_json::Value, serde_json::Error>,
}

fn recode<M: Message>(body: &[u8]) -> Result<serde_json::Value, serde_json::Error> {
    serde_json::to_value(serde_json::from_slice::<M>(body)?)
}

macro_rules! kinds {
    ($($message:ty),+ $(,)?) => {
        /// Every kind that exists, one line each.
        pub const KINDS: &[KindInfo] = &[$(KindInfo {
            name: <$message>::KIND,
            worker: <$message>::WORKER,
            lane: <$message>::LANE,
            exhausted: <$message>::EXHAUSTED,
            recode: recode::<$message>,
        }),+];
    };
}

kinds![AlertObserved, AlertReconcile, AlertFetch, ClientsSync, DevicesSync, DeviceRefresh, SoftwareIngest];

/// The kind of that name, if this build knows it.
#[must_use]
pub fn find_kind(name: &str) -> Option<&'static KindInfo> {
    KINDS.iter().find(|kind| kind.name == name)
}
