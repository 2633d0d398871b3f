//! When a fleet has nothing left to do.

use std::time::Duration;

use telemetry::metric;

use super::{Fleet, Program, ending};
use crate::{DEADLINE, until};

/// A program that does not answer by then is stopped or gone, and what it held is counted where it comes back to.
const ANSWER: Duration = Duration::from_secs(2);

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

    async fn look(&self) -> Result<(), String> {
        // a refresh that is due later is no work yet
        let due = store::outbox::oldest_age(&self.store()).await.map_err(|error| error.to_string())?;
        let mut left = ending::left(self.amqp(), &self.queues()).await;
        left.retain(|(_, depth)| *depth != Some(0));
        let mut in_hand = Vec::new();
        for worker in self.workers.iter().chain(&self.sync_workers).chain(&self.inventory_workers) {
            in_hand.extend(unsettled(worker).await);
        }
        if due.is_none() && left.is_empty() && in_hand.is_empty() {
            return Ok(());
        }
        Err(format!("the outbox: {due:?}, queues: {left:?}, in hand: {in_hand:?}"))
    }
}

/// The queues of which a worker has deliveries in hand, as its metrics tell it.
async fn unsettled(worker: &Program) -> Vec<String> {
    let Some(url) = worker.metrics_url() else { return Vec::new() };
    let asked = async { reqwest::get(url).await?.text().await };
    let Ok(Ok(metrics)) = tokio::time::timeout(ANSWER, asked).await else { return Vec::new() };
    let of_queues = metrics.lines().filter(|line| line.starts_with(metric::UNSETTLED));
    of_queues.filter(|line| !line.ends_with(" 0")).map(str::to_owned).collect()
}
