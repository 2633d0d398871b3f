//! What stands between Tactical and the gateway: it loses, doubles and delays webhooks, and knows which ones arrived.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Of a hundred webhooks so many are refused (Tactical notes that), swallowed (it does not), held back, doubled.
const REFUSED: u32 = 6;
const SWALLOWED: u32 = 6;
const HELD: u32 = 10;
const DOUBLED: u32 = 10;

/// What was lost and what came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) delivered: u64,
    pub(super) refused: u64,
    pub(super) swallowed: u64,
    pub(super) late: u64,
}

/// The alerts of which the gateway was told: number and time.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// Anything.
    pub(super) any: BTreeSet<(i64, DateTime<Utc>)>,
    /// That they are over.
    pub(super) ended: BTreeSet<(i64, DateTime<Utc>)>,
}

struct Inner {
    rng: StdRng,
    held: Vec<Bytes>,
    told: Told,
    tally: Tally,
}

/// The relay of one tenant; dropping it ends it.
pub(super) struct Relay {
    shared: Arc<Shared>,
    url: String,
    _stop: DropGuard,
}

struct Shared {
    target: String,
    secret: String,
    client: reqwest::Client,
    inner: Mutex<Inner>,
}

impl Shared {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a webhook on; the gateway's status.
    async fn forward(&self, body: Bytes) -> StatusCode {
        let request = self.client.post(&self.target).header(contract::webhook::HEADER, &self.secret);
        let Ok(answer) = request.body(body.clone()).send().await else { return StatusCode::BAD_GATEWAY };
        let status = answer.status();
        if status == StatusCode::ACCEPTED {
            let mut inner = self.inner();
            inner.tally.delivered += 1;
            if let Some((alert, is_end)) = named(&body) {
                inner.told.any.insert(alert);
                if is_end {
                    inner.told.ended.insert(alert);
                }
            }
        }
        StatusCode::from_u16(status.as_u16()).unwrap_or(StatusCode::BAD_GATEWAY)
    }
}

/// The alert that a webhook names by its number and its time, and whether it says that it is over.
fn named(body: &[u8]) -> Option<((i64, DateTime<Utc>), bool)> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let time = body["alert_time"].as_str()?.replacen(' ', "T", 1);
    Some(((body["alert_id"].as_i64()?, time.parse().ok()?), body["event"] == "resolve"))
}

impl Relay {
    /// Starts one that leads to the gateway.
    pub(super) async fn start(target: String, secret: String, seed: u64) -> Self {
        let (rng, told) = (StdRng::seed_from_u64(seed), Told::default());
        let inner = Inner { rng, held: Vec::new(), told, tally: Tally::default() };
        let client = reqwest::Client::new();
        let shared = Arc::new(Shared { target, secret, client, inner: Mutex::new(inner) });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free loopback port can be bound");
        let url = format!("http://{}/", listener.local_addr().expect("it is bound"));
        let stop = CancellationToken::new();
        let app = Router::new().fallback(take).with_state(Arc::clone(&shared));
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(async move { axum::serve(listener, app).with_graceful_shutdown(stopped).await });
        Self { shared, url, _stop: stop.drop_guard() }
    }

    /// What stands in Tactical's URL action.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Sends on what was held back, in another order than it came in.
    pub(super) async fn release(&self) {
        let held = {
            let mut inner = self.shared.inner();
            let mut held = std::mem::take(&mut inner.held);
            held.shuffle(&mut inner.rng);
            inner.tally.late += held.len() as u64;
            held
        };
        for body in held {
            // while the broker is away the gateway refuses: then this one is lost as well
            self.shared.forward(body).await;
        }
    }

    /// The alerts of which the gateway was told.
    pub(super) fn told(&self) -> Told {
        self.shared.inner().told.clone()
    }

    /// What became of the webhooks.
    pub(super) fn tally(&self) -> Tally {
        self.shared.inner().tally.clone()
    }
}

async fn take(State(shared): State<Arc<Shared>>, body: Bytes) -> StatusCode {
    let is_doubled = {
        let mut inner = shared.inner();
        let drawn = inner.rng.random_range(0..100);
        if drawn < REFUSED {
            inner.tally.refused += 1;
            return StatusCode::BAD_GATEWAY;
        }
        if drawn < REFUSED + SWALLOWED {
            inner.tally.swallowed += 1;
            return StatusCode::OK;
        }
        if drawn < REFUSED + SWALLOWED + HELD + DOUBLED {
            inner.held.push(body.clone());
        }
        if drawn < REFUSED + SWALLOWED + HELD {
            return StatusCode::ACCEPTED;
        }
        drawn < REFUSED + SWALLOWED + HELD + DOUBLED
    };
    let status = shared.forward(body.clone()).await;
    if is_doubled && status.is_success() { shared.forward(body).await } else { status }
}
