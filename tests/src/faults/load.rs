//! What goes on in the background while a case does its harm: checks that fail and pass, each with its webhook.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::simulator::Control;

/// Running load; dropping it ends it.
#[derive(Debug)]
pub(super) struct Load {
    tasks: Vec<JoinHandle<()>>,
    stop: CancellationToken,
    _guard: DropGuard,
}

impl Load {
    /// So many webhooks from each server, so many in a second from each.
    pub(super) fn start(controls: impl Iterator<Item = Control>, per_second: u32, webhooks: u64) -> Self {
        let stop = CancellationToken::new();
        let period = Duration::from_secs(1) / per_second.max(1);
        let tasks = controls.map(|control| tokio::spawn(cause(control, period, webhooks, stop.clone()))).collect();
        Self { tasks, _guard: stop.clone().drop_guard(), stop }
    }

    /// Waits until all of it was caused.
    pub(super) async fn all(self) {
        for task in self.tasks {
            task.await.expect("a load does not panic");
        }
    }

    /// Ends it before its time.
    pub(super) async fn end(self) {
        self.stop.cancel();
        self.all().await;
    }
}

async fn cause(control: Control, period: Duration, webhooks: u64, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(period);
    // what a busy machine missed comes later, not at once
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..webhooks {
        if stop.run_until_cancelled(ticks.tick()).await.is_none() {
            return;
        }
        control.storm(1);
    }
}
