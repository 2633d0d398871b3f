//! The accept loop: a connection has a permit before it is accepted, and limits on all that it may make us wait for.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::patience::{Patient, Turn, Turns};

/// Rest after a failed accept: it fails for want of file descriptors, and would fail again at once.
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// Tactical and a browser send about ten headers, a proxy adds some.
const HEADERS_MAX: usize = 64;

/// The limits of one listener.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once; the next ones wait in the listener's backlog.
    pub connections_max: usize,
    /// Longest wait for a request's line and headers, from the opening of the connection or the answer before.
    pub header_read_timeout: Duration,
    /// Longest wait for the next request of a sender that [`Limits::is_known`].
    pub idle_timeout: Duration,
    /// Buffer for the line and the headers of a request; hyper refuses one below 8 KiB.
    pub header_bytes_max: usize,
    /// Longest wait for open requests once the listener is told to stop.
    pub drain_timeout: Duration,
    /// Which answers make their receiver known: it may idle longer than a stranger.
    pub is_known: fn(StatusCode) -> bool,
}

/// Serves until `cancel`, then lets open requests finish, at most for the drain's time.
pub async fn serve(listener: TcpListener, router: Router, limits: &Limits, cancel: CancellationToken) {
    let (connections, over) = (TaskTracker::new(), CancellationToken::new());
    cancel.run_until_cancelled(accept(&listener, &router, limits, (&cancel, &over), &connections)).await;
    // from here on the system refuses new connections
    drop(listener);
    connections.close();
    if tokio::time::timeout(limits.drain_timeout, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "drain timed out, open requests are dropped");
        // what the router holds is free once this returns
        over.cancel();
        connections.wait().await;
    }
}

async fn accept(
    listener: &TcpListener,
    router: &Router,
    limits: &Limits,
    (cancel, over): (&CancellationToken, &CancellationToken),
    connections: &TaskTracker,
) -> Infallible {
    let permits = Arc::new(Semaphore::new(limits.connections_max));
    loop {
        let permit = Arc::clone(&permits).acquire_owned().await.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                let connection = serve_connection(stream, router.clone(), limits.clone(), cancel.clone());
                let over = over.clone();
                connections.spawn(async move {
                    over.run_until_cancelled(connection).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(error = %error, "accept a connection failed");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

async fn serve_connection(stream: TcpStream, router: Router, limits: Limits, cancel: CancellationToken) {
    // an answer is one small packet; waiting for a second one would only delay it
    let _ = stream.set_nodelay(true);
    let turns = Turns::default();
    let stream = Patient::new(stream, turns.clone(), limits.header_read_timeout, limits.idle_timeout);
    let router = TowerToHyperService::new(router);
    let has_asked = CancellationToken::new();
    let asked = has_asked.clone();
    let service = service_fn(move |request| {
        asked.cancel();
        turns.set(Turn::Ours);
        let (answering, turns) = (router.call(request), turns.clone());
        async move {
            let answer = answering.await;
            let is_known = answer.as_ref().is_ok_and(|answer| (limits.is_known)(answer.status()));
            turns.set(if is_known { Turn::Known } else { Turn::Stranger });
            answer
        }
    });
    let mut builder = http1::Builder::new();
    // the stream has its own timeouts
    builder.header_read_timeout(None).max_buf_size(limits.header_bytes_max).max_headers(HEADERS_MAX);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = may_end(&cancel, &has_asked) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // slow, broken off, not HTTP: the other side's doing
        tracing::debug!(error = %error, "connection ended");
    }
}

/// Told to stop, and no request is on its way that was sent before anybody could know of that. Who has just connected has one;
/// hyper would close such a connection at once. It has as long for it as ever.
async fn may_end(cancel: &CancellationToken, has_asked: &CancellationToken) {
    cancel.cancelled().await;
    has_asked.cancelled().await;
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_connection_that_was_accepted_before_the_stop_has_its_first_request_answered_and_then_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let limits = Limits {
            connections_max: 1,
            header_read_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(10),
            header_bytes_max: 8 << 10,
            drain_timeout: Duration::from_secs(10),
            is_known: |_| true,
        };
        let stop = CancellationToken::new();
        stop.cancel();
        let router = Router::new().route("/", get(async || "here"));
        let serving = tokio::spawn(serve_connection(accepted, router, limits, stop));
        // hyper has looked, and there was nothing to read
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"), "{answer}");
        serving.await.unwrap();
    }
}
