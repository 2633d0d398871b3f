//! The frame of every job that reads Tactical: how it works the run of a sync, and how its worker starts.
//!
//! What is read, and into which parts a run is cut, is the job's ([`Steps`]). That a run is taken over once, that a part of an
//! earlier epoch does nothing more, that a failed part fails alone, and who is told why, is the same for all ([`InRuns`]).

mod frame;
mod start;

pub use frame::{InRuns, SUPERSEDED, Steps, finish};
pub use start::{Flags, start};
