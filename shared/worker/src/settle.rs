//! What becomes of deliveries at the broker: an acknowledgement after the commit, or a copy elsewhere and then an
//! acknowledgement.
//!
//! Copies are made by tasks of their own, so that a broker that does not confirm blocks no lane; their number is bounded by
//! the prefetch.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use broker::backoff::Policy;
use broker::{Delivery, Settlement};
use contract::Exhausted;
use fault::Class;
use futures_util::FutureExt as _;
use telemetry::{field, metric, watchdog};
use tracing::{Instrument as _, Span};

use crate::disposition::{Cause, Disposition, Limits, Past, decide};
use crate::execute::{Failure, Verdict};
use crate::process::{Desk, Message, Refusal};
use crate::registry::{AnyJob, Undecoded};
use crate::trace;

/// Settles what a run has come to: what succeeded at once, the rest by its disposition.
pub(crate) fn settle(desk: &Desk, job: Option<&Arc<dyn AnyJob>>, verdicts: Vec<(Message, Verdict)>) {
    let kind = job.map_or("unknown", |job| job.info().name);
    let mut succeeded = Vec::with_capacity(verdicts.len());
    for (message, verdict) in verdicts {
        match verdict {
            Ok(done) => {
                finished(&message.span, kind, done.as_str());
                succeeded.push(message.delivery);
            }
            Err(failure) => {
                let job = job.cloned();
                begin(desk, message, |desk, message| async move { judge(&desk, job, &message, &failure).await });
            }
        }
    }
    desk.settler.settle(succeeded.iter().map(|delivery| (delivery, Settlement::Ack)));
}

/// Nobody here knows the kind of these.
pub(crate) fn unknown(desk: &Desk, messages: Vec<Message>) {
    let verdicts = messages.into_iter().map(|message| {
        let chain = format!("no job here for the kind {}", message.meta.kind);
        (message, Err(Failure { cause: Cause::UnknownKind, chain }))
    });
    settle(desk, None, verdicts.collect());
}

/// Nothing is wrong with these, but they can be held no longer: they wait in a delay queue, with no attempt burnt.
pub(crate) fn set_aside(desk: &Desk, held: Vec<Message>, why: &'static str) {
    let rung = desk.runner.limits.ladder.rungs()[2];
    for message in held {
        begin(desk, message, move |desk, Message { delivery, meta, .. }| async move {
            let attempt = meta.attempt;
            desk.runner.hands.retry(&delivery, &meta, (rung, attempt), why).await
        });
    }
}

/// A delivery that is not run.
pub(crate) fn refuse(desk: &Desk, delivery: Delivery, refusal: Refusal) {
    let span = trace::refused(desk.lane, &delivery);
    let hands = desk.runner.hands.clone();
    let copy = delivery.clone();
    let moving = async move {
        match refusal {
            Refusal::Suspect(meta) => hands.suspect(&copy, &meta).await,
            Refusal::Poison(why) => hands.park(&copy, Cause::Poison.as_str(), &why).await,
        }
    };
    settle_by(desk, delivery, span, moving);
}

/// Begins a task that settles one message.
fn begin<F: Future<Output = Settlement> + Send + 'static>(
    desk: &Desk,
    message: Message,
    moving: impl FnOnce(Desk, Message) -> F,
) {
    let (delivery, span) = (message.delivery.clone(), message.span.clone());
    settle_by(desk, delivery, span, moving(desk.clone(), message));
}

fn settle_by(desk: &Desk, delivery: Delivery, span: Span, moving: impl Future<Output = Settlement> + Send + 'static) {
    let settler = desk.settler.clone();
    let settling = async move {
        let settlement = moving.await;
        settler.settle([(&delivery, settlement)]);
    };
    let settling = watchdog::vital("the settlement of a message", desk.runner.stop.clone(), settling);
    desk.runner.moving.spawn(settling.instrument(span));
}

/// Decides what becomes of a message that failed, and does it.
async fn judge(desk: &Desk, job: Option<Arc<dyn AnyJob>>, message: &Message, failure: &Failure) -> Settlement {
    let Message { delivery, meta, span } = message;
    let (runner, word) = (&desk.runner, failure.cause.as_str());
    let kind = job.as_ref().map_or("unknown", |job| job.info().name);
    let past = Past {
        attempt: meta.attempt,
        age: runner.gate.age(meta).await,
        exhausted: job.as_ref().map_or(Exhausted::Park, |job| job.info().exhausted),
    };
    let interval = retry_policy(&runner.limits).interval(meta.attempt.saturating_add(1));
    let reason = format!("{word}: {}", failure.chain);
    match (decide(failure.cause, past, interval, &runner.limits), job) {
        (Disposition::Retry { rung, attempt }, _) => {
            finished(span, kind, "retried");
            if attempt > meta.attempt {
                metrics::counter!(metric::ATTEMPTS_TOTAL, "kind" => kind, "class" => word).increment(1);
            }
            tracing::warn!(
                { field::JOB_ATTEMPT } = attempt,
                { field::JOB_RUNG_MS } = rung.as_millis() as u64,
                { field::ERROR } = reason,
                "a message will be tried again"
            );
            runner.hands.retry(delivery, meta, (rung, attempt), &reason).await
        }
        (Disposition::FailRun, Some(job)) => fail_run(desk, job, message, &reason).await,
        // what is to be held never gets here: an outage is waited for before anything is settled
        (Disposition::Park | Disposition::Hold | Disposition::FailRun, _) => {
            finished(span, kind, "parked");
            runner.hands.park(delivery, word, &reason).await
        }
    }
}

/// The job marks its run as failed. Where it cannot, the message is tried again while it is young, and parked after that.
async fn fail_run(desk: &Desk, job: Arc<dyn AnyJob>, message: &Message, reason: &str) -> Settlement {
    let Message { delivery, meta, span } = message;
    let (runner, kind) = (&desk.runner, job.info().name);
    let undecoded = Undecoded { meta: meta.clone(), body: delivery.body.clone() };
    let failing = AssertUnwindSafe(job.fail_run(undecoded, reason.to_owned())).catch_unwind();
    let (is_final, chain) = match tokio::time::timeout(runner.config.job_timeout(), failing).await {
        Ok(Ok(Ok(()))) => {
            finished(span, kind, "run_failed");
            return Settlement::Ack;
        }
        Ok(Ok(Err(error))) => (error.class() == Class::Permanent, error.chain()),
        Ok(Err(panic)) => (false, format!("the job panicked: {}", watchdog::panic_text(&*panic))),
        Err(_) => (false, "no answer in time".to_owned()),
    };
    let reason = format!("{reason}; the run could not be marked as failed: {chain}");
    if is_final || runner.gate.age(meta).await >= runner.limits.age_max {
        finished(span, kind, "parked");
        return runner.hands.park(delivery, Class::Permanent.as_str(), &reason).await;
    }
    let rung = runner.limits.ladder.rungs()[2];
    runner.hands.retry(delivery, meta, (rung, meta.attempt), &reason).await
}

fn finished(span: &Span, kind: &'static str, outcome: &'static str) {
    span.record(field::JOB_OUTCOME, outcome);
    metrics::counter!(metric::PROCESSED_TOTAL, "kind" => kind, "outcome" => outcome).increment(1);
}

/// The wait after an attempt: grows fivefold from the shortest rung to the longest, spread by a fifth.
fn retry_policy(limits: &Limits) -> Policy {
    Policy { initial: limits.ladder.shortest(), factor: 5.0, ceiling: limits.ladder.longest(), jitter: 0.2 }
}
