//! What a job is: behaviour over a batch of messages of one kind. Its data lives in `contract`.

use std::future::Future;

use contract::{Message, Meta};
use fault::{Class, Classify, JobError};

/// A message as a job gets it.
#[derive(Debug, Clone)]
pub struct Received<M> {
    /// Its envelope.
    pub meta: Meta,
    /// Its payload.
    pub payload: M,
}

/// How a message succeeded. Both are final and both are acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// Committed, or found to be committed already.
    Applied,
    /// Rightly without effect; the word says why and stands in the metrics, so it must be one of few.
    Discarded(&'static str),
}

impl Done {
    /// The word that stands in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Discarded(why) => why,
        }
    }
}

/// One message's result.
pub type Outcome = Result<Done, JobError>;

/// A job over batches.
pub trait Job: Send + Sync + 'static {
    /// What it consumes.
    type Message: Message;

    /// Messages of one run at most; the worker's own limit holds as well. A lane takes no more at once than the largest of
    /// its kinds, so a long job says 1.
    const MESSAGES_MAX: usize = usize::MAX;

    /// Does the whole batch and commits it. A message may come again at any time, in any company: the second run must
    /// change nothing.
    ///
    /// Answers one outcome per message in the batch's order, or one error for all of them. A permanent error of a whole
    /// batch says that one of its messages is at fault: the runner searches for it by halving the batch.
    fn run(&self, batch: &[Received<Self::Message>]) -> impl Future<Output = Result<Vec<Outcome>, JobError>> + Send;

    /// A message of a kind that is superseded by the next tick ([`contract::Exhausted::RunFails`]), or one whose tenant's
    /// connection is at fault, comes to its end: marks its run as failed. A job that keeps no runs leaves this as it is;
    /// the message is then parked. The cause is a class's word, a colon and the error with its causes.
    fn fail_run(&self, _: &Received<Self::Message>, _: &str) -> impl Future<Output = Result<(), JobError>> + Send {
        std::future::ready(Err(NoRuns.into()))
    }
}

/// A job was asked to mark a run as failed and keeps none.
#[derive(Debug, thiserror::Error)]
#[error("the job keeps no account of runs")]
struct NoRuns;

impl Classify for NoRuns {
    fn class(&self) -> Class {
        Class::Permanent
    }
}

/// A job that works one message at a time; [`OneByOne`] makes it a [`Job`].
pub trait SingleJob: Send + Sync + 'static {
    /// What it consumes.
    type Message: Message;

    /// Does one message and commits it.
    fn run(&self, message: &Received<Self::Message>) -> impl Future<Output = Outcome> + Send;

    /// As [`Job::fail_run`].
    fn fail_run(&self, _: &Received<Self::Message>, _: &str) -> impl Future<Output = Result<(), JobError>> + Send {
        std::future::ready(Err(NoRuns.into()))
    }
}

/// The batch form of a [`SingleJob`].
#[derive(Debug, Clone)]
pub struct OneByOne<J>(pub J);

impl<J: SingleJob> Job for OneByOne<J> {
    type Message = J::Message;
    /// The time limit of a run is then the time limit of a message, and a lane takes one at once.
    const MESSAGES_MAX: usize = 1;

    async fn run(&self, batch: &[Received<Self::Message>]) -> Result<Vec<Outcome>, JobError> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for message in batch {
            outcomes.push(self.0.run(message).await);
        }
        Ok(outcomes)
    }

    async fn fail_run(&self, message: &Received<Self::Message>, reason: &str) -> Result<(), JobError> {
        self.0.fail_run(message, reason).await
    }
}
