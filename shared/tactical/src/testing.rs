//! A server that answers with bytes as they stand, for this crate's own tests: real answers are well-formed, these need not be.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::{Client, Config, Credential, Gate};

/// A key that must never be seen anywhere but in its header.
pub(crate) const KEY: &str = "CANARYCANARYCANARYCANARYCANARY01";

/// A listening server and the heads of the requests that came.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Calls `answer` with each connection once a request's head has been read from it; then closes it.
    pub(crate) async fn start<F, A>(answer: F) -> Self
    where
        F: Fn(TcpStream) -> A + Send + Sync + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free loopback port can be bound");
        let address = listener.local_addr().expect("it is bound");
        let server = Self { address, heads: Arc::default() };
        let heads = Arc::clone(&server.heads);
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (heads, answer) = (Arc::clone(&heads), Arc::clone(&answer));
                tokio::spawn(async move {
                    let head = read_head(&mut socket).await;
                    heads.lock().expect("no test panics with it").push(head);
                    answer(socket).await;
                });
            }
        });
        server
    }

    /// Answers each request with the same bytes.
    pub(crate) async fn saying(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes: Arc<Vec<u8>> = Arc::new(bytes.into());
        Self::start(move |mut socket| {
            let bytes = Arc::clone(&bytes);
            async move {
                // a client that has read enough may be gone
                let _ = socket.write_all(&bytes).await;
                let _ = socket.shutdown().await;
            }
        })
        .await
    }

    /// Answers 200 with a JSON body, whose length is told.
    pub(crate) async fn json(body: &str) -> Self {
        Self::saying(answer("200 OK", "application/json", body)).await
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("no test panics with it").clone()
    }

    /// A client with [`KEY`] and these settings.
    pub(crate) fn client(&self, config: &Config) -> Client {
        let key = Credential::ApiKey(SecretString::from(KEY));
        Client::new(config, &format!("http://{}", self.address), Some(key), Gate::new()).expect("the settings allow it")
    }
}

/// Settings that let a test speak to this machine.
pub(crate) fn local() -> Config {
    let loopback = "127.0.0.0/8".parse().expect("a network");
    Config { allow_http: true, allow_networks: vec![loopback], ..Config::default() }
}

/// A whole answer.
pub(crate) fn answer(status: &str, media: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {media}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Up to the empty line; what is left of a body stays unread.
async fn read_head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match socket.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}
