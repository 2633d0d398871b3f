//! What becomes of a message: one pure function from a failure and the message's past to a disposition.
//!
//! The table-driven test below is the specification; nothing else in this crate decides.

use std::time::Duration;

use contract::Exhausted;
use contract::topology::{Ladder, Lane};
use fault::Class;

/// Why a message did not succeed. What a job or an outside system may say is its class; the rest only the runner says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The job's error.
    Class(Class),
    /// The job panicked.
    Panic,
    /// The job did not answer in time.
    Timeout,
    /// The message cannot be read, breaks a limit or contradicts itself.
    Poison,
    /// No job here for this kind: a newer worker exists, or will.
    UnknownKind,
}

impl Cause {
    /// The word that stands in metrics and parked messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Class(class) => class.as_str(),
            Self::Panic => "panic",
            Self::Timeout => "timeout",
            Self::Poison => "poison",
            Self::UnknownKind => "unknown_kind",
        }
    }
}

/// What the runner does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// A copy waits in a delay queue and comes back with this many attempts burnt; then ack.
    Retry {
        /// The delay queue.
        rung: Duration,
        /// What the copy's header says.
        attempt: u32,
    },
    /// To the landing queue, and from there into `muster.parked`; then ack.
    Park,
    /// The job marks its run as failed; then ack.
    FailRun,
    /// Nothing is wrong with the message: hold it until Postgres is back, at most for the hold's limit. The runner does so
    /// before it settles anything.
    Hold,
}

/// What is known of the message besides its failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    /// Attempts burnt before this one.
    pub attempt: u32,
    /// Time since its first publish.
    pub age: Duration,
    /// What its kind means by exhaustion.
    pub exhausted: Exhausted,
}

/// The limits that a disposition depends on.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Attempts that may be burnt.
    pub attempts_max: u32,
    /// Age at which a failing message is exhausted.
    pub age_max: Duration,
    /// The delay queues.
    pub ladder: Ladder,
}

/// Decides. `interval` is the backoff policy's wait for this attempt, drawn by the caller so that this stays pure.
#[must_use]
pub fn decide(cause: Cause, past: Past, interval: Duration, limits: &Limits) -> Disposition {
    let is_old = past.age >= limits.age_max;
    let exhausted = match past.exhausted {
        Exhausted::Park => Disposition::Park,
        Exhausted::RunFails => Disposition::FailRun,
    };
    let again = |wait, attempt| Disposition::Retry { rung: limits.ladder.rung_for(wait), attempt };
    match cause {
        Cause::Poison | Cause::Class(Class::Permanent) => Disposition::Park,
        Cause::Class(Class::NeedsAttention) => Disposition::FailRun,
        Cause::Class(Class::Outage) => Disposition::Hold,
        Cause::UnknownKind if is_old => Disposition::Park,
        Cause::UnknownKind => again(unknown_kind_wait(&limits.ladder), past.attempt),
        _ if is_old => exhausted,
        Cause::Class(Class::Retryable { after: Some(after) }) => again(after, past.attempt),
        _ if past.attempt.saturating_add(1) >= limits.attempts_max => exhausted,
        Cause::Class(Class::Retryable { after: None } | Class::Contention) | Cause::Panic | Cause::Timeout => {
            again(interval, past.attempt + 1)
        }
    }
}

/// A newer worker is minutes away, not milliseconds: the third rung.
fn unknown_kind_wait(ladder: &Ladder) -> Duration {
    ladder.rungs()[2]
}

/// What a delivery's own count of returns says before it is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screening {
    /// Run it.
    Run,
    /// It may be what killed its worker: to the suspect queue.
    Suspect,
    /// It was alone and still nobody survived it: poison.
    Park,
}

/// Returns after which a delivery is run alone.
pub const SUSPECT_AFTER_RETURNS: u32 = 3;
/// Returns to the suspect queue after which it is parked. Higher than [`SUSPECT_AFTER_RETURNS`], because a lost
/// connection counts as a return too.
pub const PARK_AFTER_RETURNS: u32 = 6;

/// Screens a delivery.
#[must_use]
pub fn screen(lane: Lane, returns: u32) -> Screening {
    match lane {
        Lane::Suspect if returns >= PARK_AFTER_RETURNS => Screening::Park,
        Lane::Suspect => Screening::Run,
        Lane::Main | Lane::Bulk if returns >= SUSPECT_AFTER_RETURNS => Screening::Suspect,
        Lane::Main | Lane::Bulk => Screening::Run,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn the_table_of_dispositions() {
        let retryable = Cause::Class(Class::RETRY);
        let after = |seconds| Cause::Class(Class::Retryable { after: Some(S(seconds)) });
        let retry = |seconds, attempt| Disposition::Retry { rung: S(seconds), attempt };
        let (young, old) = (S(60), S(86_400));
        use Disposition::{FailRun, Hold, Park};
        // cause, attempts burnt, age, what becomes of a kind that parks, and of one whose run fails
        let table = [
            (retryable, 0, young, retry(5, 1), retry(5, 1)),
            (retryable, 8, young, retry(5, 9), retry(5, 9)),
            (retryable, 9, young, Park, FailRun),
            (retryable, 0, S(86_399), retry(5, 1), retry(5, 1)),
            (retryable, 0, old, Park, FailRun),
            (after(20), 9, young, retry(30, 9), retry(30, 9)),
            (after(20_000), 0, young, retry(3_600, 0), retry(3_600, 0)),
            (after(20), 0, old, Park, FailRun),
            (Cause::Class(Class::Contention), 0, young, retry(5, 1), retry(5, 1)),
            (Cause::Class(Class::Contention), 9, young, Park, FailRun),
            (Cause::Class(Class::Permanent), 0, young, Park, Park),
            (Cause::Class(Class::NeedsAttention), 0, young, FailRun, FailRun),
            (Cause::Class(Class::Outage), 9, old, Hold, Hold),
            (Cause::Panic, 0, young, retry(5, 1), retry(5, 1)),
            (Cause::Panic, 9, young, Park, FailRun),
            (Cause::Timeout, 0, young, retry(5, 1), retry(5, 1)),
            (Cause::Timeout, 0, old, Park, FailRun),
            (Cause::Poison, 0, young, Park, Park),
            (Cause::UnknownKind, 4, young, retry(30, 4), retry(30, 4)),
            (Cause::UnknownKind, 99, S(86_399), retry(30, 99), retry(30, 99)),
            (Cause::UnknownKind, 0, old, Park, Park),
        ];
        let limits = Limits { attempts_max: 10, age_max: old, ladder: Ladder::new(S(1)) };
        for (cause, attempt, age, parks, fails) in table {
            for (exhausted, expected) in [(Exhausted::Park, parks), (Exhausted::RunFails, fails)] {
                let decided = decide(cause, Past { attempt, age, exhausted }, S(4), &limits);
                assert_eq!(decided, expected, "{cause:?} after {attempt} attempts at {age:?}, {exhausted:?}");
            }
        }
    }

    #[test]
    fn the_table_of_screenings() {
        for (lane, returns, expected) in [
            (Lane::Main, 0, Screening::Run),
            (Lane::Main, 2, Screening::Run),
            (Lane::Main, 3, Screening::Suspect),
            (Lane::Bulk, 2, Screening::Run),
            (Lane::Bulk, 3, Screening::Suspect),
            (Lane::Suspect, 5, Screening::Run),
            (Lane::Suspect, 6, Screening::Park),
        ] {
            assert_eq!(screen(lane, returns), expected, "{lane} after {returns} returns");
        }
    }
}
