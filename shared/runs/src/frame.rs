//! How a message of a run is worked: the run's own message takes it over and plans its parts, a part's message does one step.
//!
//! A redelivery of the run's own message takes the run over with a new epoch, and parts of the old one do nothing more. Where
//! the kind has but the run's own message, its parts are done with it.

use std::future::Future;

use connection::failure::{self, Concerns, Error};
use contract::{RunMessage, RunPart};
use fault::JobError;
use store::Store;
use store::run::{self, Cause, Fence, NewPart, Part, State, Taken};
use worker::{Done, Outcome, Received, SingleJob};

/// The run, or this part of it, is in other hands by now, or has ended: nothing was written.
pub const SUPERSEDED: Done = Done::Discarded("superseded");
const FAILED: Done = Done::Discarded("failed");
const ENDED: Done = Done::Discarded("ended");

/// What one kind of run reads.
pub trait Steps: Send + Sync + 'static {
    /// Its message.
    type Message: RunMessage;

    /// What a person calls such a run: `sync of devices`.
    const WHAT: &'static str;

    /// Where its runs are kept.
    fn store(&self) -> &Store;

    /// Into which parts the run is to be cut.
    ///
    /// # Errors
    /// What [`failure::judge`] judges: the whole run fails by it, or is tried again.
    fn plan(
        &self,
        message: &Received<Self::Message>,
        taken: &Taken,
    ) -> impl Future<Output = Result<Vec<NewPart>, Error>> + Send;

    /// Does one part, or one step of it.
    ///
    /// # Errors
    /// What [`failure::judge`] judges: the part fails by it, or is tried again.
    fn part(&self, message: &Received<Self::Message>, part: &Part) -> impl Future<Output = Result<Done, Error>> + Send;
}

/// A part ends as done.
///
/// # Errors
/// What the database said.
pub async fn finish(store: &Store, part: &Part) -> Result<Done, Error> {
    let state = run::finish_part(store, &part.fence).await?;
    Ok(if state.is_some() { Done::Applied } else { SUPERSEDED })
}

/// The job that works such runs. A part may take as long as a run of a job may, so that it works one message at a time:
/// [`worker::OneByOne`].
#[derive(Debug, Clone)]
pub struct InRuns<S>(pub S);

impl<S: Steps> SingleJob for InRuns<S> {
    type Message = S::Message;

    async fn run(&self, message: &Received<S::Message>) -> Outcome {
        match message.payload.part() {
            None => self.begin(message).await,
            Some(part) => self.go_on(message, part).await,
        }
    }

    async fn fail_run(&self, message: &Received<S::Message>, reason: &str) -> Result<(), JobError> {
        let cause = failure::cause(reason);
        match message.payload.part() {
            Some(part) => self.fail_part(&fence(message, part), &part.name, &cause).await.map(drop),
            None => self.fail_all(message, None, &cause).await,
        }
    }
}

impl<S: Steps> InRuns<S> {
    /// Takes the run over, and plans or does what is left of it.
    async fn begin(&self, message: &Received<S::Message>) -> Outcome {
        if let Some(cause) = failure::exhausted(&message.meta) {
            self.fail_all(message, None, &cause).await?;
            return Ok(FAILED);
        }
        let store = self.0.store();
        let Some(taken) = run::take_over(store, message.meta.tenant, message.payload.run_id()).await? else {
            return Ok(ENDED);
        };
        match self.plan(message, &taken).await {
            Ok(done) => Ok(done),
            Err(error) => {
                let cause = failure::judge_run(store, Concerns::Run(&taken.fence), error, &message.meta).await?;
                self.fail_all(message, Some(taken.fence.epoch), &cause).await?;
                Ok(FAILED)
            }
        }
    }

    async fn plan(&self, message: &Received<S::Message>, taken: &Taken) -> Result<Done, Error> {
        let (store, parts) = (self.0.store(), self.0.plan(message, taken).await?);
        if !run::plan(store, &taken.fence, &parts).await? {
            return Ok(SUPERSEDED);
        }
        if S::Message::HAS_PARTS {
            return Ok(Done::Applied);
        }
        let mut done = SUPERSEDED;
        for part in &parts {
            if let Some(begun) = run::begin_part(store, &taken.fence, &part.scope.to_string()).await? {
                done = self.0.part(message, &begun).await?;
            }
        }
        Ok(done)
    }

    /// Does one part.
    async fn go_on(&self, message: &Received<S::Message>, part: &RunPart) -> Outcome {
        let (store, fence) = (self.0.store(), fence(message, part));
        if let Some(cause) = failure::exhausted(&message.meta) {
            return self.fail_part(&fence, &part.name, &cause).await;
        }
        let Some(begun) = run::begin_part(store, &fence, &part.name).await? else { return Ok(SUPERSEDED) };
        match self.0.part(message, &begun).await {
            Ok(done) => Ok(done),
            Err(error) => {
                let cause = failure::judge_run(store, Concerns::Part(&begun.fence), error, &message.meta).await?;
                let ended = run::fail_attempt(store, &begun.fence, &cause).await?;
                Ok(Self::part_failed(&fence, &part.name, &cause, ended))
            }
        }
    }

    /// Fails a part whose message is given up before it is begun.
    async fn fail_part(&self, fence: &Fence, name: &str, cause: &Cause) -> Outcome {
        let ended = run::fail_part(self.0.store(), fence, name, cause).await?;
        Ok(Self::part_failed(fence, name, cause, ended))
    }

    fn part_failed(fence: &Fence, name: &str, cause: &Cause, ended: Option<State>) -> Done {
        if ended.is_none() {
            return SUPERSEDED;
        }
        let what = S::WHAT;
        let (run_id, tenant) = (fence.run_id, fence.tenant);
        tracing::warn!(run.id = %run_id, tenant.id = %tenant, error = cause.text, "part {name} of a {what} failed");
        FAILED
    }

    /// Fails all that is open of the run; `epoch`: only while the run still has it.
    async fn fail_all(
        &self,
        message: &Received<S::Message>,
        epoch: Option<i32>,
        cause: &Cause,
    ) -> Result<(), JobError> {
        let (tenant, run_id) = (message.meta.tenant, message.payload.run_id());
        if run::fail(self.0.store(), tenant, run_id, epoch, cause).await? {
            let what = S::WHAT;
            tracing::warn!(run.id = %run_id, tenant.id = %tenant, error = cause.text, "a {what} failed");
        }
        Ok(())
    }
}

fn fence<M: RunMessage>(message: &Received<M>, part: &RunPart) -> Fence {
    Fence { tenant: message.meta.tenant, run_id: message.payload.run_id(), epoch: part.epoch }
}
