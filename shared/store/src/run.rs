//! Runs: one sync of a connection, its parts, and what became of each.
//!
//! **One run of a kind at a time.** Whoever asks for a second one is given the first.
//!
//! **Fencing.** A worker that takes a run over raises its epoch, and a part that begins anew raises its attempt; every batch
//! looks at both under their locks in its own transaction. A worker that was paused and wakes finds another epoch or attempt
//! and writes nothing more ([`Fence`], [`PartFence`]). Times decide nothing here.
//!
//! **The end.** A part is done, or has failed with a cause. The run ends when none is open: `completed` where all are done,
//! `failed` where none is, else `partial`; its error names the parts that failed. What `rmm_integrations` shows follows from
//! the last ended run of *each* kind, so that a success of one kind never hides the failure of another.
//!
//! Locks are taken in the order connection, run, part, mapping.

mod cause;
mod end;
mod fence;
mod part;
mod scope;
mod start;
mod tell;
mod view;

pub use cause::Cause;
pub use end::fail;
pub(crate) use end::fail_open;
pub use fence::{Fence, PartFence, Step};
pub use part::{
    NewPart, Part, begin_part, fail_attempt, fail_part, finish_part, leave_part, note_part_trouble, note_run_trouble,
    plan,
};
pub use scope::Scope;
pub use start::{RESEND_AFTER, Started, Taken, start, take_over};
pub use view::{Counts, PartView, RunFilter, RunView, get, page};

pub(crate) use fence::{Held, advance, hold, hold_batch, hold_part};
pub(crate) use part::go_on_from;
pub(crate) use start::{Ask, Open, begin_all, send_again};

/// What a run reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Clients and sites.
    Clients,
    /// Devices.
    Devices,
    /// What is installed on the devices.
    Software,
    /// Alerts.
    Alerts,
}

impl Kind {
    /// Every kind that there is a job for.
    pub const ALL: &'static [Self] = &[Self::Clients, Self::Devices, Self::Software, Self::Alerts];

    /// The word in `muster.run.kind`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clients => "clients",
            Self::Devices => "devices",
            Self::Software => "software",
            Self::Alerts => "alerts",
        }
    }

    /// The kind of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == word)
    }
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Nobody has taken it yet.
    Queued,
    /// Somebody works on it.
    Running,
    /// Every part is done.
    Completed,
    /// Some parts are done, some have failed.
    Partial,
    /// No part is done.
    Failed,
}

impl State {
    /// The word in `muster.run.state`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Partial => "partial",
            Self::Failed => "failed",
        }
    }

    /// The state of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Queued, Self::Running, Self::Completed, Self::Partial, Self::Failed]
            .into_iter()
            .find(|state| state.as_str() == word)
    }

    /// Whether nothing more will come.
    #[must_use]
    pub fn is_ended(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

/// How far a part has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartState {
    /// It waits or is being worked on.
    Open,
    /// It was read and written wholly.
    Done,
    /// It was given up; the cause stands beside it.
    Failed,
}

impl PartState {
    /// The word in `muster.run_part.state`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    /// The state of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Open, Self::Done, Self::Failed].into_iter().find(|state| state.as_str() == word)
    }
}
