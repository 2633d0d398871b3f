//! One batch of deliveries from screening to settlement.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::backoff::Policy;
use broker::consumer::Settler;
use broker::{Delivery, Settlement};
use chrono::Utc;
use contract::envelope::BODY_BYTES_MAX;
use contract::topology::Lane;
use contract::{Exhausted, Meta};
use fault::Class;
use futures_util::future::join_all;
use telemetry::{field, metric};
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use crate::config::Config;
use crate::disposition::{Cause, Disposition, Limits, Past, Screening, decide, screen};
use crate::execute::{Failure, Verdict, execute};
use crate::gate::Gate;
use crate::hands::Hands;
use crate::registry::{AnyJob, Registry, Undecoded};
use crate::relay::Wake;
use crate::trace;

/// What the lanes of a worker share.
pub(crate) struct Processor {
    pub(crate) registry: Registry,
    pub(crate) config: Config,
    pub(crate) limits: Limits,
    pub(crate) hands: Hands,
    pub(crate) gate: Gate,
    pub(crate) relay: Wake,
    /// Main and bulk run side by side; a suspect runs alone in the process.
    pub(crate) alone: RwLock<()>,
    /// The process is to end: nothing waits for Postgres any more.
    pub(crate) stop: CancellationToken,
}

/// A delivery whose envelope is readable.
struct Message {
    delivery: Delivery,
    meta: Meta,
    span: Span,
}

/// Processes and settles a batch. Returns once every delivery is settled or its channel is gone.
pub(crate) async fn process(processor: &Processor, lane: Lane, settler: &Settler, batch: Vec<Delivery>) {
    let until = Instant::now() + processor.config.hold_max();
    let mut groups: BTreeMap<String, Vec<Message>> = BTreeMap::new();
    let mut rejected = Vec::new();
    for delivery in batch.into_iter().filter(Delivery::is_current) {
        match admit(lane, &delivery) {
            Ok(meta) => groups.entry(meta.kind.clone()).or_default().push(take_up(processor, lane, delivery, meta)),
            Err(refusal) => rejected.push((delivery, refusal)),
        }
    }
    let rejecting = rejected.into_iter().map(|(delivery, refusal)| {
        let span = trace::refused(lane, &delivery);
        refuse(processor, delivery, refusal, until).instrument(span)
    });
    let settled = join_all(rejecting).await;
    settler.settle(settled.iter().map(|(delivery, settlement)| (delivery, *settlement)));
    for (kind, messages) in groups {
        match processor.registry.find(&kind) {
            Some(job) => run_kind(processor, lane, settler, job, messages, until).await,
            None => settle_unknown(processor, settler, messages, until).await,
        }
    }
}

/// Why a delivery is not run.
enum Refusal {
    Suspect(Box<Meta>),
    Poison(String),
}

/// The envelope of a delivery that may be run.
fn admit(lane: Lane, delivery: &Delivery) -> Result<Meta, Refusal> {
    let meta = delivery.meta.clone().map_err(|why| Refusal::Poison(format!("the envelope cannot be read: {why}")))?;
    let bytes = delivery.body.len();
    if bytes > BODY_BYTES_MAX {
        return Err(Refusal::Poison(format!("the body has {bytes} bytes, the limit is {BODY_BYTES_MAX}")));
    }
    match screen(lane, delivery.delivery_count) {
        Screening::Run => Ok(meta),
        Screening::Suspect => Err(Refusal::Suspect(Box::new(meta))),
        Screening::Park => {
            Err(Refusal::Poison(format!("given back {} times although it ran alone", delivery.delivery_count)))
        }
    }
}

fn take_up(processor: &Processor, lane: Lane, delivery: Delivery, meta: Meta) -> Message {
    let kind = processor.registry.find(&meta.kind).map_or("unknown", |job| job.info().name);
    metrics::histogram!(metric::MESSAGE_AGE_SECONDS, "kind" => kind).record(age(&meta));
    let span = trace::process(&delivery.queue, lane, &meta);
    Message { delivery, meta, span }
}

/// Time since the first publish; nothing where the publisher's clock is ahead.
fn age(meta: &Meta) -> Duration {
    (Utc::now() - meta.first_published_at).to_std().unwrap_or_default()
}

