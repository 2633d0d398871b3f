//! Faults that are switched on for some requests: slow, refused, broken, truncated, HTML.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, LOCATION, RETRY_AFTER};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};

use super::reply;
use super::server::Shared;
use super::world::World;

/// How long a truncated answer hangs before its connection breaks.
const CUT_AFTER: Duration = Duration::from_millis(20);

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The answer comes this much later, in real time.
    Slow {
        /// Milliseconds.
        delay_ms: u64,
    },
    /// The true answer, once the faults are cleared; strikes every request until then.
    Held,
    /// 429 with `Retry-After`.
    TooManyRequests {
        /// Seconds.
        retry_after_s: u64,
    },
    /// A status with the HTML of a proxy: 502 during an update, 503, 500.
    ServerError {
        /// 500 to 599.
        status: u16,
    },
    /// The true answer, cut after so many bytes by a broken connection.
    Truncated {
        /// Bytes that arrive.
        bytes: u64,
    },
    /// The true answer, cut after so many bytes as if that were all of it.
    CutShort {
        /// Bytes that arrive.
        bytes: u64,
    },
    /// 200 with the dashboard's HTML instead of JSON.
    Html,
    /// 302 to somewhere else.
    Redirect {
        /// Where.
        to: String,
    },
    /// 200 with a JSON body of one's own.
    Json {
        /// The body.
        body: String,
    },
}

/// A fault and where it strikes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Requests whose path and query begin with this; empty strikes all.
    #[serde(default)]
    pub path_prefix: String,
    /// What goes wrong.
    pub kind: FaultKind,
    /// For how many requests; for ever when absent.
    #[serde(default)]
    pub requests: Option<u32>,
}

impl World {
    /// The first fault that strikes a path and query, counted down.
    pub(super) fn take_fault(&mut self, target: &str) -> Option<FaultKind> {
        let place = self.faults.iter().position(|fault| target.starts_with(&fault.path_prefix))?;
        let fault = &mut self.faults[place];
        let kind = fault.kind.clone();
        if let Some(requests) = fault.requests.as_mut().filter(|_| kind != FaultKind::Held) {
            *requests = requests.saturating_sub(1);
            if *requests == 0 {
                self.faults.remove(place);
            }
        }
        Some(kind)
    }
}

/// Waits where the fault is slow or held; answers where it replaces the answer.
pub(super) async fn instead(fault: Option<FaultKind>, shared: &Shared) -> Option<Response> {
    Some(match fault? {
        FaultKind::Held => {
            // listens before it looks: a release between the two is not missed
            let mut released = shared.released.subscribe();
            while shared.world().faults.iter().any(|fault| fault.kind == FaultKind::Held) {
                released.changed().await.ok()?;
            }
            return None;
        }
        FaultKind::Slow { delay_ms } => {
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
            return None;
        }
        FaultKind::Truncated { .. } | FaultKind::CutShort { .. } => return None,
        FaultKind::TooManyRequests { retry_after_s } => {
            let response = reply::page(StatusCode::TOO_MANY_REQUESTS, "429 Too Many Requests", "");
            reply::with(response, RETRY_AFTER, &retry_after_s.to_string())
        }
        FaultKind::ServerError { status } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
            reply::page(
                status,
                &format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or("Error")),
                "nginx",
            )
        }
        FaultKind::Html => {
            reply::page(StatusCode::OK, "Tactical RMM", "You need to enable JavaScript to run this app.")
        }
        FaultKind::Redirect { to } => {
            let response = reply::page(StatusCode::FOUND, "302 Found", "nginx");
            reply::with(response, LOCATION, &to)
        }
        FaultKind::Json { body } => reply::reply(StatusCode::OK, "application/json", body),
    })
}

/// Cuts an answer where the fault says so.
pub(super) fn spoil(fault: Option<FaultKind>, response: Response) -> Response {
    match fault {
        Some(FaultKind::Truncated { bytes }) => cut(response, bytes, true),
        Some(FaultKind::CutShort { bytes }) => cut(response, bytes, false),
        _ => response,
    }
}

fn cut(response: Response, bytes: u64, broken: bool) -> Response {
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    let mut left = usize::try_from(bytes).unwrap_or(usize::MAX);
    let kept = body.into_data_stream().map(move |chunk| {
        let chunk = chunk.unwrap_or_default();
        let part = chunk.slice(..left.min(chunk.len()));
        left -= part.len();
        part
    });
    let kept = kept.take_while(|part| std::future::ready(!part.is_empty()));
    if !broken {
        return Response::from_parts(parts, Body::from_stream(kept.map(Ok::<_, Infallible>)));
    }
    // an error in the stream closes the connection without the last chunk; the pause lets the first part leave
    let end = stream::once(async {
        tokio::time::sleep(CUT_AFTER).await;
        Err::<Bytes, _>(std::io::Error::other("cut by a fault"))
    });
    Response::from_parts(parts, Body::from_stream(kept.map(Ok).chain(end.boxed())))
}
