//! Two requests at once, a breaker, and the server's own wish to wait: held per integration and process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::Error;

/// A list makes Tactical load everything; a third request at once is felt by the people who work with it.
const REQUESTS_MAX: usize = 2;
/// So many failures in a row open the breaker.
const FAILURES_MAX: u32 = 5;
/// For so long nothing is asked then; afterwards one request probes.
const OPEN_FOR: Duration = Duration::from_secs(30);
/// What those are told who come while the probe is under way.
const PROBE_WAIT: Duration = Duration::from_secs(1);
/// A server cannot send us away for longer than a day: its own longest throttle.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// One per integration and process: every [`crate::Client`] of that integration gets a clone of it.
///
/// It also keeps the connections, so that they are reused from client to client and never shared between integrations.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    places: Arc<Semaphore>,
    state: Mutex<State>,
    http: Mutex<Option<reqwest::Client>>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// Until then nothing is asked: the breaker's pause or the server's wish.
    closed_until: Option<Instant>,
    /// Whether the pause is the breaker's, so that the next request is a probe.
    is_tripped: bool,
    is_probing: bool,
    /// Logins have a throttle of their own, which says nothing about the rest.
    no_login_until: Option<Instant>,
}

/// Which throttle a request falls under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Everything but logging in.
    Api,
    /// `/v2/checkcreds/` and `/v2/login/`.
    Login,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// An open gate.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            places: Arc::new(Semaphore::new(REQUESTS_MAX)),
            state: Mutex::new(State::default()),
            http: Mutex::new(None),
        }))
    }

    /// A gate of its own breaker and connections that takes its places from this one: for a person's test, which is to ask
    /// a server that the breaker keeps the programs from.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self(Arc::new(Inner {
            places: Arc::clone(&self.0.places),
            state: Mutex::new(State::default()),
            http: Mutex::new(None),
        }))
    }

    /// The connections, made by `make` the first time.
    pub(crate) fn http(&self, make: impl FnOnce() -> Result<reqwest::Client, Error>) -> Result<reqwest::Client, Error> {
        let mut http = self.0.http.lock().unwrap_or_else(PoisonError::into_inner);
        match &*http {
            Some(http) => Ok(http.clone()),
            None => Ok(http.insert(make()?).clone()),
        }
    }

    /// Waits for one of the two places.
    ///
    /// # Errors
    /// [`Error::BreakerOpen`], [`Error::Throttled`] (a login) or, after `wait_max`, [`Error::Busy`].
    pub(crate) async fn enter(&self, lane: Lane, wait_max: Duration) -> Result<Pass, Error> {
        // before waiting, so that nobody queues for a server that is known to be away
        self.state().refusal(lane)?;
        let place = timeout(wait_max, Arc::clone(&self.0.places).acquire_owned()).await.map_err(|_| Error::Busy)?;
        let place = place.expect("the semaphore is never closed");
        let is_probe = self.state().admit(lane)?;
        Ok(Pass { gate: self.clone(), lane, is_probe, is_settled: false, place: Some(place) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn refusal(&self, lane: Lane) -> Result<(), Error> {
        let now = Instant::now();
        let left = |until: Option<Instant>| until.map(|until| until - now).filter(|left| !left.is_zero());
        if lane == Lane::Login
            && let Some(after) = left(self.no_login_until)
        {
            return Err(Error::Throttled { after: Some(after) });
        }
        if let Some(after) = left(self.closed_until) {
            return Err(Error::BreakerOpen { after });
        }
        if self.is_probing { Err(Error::BreakerOpen { after: PROBE_WAIT }) } else { Ok(()) }
    }

    /// Whether the one who enters probes for all.
    fn admit(&mut self, lane: Lane) -> Result<bool, Error> {
        self.refusal(lane)?;
        self.is_probing = self.is_tripped;
        Ok(self.is_probing)
    }

    fn failed(&mut self, is_probe: bool) {
        self.failures = self.failures.saturating_add(1);
        if is_probe || self.failures >= FAILURES_MAX {
            self.is_tripped = true;
            self.closed_until = Some(Instant::now() + OPEN_FOR);
        }
    }

    fn wait(&mut self, lane: Lane, after: Duration) {
        let until = Some(Instant::now() + after.min(RETRY_AFTER_MAX));
        match lane {
            Lane::Login => self.no_login_until = self.no_login_until.max(until),
            Lane::Api => self.closed_until = self.closed_until.max(until),
        }
    }
}

/// One request's place; tell it how the request ended. Dropped without a word (a cancelled request) it counts as nothing.
#[derive(Debug)]
pub(crate) struct Pass {
    gate: Gate,
    lane: Lane,
    is_probe: bool,
    is_settled: bool,
    place: Option<OwnedSemaphorePermit>,
}

impl Pass {
    /// Lets the next one in before the end is told: the answer has arrived, only its parsing goes on.
    pub(crate) fn leave(&mut self) {
        self.place = None;
    }

    /// The request ended so; any sound answer, also a refusal, shows that the server is well.
    pub(crate) fn settle(mut self, error: Option<&Error>) {
        self.is_settled = true;
        let mut state = self.gate.state();
        if self.is_probe {
            state.is_probing = false;
        }
        match error {
            Some(error) if error.is_server_fault() => state.failed(self.is_probe),
            // too large or unreadable says nothing about the server's health, nor does a wish to wait
            Some(Error::TooLarge { .. } | Error::Unreadable { .. } | Error::Throttled { .. }) => {}
            _ => {
                state.failures = 0;
                state.is_tripped = false;
            }
        }
        if let Some(Error::Throttled { after: Some(after) } | Error::Server { after: Some(after), .. }) = error {
            state.wait(self.lane, *after);
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.is_probe && !self.is_settled {
            self.gate.state().is_probing = false;
        }
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
