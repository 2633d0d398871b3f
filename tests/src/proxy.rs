//! A TCP proxy that misbehaves on request: black holes, cuts, delays, refusals.
//!
//! A black hole holds bytes back instead of dropping them, as a network does whose packets are lost and sent again: once
//! it ends, the connection goes on where it was.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;

/// What the proxy does to the bytes of its connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fault {
    /// New connections are accepted and closed at once.
    pub refuse: bool,
    /// Nothing reaches the server.
    pub hold_to_server: bool,
    /// Nothing reaches the client.
    pub hold_to_client: bool,
    /// Each piece of data is held this long, in both directions.
    pub latency: Duration,
    /// The connection is cut once it has carried this many bytes to the server in all.
    pub cut_after_bytes: Option<u64>,
}

impl Fault {
    /// None: everything passes.
    pub const NONE: Self = Self {
        refuse: false,
        hold_to_server: false,
        hold_to_client: false,
        latency: Duration::ZERO,
        cut_after_bytes: None,
    };
    /// Nothing passes in either direction.
    pub const BLACK_HOLE: Self = Self { hold_to_server: true, hold_to_client: true, ..Self::NONE };
}

/// A running proxy; dropping it cuts everything.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    links: Links,
    _stop: DropGuard,
}

type Links = Arc<Mutex<Vec<Link>>>;

/// One connection through the proxy, also after its end.
#[derive(Debug, Clone)]
pub struct Link {
    /// When it was accepted.
    pub accepted: Instant,
    fault: watch::Sender<Fault>,
    cut: CancellationToken,
    to_server_bytes: watch::Sender<u64>,
}

impl Link {
    /// Cuts this connection.
    pub fn cut(&self) {
        self.cut.cancel();
    }

    /// Whether it has ended, by whomever.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.cut.is_cancelled()
    }

    /// Misbehaves on this connection only.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// Bytes carried to the server so far.
    #[must_use]
    pub fn to_server_bytes(&self) -> u64 {
        *self.to_server_bytes.borrow()
    }
}

impl Proxy {
    /// A proxy in front of an address, `127.0.0.1:5672`.
    ///
    /// # Panics
    /// If no port can be bound.
    pub async fn start(target: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free loopback port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (fault, links, stop) = (watch::Sender::new(Fault::NONE), Links::default(), CancellationToken::new());
        let accepting = accept(listener, target.to_owned(), fault.subscribe(), Arc::clone(&links), stop.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(accepting));
        Self { address, fault, links, _stop: stop.drop_guard() }
    }

    /// A proxy in front of the server of a URL, and the URL that leads through it.
    ///
    /// # Panics
    /// If the URL has no host and port, or no port can be bound.
    pub async fn before(url: &str) -> (Self, String) {
        let mut url = Url::parse(url).expect("a URL");
        let host = url.host_str().expect("a URL with a host").to_owned();
        let proxy = Self::start(&format!("{host}:{}", url.port_or_known_default().expect("a URL with a port"))).await;
        url.set_ip_host(proxy.address.ip()).expect("an IP address is a host");
        url.set_port(Some(proxy.address.port())).expect("a URL with a host may have a port");
        (proxy, url.to_string())
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Misbehaves on every connection, those to come included.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
        for link in self.links() {
            link.set(fault);
        }
    }

    /// Cuts every connection; new ones pass.
    pub fn cut(&self) {
        for link in self.links() {
            link.cut();
        }
    }

    /// Every connection so far, in order.
    #[must_use]
    pub fn links(&self) -> Vec<Link> {
        lock(&self.links).clone()
    }
}

fn lock(links: &Links) -> MutexGuard<'_, Vec<Link>> {
    links.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(
    listener: TcpListener,
    target: String,
    fault: watch::Receiver<Fault>,
    links: Links,
    stop: CancellationToken,
) {
    while let Ok((client, _)) = listener.accept().await {
        let now = *fault.borrow();
        let link = Link {
            accepted: Instant::now(),
            fault: watch::Sender::new(now),
            cut: stop.child_token(),
            to_server_bytes: watch::Sender::new(0),
        };
        lock(&links).push(link.clone());
        if now.refuse {
            link.cut();
            continue;
        }
        tokio::spawn(carry(client, target.clone(), link));
    }
}

