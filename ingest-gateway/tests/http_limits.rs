//! Every limit at its edge: slow senders, large bodies, too many connections, and the drain.
#![allow(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

mod http_support;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http_support::client::{Body, request};
use http_support::{Answer, BODY, SECRET, TENANT, World, until};
use hyper::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection to the gateway that has sent this much.
async fn connected(world: &World, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(world.url.trim_start_matches("http://")).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

fn head(secret: &str, length: usize) -> String {
    format!(
        "POST /api/webhooks/tacticalrmm?tenant={TENANT} HTTP/1.1\r\nHost: x\r\n\
         X-Alga-Webhook-Secret: {secret}\r\nContent-Length: {length}\r\n\r\n"
    )
}

/// All that comes until the gateway closes.
async fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut bytes)).await;
    assert!(read.is_ok(), "not closed within 10 s");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One answer of a connection that stays open.
async fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = [0; 4_096];
    let read =
        tokio::time::timeout(Duration::from_secs(10), stream.read(&mut bytes)).await.expect("an answer").unwrap();
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}

#[tokio::test]
async fn a_slow_header_is_cut_off() {
    let world = World::start(&["--header-read-timeout-ms", "200"]).await;
    let begun = Instant::now();
    let text = rest(connected(&world, "POST /api/webhooks/tacticalrmm HTTP/1.1\r\nHost: x\r\nX-Slow").await).await;
    assert!(begun.elapsed() >= Duration::from_millis(150), "{:?}", begun.elapsed());
    assert!(!text.contains(" 20"), "{text}");
}

#[tokio::test]
async fn a_slow_body_is_408() {
    let world = World::start(&["--body-read-timeout-ms", "200"]).await;
    let begun = Instant::now();
    let text = rest(connected(&world, &format!("{}{{\"agent", head(SECRET, 100))).await).await;
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
    assert!(world.published().is_empty());
}

#[tokio::test]
async fn a_stranger_is_answered_before_the_body() {
    let world = World::start(&["--body-read-timeout-ms", "60000"]).await;
    let mut stream = connected(&world, &head("wrong", 1_000)).await;
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 401 "));
}

#[tokio::test]
async fn an_accepted_sender_may_idle_longer_than_a_stranger() {
    let world = World::start(&["--header-read-timeout-ms", "200", "--idle-timeout-ms", "1500"]).await;
    let request = format!("{}{BODY}", head(SECRET, BODY.len()));
    let mut accepted = connected(&world, &request).await;
    assert!(answer(&mut accepted).await.starts_with("HTTP/1.1 202 "));
    let begun = Instant::now();
    let mut stranger = connected(&world, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer(&mut stranger).await.starts_with("HTTP/1.1 200 "));
    let (_, _) = tokio::join!(rest(stranger), rest(connected(&world, "").await));
    let strangers = begun.elapsed();
    assert!(strangers < Duration::from_millis(1_200), "{strangers:?}");
    // longer than a stranger may, and still served
    accepted.write_all(request.as_bytes()).await.unwrap();
    assert!(answer(&mut accepted).await.starts_with("HTTP/1.1 202 "));
    let begun = Instant::now();
    rest(accepted).await;
    assert!(begun.elapsed() >= Duration::from_millis(1_400), "{:?}", begun.elapsed());
    assert_eq!(world.published().len(), 2);
}

#[tokio::test]
async fn an_accepted_sender_is_no_faster_with_its_next_head() {
    let world = World::start(&["--header-read-timeout-ms", "200", "--idle-timeout-ms", "60000"]).await;
    let mut stream = connected(&world, &format!("{}{BODY}", head(SECRET, BODY.len()))).await;
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 202 "));
    stream.write_all(b"POST /api").await.unwrap();
    rest(stream).await;
}

