//! Which job does which kind: one line per job in a worker's `jobs.rs`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use contract::topology::Lane;
use contract::{KindInfo, Message, Meta, Worker};
use fault::JobError;
use futures_util::future::BoxFuture;

use crate::job::{Job, Outcome, Received};

/// The jobs of one worker.
pub struct Registry {
    worker: Worker,
    jobs: BTreeMap<&'static str, Arc<dyn AnyJob>>,
    /// In a lock only to be shared with the rest: it is taken once, before anything runs.
    misfit: Mutex<Option<BoxFuture<'static, String>>>,
}

impl Registry {
    /// A worker without jobs.
    #[must_use]
    pub fn new(worker: Worker) -> Self {
        Self { worker, jobs: BTreeMap::new(), misfit: Mutex::default() }
    }

    /// Adds a job.
    ///
    /// # Panics
    /// Where the kind has a job already, or belongs to another worker: both are mistakes in `jobs.rs`, found at the first
    /// start and by `it/contract.rs`.
    #[must_use]
    pub fn with<J: Job>(mut self, job: J) -> Self {
        let kind = J::Message::KIND;
        assert!(J::Message::WORKER == self.worker, "{kind} belongs to {}", J::Message::WORKER.as_str());
        assert!(self.jobs.insert(kind, Arc::new(job)).is_none(), "{kind} has two jobs");
        self
    }

    /// Says what is watched while the jobs run: a configuration that shows only later that it cannot work, such as a key
    /// that was checked once the database answered. What it ends with is one line for a person; the worker then drains as
    /// after SIGTERM and ends as one that could not start. One that never ends is no fault.
    #[must_use]
    pub fn until_misfit(mut self, misfit: impl Future<Output = String> + Send + 'static) -> Self {
        self.misfit = Mutex::new(Some(Box::pin(misfit)));
        self
    }

    /// What is watched while the jobs run; pending for ever where nothing is.
    pub(crate) fn take_misfit(&mut self) -> BoxFuture<'static, String> {
        let misfit = self.misfit.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        misfit.unwrap_or_else(|| Box::pin(std::future::pending()))
    }

    /// Whose jobs these are.
    #[must_use]
    pub fn worker(&self) -> Worker {
        self.worker
    }

    /// The kinds that have a job here.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.jobs.keys().copied()
    }

    /// Messages of a lane that one batch can use: what the largest batch of its kinds may be. A lane without a kind of its
    /// own has no such bound.
    ///
    /// A worker takes no more of a lane than that, so that long messages are spread over processes instead of waiting in
    /// the hands of one.
    pub(crate) fn messages_max(&self, lane: Lane) -> usize {
        let of_lane = self.jobs.values().filter(|job| job.info().lane == lane);
        of_lane.map(|job| job.messages_max()).max().unwrap_or(usize::MAX)
    }

    pub(crate) fn find(&self, kind: &str) -> Option<Arc<dyn AnyJob>> {
        self.jobs.get(kind).cloned()
    }
}

/// A message whose payload is still bytes.
#[derive(Debug, Clone)]
pub(crate) struct Undecoded {
    pub(crate) meta: Meta,
    pub(crate) body: Bytes,
}

/// What one message of a batch came to, before the runner judges it.
pub(crate) enum Answer {
    Outcome(Outcome),
    Unreadable(String),
}

/// A job whose message type is forgotten, so that jobs of all kinds stand in one map.
pub(crate) trait AnyJob: Send + Sync {
    fn info(&self) -> &'static KindInfo;
    fn messages_max(&self) -> usize;
    fn run(self: Arc<Self>, batch: Vec<Undecoded>) -> BoxFuture<'static, Result<Vec<Answer>, JobError>>;
    fn fail_run(self: Arc<Self>, message: Undecoded, cause: String) -> BoxFuture<'static, Result<(), JobError>>;
}

impl<J: Job> AnyJob for J {
    fn info(&self) -> &'static KindInfo {
        contract::find_kind(J::Message::KIND).expect("kinds! lists every Message, which it/contract.rs checks")
    }

    fn messages_max(&self) -> usize {
        J::MESSAGES_MAX.max(1)
    }

    fn run(self: Arc<Self>, batch: Vec<Undecoded>) -> BoxFuture<'static, Result<Vec<Answer>, JobError>> {
        Box::pin(async move {
            let (mut readable, mut answers) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
            for message in batch {
                match decode::<J::Message>(message) {
                    Ok(received) => {
                        readable.push(received);
                        answers.push(None);
                    }
                    Err(why) => answers.push(Some(Answer::Unreadable(why))),
                }
            }
            let outcomes = if readable.is_empty() { Vec::new() } else { Job::run(&*self, &readable).await? };
            assert!(outcomes.len() == readable.len(), "{} answered another number of results", J::Message::KIND);
            let mut outcomes = outcomes.into_iter();
            let filled = answers.into_iter().map(|answer| answer.or_else(|| outcomes.next().map(Answer::Outcome)));
            Ok(filled.map(|answer| answer.expect("as many outcomes as readable messages, asserted above")).collect())
        })
    }

    fn fail_run(self: Arc<Self>, message: Undecoded, cause: String) -> BoxFuture<'static, Result<(), JobError>> {
        Box::pin(async move {
            match decode::<J::Message>(message) {
                Ok(received) => Job::fail_run(&*self, &received, &cause).await,
                Err(_) => Ok(()),
            }
        })
    }
}

fn decode<M: Message>(message: Undecoded) -> Result<Received<M>, String> {
    let payload = serde_json::from_slice(&message.body).map_err(|error| format!("not a {}: {error}", M::KIND))?;
    Ok(Received { meta: message.meta, payload })
}