async fn carry(mut client: TcpStream, target: String, link: Link) {
    // whichever way it ends, the link says so
    let _over = link.cut.clone().drop_guard();
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    // a small frame that waits for another would be a fault that nobody asked for
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
    let (there, back) = (link.fault.subscribe(), link.fault.subscribe());
    tokio::select! {
        () = link.cut.cancelled() => {}
        () = pump(from_client, to_server, there, |fault| fault.hold_to_server, Some(&link.to_server_bytes)) => {}
        () = pump(from_server, to_client, back, |fault| fault.hold_to_client, None) => {}
    }
}

/// Copies until either side ends, or the limit of bytes is reached.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut fault: watch::Receiver<Fault>,
    held: fn(&Fault) -> bool,
    carried: Option<&watch::Sender<u64>>,
) {
    let mut piece = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut piece).await {
        let Ok(now) = fault.wait_for(|fault| !held(fault)).await.map(|fault| *fault) else { return };
        if !now.latency.is_zero() {
            tokio::time::sleep(now.latency).await;
        }
        let mut pass = read;
        if let (Some(carried), Some(limit)) = (carried, now.cut_after_bytes) {
            let left = limit.saturating_sub(*carried.borrow());
            pass = read.min(usize::try_from(left).unwrap_or(read));
        }
        if to.write_all(&piece[..pass]).await.is_err() {
            return;
        }
        if let Some(carried) = carried {
            carried.send_modify(|bytes| *bytes += pass as u64);
        }
        if pass < read {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DEADLINE, soon, until};

    /// Sends back what it is sent.
    async fn echo() -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        address.to_string()
    }

    async fn say(stream: &mut TcpStream, word: &[u8]) {
        stream.write_all(word).await.unwrap();
        let mut back = vec![0; word.len()];
        soon("the echo", stream.read_exact(&mut back)).await.unwrap();
        assert_eq!(back, word);
    }

    #[tokio::test]
    async fn everything_passes_unless_told_otherwise() {
        let proxy = Proxy::start(&echo().await).await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        say(&mut stream, &vec![7; 100_000]).await;
        assert_eq!(proxy.links()[0].to_server_bytes(), 100_000);
    }

    #[tokio::test]
    async fn a_black_hole_holds_and_then_gives_back() {
        let proxy = Proxy::start(&echo().await).await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        say(&mut stream, b"before").await;
        proxy.set(Fault { hold_to_client: true, ..Fault::NONE });
        stream.write_all(b"during").await.unwrap();
        let link = proxy.links().remove(0);
        until(DEADLINE, async || if link.to_server_bytes() == 12 { Ok(()) } else { Err(link.to_server_bytes()) }).await;
        let mut back = [0; 6];
        let nothing = tokio::time::timeout(Duration::from_millis(50), stream.read_exact(&mut back)).await;
        assert!(nothing.is_err(), "{nothing:?}");
        proxy.set(Fault::NONE);
        soon("what was held", stream.read_exact(&mut back)).await.unwrap();
        assert_eq!(&back, b"during");
    }

    #[tokio::test]
    async fn a_cut_ends_what_is_and_a_refusal_what_comes() {
        let proxy = Proxy::start(&echo().await).await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        say(&mut stream, b"x").await;
        proxy.cut();
        assert_eq!(soon("the end", stream.read(&mut [0])).await.unwrap_or(0), 0);
        say(&mut TcpStream::connect(proxy.address()).await.unwrap(), b"y").await;
        proxy.set(Fault { refuse: true, ..Fault::NONE });
        let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(soon("the end", refused.read(&mut [0])).await.unwrap_or(0), 0);
        assert!(proxy.links()[2].is_over());
    }

    #[tokio::test]
    async fn a_cut_after_bytes_lets_exactly_those_pass() {
        let proxy = Proxy::start(&echo().await).await;
        proxy.set(Fault { cut_after_bytes: Some(5), ..Fault::NONE });
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        stream.write_all(b"12345678").await.unwrap();
        let link = until(DEADLINE, async || proxy.links().pop().filter(Link::is_over).ok_or("still up")).await;
        assert_eq!(link.to_server_bytes(), 5);
    }
}
