//! Runs a job over a batch until every message has an answer of its own: panics and timeouts are caught, contention is
//! repeated in process, and a batch that fails as a whole is halved until only the culprit fails.

use std::sync::Arc;
use std::time::Duration;

use broker::backoff::Policy;
use fault::Class;
use futures_util::future::BoxFuture;
use telemetry::watchdog;
use tracing::Instrument as _;

use crate::disposition::Cause;
use crate::job::Done;
use crate::registry::{Answer, AnyJob, Undecoded};

/// Why one message failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) cause: Cause,
    /// The error and its causes on one line.
    pub(crate) chain: String,
}

/// One message's result, in the batch's order.
pub(crate) type Verdict = Result<Done, Failure>;

/// How long contention is repeated in process before it costs an attempt.
const CONTENTION_MAX: Duration = Duration::from_secs(2);
const CONTENTION: Policy =
    Policy { initial: Duration::from_millis(10), factor: 2.0, ceiling: Duration::from_millis(320), jitter: 0.5 };

/// As many verdicts as messages. One run takes `limit` at most; no part of the batch is begun after a second one.
pub(crate) fn execute(
    job: Arc<dyn AnyJob>,
    batch: Vec<Undecoded>,
    limit: Duration,
) -> BoxFuture<'static, Vec<Verdict>> {
    // tokio's clock, so that its test can let time pass
    halved(job, batch, limit, tokio::time::Instant::now() + limit * 2)
}

fn halved(
    job: Arc<dyn AnyJob>,
    batch: Vec<Undecoded>,
    limit: Duration,
    ends: tokio::time::Instant,
) -> BoxFuture<'static, Vec<Verdict>> {
    Box::pin(async move {
        if tokio::time::Instant::now() >= ends {
            let chain = "the search for what failed the batch took too long".to_owned();
            return vec![Err(Failure { cause: Cause::Timeout, chain }); batch.len()];
        }
        let whole = match uncontended(&job, &batch, limit).await {
            Ok(verdicts) => return verdicts,
            Err(failure) => failure,
        };
        if batch.len() == 1 || !is_one_messages_fault(whole.cause) {
            return vec![Err(whole); batch.len()];
        }
        let mut first = batch;
        let second = first.split_off(first.len() / 2);
        let mut verdicts = halved(Arc::clone(&job), first, limit, ends).await;
        verdicts.extend(halved(job, second, limit, ends).await);
        verdicts
    })
}

/// A timeout is not searched for by halving: each half could take as long again while the deliveries are held. Its
/// messages come back one by one instead, because a retried message is always run alone.
fn is_one_messages_fault(cause: Cause) -> bool {
    matches!(cause, Cause::Class(Class::Permanent) | Cause::Panic)
}

async fn uncontended(job: &Arc<dyn AnyJob>, batch: &[Undecoded], limit: Duration) -> Result<Vec<Verdict>, Failure> {
    // tokio's clock, so that its test can let time pass
    let begun = tokio::time::Instant::now();
    for failures in 1.. {
        let ended = attempt(job, batch, limit).await;
        let pause = CONTENTION.interval(failures);
        match ended {
            Err(Failure { cause: Cause::Class(Class::Contention), .. })
                if begun.elapsed() + pause <= CONTENTION_MAX =>
            {
                tokio::time::sleep(pause).await;
            }
            ended => return ended,
        }
    }
    unreachable!("the loop returns")
}

async fn attempt(job: &Arc<dyn AnyJob>, batch: &[Undecoded], limit: Duration) -> Result<Vec<Verdict>, Failure> {
    let (what, first) = (job.info().name, batch.first().map_or("none", |message| message.meta.message_id.as_str()));
    let work = watchdog::begin(limit, format!("a job of {what} over {} messages, the first {first},", batch.len()));
    let run = Arc::clone(job).run(batch.to_vec());
    // it ends with the job itself: one that never yields outlives its timeout
    let running = async move {
        let _work = work;
        run.await
    };
    // A task of its own, so that a panic ends the task and not the worker.
    let mut task = tokio::spawn(running.in_current_span());
    match tokio::time::timeout(limit, &mut task).await {
        Ok(Ok(Ok(answers))) => Ok(answers.into_iter().map(verdict).collect()),
        Ok(Ok(Err(error))) => Err(Failure { cause: Cause::Class(error.class()), chain: error.chain() }),
        Ok(Err(died)) => Err(Failure { cause: Cause::Panic, chain: panic_text(died) }),
        Err(_) => {
            task.abort();
            Err(Failure { cause: Cause::Timeout, chain: format!("no answer within {} ms", limit.as_millis()) })
        }
    }
}

fn verdict(answer: Answer) -> Verdict {
    match answer {
        Answer::Outcome(Ok(done)) => Ok(done),
        Answer::Outcome(Err(error)) => Err(Failure { cause: Cause::Class(error.class()), chain: error.chain() }),
        Answer::Unreadable(why) => Err(Failure { cause: Cause::Poison, chain: why }),
    }
}

fn panic_text(died: tokio::task::JoinError) -> String {
    let Ok(panic) = died.try_into_panic() else { return "the job's task was cancelled".to_owned() };
    format!("the job panicked: {}", watchdog::panic_text(&*panic))
}

#[cfg(test)]
#[path = "execute_tests.rs"]
mod tests;
