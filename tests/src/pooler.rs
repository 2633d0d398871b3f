//! A pooler in front of PostgreSQL that works by transactions, as small as can be: a client has a session of the server for
//! as long as its transaction lasts, and what comes for it in between is dropped.
//!
//! It stands in for PgBouncer with `pool_mode = transaction`. The server must let its user in without a password, as that
//! of the tests does.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;

/// The number in place of a version by which a client asks for TLS.
const SSL_REQUEST: u32 = 80_877_103;
/// "Ask without": no TLS here.
const NO_TLS: &[u8] = b"N";
/// You are in.
const LOGIN_OK: &[u8] = b"R\0\0\0\x08\0\0\0\0";
/// A key to cancel by, which nobody uses.
const KEY: &[u8] = b"K\0\0\0\x0c\0\0\0\0\0\0\0\0";
/// Nothing is under way.
const READY: &[u8] = b"Z\0\0\0\x05I";

/// A running pooler; dropping it ends it.
#[derive(Debug)]
pub struct Pooler {
    url: String,
    _stop: DropGuard,
}

/// Sessions of the server that nobody has; the last one given back is the next one taken.
type Idle = Arc<Mutex<Vec<TcpStream>>>;

impl Pooler {
    /// A pooler in front of the server of a URL.
    ///
    /// # Panics
    /// If the URL has no host and port, or no port can be bound.
    pub async fn before(url: &str) -> Self {
        let mut url = Url::parse(url).expect("a URL");
        let target = format!("{}:{}", url.host_str().expect("a host"), url.port().unwrap_or(5432));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free loopback port");
        let address = listener.local_addr().expect("it is bound");
        url.set_ip_host(address.ip()).expect("an IP address is a host");
        url.set_port(Some(address.port())).expect("a URL with a host may have a port");
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(accept(listener, target, stop.clone())));
        Self { url: url.to_string(), _stop: stop.drop_guard() }
    }

    /// The URL that leads through it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

async fn accept(listener: TcpListener, target: String, stop: CancellationToken) {
    let idle = Idle::default();
    while let Ok((client, _)) = listener.accept().await {
        let serving = serve(client, target.clone(), Arc::clone(&idle));
        // a client that goes away ends its own service and nothing else
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move { drop(serving.await) }));
    }
}

async fn serve(mut client: TcpStream, target: String, idle: Idle) -> std::io::Result<()> {
    let mut start = startup(&mut client).await?;
    if start[4..8] == SSL_REQUEST.to_be_bytes() {
        client.write_all(NO_TLS).await?;
        start = startup(&mut client).await?;
    }
    client.write_all(&[LOGIN_OK, KEY, READY].concat()).await?;
    let mut held: Option<TcpStream> = None;
    loop {
        let message = message(&mut client).await?;
        if message[0] == b'X' {
            return Ok(());
        }
        let mut server = match held.take().or_else(|| lock(&idle).pop()) {
            Some(server) => server,
            None => session(&target, &start).await?,
        };
        server.write_all(&message).await?;
        // a query, or the end of a few: now the server answers
        let ends = message[0] == b'Q' || message[0] == b'S';
        if !ends || answer(&mut server, Some(&mut client)).await? != b'I' {
            held = Some(server);
        } else {
            lock(&idle).push(server);
        }
    }
}

fn lock(idle: &Idle) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A new session of the server, with what this client asked for at its start.
async fn session(target: &str, start: &[u8]) -> std::io::Result<TcpStream> {
    let mut server = TcpStream::connect(target).await?;
    server.write_all(start).await?;
    answer(&mut server, None).await?;
    Ok(server)
}

/// Carries the server's messages up to the one that says that it is ready, whose status is the answer. What somebody
/// notified is dropped.
async fn answer(server: &mut TcpStream, mut client: Option<&mut TcpStream>) -> std::io::Result<u8> {
    loop {
        let message = message(server).await?;
        if let Some(client) = client.as_deref_mut().filter(|_| message[0] != b'A') {
            client.write_all(&message).await?;
        }
        if message[0] == b'Z' {
            return Ok(message[5]);
        }
    }
}

/// The first message of a client, which has no type.
async fn startup(client: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    client.read_exact(&mut length).await?;
    rest(client, length.to_vec(), length).await
}

/// A whole message, its type first.
async fn message(from: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut head = [0; 5];
    from.read_exact(&mut head).await?;
    rest(from, head.to_vec(), [head[1], head[2], head[3], head[4]]).await
}

/// The length counts itself.
async fn rest(from: &mut TcpStream, mut message: Vec<u8>, length: [u8; 4]) -> std::io::Result<Vec<u8>> {
    let begun = message.len();
    message.resize(begun + (u32::from_be_bytes(length) as usize).saturating_sub(4), 0);
    from.read_exact(&mut message[begun..]).await?;
    Ok(message)
}
