//! The parker: moves what lies in the landing queue into the table `muster.parked`, where people can look at it.
//!
//! The queue is never browsed: a quorum queue that is browsed by get and requeue drops a message at its delivery limit.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use broker::backoff::Policy;
use broker::{Consumer, Delivery, Settlement};
use store::Store;
use store::parked::{self, Parked, ParkedState};
use store::pause;
use telemetry::{field, metric, watchdog};
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

use crate::hold::headers;

/// Rows of one insert at most, and deliveries in hand.
pub(crate) const BATCH_MESSAGES_MAX: u16 = 100;
/// How long a delivery is held while Postgres is away; then it is given back, which the landing queue does not count.
const HOLD: Duration = Duration::from_secs(30);
/// The class of what no queue took.
const UNROUTED: &str = "unrouted";
/// How often the topology is declared anew while messages come that no queue took.
const HEAL_EVERY: Duration = Duration::from_secs(5);
const LINGER: Duration = Duration::from_millis(20);
const AGAIN: Policy =
    Policy { initial: Duration::from_millis(200), factor: 2.0, ceiling: Duration::from_secs(5), jitter: 0.3 };

/// Who parks, and how much of it is too much.
#[derive(Debug, Clone)]
pub struct Parker {
    /// Where.
    pub store: Store,
    /// The program's name and version.
    pub me: String,
    /// More parks of one kind within a minute pause the kind.
    pub parks_per_minute_max: u32,
    /// Where the topology is declared anew, should something in it be missing.
    pub broker: broker::Config,
}

/// Runs until the consumer has stopped and everything that it had prefetched is settled.
pub async fn run(parker: Parker, mut consumer: Consumer, stop: CancellationToken) {
    let (settler, mut healed_at) = (consumer.settler(), None);
    while let Some(first) = consumer.next().await {
        let mut batch = vec![first];
        let until = Instant::now() + LINGER;
        while batch.len() < usize::from(BATCH_MESSAGES_MAX) {
            let Ok(Some(next)) = timeout_at(until.into(), consumer.next()).await else { break };
            batch.push(next);
        }
        batch.retain(Delivery::is_current);
        let sound = batch.iter().filter(|delivery| !delivery.is_probe());
        let rows: Vec<Parked> = sound.map(|delivery| row(delivery, &parker.me)).collect();
        let settlement = parker.park(&rows, &stop).await;
        settler.settle(batch.iter().map(|delivery| (delivery, settlement)));
        if rows.iter().any(|row| row.class == UNROUTED) {
            parker.heal(&mut healed_at).await;
        }
    }
}

impl Parker {
    async fn park(&self, rows: &[Parked], stop: &CancellationToken) -> Settlement {
        let until = Instant::now() + HOLD;
        // its hold, a statement that began just before its end, and the look for floods
        let _work = watchdog::begin(HOLD + self.store.deadline() * 2, "a batch of dead letters".to_owned());
        for failures in 1.. {
            let error = match parked::insert(&self.store, rows).await {
                Ok(_) => {
                    self.stop_floods(rows).await;
                    return Settlement::Ack;
                }
                Err(error) => error,
            };
            let pause = AGAIN.interval(failures);
            if Instant::now() + pause >= until || stop.is_cancelled() {
                break;
            }
            tracing::warn!({ field::ERROR } = %fault::chain(&error), "the landing queue waits for postgres");
            let _ = tokio::time::timeout(pause, stop.cancelled()).await;
        }
        Settlement::Requeue
    }

    /// Declares the topology anew, where that was not done just now: an exchange, a queue or a binding is missing.
    async fn heal(&self, healed_at: &mut Option<Instant>) {
        if healed_at.is_some_and(|at| at.elapsed() < HEAL_EVERY) {
            return;
        }
        match broker::topology::heal(&self.broker, &self.me).await {
            Ok(()) => tracing::warn!("no queue took a message: the topology was declared anew; see `muster park list`"),
            Err(error) => {
                tracing::warn!({ field::ERROR } = %fault::chain(&error), "no queue took a message, and the topology could not be declared anew");
            }
        }
        *healed_at = Some(Instant::now());
    }

    /// Pauses the kinds of these messages that are parked too often. Where that fails, the next park tries it again.
    async fn stop_floods(&self, rows: &[Parked]) {
        let known = |row: &Parked| contract::find_kind(row.kind.as_deref()?).map(|kind| kind.name);
        let kinds: BTreeSet<&'static str> = rows.iter().filter_map(known).collect();
        let kinds: Vec<&str> = kinds.into_iter().collect();
        if kinds.is_empty() {
            return;
        }
        match pause::stop_floods(&self.store, &kinds, self.parks_per_minute_max, &self.me).await {
            Ok(stopped) => stopped.iter().for_each(|kind| self.say_stopped(kind)),
            Err(error) => {
                tracing::warn!({ field::ERROR } = %fault::chain(&error), "the parks of a minute were not counted");
            }
        }
    }

    fn say_stopped(&self, kind: &str) {
        let name = contract::find_kind(kind).map_or("unknown", |kind| kind.name);
        metrics::counter!(metric::KINDS_STOPPED_TOTAL, "kind" => name).increment(1);
        tracing::error!(
            { field::JOB_KIND } = kind,
            "stopped a kind: more than {} of its messages were parked within a minute; they are held from now on. \
             See `muster park list --kind {kind}`, then `muster resume --all-tenants --kind {kind}`",
            self.parks_per_minute_max
        );
    }
}

fn row(delivery: &Delivery, me: &str) -> Parked {
    let verdict = delivery.verdict();
    let meta = delivery.meta.as_ref().ok();
    Parked {
        tenant: meta.map(|meta| meta.tenant),
        kind: delivery.kind().map(str::to_owned),
        message_id: delivery.message_id().map(str::to_owned),
        class: verdict.class,
        reason: verdict.reason,
        attempt: meta.map_or(0, |meta| meta.attempt),
        worker_version: verdict.parked_by.unwrap_or_else(|| me.to_owned()),
        state: ParkedState::Parked,
        exchange: contract::topology::WORK.to_owned(),
        routing_key: delivery.key_before(),
        queue: verdict.queue,
        headers: headers(delivery),
        body: delivery.body.to_vec(),
        traceparent: meta.and_then(|meta| meta.traceparent.clone()),
        first_published_at: meta.map(|meta| meta.first_published_at),
    }
}
