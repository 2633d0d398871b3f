//! Names of exchanges, queues and routing keys, and the delays of the retry ladder.
//!
//! `docs/MESSAGES.md` draws the picture; `broker::topology` declares it.

use std::fmt;
use std::time::Duration;

/// Topic exchange that every job message enters; alternate exchange: [`LANDING`].
pub const WORK: &str = "muster.work";
/// Headers exchange in front of the delay queues, matched on [`crate::envelope::RUNG`]; alternate exchange: [`LANDING`].
pub const RETRY: &str = "muster.retry";
/// Topic exchange that events leave by; with nobody bound they are dropped here.
pub const EVENTS: &str = "muster.events";
/// AMQP's `content_type` of a job's message.
pub const MESSAGE_CONTENT_TYPE: &str = "application/json";
/// Fanout exchange and queue where dead letters and unrouted messages land, until the parker moves them to the table.
pub const LANDING: &str = "muster.landing";
/// AMQP's `type` of an empty message that only asks the broker for its way (`muster doctor`). It is no kind: whoever meets
/// one, in a queue or as a dead letter, drops it.
pub const PROBE: &str = "muster.probe";

/// A worker program. Only workers that exist have queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Worker {
    /// `alert-worker`.
    Alert,
    /// `sync-worker`.
    Sync,
    /// `inventory-worker`.
    Inventory,
}

impl Worker {
    /// Every worker that exists.
    pub const ALL: &'static [Self] = &[Self::Alert, Self::Sync, Self::Inventory];

    /// The program's name, which its queues begin with.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert-worker",
            Self::Sync => "sync-worker",
            Self::Inventory => "inventory-worker",
        }
    }
}

/// One of a worker's queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Kinds that take milliseconds, in batches.
    Main,
    /// Long kinds, and the work of tenants over their budget.
    Bulk,
    /// Deliveries that may have killed their worker: one at a time, alone in the process.
    Suspect,
}

impl Lane {
    /// Every lane.
    pub const ALL: &'static [Self] = &[Self::Main, Self::Bulk, Self::Suspect];

    /// The lane's word, which its queue ends with.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Bulk => "bulk",
            Self::Suspect => "suspect",
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `alert-worker.main`.
#[must_use]
pub fn queue(worker: Worker, lane: Lane) -> String {
    format!("{}.{lane}", worker.as_str())
}

/// What binds [`queue`] to [`WORK`]: `alert-worker.main.#`.
#[must_use]
pub fn binding_key(worker: Worker, lane: Lane) -> String {
    format!("{}.#", queue(worker, lane))
}

/// AMQP's `content_type` of what is published to an exchange: events are CloudEvents, everything else is plain JSON.
#[must_use]
pub fn content_type(exchange: &str) -> &'static str {
    if exchange == EVENTS { crate::event::CONTENT_TYPE } else { MESSAGE_CONTENT_TYPE }
}

/// The key that a message is published with: `alert-worker.main.alert.observed.v1`.
///
/// It survives the ladder untouched, which is how a retried message returns to the queue that it came from, also when
/// its kind is one that this build does not know.
#[must_use]
pub fn routing_key(worker: Worker, lane: Lane, kind: &str) -> String {
    format!("{}.{kind}", queue(worker, lane))
}

/// The retry ladder: one delay queue per rung, shortest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ladder(Vec<Duration>);

/// Multiples of the base delay, so 1 s, 5 s, 30 s, 2 min, 10 min, 30 min, 1 h with the default base.
const RUNGS: [u32; 7] = [1, 5, 30, 120, 600, 1_800, 3_600];

impl Ladder {
    /// The base delay in production, in milliseconds; tests scale it down.
    pub const BASE_MS_DEFAULT: u64 = 1_000;

    /// The ladder over a base delay. A base below 1 ms counts as 1 ms, the broker's resolution.
    #[must_use]
    pub fn new(base: Duration) -> Self {
        let base = base.max(Duration::from_millis(1));
        Self(RUNGS.iter().map(|factor| base * *factor).collect())
    }

    /// All delays, shortest first.
    #[must_use]
    pub fn rungs(&self) -> &[Duration] {
        &self.0
    }

    /// The shortest rung that waits at least `wait`; the longest where none does.
    #[must_use]
    pub fn rung_for(&self, wait: Duration) -> Duration {
        self.0.iter().copied().find(|rung| *rung >= wait).unwrap_or(self.longest())
    }

    /// The shortest rung.
    #[must_use]
    pub fn shortest(&self) -> Duration {
        self.0[0]
    }

    /// The longest rung.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.0[self.0.len() - 1]
    }
}

/// The delay queue of a rung: `muster.retry.5000ms`. Its delay is in its name, because a queue's TTL cannot be changed.
#[must_use]
pub fn rung_queue(rung: Duration) -> String {
    format!("{RETRY}.{}ms", rung.as_millis())
}

/// The value of [`crate::envelope::RUNG`] that routes to a rung: its delay in milliseconds, as text.
#[must_use]
pub fn rung_header(rung: Duration) -> String {
    rung.as_millis().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_ladder_is_the_designed_one() {
        let ladder = Ladder::new(Duration::from_millis(Ladder::BASE_MS_DEFAULT));
        let seconds: Vec<u64> = ladder.rungs().iter().map(Duration::as_secs).collect();
        assert_eq!(seconds, [1, 5, 30, 120, 600, 1_800, 3_600]);
    }

    #[test]
    fn a_wait_takes_the_nearest_rung_not_below_it() {
        let ladder = Ladder::new(Duration::from_secs(1));
        for (wait_ms, rung_s) in
            [(0, 1), (1_000, 1), (1_001, 5), (5_000, 5), (29_000, 30), (3_600_000, 3_600), (9_000_000, 3_600)]
        {
            assert_eq!(ladder.rung_for(Duration::from_millis(wait_ms)), Duration::from_secs(rung_s), "{wait_ms} ms");
        }
    }

    #[test]
    fn names_are_those_of_the_documents() {
        assert_eq!(queue(Worker::Alert, Lane::Main), "alert-worker.main");
        assert_eq!(binding_key(Worker::Alert, Lane::Bulk), "alert-worker.bulk.#");
        assert_eq!(routing_key(Worker::Alert, Lane::Main, "alert.observed.v1"), "alert-worker.main.alert.observed.v1");
        assert_eq!(rung_queue(Duration::from_secs(5)), "muster.retry.5000ms");
    }
}
