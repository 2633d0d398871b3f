//! The parker: moves what lies in the landing queue into the table `muster.parked`, where people can look at it.
//!
//! The queue is never browsed: a quorum queue that is browsed by get and requeue drops a message at its delivery limit.

use std::time::{Duration, Instant};

use broker::backoff::Policy;
use broker::{Consumer, Delivery, Settlement};
use serde_json::{Map, Value};
use store::Store;
use store::parked::{self, Parked, ParkedState};
use telemetry::field;
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

/// Rows of one insert at most, and deliveries in hand.
pub(crate) const BATCH_MESSAGES_MAX: u16 = 100;
/// How long a delivery is held while Postgres is away; then it is given back, which the landing queue does not count.
const HOLD: Duration = Duration::from_secs(30);
const LINGER: Duration = Duration::from_millis(20);
const AGAIN: Policy =
    Policy { initial: Duration::from_millis(200), factor: 2.0, ceiling: Duration::from_secs(5), jitter: 0.3 };

/// Runs until the consumer has stopped and everything that it had prefetched is settled.
pub async fn run(store: Store, mut consumer: Consumer, me: String, stop: CancellationToken) {
    let settler = consumer.settler();
    while let Some(first) = consumer.next().await {
        let mut batch = vec![first];
        let until = Instant::now() + LINGER;
        while batch.len() < usize::from(BATCH_MESSAGES_MAX) {
            let Ok(Some(next)) = timeout_at(until.into(), consumer.next()).await else { break };
            batch.push(next);
        }
        batch.retain(Delivery::is_current);
        let settlement = park(&store, &batch, &me, &stop).await;
        settler.settle(batch.iter().map(|delivery| (delivery, settlement)));
    }
}

async fn park(store: &Store, batch: &[Delivery], me: &str, stop: &CancellationToken) -> Settlement {
    let rows: Vec<Parked> = batch.iter().map(|delivery| row(delivery, me)).collect();
    let until = Instant::now() + HOLD;
    for failures in 1.. {
        let error = match parked::insert(store, &rows).await {
            Ok(_) => return Settlement::Ack,
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

fn row(delivery: &Delivery, me: &str) -> Parked {
    let verdict = delivery.verdict();
    let meta = delivery.meta.as_ref().ok();
    let headers: Map<String, Value> =
        delivery.readable_headers().into_iter().map(|(name, value)| (name, Value::String(value))).collect();
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
        routing_key: delivery.routing_key.clone(),
        queue: verdict.queue,
        headers: Value::Object(headers),
        body: delivery.body.to_vec(),
        traceparent: meta.and_then(|meta| meta.traceparent.clone()),
        first_published_at: meta.map(|meta| meta.first_published_at),
    }
}
