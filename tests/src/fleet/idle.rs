//! When a fleet has nothing left to do.

use std::time::{Duration, Instant};

use telemetry::metric;

use super::{Fleet, Place, Program, ending};
use crate::{DEADLINE, until};

/// A dead letter that its target has not confirmed is sent again by RabbitMQ after three minutes.
const DEAD_LETTERS_DEADLINE: Duration = Duration::from_secs(200);
/// Between two looks, each of which costs a second or two.
const DEAD_LETTERS_APART: Duration = Duration::from_secs(3);

impl Fleet {
    /// Waits until the outbox has nothing due, no queue holds a message and no worker has one in hand.
    ///
    /// It looks twice, each time along the way that work takes (outbox, queue, hand): what moves on while it looks is seen
    /// at the next place, and what a job has just written into the outbox is seen at the second look.
    ///
    /// # Panics
    /// If that does not come to be.
    pub async fn until_idle(&self) {
        until(DEADLINE * 3, async || {
            for _ in 0..2 {
                self.look().await?;
            }
            Ok::<_, String>(())
        })
        .await;
    }

    /// Waits until no dead letter is on its way from a queue to its target; what stays under way, if anything does. Where
    /// there is none, the shared broker takes ten seconds to say so, and a private one two.
    ///
    /// # Panics
    /// If the broker is away.
    pub async fn dead_letters_left(&self) -> Option<String> {
        let ends = Instant::now() + DEAD_LETTERS_DEADLINE;
        loop {
            let left = match &self.place {
                Place::Private(broker) => Some(broker.dead_letters().await).filter(|left| left != "[]"),
                Place::Shared(vhost) => {
                    Some(vhost.dead_letters().await).filter(|left| !left.is_empty()).map(|left| format!("{left:?}"))
                }
            };
            if left.is_none() || Instant::now() > ends {
                return left;
            }
            tokio::time::sleep(DEAD_LETTERS_APART).await;
        }
    }

    /// Waits until nothing waits for its time in the outbox either: a refresh that becomes due while programs stop would be
    /// left lying. Where nobody syncs that is as it should be.
    ///
    /// # Panics
    /// If something stays there.
    pub async fn until_nothing_is_due_later(&self) {
        if self.sync_workers.is_empty() {
            return;
        }
        let mut connection = self.database.connect().await;
        until(DEADLINE * 3, async || {
            let count = sqlx::query_scalar::<_, i64>("select count(*) from muster.outbox").fetch_one(&mut connection);
            match count.await {
                Ok(0) => Ok(()),
                other => Err(format!("{other:?} rows wait in the outbox")),
            }
        })
        .await;
        self.until_idle().await;
    }

    /// Whether the broker is nobody else's.
    #[must_use]
    pub fn has_own_broker(&self) -> bool {
        matches!(self.place, Place::Private(_))
    }

    async fn look(&self) -> Result<(), String> {
        // a refresh that is due later is no work yet
        let due = store::outbox::oldest_age(&self.store()).await.map_err(|error| error.to_string())?;
        let mut left = ending::left(self.amqp(), &self.queues()).await;
        left.retain(|(_, depth)| *depth != Some(0));
        let mut in_hand = Vec::new();
        for worker in self.workers.iter().chain(&self.sync_workers).chain(&self.inventory_workers) {
            in_hand.extend(unsettled(worker).await);
        }
        let spooled = match &self.gateway {
            Some(gateway) => spooled(gateway).await,
            None => None,
        };
        if due.is_none() && left.is_empty() && in_hand.is_empty() && spooled.is_none() {
            return Ok(());
        }
        Err(format!("the outbox: {due:?}, queues: {left:?}, in hand: {in_hand:?}, spooled: {spooled:?}"))
    }
}

/// The queues of which a worker has deliveries in hand, as its metrics tell it; what one that is gone held is counted
/// where it comes back to. One that runs and does not answer may hold anything.
async fn unsettled(worker: &Program) -> Vec<String> {
    let metrics = match worker.metrics().await {
        Some(metrics) => metrics,
        None if worker.is_silent() => return vec!["a worker that does not answer".to_owned()],
        None => return Vec::new(),
    };
    let of_queues = metrics.lines().filter(|line| line.starts_with(metric::UNSETTLED));
    of_queues.filter(|line| !line.ends_with(" 0")).map(str::to_owned).collect()
}

/// What a gateway's spool holds, if anything; one that is gone offers nothing.
async fn spooled(gateway: &Program) -> Option<String> {
    let metrics = gateway.metrics().await?;
    metrics.lines().find(|line| line.starts_with("muster_spool_records ") && !line.ends_with(" 0")).map(str::to_owned)
}
