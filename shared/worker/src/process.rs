//! One batch of deliveries: screened, grouped by kind, run, and handed over to be settled.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::consumer::Settler;
use broker::{Delivery, Settlement};
use chrono::Utc;
use contract::Meta;
use contract::envelope::BODY_BYTES_MAX;
use contract::topology::{self, Lane};
use fault::Class;
use store::Store;
use telemetry::{metric, watchdog};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span};

use crate::alone::Alone;
use crate::config::Config;
use crate::disposition::{Cause, Limits, Screening, screen};
use crate::execute::{Failure, Verdict, execute};
use crate::gate::Gate;
use crate::hands::Hands;
use crate::pauses::Pauses;
use crate::registry::{AnyJob, Registry, Undecoded};
use crate::relay::Wake;
use crate::{hold, settle, trace};

/// What the lanes of a worker share.
pub(crate) struct Runner {
    pub(crate) registry: Registry,
    pub(crate) config: Config,
    pub(crate) limits: Limits,
    pub(crate) hands: Hands,
    pub(crate) gate: Gate,
    pub(crate) relay: Wake,
    /// Main and bulk run side by side; a suspect runs alone in the process.
    pub(crate) alone: Alone,
    pub(crate) store: Store,
    pub(crate) pauses: Pauses,
    /// Copies on their way to a rung or to the landing; they take no slot of a lane while the broker does not confirm.
    pub(crate) moving: TaskTracker,
    /// The process is to end: nothing waits for Postgres any more.
    pub(crate) stop: CancellationToken,
}

/// One lane of a worker; a cheap handle.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) runner: Arc<Runner>,
    pub(crate) lane: Lane,
    pub(crate) settler: Settler,
}

/// A delivery whose envelope is readable.
pub(crate) struct Message {
    pub(crate) delivery: Delivery,
    pub(crate) meta: Meta,
    pub(crate) span: Span,
}

/// Why a delivery is not run.
pub(crate) enum Refusal {
    Suspect(Box<Meta>),
    Poison(String),
}

/// Time since the first publish on the process's own clock, for the metric: nothing is decided by it.
fn age(meta: &Meta) -> Duration {
    (Utc::now() - meta.first_published_at).to_std().unwrap_or_default()
}

impl Desk {
    /// Processes a batch. What succeeded is settled when this returns, the rest as soon as its copy is confirmed.
    pub(crate) async fn process(&self, batch: Vec<Delivery>) {
        let received_at = batch.iter().map(|delivery| delivery.received_at).min().unwrap_or_else(Instant::now);
        let until = received_at + self.runner.config.hold_max();
        let queue = topology::queue(self.runner.hands.worker, self.lane);
        let what = format!("a batch of {} messages of {queue}", batch.len());
        let _held = watchdog::begin(self.runner.config.batch_max(), what);
        let mut admitted = Vec::with_capacity(batch.len());
        for delivery in batch.into_iter().filter(Delivery::is_current) {
            if delivery.is_probe() {
                self.settler.settle([(&delivery, Settlement::Ack)]);
                continue;
            }
            match admit(self.lane, &delivery) {
                Ok(meta) => admitted.push(self.take_up(delivery, meta)),
                Err(refusal) => settle::refuse(self, delivery, refusal),
            }
        }
        let mut groups: BTreeMap<String, Vec<Message>> = BTreeMap::new();
        for message in hold::paused(self, admitted, until).await {
            groups.entry(message.meta.kind.clone()).or_default().push(message);
        }
        for (kind, messages) in groups {
            match self.runner.registry.find(&kind) {
                Some(job) => self.run_kind(&job, messages, until).await,
                None => settle::unknown(self, messages),
            }
        }
    }

    fn take_up(&self, delivery: Delivery, meta: Meta) -> Message {
        let kind = self.runner.registry.find(&meta.kind).map_or("unknown", |job| job.info().name);
        metrics::histogram!(metric::MESSAGE_AGE_SECONDS, "kind" => kind).record(age(&meta));
        let span = trace::process(&delivery.queue, self.lane, &meta);
        Message { delivery, meta, span }
    }

    /// Runs the messages of one kind: the fresh ones in batches, each retried one alone, since it may be what failed its
    /// neighbours before. No delivery is held for long: what is not reached in time waits in a delay queue instead.
    async fn run_kind(&self, job: &Arc<dyn AnyJob>, messages: Vec<Message>, until: Instant) {
        let (retried, mut fresh): (Vec<_>, Vec<_>) = messages.into_iter().partition(|message| message.meta.attempt > 0);
        while !fresh.is_empty() {
            let rest = fresh.split_off(fresh.len().min(job.messages_max()));
            self.run_in_time(job, std::mem::replace(&mut fresh, rest), until).await;
        }
        for message in retried {
            self.run_in_time(job, vec![message], until).await;
        }
    }

    async fn run_in_time(&self, job: &Arc<dyn AnyJob>, mut batch: Vec<Message>, until: Instant) {
        batch.retain(|message| message.delivery.is_current());
        if batch.is_empty() {
            return;
        }
        let late = "held for too long behind others";
        if Instant::now() >= until {
            settle::set_aside(self, batch, late);
        } else if self.lane != Lane::Suspect {
            self.run_batch(job, batch, until).await;
        } else {
            match tokio::time::timeout_at(until.into(), self.runner.alone.quiet()).await {
                Ok(_quiet) => self.run_batch(job, batch, until).await,
                Err(_) => settle::set_aside(self, batch, late),
            }
        }
    }

    /// Runs a batch, and what an outage kept from running again once Postgres is back.
    async fn run_batch(&self, job: &Arc<dyn AnyJob>, mut batch: Vec<Message>, until: Instant) {
        let gate = &self.runner.gate;
        while gate.wait_open(until, &self.runner.stop).await {
            let verdicts = self.run_once(job, &batch).await;
            let (held, done): (Vec<_>, Vec<_>) =
                batch.into_iter().zip(verdicts).partition(|(_, verdict)| is_outage(verdict));
            if !done.is_empty() {
                gate.report_success();
                self.runner.relay.wake();
                settle::settle(self, Some(job), done);
            }
            let Some((_, Err(failure))) = held.first() else { return };
            gate.report_outage(&failure.chain);
            batch = held.into_iter().map(|(message, _)| message).collect();
        }
        settle::set_aside(self, batch, "held while postgres was away");
    }

    async fn run_once(&self, job: &Arc<dyn AnyJob>, batch: &[Message]) -> Vec<Verdict> {
        let (runner, kind) = (&self.runner, job.info().name);
        let undecoded: Vec<Undecoded> = batch
            .iter()
            .map(|message| Undecoded { meta: message.meta.clone(), body: message.delivery.body.clone() })
            .collect();
        let spans: Vec<&Span> = batch.iter().map(|message| &message.span).collect();
        let span = trace::flush(kind, &spans);
        metrics::histogram!(metric::BATCH_SIZE, "kind" => kind).record(batch.len() as f64);
        let begun = Instant::now();
        let running = execute(Arc::clone(job), undecoded, runner.config.job_timeout()).instrument(span);
        // a suspect has the process for itself already
        let verdicts = match self.lane {
            Lane::Suspect => running.await,
            Lane::Main | Lane::Bulk => {
                let _beside = runner.alone.beside().await;
                running.await
            }
        };
        metrics::histogram!(metric::JOB_SECONDS, "kind" => kind).record(begun.elapsed());
        verdicts
    }
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

fn is_outage(verdict: &Verdict) -> bool {
    matches!(verdict, Err(Failure { cause: Cause::Class(Class::Outage), .. }))
}
