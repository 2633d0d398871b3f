//! A receiver of webhooks that keeps the request as it came over the wire: heads with their order and their case.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A request line with headers, and a body.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Request {
    /// The header names in order, as sent.
    pub(crate) fn header_names(&self) -> Vec<String> {
        header_names(&self.head)
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }
}

/// The header names of a recorded or received head.
pub(crate) fn header_names(head: &str) -> Vec<String> {
    head.lines().skip(1).filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect()
}

/// Listens until it is dropped.
pub(crate) struct Receiver {
    url: String,
    received: Arc<Mutex<Vec<Request>>>,
    _stop: DropGuard,
}

impl Receiver {
    /// Answers every request with `answer`, a whole HTTP response; an empty one never answers.
    pub(crate) async fn answering(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free loopback port can be bound");
        let url = format!("http://{}", listener.local_addr().expect("a bound listener has an address"));
        let received = Arc::new(Mutex::new(Vec::new()));
        let stop = CancellationToken::new();
        let (kept, stopped) = (Arc::clone(&received), stop.clone());
        tokio::spawn(async move {
            while let Some(Ok((stream, _))) = stopped.run_until_cancelled(listener.accept()).await {
                let (kept, stopped) = (Arc::clone(&kept), stopped.clone());
                tokio::spawn(async move { stopped.run_until_cancelled(serve(stream, answer, &kept)).await });
            }
        });
        Self { url, received, _stop: stop.drop_guard() }
    }

    /// Answers 202 at once.
    pub(crate) async fn accepting() -> Self {
        Self::answering("HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What came so far, and forgets it.
    pub(crate) fn take(&self) -> Vec<Request> {
        std::mem::take(&mut *self.received.lock().expect("no test panics while it holds this"))
    }
}

async fn serve(mut stream: TcpStream, answer: &str, received: &Mutex<Vec<Request>>) {
    let mut bytes = Vec::new();
    loop {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
            continue;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut request = Request { head, body: String::new() };
        let length = request.header("Content-Length").and_then(|length| length.parse().ok()).unwrap_or(0);
        while bytes.len() < end + 4 + length {
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
        }
        request.body = String::from_utf8_lossy(&bytes[end + 4..end + 4 + length]).into_owned();
        bytes.drain(..end + 4 + length);
        received.lock().expect("no test panics while it holds this").push(request);
        if answer.is_empty() {
            return std::future::pending().await;
        }
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
