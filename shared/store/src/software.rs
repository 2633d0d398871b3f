//! Software: what each device has installed, from the reports that Tactical keeps, and what has changed since.
//!
//! **What is written.** Nothing for a device whose list is the one that was written last: one digest tells. Of another list,
//! what differs: the catalogue's new programs, the rows of `asset_software` with the highest version of each, all versions in
//! `muster.software_version`, and the changes. `asset_software.last_seen_at` therefore says when the row was written last.
//!
//! **History.** A device's first list is what it has, no change. From then on every version that appears, is replaced or goes
//! is one row of `muster.software_change`.
//!
//! **Gone.** What a list lacks is gone: its row stays, as not current. An *empty* list is also what an agent sends whose look
//! has failed, so it counts once the device has reported a second time and it is empty still: once its agent was heard of
//! an hour after the first empty list. One that is switched off reports nothing, however long its list stays empty.
//!
//! **Whose.** Devices that are imported: their agent has an asset and their client is mapped and switched on.
//!
//! Locks are taken in the order connection, run, part; the connection's lock keeps two lists of a device apart.

mod batch;
mod diff;
mod event;
mod list;
mod read;
pub mod value;
pub mod version;
mod view;
mod walk;
mod write;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::lock::Left;
use crate::run::PartFence;

pub use batch::{PROGRAMS_WRITTEN_MAX, SECOND_REPORT_AFTER, merge};
pub use list::PROGRAMS_MAX;
pub use view::{
    Change, ChangeFilter, Installed, Program as CatalogProgram, ProgramFilter, Version, changes, installed, programs,
};
pub use walk::{count_agents, has_reported, next_agents};
pub(crate) use write::forget;

/// A program as an installer tells of it; odd values are bounded or unknown here, never refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Program {
    /// Without one it is left out.
    pub name: Option<String>,
    /// Any text.
    pub version: Option<String>,
    /// Who made it.
    pub publisher: Option<String>,
    /// As [`value::install_date`] reads it.
    pub install_date: Option<String>,
    /// As [`value::size_bytes`] reads it.
    pub size: Option<String>,
    /// Where it lies.
    pub location: Option<String>,
}

/// What one agent reported last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Tactical's id.
    pub agent_id: String,
    /// Exact duplicates are normal; of what is left at most [`PROGRAMS_MAX`] are kept, the first by name.
    pub programs: Vec<Program>,
}

/// Reports from one answer, or from several that are one step of a walk. Of two about an agent the first counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Whose.
    pub tenant: Uuid,
    /// Which connection.
    pub integration_id: Uuid,
    /// The database's clock before the (first) request.
    pub fetched_at: DateTime<Utc>,
    /// The part of a run that it belongs to.
    pub fence: PartFence,
    /// The reports.
    pub reports: Vec<Report>,
    /// Agents that were asked for and have never reported: nothing is known of them, and nothing is written.
    pub silent: usize,
    /// Agents whose software the key may not read.
    pub refused: usize,
    /// The walk goes on behind this agent; `None`: the batch is no step of a walk, or its last one.
    pub cursor: Option<String>,
}

/// What a batch has written, in devices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Merged {
    /// Devices whose first list it was.
    pub first: usize,
    /// Devices whose list has changed.
    pub changed: usize,
    /// Devices of which nothing was written, since nothing was new.
    pub unchanged: usize,
    /// Devices whose list has come empty, which is not believed yet.
    pub emptied: usize,
    /// Devices of which nothing was written, since something fetched later stands there.
    pub older: usize,
    /// Agents that are no devices here.
    pub unknown: usize,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is written.
    Merged(Merged),
    /// The run was taken over, or the part begun anew: nothing (more) was written, stop.
    Fenced,
    /// Nothing (more) was written, for this reason.
    Left(Left),
}
