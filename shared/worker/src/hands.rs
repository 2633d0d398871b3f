//! What the runner does with its hands: copies to a rung, to the suspects or to the landing, each confirmed before the
//! delivery is acknowledged.
//!
//! While the broker does not confirm (an alarm, a failover) a delivery stays in hand: giving it back counts as a return and
//! would make poison of a sound message. Only a process that must end gives back what it could not publish.

use std::time::{Duration, Instant};

use broker::outgoing::InvalidMessage;
use broker::{Delivery, Outgoing, PublishError, Publisher, Settlement};
use contract::{Meta, Worker};
use tokio_util::sync::CancellationToken;

/// Pause between two tries to publish while the broker does not confirm.
const AGAIN: Duration = Duration::from_millis(200);

/// How long a process that must end tries to publish before it gives a delivery back.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// The publishing side of a worker.
#[derive(Clone)]
pub(crate) struct Hands {
    pub(crate) publisher: Publisher,
    pub(crate) worker: Worker,
    /// Name and version, for the messages that it parks.
    pub(crate) me: String,
    /// The process is to end.
    pub(crate) stop: CancellationToken,
}

impl Hands {
    /// A copy with `attempt` attempts burnt waits in `rung`.
    pub(crate) async fn retry(
        &self,
        delivery: &Delivery,
        meta: &Meta,
        (rung, attempt): (Duration, u32),
        reason: &str,
    ) -> Settlement {
        let meta = Meta { attempt, reason: Some(reason.to_owned()), ..meta.clone() };
        self.send(delivery, Outgoing::retry(delivery, &meta, rung)).await
    }

    /// A copy goes to the suspect queue.
    pub(crate) async fn suspect(&self, delivery: &Delivery, meta: &Meta) -> Settlement {
        self.send(delivery, Outgoing::suspect(delivery, meta, self.worker)).await
    }

    /// A copy goes to the landing, body untouched.
    pub(crate) async fn park(&self, delivery: &Delivery, class: &str, reason: &str) -> Settlement {
        let kind = delivery.kind().and_then(contract::find_kind).map_or("unknown", |kind| kind.name);
        metrics::counter!(telemetry::metric::PARKED_TOTAL, "kind" => kind, "class" => class.to_owned()).increment(1);
        tracing::error!(
            { telemetry::field::MESSAGING_MESSAGE_ID } = delivery.message_id(),
            { telemetry::field::JOB_KIND } = delivery.kind(),
            { telemetry::field::JOB_CLASS } = class,
            { telemetry::field::ERROR } = reason,
            "parked a message"
        );
        self.send(delivery, Outgoing::park(delivery, class, reason, &self.me)).await
    }

    async fn send(&self, delivery: &Delivery, copy: Result<Outgoing, InvalidMessage>) -> Settlement {
        let copy = match copy {
            Ok(copy) => copy,
            // Nothing that came from the broker can break its limits; if it does, the delivery limit lands it.
            Err(invalid) => {
                tracing::error!({ telemetry::field::ERROR } = %invalid, "a delivered message cannot be published again");
                return Settlement::Requeue;
            }
        };
        let mut give_up_at = None;
        while delivery.is_current() {
            match self.publisher.publish(copy.clone()).await {
                Ok(()) => return Settlement::Ack,
                Err(PublishError::Invalid(_)) => return Settlement::Requeue,
                Err(_) if !self.stop.is_cancelled() => drop(tokio::time::timeout(AGAIN, self.stop.cancelled()).await),
                Err(_) if Instant::now() >= *give_up_at.get_or_insert(Instant::now() + STOP_PATIENCE) => break,
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
        Settlement::Requeue
    }
}
