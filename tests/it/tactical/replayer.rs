//! A server that gives one recorded answer, exactly, and says what it was asked.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::recorded::Exchange;

/// What the client asked.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Without its query.
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) body: Option<Value>,
}

/// The URL of a server that answers once, and what it will have been asked.
pub(crate) async fn replay(exchange: &Exchange) -> (String, JoinHandle<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free loopback port can be bound");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let answer = answer(exchange);
    let asked = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.expect("the client connects");
        let asked = read(&mut socket).await;
        socket.write_all(answer.as_bytes()).await.expect("the client reads");
        asked
    });
    (url, asked)
}

fn answer(exchange: &Exchange) -> String {
    let media = if exchange.file.ends_with(".html") { "text/html; charset=utf-8" } else { "application/json" };
    let noted: String = exchange.noted_headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let (status, body) = (exchange.status, &exchange.answer);
    let length = body.len();
    format!(
        "HTTP/1.1 {status} X\r\nContent-Type: {media}\r\n{noted}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

async fn read(socket: &mut TcpStream) -> Asked {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.expect("the client sends a whole head"));
    }
    let head = String::from_utf8(head).expect("heads are text");
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or_default()];
    socket.read_exact(&mut body).await.expect("the client sends a whole body");
    let mut words = head.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default();
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query.to_owned())));
    Asked { method, path: path.to_owned(), query, body: serde_json::from_slice(&body).ok() }
}
