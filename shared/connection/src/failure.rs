//! Why a job that reads Tactical failed, in words for the person who asked for the sync, and when a part is given up.
//!
//! Every worker judges by this: what one of them parks, another one must not try for ever.

use std::time::Duration;

use contract::Meta;
use fault::{Class, Classify, JobError};
use store::Store;
use store::run::{self, Cause, Fence, PartFence};

/// Attempts of one message. A part that failed four times within half a minute fails; the next sync, minutes later, is the
/// fifth, and until then its run does not stand in the way of it.
const ATTEMPTS_MAX: u32 = 4;
/// Age at which a failing message is given up, even if every attempt was only told to wait.
const AGE_MAX: Duration = Duration::from_secs(15 * 60);

/// What the cause begins with until another attempt has ended.
const REPEATED: &str = "an attempt failed and is repeated: ";
/// Longest time for noting it.
const NOTE_MAX: Duration = Duration::from_secs(2);

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The connection cannot be used.
    #[error(transparent)]
    Connection(crate::Error),
    /// Tactical did not answer as it should; with what a person can do.
    #[error("{error}. {}", error.remedy())]
    Tactical {
        /// What went wrong; no source of this error, whose text holds it already.
        error: tactical::Error,
    },
    /// Tactical answered, and the answer cannot be the whole truth.
    #[error("{0}")]
    Doubtful(String),
}

impl From<tactical::Error> for Error {
    fn from(error: tactical::Error) -> Self {
        Self::Tactical { error }
    }
}

impl From<crate::Error> for Error {
    fn from(error: crate::Error) -> Self {
        match error {
            crate::Error::Tactical(error) => Self::Tactical { error },
            crate::Error::Store(error) => Self::Store(error),
            error => Self::Connection(error),
        }
    }
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Self::Store(error) => error.class(),
            Self::Connection(error) => error.class(),
            Self::Tactical { error } => error.class(),
            Self::Doubtful(_) => Class::NeedsAttention,
        }
    }
}

/// Judges a failure. `Ok`: it is given up, for this cause. A permanent error would be parked by the runner, and its run would
/// stay open; one that needs a person is told at once, by whoever still holds the run. Both are given up here.
///
/// # Errors
/// What is left to the runner: it tries again, or calls `fail_run`.
pub async fn judge(store: &Store, error: Error, meta: &Meta) -> Result<Cause, JobError> {
    let age = match error.class() {
        // the database's clock has no say in these, and it may be the one that is away
        Class::Permanent | Class::NeedsAttention | Class::Outage => Duration::ZERO,
        Class::Retryable { .. } | Class::Contention => store.age(meta.first_published_at).await,
    };
    if !is_over(error.class(), meta.attempt, age) {
        return Err(error.into());
    }
    Ok(Cause { text: fault::chain(&error), needs_attention: error.class() == Class::NeedsAttention })
}

/// `age`: of the message, on the clock that it was stamped by.
fn is_over(class: Class, attempt: u32, age: Duration) -> bool {
    match class {
        Class::Permanent | Class::NeedsAttention => true,
        Class::Retryable { after: Some(_) } => age >= AGE_MAX,
        Class::Retryable { after: None } | Class::Contention => attempt + 1 >= ATTEMPTS_MAX || age >= AGE_MAX,
        Class::Outage => false,
    }
}

/// As [`judge`], for a run or a part of one: why an attempt failed that is left to the runner is told to whoever looks.
///
/// # Errors
/// As [`judge`].
pub async fn judge_run(store: &Store, of: Concerns<'_>, error: Error, meta: &Meta) -> Result<Cause, JobError> {
    let judged = judge(store, error, meta).await;
    if let Err(error) = &judged {
        note(store, of, error).await;
    }
    judged
}

/// Whom a failed attempt concerns.
pub enum Concerns<'a> {
    /// The run, which could not be planned.
    Run(&'a Fence),
    /// One of its parts.
    Part(&'a PartFence),
}

/// Tells whoever looks at the run why its last attempt came to nothing. Where that cannot be told at once the run is none the
/// worse; a database that is away is not even asked, since the job's time limit must not make an attempt of the outage.
async fn note(store: &Store, of: Concerns<'_>, error: &JobError) {
    if matches!(error.class(), Class::Outage | Class::Contention) {
        return;
    }
    let cause = format!("{REPEATED}{}", error.chain());
    let noting = async {
        match of {
            Concerns::Run(fence) => run::note_run_trouble(store, fence, &cause).await,
            Concerns::Part(fence) => run::note_part_trouble(store, fence, &cause).await,
        }
    };
    if let Ok(Err(error)) = tokio::time::timeout(NOTE_MAX, noting).await {
        tracing::debug!(error = fault::chain(&error), "the trouble of a run could not be noted");
    }
}

/// Why a message is not even begun: it never came to an answer, by a time limit or a panic, or its process died with it.
#[must_use]
pub fn exhausted(meta: &Meta) -> Option<Cause> {
    (meta.attempt >= ATTEMPTS_MAX).then(|| {
        let reason = meta.reason.as_deref().map(cause);
        let reason = reason.map_or_else(|| "no reason is known".to_owned(), |reason| reason.text);
        Cause { text: format!("given up after {} attempts: {reason}", meta.attempt), needs_attention: false }
    })
}

/// The cause of a reason that the runner gives, without the class's word before it.
#[must_use]
pub fn cause(reason: &str) -> Cause {
    let (class, text) = reason.split_once(": ").unwrap_or(("", reason));
    Cause { text: text.to_owned(), needs_attention: class == Class::NeedsAttention.as_str() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_verdicts() {
        let retry = || Error::from(tactical::Error::Truncated { endpoint: "/agents/" });
        let wait = || Error::from(tactical::Error::BreakerOpen { after: Duration::from_secs(30) });
        let permanent = || Error::from(tactical::Error::Unreadable { endpoint: "/", reason: "x".to_owned() });
        let doubtful = || Error::Doubtful("no devices".to_owned());
        let table = [
            (retry(), 0, 0, false),
            (retry(), 2, 0, false),
            (retry(), 3, 0, true),
            (retry(), 0, 900, true),
            (wait(), 9, 0, false),
            (wait(), 0, 901, true),
            (permanent(), 0, 0, true),
            (doubtful(), 0, 0, true),
        ];
        for (error, attempt, age_s, given_up) in table {
            let text = error.to_string();
            let is_given_up = is_over(error.class(), attempt, Duration::from_secs(age_s));
            assert_eq!(is_given_up, given_up, "{text} at attempt {attempt}, {age_s} s old");
        }
    }

    #[test]
    fn a_cause_is_told_without_the_runners_word() {
        let expired = cause("needs_attention: the key has expired: ask");
        assert_eq!((expired.text.as_str(), expired.needs_attention), ("the key has expired: ask", true));
        assert_eq!(cause("retryable: cut off"), Cause::from("cut off"));
        assert_eq!(cause("odd"), Cause::from("odd"));
    }
}
