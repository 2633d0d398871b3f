//! Schedules: when each kind of run of a connection is due, and what is done when it is.
//!
//! **Slots.** The slots of a schedule lie `phase_s` past whole intervals since 1970, on the database's clock and no other; the
//! phase is a hash of tenant and kind, so that not everything is due at minute 0. A schedule says its next slot; whoever
//! takes it moves it on and starts the run in one transaction. Slots that were missed meanwhile are one.
//!
//! **At most one run of a kind.** Where one is open the tick starts none; one that makes no progress is sent to the workers
//! again. A slot that is not newer than the last run (a person was faster) is dropped.
//!
//! **Who may tick.** Any number of processes at once: rows that another one has locked are passed over, and so are those whose
//! connection a batch has locked; these stay due.
//!
//! **Made and ended by triggers** (migration 0009), so also where AlgaPSA itself makes, switches or deletes a connection.

mod attention;
mod list;
mod make;
mod patch;
mod tick;

use crate::run::Kind;

pub use attention::{ATTENTION_AFTER, ATTENTION_FAILURES, PROBE_EVERY};
pub(crate) use attention::{note_end, probe_now};
pub use list::{Failing, Schedule, list};
pub(crate) use make::make_missing;
pub use patch::{INTERVAL_S_MAX, INTERVAL_S_MIN, Patch, PatchEnd, patch};
pub use tick::{Outcome, ROWS_MAX, Tick, WISH_AFTER, follow_clock, tick};

/// The default interval of devices by the size of the fleet: up to so many agents, in seconds. What is larger takes
/// [`DEVICES_LARGE_S`]. Status is as old as the last look, so small fleets, which cost little, are read often.
const DEVICES_S: [(i64, i32); 2] = [(1_000, 2 * 60), (5_000, 5 * 60)];
/// The default interval of devices of a large fleet, in seconds.
const DEVICES_LARGE_S: i32 = 15 * 60;

/// How often the devices of a fleet of that size are read where nobody has set an interval, in seconds.
fn devices_interval_s(agents: i64) -> i32 {
    DEVICES_S
        .iter()
        .find(|(agents_max, _)| agents <= *agents_max)
        .map_or(DEVICES_LARGE_S, |(_, interval_s)| *interval_s)
}

/// A kind as the table has it; what is none there belongs to a newer program.
fn kind(word: &str) -> Option<Kind> {
    Kind::parse(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_fleet_is_read_less_often() {
        for (agents, interval_s) in [(0, 120), (1_000, 120), (1_001, 300), (5_000, 300), (5_001, 900), (1_000_000, 900)]
        {
            assert_eq!(devices_interval_s(agents), interval_s, "{agents} agents");
        }
    }
}
