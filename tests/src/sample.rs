//! Messages that mean nothing, and publishers and consumers for tests of the broker crate alone.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use contract::topology::{self, Lane, Worker};
use contract::{Meta, envelope};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use broker::consumer::{Subscription, consume};
use broker::{Consumer, Outgoing, Publisher};

use crate::{DEADLINE, until};

/// A kind that no build knows.
pub const KIND: &str = "sample.drawn.v1";

/// The envelope of sample `n`; its message id is the number.
#[must_use]
pub fn meta(n: u32) -> Meta {
    Meta {
        message_id: n.to_string(),
        kind: KIND.to_owned(),
        tenant: Uuid::from_u128(7),
        attempt: 0,
        first_published_at: DateTime::<Utc>::from_timestamp_millis(1_764_000_000_123).expect("it is a date"),
        traceparent: None,
        reason: None,
    }
}

/// Sample `n` on its way to an exchange.
#[must_use]
pub fn outgoing(exchange: &str, key: &str, n: u32) -> Outgoing {
    Outgoing::raw(exchange, key, &meta(n), Bytes::from(format!("{{\"n\":{n}}}"))).expect("a sample is sound")
}

/// Sample `n` on its way to a lane of the alert worker.
#[must_use]
pub fn work(lane: Lane, n: u32) -> Outgoing {
    outgoing(topology::WORK, &topology::routing_key(Worker::Alert, lane, KIND), n)
}

/// The queue of a lane of the alert worker.
#[must_use]
pub fn queue(lane: Lane) -> String {
    topology::queue(Worker::Alert, lane)
}

/// The number of a delivered sample.
///
/// # Panics
/// If it is no sample.
#[must_use]
pub fn number(delivery: &broker::Delivery) -> u32 {
    delivery.message_id().and_then(|id| id.parse().ok()).unwrap_or_else(|| panic!("no sample: {delivery:?}"))
}

/// A body of exactly so many bytes.
#[must_use]
pub fn body(bytes: usize) -> Bytes {
    Bytes::from(vec![b'x'; bytes])
}

/// The largest body that a message may have.
pub const BODY_BYTES_MAX: usize = envelope::BODY_BYTES_MAX;

/// A publisher that is ready; it stops with the handle.
#[derive(Debug)]
pub struct RunningPublisher {
    /// The publisher.
    pub publisher: Publisher,
    /// Ends when it has stopped.
    pub task: JoinHandle<()>,
    /// Stops it.
    pub stop: CancellationToken,
    _guard: DropGuard,
}

impl RunningPublisher {
    /// Starts one under a connection name and waits until it is ready.
    ///
    /// # Panics
    /// If it does not become ready.
    pub async fn start(config: &broker::Config, name: &str) -> Self {
        let running = Self::begin(config, name);
        until(DEADLINE, async || running.publisher.is_ready().then_some(()).ok_or("not ready")).await;
        running
    }

    /// Starts one and does not wait.
    #[must_use]
    pub fn begin(config: &broker::Config, name: &str) -> Self {
        let stop = CancellationToken::new();
        let (publisher, task) = Publisher::start(config, name, stop.clone());
        Self { publisher, task, _guard: stop.clone().drop_guard(), stop }
    }

    /// Publishes samples `from..=to` to a lane, all at once.
    ///
    /// # Panics
    /// If one is not confirmed.
    pub async fn publish_work(&self, lane: Lane, samples: std::ops::RangeInclusive<u32>) {
        let all = samples.map(|n| self.publisher.publish(work(lane, n)));
        for outcome in futures_util::future::join_all(all).await {
            outcome.expect("the broker takes it");
        }
    }

    /// Publishes a sample again and again until the broker confirms it.
    ///
    /// # Panics
    /// If it never does.
    pub async fn until_published(&self, message: Outgoing) {
        until(DEADLINE, async || self.publisher.publish(message.clone()).await).await;
    }
}

/// Consumers on one connection; they stop with the handle.
#[derive(Debug)]
pub struct RunningConsumers {
    /// One per subscription, in order.
    pub consumers: Vec<Consumer>,
    /// Ends when everything is settled after a stop.
    pub task: JoinHandle<()>,
    /// Stops them.
    pub stop: CancellationToken,
    _guard: DropGuard,
}

impl RunningConsumers {
    /// Consumes lanes of the alert worker with these prefetches, under a connection name.
    #[must_use]
    pub fn start(config: &broker::Config, name: &str, lanes: &[(Lane, u16)]) -> Self {
        let subscriptions: Vec<Subscription> =
            lanes.iter().map(|(lane, prefetch)| Subscription { queue: queue(*lane), prefetch: *prefetch }).collect();
        let stop = CancellationToken::new();
        let (consumers, task) = consume(config, name, &subscriptions, stop.clone());
        Self { consumers, task, _guard: stop.clone().drop_guard(), stop }
    }
}

/// The next `count` deliveries of a consumer.
///
/// # Panics
/// If they do not come.
pub async fn take(consumer: &mut Consumer, count: usize) -> Vec<broker::Delivery> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let what = format!("delivery {} of {count}", taken.len() + 1);
        taken.push(crate::soon(&what, consumer.next()).await.expect("the consumer has not stopped"));
    }
    taken
}
