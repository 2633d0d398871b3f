//! The program itself: says where it listens, streams a large fleet with little memory, stops when told to.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use futures_util::StreamExt;
use tests::simulator::key;

use super::DEADLINE;
use super::receiver::Receiver;

/// What the process may ever hold, in KiB: 100,000 agents are 130 MB of text.
const MEMORY_KIB_MAX: u64 = 64 * 1024;

/// A running program; dropping it kills it.
struct Running(Option<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // it may have ended by itself
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Starts the program and answers it with its base URL.
async fn spawn(arguments: &[&str]) -> (Running, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tactical-simulator"));
    let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().expect("the program starts");
    let stdout = child.stdout.take().expect("stdout is piped");
    let running = Running(Some(child));
    let line = blocking(move || {
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).map(|_| line)
    });
    let line = line.await.expect("stdout can be read");
    let url = line.trim_end().strip_prefix("listening on ").expect("the line names the address").to_owned();
    (running, url)
}

/// Runs what blocks on another thread, but not for ever.
async fn blocking<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::time::timeout(DEADLINE, tokio::task::spawn_blocking(act)).await.expect("in time").expect("no panic")
}

/// The most memory that a process ever held, in KiB.
fn memory_peak_kib(running: &Running) -> u64 {
    let pid = running.0.as_ref().expect("it is running").id();
    tests::memory_peak_kib(pid).expect("Linux tells the peak")
}

async fn terminate(mut running: Running) {
    let mut child = running.0.take().expect("it is running");
    let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs");
    assert!(told.success());
    let status = blocking(move || child.wait()).await.expect("it can be waited for");
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn a_hundred_thousand_agents_are_streamed_with_little_memory() {
    let (child, url) = spawn(&["--agents", "100000", "--clients", "50"]).await;
    for path in ["/agents/?detail=false", "/agents/"] {
        let answer =
            reqwest::Client::new().get(format!("{url}{path}")).header("X-API-KEY", key::ADMIN).send().await.unwrap();
        let (mut bytes, mut rows, mut largest) = (0, 0, 0);
        let mut body = answer.bytes_stream();
        while let Some(chunk) = body.next().await {
            let chunk = chunk.expect("the stream is whole");
            bytes += chunk.len();
            largest = largest.max(chunk.len());
            rows += String::from_utf8_lossy(&chunk).matches("\"hostname\":\"").count();
        }
        println!("{path}: {bytes} bytes, {rows} whole host names, largest chunk {largest}");
        // a key that lies across two chunks is not counted
        assert!((95_000..=100_000).contains(&rows), "{rows}");
        assert!(bytes > 10_000_000);
    }
    let peak_kib = memory_peak_kib(&child);
    println!("peak memory: {peak_kib} KiB");
    assert!(peak_kib <= MEMORY_KIB_MAX, "{peak_kib} KiB");
    terminate(child).await;
}

#[tokio::test]
async fn the_demo_lets_alerts_flow_with_the_secret_in_their_header() {
    let receiver = Receiver::accepting().await;
    let (child, _) = spawn(&[
        "--agents",
        "50",
        "--alert-interval-ms",
        "5",
        "--webhook-url",
        receiver.url(),
        "--webhook-secret",
        "s3cret",
    ])
    .await;
    let mut received = Vec::new();
    let enough = async {
        while received.len() < 20 {
            received.extend(receiver.take());
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, enough).await.expect("alerts flow");
    assert!(received.iter().all(|request| request.header("X-Alga-Webhook-Secret") == Some("s3cret")));
    assert!(received.iter().any(|request| request.body.contains("\"event\": \"trigger\"")));
    assert!(received.iter().any(|request| request.body.contains("\"event\": \"resolve\"")));
    terminate(child).await;
}
