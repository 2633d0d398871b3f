//! Which tenants and kinds are paused, as this process last heard; and the release of what a pause held that has ended.
//!
//! The table is small and is read whole, every second. What is known may be a second old in both directions, which
//! `store::pause` allows for. While Postgres is away, what was known stays.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fault::{Class, Classify as _};
use store::Store;
use store::parked::{self, BATCH_ROWS_MAX};
use store::pause::{self, Pause};
use telemetry::{field, metric};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::gate::Gate;
use crate::relay::Wake;

/// How often the pauses are read.
const READ_EVERY: Duration = Duration::from_secs(1);
/// Reads after which held messages are looked for although no pause has ended: some may be left from a release that died.
const LOOK_EVERY_READS: u32 = 30;

/// A cheap handle; all clones know the same.
#[derive(Clone)]
pub(crate) struct Pauses {
    store: Store,
    /// `None` before they were read once.
    known: Arc<watch::Sender<Option<Vec<Pause>>>>,
}

impl Pauses {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, known: Arc::new(watch::Sender::new(None)) }
    }

    /// Whether such a message waits.
    pub(crate) fn hold(&self, tenant: Uuid, kind: &str) -> bool {
        self.known.borrow().iter().flatten().any(|pause| pause.scope.holds(tenant, kind))
    }

    /// Waits until they were read once; whether they were by the deadline, or at once where the process is to end.
    pub(crate) async fn known(&self, deadline: Instant, stop: &CancellationToken) -> bool {
        let mut known = self.known.subscribe();
        tokio::select! {
            biased;
            known = known.wait_for(Option::is_some) => known.is_ok(),
            () = tokio::time::sleep_until(deadline.into()) => false,
            () = stop.cancelled() => false,
        }
    }

    /// Reads them until `stop`; while they cannot be read, the gate is closed. What a release moves into the outbox the relay
    /// is woken for.
    pub(crate) async fn follow(self, gate: Gate, relay: Wake, stop: CancellationToken) {
        let mut reads_to_look = 0;
        while !stop.is_cancelled() {
            match pause::in_force(&self.store).await {
                Ok(pauses) => {
                    let is_other = self.known.borrow().as_ref() != Some(&pauses);
                    if is_other {
                        self.learn(pauses);
                    }
                    if is_other || reads_to_look == 0 {
                        reads_to_look = if self.release(&relay, &stop).await { LOOK_EVERY_READS } else { 1 };
                    }
                    reads_to_look -= 1;
                }
                // as any job's: nothing new is taken, and the log says why. A message of what may be paused is not run
                Err(error) if error.class() == Class::Outage => gate.report_outage(&error.chain()),
                Err(error) => tracing::warn!({ field::ERROR } = error.chain(), "the pauses were not read"),
            }
            let _ = tokio::time::timeout(READ_EVERY, stop.cancelled()).await;
        }
    }

    fn learn(&self, pauses: Vec<Pause>) {
        for kind in contract::KINDS {
            let is_paused =
                |pause: &Pause| pause.scope.tenant.is_none() && pause.scope.kind.as_deref() == Some(kind.name);
            let value = if pauses.iter().any(is_paused) { 1.0 } else { 0.0 };
            metrics::gauge!(metric::KIND_PAUSED, "kind" => kind.name).set(value);
        }
        let count = pauses.len();
        let before = self.known.send_replace(Some(pauses));
        if count > 0 || before.is_some() {
            tracing::info!({ field::PAUSES } = count, "the pauses in force are others now");
        }
    }

    /// Sends what no pause holds any more, batch by batch; whether nothing is left.
    async fn release(&self, relay: &Wake, stop: &CancellationToken) -> bool {
        while !stop.is_cancelled() {
            match parked::release(&self.store, BATCH_ROWS_MAX).await {
                Ok(0) => return true,
                Ok(released) => {
                    tracing::info!({ field::PARKED_ROWS } = released, "held messages are sent again");
                    relay.wake();
                }
                Err(error) => {
                    tracing::warn!({ field::ERROR } = %fault::chain(&error), "held messages wait to be sent again");
                    return false;
                }
            }
        }
        false
    }
}
