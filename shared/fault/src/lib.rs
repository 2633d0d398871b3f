//! What a failure means: its class, the trait that states it, and the error that a job returns.
//!
//! The class of a failure is in its type: a crate that speaks to an outside system gives its error type an
//! [`Classify`] implementation, and only such an error converts into [`JobError`]. An unclassified error does not
//! compile:
//!
//! ```compile_fail
//! fn job() -> Result<(), fault::JobError> {
//!     Err(std::io::Error::other("unclassified"))?;
//!     Ok(())
//! }
//! ```

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// What the runner does with a failure depends on this and on nothing else.
///
/// Three more classes exist (poison, unknown kind, panic or timeout); only the runner may state them, so they live there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// May succeed later: a timeout, 429 or 5xx, something that is not here yet. Burns an attempt.
    Retryable {
        /// The outside system's own wish (`Retry-After`); such a wait burns no attempt.
        after: Option<Duration>,
    },
    /// Two writers met (deadlock, serialization, lock timeout): the runner repeats the batch in process.
    Contention,
    /// A sound message that will never succeed. For a whole batch: one message in it is at fault, find it.
    Permanent,
    /// The tenant's connection is at fault (401, 403, wrong host): the run fails with the cause, nothing is parked.
    NeedsAttention,
    /// Postgres or the broker is away, or this worker is ahead of its migration: stop consuming, burn no attempt.
    Outage,
}

impl Class {
    /// A retry without a wish for its time.
    pub const RETRY: Self = Self::Retryable { after: None };

    /// The word that stands in logs, metrics and parked messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retryable { .. } => "retryable",
            Self::Contention => "contention",
            Self::Permanent => "permanent",
            Self::NeedsAttention => "needs_attention",
            Self::Outage => "outage",
        }
    }
}

/// An error that knows what it means.
pub trait Classify: StdError + Send + Sync + 'static {
    /// The class of this very value.
    fn class(&self) -> Class;
}

/// What a job returns when it fails: a classified error with its chain of causes.
#[derive(Debug)]
pub struct JobError {
    class: Class,
    cause: Box<dyn StdError + Send + Sync>,
}

impl JobError {
    /// What the runner decides by.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }

    /// The error and its causes, outermost first, joined by `: `; what a parked message carries.
    #[must_use]
    pub fn chain(&self) -> String {
        chain(self.cause.as_ref())
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.chain())
    }
}

impl<E: Classify> From<E> for JobError {
    fn from(error: E) -> Self {
        Self { class: error.class(), cause: Box::new(error) }
    }
}

/// An error and its causes on one line, outermost first, joined by `: `.
///
/// A cause whose text already ends the line is not repeated: many libraries print their source themselves.
#[must_use]
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        next = cause.source();
    }
    line
}

/// An error's text, which begins small and has no end, as a sentence for a person.
#[must_use]
pub fn sentence(text: &str) -> String {
    let mut chars = text.trim().chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let rest = chars.as_str();
    let stop = if rest.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{rest}{stop}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot write alert 7")]
    struct Outer(#[source] std::io::Error);

    impl Classify for Outer {
        fn class(&self) -> Class {
            Class::Outage
        }
    }

    fn fails() -> Result<(), JobError> {
        Err(Outer(std::io::Error::other("connection reset")))?;
        Ok(())
    }

    #[test]
    fn a_clause_becomes_a_sentence_with_one_end() {
        assert_eq!(sentence("the client is another tenant's"), "The client is another tenant's.");
        assert_eq!(sentence(" there is nothing at this address. "), "There is nothing at this address.");
        assert_eq!(sentence("Ärger!"), "Ärger!");
        assert_eq!(sentence(""), ".");
    }

    #[test]
    fn a_classified_error_keeps_its_class_and_its_chain() {
        let error = fails().expect_err("it fails");
        assert_eq!(error.class(), Class::Outage);
        assert_eq!(error.to_string(), "cannot write alert 7: connection reset");
    }
}
