//! Lists that break off, are odd, large, slow, or not wanted to their end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::timeout;

use super::*;
use crate::ask::Ask;
use crate::testing::{Server, answer, local};
use crate::{Client, Config};

const ENDPOINT: &str = "/list/";
const DEADLINE: Duration = Duration::from_secs(30);

#[derive(Debug, Deserialize, PartialEq)]
struct Number {
    id: i64,
}

/// How many items came, and how the list ended.
async fn read(client: &Client) -> (usize, Result<(), Error>) {
    let mut stream = match client.stream::<Number>(Ask::get(ENDPOINT, &[])).await {
        Ok(stream) => stream,
        Err(error) => return (0, Err(error)),
    };
    let mut count = 0;
    while let Some(item) = stream.next().await {
        match item {
            Ok(_) => count += 1,
            Err(error) => {
                assert!(stream.next().await.is_none(), "nothing comes after an error");
                return (count, Err(error));
            }
        }
    }
    assert!(stream.next().await.is_none(), "the end stays the end");
    (count, Ok(()))
}

fn cut() -> Result<(), Error> {
    Err(Error::Truncated { endpoint: ENDPOINT })
}

#[tokio::test]
async fn a_list_is_whole_or_an_error() {
    for (body, wanted) in [
        ("[]", (0, Ok(()))),
        (" \n[ ] \n", (0, Ok(()))),
        (r#"[{"id":1}]"#, (1, Ok(()))),
        (r#"[{"id":1}, {"id":2,"more":[{"deep":null}]}]"#, (2, Ok(()))),
        // the connection ends cleanly, the list does not
        ("", (0, cut())),
        ("[", (0, cut())),
        (r#"[{"id":1},{"i"#, (1, cut())),
        (r#"[{"id":1}"#, (1, cut())),
        (r#"[{"id":1},"#, (1, cut())),
    ] {
        let client = Server::json(body).await.client(&local());
        assert_eq!(read(&client).await, wanted, "{body}");
    }
}

#[tokio::test]
async fn what_is_no_list_of_such_items_is_unreadable() {
    for (body, count) in [
        (r#"[{"id":1}] x"#, 1),
        (r#"[{"id":1}][]"#, 1),
        (r#"[{"id":1},]"#, 1),
        (r#"{"detail":"?"}"#, 0),
        (r#""ok""#, 0),
        ("null", 0),
        ("[1]", 0),
        (r#"[{"id":"x"}]"#, 0),
        (r#"[{"id":1},{"name":"x"}]"#, 1),
        ("[{\"id\":1,\"name\":\"\u{1}\"}]", 0),
    ] {
        let client = Server::json(body).await.client(&local());
        let (found, end) = read(&client).await;
        assert!(matches!(end, Err(Error::Unreadable { .. })), "{body}: {end:?}");
        assert_eq!(found, count, "{body}");
    }
}

#[tokio::test]
async fn a_page_in_place_of_a_list_is_the_wrong_host() {
    let page = "\n<!doctype html><html></html>";
    for said in [answer("200 OK", "text/html; charset=utf-8", page), answer("200 OK", "application/json", page)] {
        let client = Server::saying(said).await.client(&local());
        let (count, end) = read(&client).await;
        assert!(count == 0 && matches!(end, Err(Error::WrongHost { .. })), "{end:?}");
    }
}

#[tokio::test]
async fn a_body_that_breaks_is_cut_off() {
    // more was promised than came: by length, and by chunks without the last one
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    for said in [
        format!("{head}Content-Length: 1000\r\n\r\n[{{\"id\":1}}]"),
        format!("{head}Transfer-Encoding: chunked\r\n\r\na\r\n[{{\"id\":1}}]\r\n"),
        format!("{head}Transfer-Encoding: chunked\r\n\r\nz\r\n[{{\"id\":1}}]\r\n"),
    ] {
        let client = Server::saying(said.clone()).await.client(&local());
        let (_, end) = read(&client).await;
        assert_eq!(end, cut(), "{said}");
    }
}

#[tokio::test]
async fn depth_item_and_body_are_bounded() {
    let deep = format!(r#"[{{"id":1,"deep":{}1{}}}]"#, "[".repeat(100_000), "]".repeat(100_000));
    // what nobody reads is skipped without recursion; what is read is 128 deep at most
    assert_eq!(read(&Server::json(&deep).await.client(&local())).await.1, Ok(()));
    let server = Server::json(&deep).await;
    let ask = Ask::get(ENDPOINT, &[]);
    let values = server.client(&local()).list::<serde_json::Value>(ask).await;
    assert!(matches!(values, Err(Error::Unreadable { .. })), "{values:?}");

    let giant = format!(r#"[{{"id":1}},{{"id":2,"text":"{}"}},{{"id":3}}]"#, "x".repeat(5_000));
    let small = Config { item_bytes_max: 2_048, ..local() };
    let too_large = |bytes_max, is_item| Err(Error::TooLarge { endpoint: ENDPOINT, bytes_max, is_item });
    assert_eq!(read(&Server::json(&giant).await.client(&small)).await, (1, too_large(2_048, true)));
    let short = Config { body_bytes_max: 3_000, ..local() };
    assert_eq!(read(&Server::json(&giant).await.client(&short)).await.1, too_large(3_000, false));
    let whole = Server::json(&giant).await.client(&Config { small_body_bytes_max: 3_000, ..local() });
    assert_eq!(whole.object::<serde_json::Value>(Ask::get(ENDPOINT, &[])).await.map(drop), too_large(3_000, false));
}

/// An item that knows how many of it live.
#[derive(Debug)]
struct Counted;

static ALIVE: AtomicUsize = AtomicUsize::new(0);
static ALIVE_MAX: AtomicUsize = AtomicUsize::new(0);

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer)?;
        let alive = ALIVE.fetch_add(1, Ordering::SeqCst) + 1;
        ALIVE_MAX.fetch_max(alive, Ordering::SeqCst);
        Ok(Self)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::SeqCst);
    }
}

const OBJECTS: usize = 100_000;
/// A third of an agent's row: 40 MB in all.
const OBJECT_BYTES: usize = 400;
/// What a machine's sockets may hold between the two ends; the whole body is three times that.
const SOCKETS_BYTES_MAX: u64 = 13 << 20;

/// Sends the list, counting its bytes.
async fn long_list(written: Arc<AtomicU64>) -> Server {
    Server::start(move |mut socket| {
        let written = Arc::clone(&written);
        async move {
            let object = format!(r#"{{"id":1,"text":"{}"}}"#, "x".repeat(OBJECT_BYTES - 19));
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n[";
            let mut sent = socket.write_all(head.as_bytes()).await;
            for number in 0..OBJECTS {
                let end = if number + 1 < OBJECTS { "," } else { "]" };
                sent = sent.and(socket.write_all(format!("{object}{end}").as_bytes()).await);
                if sent.is_err() {
                    break;
                }
                written.fetch_add(object.len() as u64 + 1, Ordering::SeqCst);
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_holds_up_the_server_and_no_memory() {
    let written = Arc::new(AtomicU64::new(0));
    let server = long_list(Arc::clone(&written)).await;
    let mut stream = server.client(&local()).stream::<Counted>(Ask::get(ENDPOINT, &[])).await.unwrap();
    let mut taken = 0;
    while let Some(item) = stream.next().await {
        drop(item.unwrap());
        taken += 1;
        if taken % 20_000 == 1 {
            // the reader does nothing until everything before it is full
            let full = async {
                while stream.waiting() < ITEMS_AHEAD {
                    tokio::task::yield_now().await;
                }
            };
            timeout(DEADLINE, full).await.expect("the parser runs ahead of its reader");
            let ahead = written.load(Ordering::SeqCst).saturating_sub((taken * OBJECT_BYTES) as u64);
            assert!(ahead < SOCKETS_BYTES_MAX, "{ahead} bytes ahead of the reader after {taken} items");
        }
    }
    assert_eq!(taken, OBJECTS);
    // those in the channel, one that is being sent, one that the reader holds
    assert!(ALIVE_MAX.load(Ordering::SeqCst) <= ITEMS_AHEAD + 2, "{ALIVE_MAX:?} items at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_goes_away_ends_the_request() {
    let (tell, mut ended) = unbounded_channel();
    let server = Server::start(move |mut socket| {
        let tell = tell.clone();
        async move {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[{\"id\":1}";
            let mut sent = socket.write_all(head.as_bytes()).await;
            while sent.is_ok() {
                sent = socket.write_all(b",{\"id\":2}").await;
            }
            let _ = tell.send(());
        }
    })
    .await;
    let client = server.client(&local());
    // more of them than there are places: each gives its place back
    for _ in 0..4 {
        let mut stream = client.stream::<Number>(Ask::get(ENDPOINT, &[])).await.unwrap();
        assert_eq!(stream.next().await, Some(Ok(Number { id: 1 })));
        drop(stream);
        timeout(DEADLINE, ended.recv()).await.expect("the server sees its connection closed").unwrap();
    }
}

#[tokio::test]
async fn silence_and_endlessness_are_timeouts() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[{\"id\":1}";
    let silent = Server::start(move |mut socket| async move {
        let _ = socket.write_all(head.as_bytes()).await;
        std::future::pending::<()>().await;
    })
    .await;
    let client = silent.client(&Config { read_timeout_ms: 100, ..local() });
    let timeout = |wait, after_ms| Err(Error::Timeout { endpoint: ENDPOINT, wait, after_ms });
    assert_eq!(read(&client).await, (1, timeout(Wait::Read, 100)));

    let endless = Server::start(move |mut socket| async move {
        let mut sent = socket.write_all(head.as_bytes()).await;
        let mut drops = tokio::time::interval(Duration::from_millis(10));
        while sent.is_ok() {
            drops.tick().await;
            sent = socket.write_all(b" ").await;
        }
    })
    .await;
    let client = endless.client(&Config { read_timeout_ms: 10_000, total_timeout_ms: 300, ..local() });
    assert_eq!(read(&client).await, (1, timeout(Wait::Total, 300)));

    // a reader that does not read runs into the same limit: the server is let go, and the reader is told
    let (tell, mut ended) = unbounded_channel();
    let eager = Server::start(move |mut socket| {
        let tell = tell.clone();
        async move {
            let mut sent = socket.write_all(head.as_bytes()).await;
            while sent.is_ok() {
                sent = socket.write_all(b",{\"id\":2}").await;
            }
            let _ = tell.send(());
        }
    })
    .await;
    let client = eager.client(&Config { total_timeout_ms: 300, ..local() });
    let mut stream = client.stream::<Number>(Ask::get(ENDPOINT, &[])).await.unwrap();
    tokio::time::timeout(DEADLINE, ended.recv()).await.expect("the server sees its connection closed").unwrap();
    let mut last = None;
    while let Some(item) = stream.next().await {
        last = Some(item.map(drop));
    }
    assert_eq!(last, Some(timeout(Wait::Total, 300)));
}