async fn refuse(processor: &Processor, delivery: Delivery, refusal: Refusal, until: Instant) -> (Delivery, Settlement) {
    let settlement = match refusal {
        Refusal::Suspect(meta) => processor.hands.suspect(&delivery, &meta, until).await,
        Refusal::Poison(why) => processor.hands.park(&delivery, Cause::Poison.as_str(), &why, until).await,
    };
    (delivery, settlement)
}

async fn settle_unknown(processor: &Processor, settler: &Settler, messages: Vec<Message>, until: Instant) {
    let failures = messages.into_iter().map(|message| {
        let chain = format!("no job here for the kind {}", message.meta.kind);
        (message, Err(Failure { cause: Cause::UnknownKind, chain }))
    });
    settle(processor, settler, None, failures.collect(), until).await;
}

/// Runs the messages of one kind: the fresh ones as one batch, each retried one alone, since it may be what failed its
/// neighbours before.
async fn run_kind(
    processor: &Processor,
    lane: Lane,
    settler: &Settler,
    job: Arc<dyn AnyJob>,
    messages: Vec<Message>,
    until: Instant,
) {
    let (retried, fresh): (Vec<_>, Vec<_>) = messages.into_iter().partition(|message| message.meta.attempt > 0);
    let batches = std::iter::once(fresh).chain(retried.into_iter().map(|message| vec![message]));
    for batch in batches.filter(|batch| !batch.is_empty()) {
        run_batch(processor, lane, settler, &job, batch, until).await;
    }
}

/// Runs a batch, and what an outage kept from running again once Postgres is back.
async fn run_batch(
    processor: &Processor,
    lane: Lane,
    settler: &Settler,
    job: &Arc<dyn AnyJob>,
    mut batch: Vec<Message>,
    until: Instant,
) {
    while processor.gate.wait_open(until, &processor.stop).await {
        let verdicts = run_once(processor, lane, job, &batch).await;
        let (held, done): (Vec<_>, Vec<_>) =
            batch.into_iter().zip(verdicts).partition(|(_, verdict)| is_outage(verdict));
        if !done.is_empty() {
            processor.gate.report_success();
            processor.relay.wake();
            settle(processor, settler, Some(job), done, until).await;
        }
        let Some((_, Err(failure))) = held.first() else { return };
        processor.gate.report_outage(&failure.chain);
        batch = held.into_iter().map(|(message, _)| message).collect();
    }
    set_aside(processor, settler, batch, until).await;
}

fn is_outage(verdict: &Verdict) -> bool {
    matches!(verdict, Err(Failure { cause: Cause::Class(Class::Outage), .. }))
}

async fn run_once(processor: &Processor, lane: Lane, job: &Arc<dyn AnyJob>, batch: &[Message]) -> Vec<Verdict> {
    let kind = job.info().name;
    let undecoded: Vec<Undecoded> = batch
        .iter()
        .map(|message| Undecoded { meta: message.meta.clone(), body: message.delivery.body.clone() })
        .collect();
    let spans: Vec<&Span> = batch.iter().map(|message| &message.span).collect();
    let span = trace::flush(kind, &spans);
    metrics::histogram!(metric::BATCH_SIZE, "kind" => kind).record(batch.len() as f64);
    let begun = Instant::now();
    let running = execute(Arc::clone(job), undecoded, processor.config.job_timeout()).instrument(span);
    let verdicts = if lane == Lane::Suspect {
        let _alone = processor.alone.write().await;
        running.await
    } else {
        let _beside = processor.alone.read().await;
        running.await
    };
    metrics::histogram!(metric::JOB_SECONDS, "kind" => kind).record(begun.elapsed());
    verdicts
}

/// The hold is over, or the process must end, and Postgres is still away: the messages wait in a delay queue, with no
/// attempt burnt.
async fn set_aside(processor: &Processor, settler: &Settler, held: Vec<Message>, until: Instant) {
    let rung = processor.limits.ladder.rungs()[2];
    let patience = until + Duration::from_secs(5);
    let moving = held.iter().map(|Message { delivery, meta, .. }| {
        processor.hands.retry(delivery, meta, (rung, meta.attempt), "held while postgres was away", patience)
    });
    let settlements = join_all(moving).await;
    settler.settle(held.iter().map(|message| &message.delivery).zip(settlements));
}

