//! What was asked of the simulated server and how much it answered: the measure of a client that fetches too much.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::response::Response;
use futures_util::StreamExt as _;

use super::control::Control;

/// Requests that are kept; the oldest go first.
const REQUESTS_MAX: usize = 20_000;

/// One request and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// `GET`
    pub method: String,
    /// Path and query as they were sent.
    pub target: String,
    /// The status of the answer.
    pub status: u16,
    /// Bytes of the body that have left so far.
    pub bytes: u64,
}

#[derive(Debug)]
struct Entry {
    method: String,
    target: String,
    status: u16,
    bytes: Arc<AtomicU64>,
}

/// The requests so far, oldest first.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    served: VecDeque<Entry>,
    asked: VecDeque<String>,
}

impl Traffic {
    /// Notes a request that has arrived; its answer may take long.
    pub(super) fn arrived(&mut self, target: &str) {
        self.asked.push_back(target.to_owned());
        if self.asked.len() > REQUESTS_MAX {
            self.asked.pop_front();
        }
    }

    /// Notes an answer; its bytes are counted as they leave.
    pub(super) fn note(&mut self, method: String, target: String, response: Response) -> Response {
        let bytes = Arc::<AtomicU64>::default();
        self.served.push_back(Entry { method, target, status: response.status().as_u16(), bytes: Arc::clone(&bytes) });
        if self.served.len() > REQUESTS_MAX {
            self.served.pop_front();
        }
        let (parts, body) = response.into_parts();
        // a length that is known stays known: nothing else of the answer may change
        if let Some(length) = axum::body::HttpBody::size_hint(&body).exact() {
            bytes.store(length, Ordering::Relaxed);
            return Response::from_parts(parts, body);
        }
        let counted = body.into_data_stream().inspect(move |chunk| {
            let length = chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
            bytes.fetch_add(length, Ordering::Relaxed);
        });
        Response::from_parts(parts, Body::from_stream(counted))
    }
}

impl Control {
    /// Every request that is still known, oldest first.
    #[must_use]
    pub fn served(&self) -> Vec<Served> {
        let world = self.0.world();
        let served = world.traffic.served.iter().map(|entry| Served {
            method: entry.method.clone(),
            target: entry.target.clone(),
            status: entry.status,
            bytes: entry.bytes.load(Ordering::Relaxed),
        });
        served.collect()
    }

    /// Path and query of every request that has arrived, answered or not, oldest first.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.0.world().traffic.asked.iter().cloned().collect()
    }

    /// Forgets the requests so far.
    pub fn forget_served(&self) {
        self.0.world().traffic = Traffic::default();
    }
}
