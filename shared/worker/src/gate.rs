//! Whether Postgres can be used: closed at the first outage, opened again once the database answers.
//!
//! While it is closed the lanes take nothing new and hold what they have, so an outage burns no attempt.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use broker::Pauser;
use broker::backoff::Policy;
use contract::Meta;
use store::Store;
use telemetry::watchdog;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A question a second and worker is no load for a server that comes back, and no recovery waits longer for one.
const REOPEN: Policy =
    Policy { initial: Duration::from_millis(100), factor: 2.0, ceiling: Duration::from_secs(1), jitter: 0.3 };

/// A cheap handle; all clones are one gate.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Inner>);

struct Inner {
    store: Store,
    open: watch::Sender<bool>,
    /// Consumers that take nothing while the gate is closed.
    pausers: Vec<Pauser>,
    /// Outages since the last success. A worker ahead of its migration fails although the database answers; without this
    /// it would try ten times a second.
    outages: AtomicU32,
    /// Whether the first question was answered.
    asked: AtomicBool,
    /// Cancelled where the gate could not be opened again.
    stop: CancellationToken,
}

impl Gate {
    pub(crate) fn new(store: Store, pausers: Vec<Pauser>, stop: CancellationToken) -> Self {
        Self(Arc::new(Inner {
            store,
            open: watch::Sender::new(true),
            pausers,
            outages: AtomicU32::new(0),
            asked: AtomicBool::new(false),
            stop,
        }))
    }

    /// Asks once, so that a worker is not ready before its database has answered.
    pub(crate) async fn probe(&self) {
        if let Err(error) = self.0.store.ping().await {
            self.report_outage(&fault::chain(&error));
        }
        self.0.asked.store(true, Ordering::Relaxed);
    }

    /// Time since a message was first published, on the clock that it was stamped by.
    pub(crate) async fn age(&self, meta: &Meta) -> Duration {
        self.0.store.age(meta.first_published_at).await
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.0.asked.load(Ordering::Relaxed) && *self.0.open.borrow()
    }

    pub(crate) fn report_success(&self) {
        self.0.outages.store(0, Ordering::Relaxed);
    }

    /// Closes the gate, unless it is closed, and sees to it that it opens again.
    pub(crate) fn report_outage(&self, error: &str) {
        if !self.0.open.send_if_modified(|open| std::mem::replace(open, false)) {
            return;
        }
        let outages = self.0.outages.fetch_add(1, Ordering::Relaxed) + 1;
        tracing::warn!(
            { telemetry::field::ERROR } = error,
            "postgres cannot be used: nothing new is taken until it answers"
        );
        self.pause(true);
        let gate = self.clone();
        watchdog::part("the wait for postgres", &self.0.stop, async move { gate.reopen(outages).await });
    }

    async fn reopen(self, outages: u32) {
        for failures in outages.. {
            tokio::time::sleep(REOPEN.interval(failures)).await;
            if self.0.store.ping().await.is_ok() {
                break;
            }
        }
        // in this order: an outage that is reported in between finds the gate closed and changes nothing
        self.pause(false);
        self.0.open.send_replace(true);
        tracing::info!("postgres answers again");
    }

    fn pause(&self, paused: bool) {
        for pauser in &self.0.pausers {
            pauser.pause(paused);
        }
    }

    /// Waits until the gate is open; whether it was by the deadline, or at once where the process is to end.
    pub(crate) async fn wait_open(&self, deadline: Instant, stop: &CancellationToken) -> bool {
        let mut open = self.0.open.subscribe();
        tokio::select! {
            biased;
            opened = open.wait_for(|open| *open) => opened.is_ok(),
            () = tokio::time::sleep_until(deadline.into()) => false,
            () = stop.cancelled() => false,
        }
    }
}
