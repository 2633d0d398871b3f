//! A pooler in front of PostgreSQL that works by transactions, as small as can be: a client has a session of the server for
//! as long as its transaction lasts, and what comes for it in between is dropped.
//!
//! It stands in for PgBouncer with `pool_mode = transaction`. Each client logs in at the server itself, and leaves the session
//! to all: so the pooler needs no password, and there is one for each client in any case.
//!
//! As PgBouncer does unless it is told otherwise, it can refuse clients that begin with options.

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
/// What the server says of a login that is over, or all but over: it waits for no answer.
const LOGIN_TOLD: [u32; 2] = [0, 12];

/// The parameter of a client's first message that PgBouncer refuses.
const OPTIONS: &[u8] = b"\0options\0";
/// What it says then.
const REFUSAL: [&str; 3] = ["SFATAL", "C08P01", "Munsupported startup parameter: options"];

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
        Self::start(url, false).await
    }

    /// One that refuses clients that begin with options.
    ///
    /// # Panics
    /// As [`Self::before`].
    pub async fn refusing_options_before(url: &str) -> Self {
        Self::start(url, true).await
    }

    async fn start(url: &str, refuses_options: bool) -> Self {
        let mut url = Url::parse(url).expect("a URL");
        let target = format!("{}:{}", url.host_str().expect("a host"), url.port().unwrap_or(5432));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free loopback port");
        let address = listener.local_addr().expect("it is bound");
        url.set_ip_host(address.ip()).expect("an IP address is a host");
        url.set_port(Some(address.port())).expect("a URL with a host may have a port");
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(accept(listener, (target, refuses_options), stop.clone())));
        Self { url: url.to_string(), _stop: stop.drop_guard() }
    }

    /// The URL that leads through it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

async fn accept(listener: TcpListener, (target, refuses_options): (String, bool), stop: CancellationToken) {
    let idle = Idle::default();
    while let Ok((client, _)) = listener.accept().await {
        let serving = serve(client, target.clone(), refuses_options, Arc::clone(&idle));
        // a client that goes away ends its own service and nothing else
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move { drop(serving.await) }));
    }
}

async fn serve(mut client: TcpStream, target: String, refuses_options: bool, idle: Idle) -> std::io::Result<()> {
    let mut start = startup(&mut client).await?;
    if start[4..8] == SSL_REQUEST.to_be_bytes() {
        client.write_all(NO_TLS).await?;
        start = startup(&mut client).await?;
    }
    if refuses_options && start.windows(OPTIONS.len()).any(|window| window == OPTIONS) {
        return refuse(&mut client).await;
    }
    log_in(&mut client, &target, &start, &idle).await?;
    let mut held: Option<TcpStream> = None;
    loop {
        let message = message(&mut client).await?;
        if message[0] == b'X' {
            return Ok(());
        }
        let mut server = held.take().or_else(|| lock(&idle).pop()).expect("each client has brought one");
        server.write_all(&message).await?;
        // a query, or the end of a few: now the server answers
        let ends = message[0] == b'Q' || message[0] == b'S';
        if !ends {
            held = Some(server);
            continue;
        }
        let ready = answer(&mut server, &mut client).await?;
        if ready[5] == b'I' {
            lock(&idle).push(server);
        } else {
            held = Some(server);
        }
        // only now: whoever hears it may be the next to want a session
        client.write_all(&ready).await?;
    }
}

/// Tells an error as a server does, and hangs up.
async fn refuse(client: &mut TcpStream) -> std::io::Result<()> {
    let fields = REFUSAL.join("\0") + "\0\0";
    let length = u32::try_from(fields.len() + 4).expect("it is short");
    client.write_all(&[b"E", length.to_be_bytes().as_slice(), fields.as_bytes()].concat()).await?;
    client.shutdown().await
}

fn lock(idle: &Idle) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Carries a client's login to the server and back; the session is then anybody's.
async fn log_in(client: &mut TcpStream, target: &str, start: &[u8], idle: &Idle) -> std::io::Result<()> {
    let mut server = TcpStream::connect(target).await?;
    server.write_all(start).await?;
    loop {
        let said = message(&mut server).await?;
        if said[0] == b'Z' {
            lock(idle).push(server);
            return client.write_all(&said).await;
        }
        client.write_all(&said).await?;
        let is_question =
            said[0] == b'R' && !LOGIN_TOLD.contains(&u32::from_be_bytes([said[5], said[6], said[7], said[8]]));
        if is_question {
            server.write_all(&message(client).await?).await?;
        }
    }
}

/// Carries the server's messages up to the one that says that it is ready, which is the answer. What somebody notified is
/// dropped.
async fn answer(server: &mut TcpStream, client: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    loop {
        let message = message(server).await?;
        if message[0] == b'Z' {
            return Ok(message);
        }
        if message[0] != b'A' {
            client.write_all(&message).await?;
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
