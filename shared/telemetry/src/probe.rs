//! `/livez`, `/readyz` and `/metrics`: on a worker's own listener, or as routes of the gateway's.
//!
//! Alive = the process runs. Ready = it can do its work now; the answer names what is missing.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::MetricsHandle;

/// A prober and two scrapers use three; the rest waits in the listener's backlog.
const CONNECTIONS_MAX: usize = 64;
/// A prober sends its few headers at once; one that does not is dropped.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Rest after a failed accept: it fails for want of file descriptors, and would fail again at once.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Whether a process can do its work now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It can.
    Ready,
    /// It cannot: what is missing, in one line.
    NotReady(String),
}

impl Readiness {
    /// Ready if every check holds, else the names of those that do not, e.g. `[("postgres", false)]`.
    pub fn of<'a>(checks: impl IntoIterator<Item = (&'a str, bool)>) -> Self {
        let missing: Vec<_> = checks.into_iter().filter(|(_, holds)| !holds).map(|(name, _)| name).collect();
        if missing.is_empty() { Self::Ready } else { Self::NotReady(missing.join(", ")) }
    }
}

/// The three routes, for a process that has a listener of its own.
///
/// - `GET /livez`: 200 `alive`
/// - `GET /readyz`: 200 `ready`, or 503 `not ready: …` in one line
/// - `GET /metrics`: 200, Prometheus's text format
pub fn router(metrics: MetricsHandle, ready: impl Fn() -> Readiness + Send + Sync + 'static) -> Router {
    health(ready).route("/metrics", get(move || exposition(metrics.render())))
}

/// `/livez` and `/readyz` alone: for a listener that strangers reach too.
pub fn health(ready: impl Fn() -> Readiness + Send + Sync + 'static) -> Router {
    let ready = Arc::new(ready);
    Router::new().route("/livez", get(async || "alive\n")).route("/readyz", get(move || readyz(ready())))
}

async fn readyz(readiness: Readiness) -> (StatusCode, String) {
    match readiness {
        Readiness::Ready => (StatusCode::OK, "ready\n".to_owned()),
        Readiness::NotReady(missing) => {
            let line = missing.replace(char::is_control, " ");
            (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {line}\n"))
        }
    }
}

async fn exposition(text: String) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

/// Serves [`router`] on `listen` until `cancel`; answers the bound address (port 0 = any free one).
///
/// Cancel it last: a process that drains is still alive and has its most interesting metrics.
///
/// # Errors
/// The address cannot be bound.
pub async fn serve(
    listen: SocketAddr,
    metrics: MetricsHandle,
    ready: impl Fn() -> Readiness + Send + Sync + 'static,
    cancel: CancellationToken,
) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    let router = router(metrics, ready);
    tokio::spawn(async move {
        cancel.run_until_cancelled(accept(listener, router, cancel.clone())).await;
    });
    tracing::info!(listen.address = %address, "serving /livez, /readyz and /metrics");
    Ok(address)
}

async fn accept(listener: TcpListener, router: Router, cancel: CancellationToken) -> Infallible {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let permit = Arc::clone(&permits).acquire_owned().await.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                let (router, cancel) = (router.clone(), cancel.clone());
                tokio::spawn(async move {
                    cancel.run_until_cancelled(serve_connection(stream, router)).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(error = %error, "accept a probe connection failed");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

async fn serve_connection(stream: TcpStream, router: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = connection.await {
        // a prober that hangs up or sends nonsense is its own affair
        tracing::debug!(error = %error, "probe connection ended");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::prometheus;

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    async fn fetch(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: probe\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_three_probes_answer() {
        let is_ready = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&is_ready);
        let ready = move || Readiness::of([("broker", true), ("post\ngres", seen.load(Ordering::SeqCst))]);
        let cancel = CancellationToken::new();
        let address = serve(ANY, prometheus::install().unwrap(), ready, cancel.clone()).await.unwrap();

        assert!(fetch(address, "/livez").await.starts_with("HTTP/1.1 200"));
        let answer = fetch(address, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with("\nnot ready: post gres\n"), "{answer}");
        is_ready.store(true, Ordering::SeqCst);
        assert!(fetch(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        metrics::counter!("muster_probe_test_total").increment(3);
        let answer = fetch(address, "/metrics").await;
        assert!(answer.contains("text/plain; version=0.0.4") && answer.contains("muster_probe_test_total 3"));
        assert!(fetch(address, "/other").await.starts_with("HTTP/1.1 404"));

        cancel.cancel();
        let closed = async {
            while TcpStream::connect(address).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), closed).await.expect("the listener closes once cancelled");
    }

    #[tokio::test]
    async fn an_address_in_use_is_an_error() {
        let taken = TcpListener::bind(ANY).await.unwrap();
        let listen = taken.local_addr().unwrap();
        let result = serve(listen, prometheus::install().unwrap(), || Readiness::Ready, CancellationToken::new()).await;
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn readiness_names_everything_that_is_missing() {
        assert_eq!(Readiness::of([("broker", true)]), Readiness::Ready);
        let missing = Readiness::of([("broker", false), ("hooks", true), ("postgres", false)]);
        assert_eq!(missing, Readiness::NotReady("broker, postgres".to_owned()));
    }
}
