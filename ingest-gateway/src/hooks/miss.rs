//! Asking the database once before a secret is refused: a new connection or a rotation may be younger than the table.
//!
//! Bounded on every side, since anybody may send a wrong secret: one question in flight per tenant, an answer holds for
//! a while whatever the secret, and both the questions in flight and the tenants remembered have a limit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use store::hook::Hook;
use tokio::sync::{OnceCell, Semaphore};
use uuid::Uuid;

use super::source::HookSource;

/// How often one question is asked while the table is being replaced beneath it.
const QUESTIONS_MAX: usize = 3;

/// The limits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) timeout: Duration,
    pub(super) in_flight_max: usize,
    pub(super) ttl: Duration,
    pub(super) tenants_max: usize,
}

/// The database could not be asked: whether the secret is wrong is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CannotAsk;

pub(super) struct Misses {
    limits: Limits,
    permits: Arc<Semaphore>,
    flights: Mutex<HashMap<Uuid, Arc<Flight>>>,
}

/// One question and, once it is there, its answer; the hook itself is in the table by then.
struct Flight {
    begun: Instant,
    answer: OnceCell<Result<(), CannotAsk>>,
}

impl Misses {
    pub(super) fn new(limits: Limits) -> Self {
        let permits = Arc::new(Semaphore::new(limits.in_flight_max));
        Self { limits, permits, flights: Mutex::default() }
    }

    /// Asks for the tenant's hook and hands it to the table, unless that has just been done. Whoever comes meanwhile
    /// waits for the same answer. `version` and `keep` are the table's: an answer is kept only if the table was not
    /// replaced since it was asked for, else it might undo a newer change; then it is asked for again.
    pub(super) async fn ask(
        &self,
        source: &dyn HookSource,
        tenant: Uuid,
        version: impl Fn() -> Option<i64>,
        keep: impl Fn(Option<i64>, Option<Hook>) -> bool,
    ) -> Result<(), CannotAsk> {
        let flight = self.flight(tenant).ok_or(CannotAsk)?;
        let asked = flight.answer.get_or_init(|| async {
            for _ in 0..QUESTIONS_MAX {
                let asked_at = version();
                let hook = self.find(source, tenant).await?;
                if keep(asked_at, hook) {
                    return Ok(());
                }
            }
            Err(CannotAsk)
        });
        *asked.await
    }

    /// A task of its own: a connection attempt must not be dropped half-way when we stop waiting for it.
    async fn find(&self, source: &dyn HookSource, tenant: Uuid) -> Result<Option<Hook>, CannotAsk> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| CannotAsk)?;
        let question = source.find(tenant);
        let task = tokio::spawn(async move {
            let answer = question.await;
            drop(permit);
            answer
        });
        match tokio::time::timeout(self.limits.timeout, task).await {
            Ok(Ok(Ok(hook))) => Ok(hook),
            Ok(Ok(Err(error))) => {
                tracing::debug!(tenant.id = %tenant, error = %error, "ask for a hook failed");
                Err(CannotAsk)
            }
            _ => Err(CannotAsk),
        }
    }

    fn flight(&self, tenant: Uuid) -> Option<Arc<Flight>> {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = |flight: &Flight| flight.begun.elapsed() < self.limits.ttl;
        if let Some(flight) = flights.get(&tenant)
            && is_fresh(flight)
        {
            return Some(Arc::clone(flight));
        }
        if flights.len() >= self.limits.tenants_max {
            flights.retain(|_, flight| is_fresh(flight));
        }
        if flights.len() >= self.limits.tenants_max {
            return None;
        }
        let flight = Arc::new(Flight { begun: Instant::now(), answer: OnceCell::new() });
        flights.insert(tenant, Arc::clone(&flight));
        Some(flight)
    }

    /// The table was replaced by what may be older than an answer: everything is asked anew.
    pub(super) fn forget(&self) {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
