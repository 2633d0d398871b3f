//! What goes on in the background while a case does its harm: checks that fail and pass, each with its webhook.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Side, Trial, facts};
use crate::simulator::{Control, SentWebhook};
use crate::{DEADLINE, until, until_metric};

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

/// The load.
impl Trial {
    /// Begins it in the background: so many webhooks in a second and in all, from both servers together.
    pub fn load(&mut self, per_second: u32, webhooks: u64) {
        let controls = self.sides.each_ref().map(Side::control).into_iter();
        self.load = Some(Load::start(controls, per_second.div_ceil(2), webhooks.div_ceil(2)));
    }

    /// Waits until so many webhooks were answered, whatever the answer.
    ///
    /// # Panics
    /// If they are not.
    pub async fn under_way(&self, webhooks: usize) {
        until(DEADLINE * 3, async || match self.answered(|_| true) {
            count if count >= webhooks => Ok(()),
            count => Err(format!("{count} of {webhooks} webhooks were answered")),
        })
        .await;
    }

    /// As [`Trial::under_way`], beyond those that were answered by now.
    ///
    /// # Panics
    /// As there.
    pub async fn under_way_more(&self, webhooks: usize) {
        self.under_way(self.answered(|_| true) + webhooks).await;
    }

    /// How many webhooks were answered 2xx.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.answered(|webhook| facts::is_taken(webhook.status))
    }

    /// Waits until so many webhooks were answered 2xx in all.
    ///
    /// # Panics
    /// If they are not.
    pub async fn until_taken(&self, webhooks: usize) {
        until(DEADLINE * 3, async || match self.taken() {
            taken if taken >= webhooks => Ok(()),
            taken => Err(format!("{taken} of {webhooks} webhooks were taken; refused: {:?}", self.refusals())),
        })
        .await;
    }

    /// Waits until the gateway puts webhooks into its spool: the broker's harm has reached it.
    ///
    /// # Panics
    /// If it does not.
    pub async fn until_spooling(&self) {
        until_metric(&self.fleet.gateway_url(), "muster_spooling 1").await;
    }

    /// Waits until so many more webhooks were answered 503.
    ///
    /// # Panics
    /// If they are not.
    pub async fn until_refused(&self, webhooks: usize) {
        let refused = || self.answered(|webhook| webhook.status == Some(503));
        let before = refused();
        until(DEADLINE * 3, async || match refused() - before {
            count if count >= webhooks => Ok(()),
            count => Err(format!("{count} of {webhooks} webhooks were refused")),
        })
        .await;
    }

    /// What was said instead of 2xx, with how often.
    #[must_use]
    pub fn refusals(&self) -> BTreeMap<String, usize> {
        facts::refusals(self.sides.iter().flat_map(|side| side.control().webhooks()))
    }

    /// How many webhooks were answered in a certain way, or not at all and given up.
    fn answered(&self, how: impl Fn(&SentWebhook) -> bool) -> usize {
        let of_side = |side: &Side| {
            let all = side.control().webhooks();
            all.iter().filter(|webhook| webhook.finished_at.is_some() && how(webhook)).count()
        };
        self.sides.iter().map(of_side).sum()
    }

    /// Waits until all of the load was sent and answered.
    ///
    /// # Panics
    /// If it is not.
    pub async fn all_sent(&mut self) {
        if let Some(load) = self.load.take() {
            load.all().await;
        }
        for side in &self.sides {
            side.until_answered().await;
        }
    }
}
