//! One lane's loop: take a batch, give it to a task, never more tasks than allowed.

use std::sync::Arc;

use broker::{Consumer, Delivery};
use contract::topology::Lane;
use telemetry::watchdog;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::process::{Desk, Runner};
use crate::registry::Registry;

/// How many messages one batch of a lane takes at most.
pub(crate) fn batch_messages_max(config: &Config, registry: &Registry, lane: Lane) -> usize {
    usize::from(config.batch_messages_max).min(registry.messages_max(lane))
}

/// Runs until the consumer has stopped and everything that it had prefetched is settled, or its copy begun.
pub(crate) async fn run(runner: Arc<Runner>, lane: Lane, mut consumer: Consumer) {
    let is_alone = lane == Lane::Suspect;
    let batches = if is_alone { 1 } else { usize::from(runner.config.batches_in_flight) };
    let size = if is_alone { 1 } else { batch_messages_max(&runner.config, &runner.registry, lane) };
    let slots = Arc::new(Semaphore::new(batches));
    let tasks = TaskTracker::new();
    let desk = Desk { runner: Arc::clone(&runner), lane, settler: consumer.settler() };
    loop {
        // The slot comes first: while all are taken, the next batch grows.
        let slot = Arc::clone(&slots).acquire_owned().await.expect("the semaphore is never closed");
        let Some(batch) = collect(&mut consumer, size, runner.config.linger()).await else { break };
        let desk = desk.clone();
        let processing = async move {
            desk.process(batch).await;
            drop(slot);
        };
        tasks.spawn(watchdog::vital(format!("a batch of the lane {lane}"), runner.stop.clone(), processing));
    }
    tasks.close();
    tasks.wait().await;
}

/// The next batch: full, or as large as it has become within `linger` of its first message; `None` at the end.
async fn collect(consumer: &mut Consumer, size: usize, linger: std::time::Duration) -> Option<Vec<Delivery>> {
    let mut batch = vec![consumer.next().await?];
    let until = Instant::now() + linger;
    while batch.len() < size {
        match tokio::time::timeout_at(until, consumer.next()).await {
            Ok(Some(delivery)) => batch.push(delivery),
            Ok(None) | Err(_) => break,
        }
    }
    Some(batch)
}
