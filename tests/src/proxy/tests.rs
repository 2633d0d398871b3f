//! Each fault does what it says, and ends when it is told to.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

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

/// Takes everything and says nothing; ends the connection when told to.
async fn silent(stop: CancellationToken) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        stop.run_until_cancelled(stream.read_to_end(&mut bytes)).await;
    });
    address.to_string()
}

#[tokio::test]
async fn a_cut_after_bytes_to_the_client_lets_exactly_those_pass() {
    let proxy = Proxy::start(&echo().await).await;
    proxy.set(Fault { cut_after_bytes_to_client: Some(5), ..Fault::NONE });
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    stream.write_all(b"12345678").await.unwrap();
    let mut back = Vec::new();
    soon("the end", stream.read_to_end(&mut back)).await.unwrap();
    assert_eq!(back, b"12345");
    assert_eq!(proxy.links()[0].to_client_bytes(), 5);
}

#[tokio::test]
async fn a_reset_is_told_as_one() {
    let proxy = Proxy::start(&echo().await).await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    say(&mut stream, b"x").await;
    proxy.reset();
    let error = soon("the reset", stream.read(&mut [0])).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_half_open_connection_hides_the_servers_end_until_it_is_over() {
    let gone = CancellationToken::new();
    let proxy = Proxy::start(&silent(gone.clone()).await).await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    stream.write_all(b"before").await.unwrap();
    let link = until(DEADLINE, async || match proxy.links().pop() {
        Some(link) if link.to_server_bytes() == 6 => Ok(link),
        other => Err(other),
    })
    .await;
    proxy.set(Fault::HALF_OPEN);
    gone.cancel();
    let nothing = tokio::time::timeout(Duration::from_millis(100), stream.read(&mut [0])).await;
    assert!(nothing.is_err(), "{nothing:?}");
    stream.write_all(b"after").await.unwrap();
    assert!(!link.is_over());
    proxy.set(Fault::NONE);
    assert_eq!(soon("the end", stream.read(&mut [0])).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_proxy_leads_elsewhere_when_it_is_told_to() {
    let gone = CancellationToken::new();
    let proxy = Proxy::start(&silent(gone).await).await;
    proxy.lead_to(&echo().await);
    say(&mut TcpStream::connect(proxy.address()).await.unwrap(), b"here").await;
}

#[tokio::test]
async fn a_narrow_line_takes_its_time() {
    let fault = watch::Sender::new(Fault { bytes_per_s: Some(400_000), ..Fault::NONE });
    let (carried, began) = (watch::Sender::new(0), Instant::now());
    let mut to = Vec::new();
    pump(&[7; 40_000][..], &mut to, Way::to_server(fault.subscribe(), &carried, 1)).await;
    assert_eq!((to.len(), *carried.borrow()), (40_000, 40_000));
    assert!(began.elapsed() >= Duration::from_millis(100), "{:?}", began.elapsed());
}

#[test]
fn latency_is_what_was_asked_for_and_jitter_follows_from_the_seed() {
    let (latency, jitter) = (Duration::from_millis(100), Duration::from_millis(50));
    let jumpy = Fault { latency, jitter, ..Fault::NONE };
    let delays = |seed| {
        let (fault, carried) = (watch::Sender::new(jumpy), watch::Sender::new(0));
        let mut way = Way::to_server(fault.subscribe(), &carried, seed);
        [way.delay(&jumpy), way.delay(&jumpy), way.delay(&Fault { jitter: Duration::ZERO, ..jumpy })]
    };
    let [first, second, steady] = delays(1);
    assert_eq!([first, second, steady], delays(1));
    assert_ne!([first, second], delays(2)[..2]);
    assert_eq!(steady, latency);
    assert!([first, second].iter().all(|delay| (latency..=latency + jitter).contains(delay)), "{first:?} {second:?}");
}
