//! `./dev bench accept [up|down|hung|all] [seconds]`: 1,000 webhooks a second into a gateway, whatever its broker does.
//!
//! The gateway is the real one with its listener, its hooks and its spool, in this process; only the broker is played: `up`
//! confirms at once, `down` refuses at once, `hung` never answers. Before and after it the same records at the same rate go
//! straight into a file with one `fdatasync` for all that wait: what the disk allows, and what the figures are to be compared
//! with.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark ends with its first surprise, and prints")]

#[path = "../tests/http_support/mod.rs"]
mod http_support;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use http_support::{BODY, World};
use tokio::task::JoinSet;

/// Webhooks a second.
const RATE: u32 = 1_000;
/// The gateway's target; the disk's own time is not in our hands.
const P99_MAX: Duration = Duration::from_millis(25);

#[tokio::main]
async fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let broker = words.next().unwrap_or_else(|| "all".to_owned());
    let seconds: u32 = words.next().map_or(30, |word| word.parse().expect("seconds are a whole number"));
    let brokers = match broker.as_str() {
        "all" => vec!["up", "down", "hung"],
        one => vec![one],
    };
    let mut is_kept = true;
    for broker in brokers {
        is_kept &= bench(broker, seconds).await;
    }
    if is_kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs and prints; whether every webhook was taken, and in time.
async fn bench(broker: &str, seconds: u32) -> bool {
    let world = Arc::new(World::start(&["--spool-after-ms", "100", "--connections-max", "10000"]).await);
    match broker {
        "up" => {}
        "down" => {
            world.broker.not_ready.store(true, Ordering::SeqCst);
            world.broker.fails.store(true, Ordering::SeqCst);
        }
        "hung" => world.broker.hold.store(true, Ordering::SeqCst),
        other => panic!("there are up, down, hung and all, not {other}"),
    }
    let disk = |place: &str| bare(&world.folder.path().join(place), RATE * seconds.min(10));
    let before = tokio::task::block_in_place(|| disk("before"));
    let (refused, times) = webhooks(&world, RATE * seconds).await;
    let after = tokio::task::block_in_place(|| disk("after"));
    println!("| broker {broker}, {RATE}/s for {seconds} s | p50 | p99 | most |\n| --- | --- | --- | --- |");
    print("fdatasync alone, before", &before);
    let p99 = print("webhook to its answer", &times);
    print("fdatasync alone, after", &after);
    let is_in_time = p99 <= P99_MAX;
    let word = if is_in_time { "kept" } else { "not kept" };
    println!("{} answered 202, {refused} otherwise; p99 <= {} ms: {word}\n", times.len(), P99_MAX.as_millis());
    refused == 0 && is_in_time
}

/// Sends at the rate, whatever the answers take; a time counts from when its webhook was due.
async fn webhooks(world: &Arc<World>, count: u32) -> (usize, Vec<Duration>) {
    let (begun, mut sent) = (tokio::time::Instant::now(), JoinSet::new());
    for number in 0..count {
        let due = begun + Duration::from_secs(1) * number / RATE;
        tokio::time::sleep_until(due).await;
        let world = Arc::clone(world);
        sent.spawn(async move {
            let answer = world.post_good(&BODY.replace("4711", &number.to_string())).await;
            (answer.status, due.elapsed())
        });
    }
    let answers = sent.join_all().await;
    let refused = answers.iter().filter(|(status, _)| *status != 202).count();
    (refused, answers.into_iter().filter(|(status, _)| *status == 202).map(|(_, took)| took).collect())
}

/// Records of a webhook's size straight into a file, with one sync for all that wait; how long each took.
fn bare(path: &Path, count: u32) -> Vec<Duration> {
    /// What a webhook takes in the spool.
    const RECORD_BYTES: usize = 1_000;
    let (appends, inbox) = mpsc::channel::<Instant>();
    let mut file = File::create(path).unwrap();
    let writing = std::thread::spawn(move || {
        let mut times = Vec::new();
        while let Ok(first) = inbox.recv() {
            let batch: Vec<Instant> = std::iter::once(first).chain(inbox.try_iter()).collect();
            file.write_all(&vec![7; RECORD_BYTES * batch.len()]).unwrap();
            file.sync_data().unwrap();
            times.extend(batch.iter().map(Instant::elapsed));
        }
        times
    });
    let begun = Instant::now();
    for number in 0..count {
        let due = begun + Duration::from_secs(1) * number / RATE;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        appends.send(due).unwrap();
    }
    drop(appends);
    writing.join().unwrap()
}

/// Prints a row; the 99th percentile.
fn print(what: &str, times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = |per_cent: usize| sorted.get((sorted.len() * per_cent / 100).min(sorted.len().max(1) - 1));
    let [p50, p99, most] = [50, 99, 100].map(|per_cent| at(per_cent).copied().unwrap_or_default());
    let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1_000.0);
    println!("| {what} | {} | {} | {} |", ms(p50), ms(p99), ms(most));
    p99
}