/// Carries every verdict's disposition out and settles the deliveries, those that succeeded first.
async fn settle(
    processor: &Processor,
    settler: &Settler,
    job: Option<&Arc<dyn AnyJob>>,
    verdicts: Vec<(Message, Verdict)>,
    until: Instant,
) {
    let kind = job.map_or("unknown", |job| job.info().name);
    let (succeeded, failed): (Vec<_>, Vec<_>) = verdicts.into_iter().partition(|(_, verdict)| verdict.is_ok());
    for (message, verdict) in &succeeded {
        let outcome = verdict.as_ref().map_or("failed", |done| done.as_str());
        finished(message, kind, outcome);
    }
    settler.settle(succeeded.iter().map(|(message, _)| (&message.delivery, Settlement::Ack)));
    let carrying = failed.into_iter().filter_map(|(message, verdict)| Some((message, verdict.err()?))).map(
        |(message, failure)| async move {
            let carrying = carry_out(processor, job, kind, &message, &failure, until);
            let settlement = carrying.instrument(message.span.clone()).await;
            (message, settlement)
        },
    );
    let settled = join_all(carrying).await;
    settler.settle(settled.iter().map(|(message, settlement)| (&message.delivery, *settlement)));
}

async fn carry_out(
    processor: &Processor,
    job: Option<&Arc<dyn AnyJob>>,
    kind: &'static str,
    message: &Message,
    failure: &Failure,
    until: Instant,
) -> Settlement {
    let Message { delivery, meta, .. } = message;
    let past = Past {
        attempt: meta.attempt,
        age: age(meta),
        exhausted: job.map_or(Exhausted::Park, |job| job.info().exhausted),
    };
    let interval = retry_policy(&processor.limits).interval(meta.attempt + 1);
    let word = failure.cause.as_str();
    let reason = format!("{word}: {}", failure.chain);
    match decide(failure.cause, past, interval, &processor.limits) {
        Disposition::Retry { rung, attempt } => {
            finished(message, kind, "retried");
            if attempt > meta.attempt {
                metrics::counter!(metric::ATTEMPTS_TOTAL, "kind" => kind, "class" => word).increment(1);
            }
            tell_retry(rung, attempt, &reason);
            processor.hands.retry(delivery, meta, (rung, attempt), &reason, until).await
        }
        Disposition::Park | Disposition::Hold => {
            finished(message, kind, "parked");
            processor.hands.park(delivery, word, &reason, until).await
        }
        Disposition::FailRun => {
            finished(message, kind, "run_failed");
            fail_run(processor, job, message, &reason, until).await
        }
    }
}

async fn fail_run(
    processor: &Processor,
    job: Option<&Arc<dyn AnyJob>>,
    message: &Message,
    reason: &str,
    until: Instant,
) -> Settlement {
    let Some(job) = job else { return Settlement::Requeue };
    let undecoded = Undecoded { meta: message.meta.clone(), body: message.delivery.body.clone() };
    match Arc::clone(job).fail_run(undecoded, reason.to_owned()).await {
        Ok(()) => Settlement::Ack,
        // The run's row could not be written: the message comes back and fails again, which writes it then.
        Err(error) => {
            let (rung, attempt) = (processor.limits.ladder.shortest(), message.meta.attempt);
            let reason = format!("the failed run could not be written: {error}");
            processor.hands.retry(&message.delivery, &message.meta, (rung, attempt), &reason, until).await
        }
    }
}

fn tell_retry(rung: Duration, attempt: u32, reason: &str) {
    tracing::warn!(
        { field::JOB_ATTEMPT } = attempt,
        { field::JOB_RUNG_MS } = rung.as_millis() as u64,
        { field::ERROR } = reason,
        "a message will be tried again"
    );
}

fn finished(message: &Message, kind: &'static str, outcome: &'static str) {
    message.span.record(field::JOB_OUTCOME, outcome);
    metrics::counter!(metric::PROCESSED_TOTAL, "kind" => kind, "outcome" => outcome).increment(1);
}

/// The wait after an attempt: grows fivefold from the shortest rung to the longest, spread by a fifth.
fn retry_policy(limits: &Limits) -> Policy {
    Policy { initial: limits.ladder.shortest(), factor: 5.0, ceiling: limits.ladder.longest(), jitter: 0.2 }
}