#[tokio::test]
async fn the_largest_body_passes_and_one_byte_more_does_not() {
    let world = World::start(&[]).await;
    let frame = r#"{"agent_id":"a","message":""}"#.len();
    for (bytes, status) in [(512 * 1024, 202), (512 * 1024 + 1, 413)] {
        let body = format!(r#"{{"agent_id":"a","message":"{}"}}"#, "x".repeat(bytes - frame));
        assert_eq!(body.len(), bytes);
        assert_eq!(world.post(TENANT, SECRET, body.clone()).await.status, status, "{bytes} bytes, announced");
        let chunked = Body::chunked(body.as_bytes().chunks(10_000).map(|chunk| chunk.to_vec().into()).collect());
        assert_eq!(world.post(TENANT, SECRET, chunked).await.status, status, "{bytes} bytes, in chunks");
    }
    let (_, alert) = world.published().remove(0);
    assert!(alert.truncated && alert.raw.len() == 64 * 1024);
}

#[tokio::test]
async fn headers_have_a_limit() {
    let world = World::start(&["--header-bytes-max", "8192"]).await;
    let with = |bytes: usize| {
        format!("GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Long: {}\r\n\r\n", "x".repeat(bytes))
    };
    assert!(rest(connected(&world, &with(7_000)).await).await.starts_with("HTTP/1.1 200 "));
    assert!(rest(connected(&world, &with(9_000)).await).await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_and_are_served() {
    let world = World::start(&["--connections-max", "2", "--header-read-timeout-ms", "60000"]).await;
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut stream = connected(&world, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200 "));
        kept.push(stream);
    }
    let mut third = connected(&world, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut byte = [0; 1];
    let waiting = tokio::time::timeout(Duration::from_millis(200), third.read(&mut byte)).await;
    assert!(waiting.is_err(), "the third one is not served while two are open");
    kept.pop();
    assert!(answer(&mut third).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_drain_finishes_what_is_open_and_takes_nothing_new() {
    let world = World::start(&[]).await;
    world.broker.hold.store(true, Ordering::SeqCst);
    let request =
        request(Method::POST, &world.hook_url(TENANT)).header("x-alga-webhook-secret", SECRET).body(BODY).send();
    let open = tokio::spawn(request);
    let idle = connected(&world, "").await;
    until("the request was taken", async || std::sync::Arc::strong_count(&world.broker) > 2).await;
    world.cancel.cancel();
    let address = world.url.trim_start_matches("http://").to_owned();
    until("new connections are refused", async || TcpStream::connect(&address).await.is_err()).await;
    world.broker.release.notify_waiters();
    let response = open.await.unwrap().unwrap();
    assert_eq!(Answer::of(response).status, 202);
    rest(idle).await;
    let broker = std::sync::Arc::clone(&world.broker);
    world.stop().await;
    assert_eq!(broker.published.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_drain_does_not_wait_for_an_accepted_sender_that_idles() {
    let world = World::start(&["--idle-timeout-ms", "60000"]).await;
    let mut stream = connected(&world, &format!("{}{BODY}", head(SECRET, BODY.len()))).await;
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 202 "));
    let begun = Instant::now();
    world.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert_eq!(rest(stream).await, "");
}

#[tokio::test]
async fn a_drain_has_an_end() {
    let world = World::start(&["--drain-timeout-ms", "200", "--header-read-timeout-ms", "60000"]).await;
    let half = connected(&world, "POST /api/webhooks/tacticalrmm HTTP/1.1\r\nHo").await;
    let begun = Instant::now();
    world.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    drop(half);
}

#[tokio::test]
async fn what_came_is_published_though_its_sender_hangs_up() {
    let world = World::start(&[]).await;
    world.broker.hold.store(true, Ordering::SeqCst);
    let stream = connected(&world, &format!("{}{BODY}", head(SECRET, BODY.len()))).await;
    until("the request was taken", async || std::sync::Arc::strong_count(&world.broker) > 2).await;
    drop(stream);
    until("it is published", async || {
        world.broker.release.notify_waiters();
        world.published().len() == 1
    })
    .await;
}
