//! A TCP proxy that misbehaves on request: black holes, half-open connections, cuts, resets, delays, refusals.
//!
//! A black hole holds bytes back instead of dropping them, as a network does whose packets are lost and sent again: once
//! it ends, the connection goes on where it was.

mod fault;
mod pump;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;

pub use fault::Fault;
use pump::{Way, pump};

/// A running proxy; dropping it cuts everything.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    /// The server of connections to come.
    target: watch::Sender<String>,
    fault: watch::Sender<Fault>,
    seed: Arc<AtomicU64>,
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
    is_reset: Arc<AtomicBool>,
    to_server_bytes: watch::Sender<u64>,
    to_client_bytes: watch::Sender<u64>,
}

impl Link {
    /// Cuts this connection.
    pub fn cut(&self) {
        self.cut.cancel();
    }

    /// Cuts this connection as a machine does that knows nothing of it: both sides are told by a reset (RST), and what was
    /// under way is lost.
    pub fn reset(&self) {
        self.is_reset.store(true, Ordering::Relaxed);
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

    /// Bytes carried to the client so far.
    #[must_use]
    pub fn to_client_bytes(&self) -> u64 {
        *self.to_client_bytes.borrow()
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
        let (fault, target) = (watch::Sender::new(Fault::NONE), watch::Sender::new(target.to_owned()));
        let (links, stop, seed) = (Links::default(), CancellationToken::new(), Arc::new(AtomicU64::new(0)));
        let place = Place { target: target.subscribe(), fault: fault.subscribe(), seed: Arc::clone(&seed) };
        let accepting = accept(listener, place, Arc::clone(&links), stop.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(accepting));
        Self { address, target, fault, seed, links, _stop: stop.drop_guard() }
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

    /// From now on new connections lead to another server.
    pub fn lead_to(&self, target: &str) {
        self.target.send_replace(target.to_owned());
    }

    /// What is random on connections to come follows from it.
    pub fn seed(&self, seed: u64) {
        self.seed.store(seed, Ordering::Relaxed);
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

    /// Resets every connection; new ones pass.
    pub fn reset(&self) {
        for link in self.links() {
            link.reset();
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

/// What a listener needs to know of every new connection.
struct Place {
    target: watch::Receiver<String>,
    fault: watch::Receiver<Fault>,
    seed: Arc<AtomicU64>,
}

async fn accept(listener: TcpListener, place: Place, links: Links, stop: CancellationToken) {
    while let Ok((client, _)) = listener.accept().await {
        let now = *place.fault.borrow();
        let link = Link {
            accepted: Instant::now(),
            fault: watch::Sender::new(now),
            cut: stop.child_token(),
            is_reset: Arc::default(),
            to_server_bytes: watch::Sender::new(0),
            to_client_bytes: watch::Sender::new(0),
        };
        let number = {
            let mut links = lock(&links);
            links.push(link.clone());
            links.len() as u64
        };
        if now.refuse {
            link.cut();
            continue;
        }
        let seed = place.seed.load(Ordering::Relaxed).wrapping_add(2 * number);
        let target = place.target.borrow().clone();
        tokio::spawn(carry(client, target, link, seed));
    }
}

async fn carry(mut client: TcpStream, target: String, link: Link, seed: u64) {
    // whichever way it ends, the link says so
    let _over = link.cut.clone().drop_guard();
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    // a small frame that waits for another would be a fault that nobody asked for
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    {
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let there = Way::to_server(link.fault.subscribe(), &link.to_server_bytes, seed);
        let back = Way::to_client(link.fault.subscribe(), &link.to_client_bytes, seed.wrapping_add(1));
        tokio::select! {
            () = link.cut.cancelled() => {}
            () = pump(from_client, to_server, there) => {}
            () = pump(from_server, to_client, back) => {}
        }
    }
    if link.is_reset.load(Ordering::Relaxed) {
        // closed without lingering, a socket sends RST
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
}
