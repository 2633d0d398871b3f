//! Programs whose clocks are wrong by an hour, in both directions.

use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::{Case, Ground, Outcome, Trial};
use crate::{Fleet, clock_shim};

pub(super) const CASES: &[Case] =
    &[Case::new("clocks-off-by-an-hour", "gateway and workers whose clocks differ by two hours", |ground| {
        Box::pin(off_by_an_hour(ground))
    })];

const HOUR_S: i64 = 60 * 60;

/// By how many hours a program's clock is ahead of ours, by the first line of its log.
fn hours_ahead(logs: &Path, program: &str) -> i64 {
    let log = std::fs::read_to_string(logs.join(format!("{program}.log"))).expect("it has a log");
    let line: Value = serde_json::from_str(log.lines().next().expect("it has said something")).expect("it logs JSON");
    let said: DateTime<Utc> = line["timestamp"].as_str().and_then(|at| at.parse().ok()).expect("a line has its time");
    // it was written some seconds ago
    (said - Utc::now() + TimeDelta::minutes(30)).num_seconds().div_euclid(HOUR_S)
}

async fn off_by_an_hour(ground: Ground) -> Outcome {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let library = clock_shim::build(folder.path()).display().to_string();
    // the gateway is ahead of the others, or behind
    let offset_s = if ground.seed.is_multiple_of(2) { HOUR_S } else { -HOUR_S };
    let (webhooks, logs) = (ground.pick(150, 1_000), ground.logs.clone());
    let builder = Fleet::builder().workers(1).set("LD_PRELOAD", &library).set(clock_shim::OFFSET, offset_s);
    let mut trial = Trial::start(ground, builder).await;
    let other = [("LD_PRELOAD", library.as_str()), (clock_shim::OFFSET, &(-offset_s).to_string())];
    trial.fleet().add_worker_with(&other).await;
    assert_eq!(hours_ahead(&logs, "ingest-gateway"), offset_s / HOUR_S);
    assert_eq!(hours_ahead(&logs, "alert-worker-2"), -offset_s / HOUR_S);
    trial.clocks_differ();
    for _ in 0..2 {
        trial.load(200, webhooks);
        trial.all_sent().await;
        trial.healed().await;
        // what is told later must count although the poll has seen it open
        trial.poll().await;
    }
    trial.finish().await
}
