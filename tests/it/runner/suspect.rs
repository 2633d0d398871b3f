//! A message that kills its worker, with a real process that dies: it is run alone, then parked, and nobody else suffers.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tests::process::Process;
use tests::{DEADLINE, until};

use super::scripted::Scripted;

/// Returns to the main queue that make it a suspect, then returns to the suspects' queue that park it.
const DEATHS: usize = 3 + 6;

/// The worker as a process of its own, which writes what it applies to that file.
pub(super) fn start(world: &Scripted, applied: &Path) -> Process {
    start_with(world, applied, &[])
}

fn start_with(world: &Scripted, applied: &Path, settings: &[(&str, &str)]) -> Process {
    let (database, amqp) = (world.database().url().to_owned(), world.vhost.url().to_owned());
    let mut environment = vec![
        ("MUSTER_DATABASE_URL", database.as_str()),
        ("MUSTER_AMQP_URL", amqp.as_str()),
        ("MUSTER_AMQP_SETTLE_MS", "0"),
        ("MUSTER_RETRY_BASE_MS", "1"),
        ("MUSTER_RELAY_LEASE_MS", "1000"),
        ("MUSTER_PROBE_LISTEN", "127.0.0.1:0"),
        ("MUSTER_LOG_FORMAT", "json"),
        ("SCRIPTED_APPLIED", applied.to_str().expect("a temporary folder is named in ASCII")),
    ];
    environment.extend_from_slice(settings);
    Process::start("scripted-worker", &[], &environment)
}

/// How often each message was applied, by its agent.
pub(super) fn applied(file: &Path) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for agent in std::fs::read_to_string(file).unwrap_or_default().lines() {
        *counts.entry(agent.to_owned()).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn a_message_that_kills_its_worker_is_parked_and_takes_no_neighbour_with_it() {
    let world = Scripted::declared(|_| {}).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("applied");
    for number in 0..10 {
        world.send(&format!("before {number}")).await;
    }
    world.send("aborts").await;
    for number in 0..10 {
        world.send(&format!("after {number}")).await;
    }
    let mut worker = start(&world, &file);
    for death in 1..=DEATHS {
        until(DEADLINE, async || worker.ended().ok_or("it still runs")).await;
        if death == 4 {
            // it is alone with its worker by now; these come while it kills one after the other
            for number in 0..20 {
                world.send(&format!("late {number}")).await;
            }
        }
        worker = start(&world, &file);
    }
    let parked = world.until_parked(1).await.remove(0);
    assert_eq!(parked.class, "poison");
    assert!(parked.reason.contains("6 times although it ran alone"), "{}", parked.reason);
    let counts = until(DEADLINE, async || {
        let counts = applied(&file);
        if counts.len() == 40 { Ok(counts) } else { Err(counts) }
    })
    .await;
    // nothing of theirs was in the hands of those that died
    let late: Vec<_> = counts.iter().filter(|(agent, _)| agent.starts_with("late")).collect();
    assert!(late.len() == 20 && late.iter().all(|(_, count)| **count == 1), "{late:?}");
    world.until_empty().await;
    assert!(worker.terminate(Duration::from_secs(40)).await.success());
    world.assert_empty().await;
}

#[tokio::test]
async fn a_worker_whose_job_never_yields_ends_with_3_and_the_message_is_parked() {
    let world = Scripted::declared(|_| {}).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("applied");
    for agent in ["before", "loops", "after"] {
        world.send(agent).await;
    }
    let settings = [
        ("MUSTER_JOB_TIMEOUT_MS", "300"),
        ("MUSTER_ATTEMPTS_MAX", "2"),
        ("MUSTER_STUCK_MS_MAX", "2000"),
        // each attempt takes a thread for good, and the rest must go on
        ("TOKIO_WORKER_THREADS", "4"),
    ];
    let mut ends = 0;
    let mut worker = start_with(&world, &file, &settings);
    // up to nine ends, of some seconds each on a loaded machine
    until(DEADLINE * 6, async || {
        if let Some(status) = worker.ended() {
            assert_eq!(status.code(), Some(3), "{:#?}", worker.log());
            assert!(worker.log().iter().any(|line| line.contains("no progress is possible")), "it says why");
            ends += 1;
            worker = start_with(&world, &file, &settings);
        }
        let (counts, parked) = (applied(&file), store::parked::count(&world.database().store()).await);
        let is_done = ends > 0 && counts.len() == 2 && parked.as_ref().is_ok_and(|parked| *parked == 1);
        if is_done { Ok(()) } else { Err(format!("{ends} ends, {counts:?} applied, {parked:?} parked")) }
    })
    .await;
    // by its attempts; or, where it took all threads at once, as one that killed its worker too often
    let parked = world.until_parked(1).await.remove(0);
    assert!(["timeout", "poison"].contains(&parked.class.as_str()), "{}", parked.class);
    world.until_empty().await;
    assert!(worker.terminate(Duration::from_secs(40)).await.success());
    world.assert_empty().await;
}

#[tokio::test]
async fn a_worker_that_cannot_read_the_pauses_says_so_and_burns_no_attempt() {
    let world = Scripted::declared(|_| {}).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("applied");
    // as in a database that is behind this worker
    world.database().execute("alter table muster.pause rename to not_yet").await;
    let mut worker = start_with(&world, &file, &[("MUSTER_ATTEMPTS_MAX", "1")]);
    world.send("patient").await;
    let line = worker.until_log(DEADLINE, "postgres cannot be used").await;
    assert!(line.contains("muster.pause"), "{line}");
    assert!(applied(&file).is_empty(), "it may be paused");
    world.database().execute("alter table muster.not_yet rename to pause").await;
    until(DEADLINE, async || if applied(&file).contains_key("patient") { Ok(()) } else { Err("not applied") }).await;
    world.until_empty().await;
    assert!(worker.terminate(Duration::from_secs(40)).await.success());
    world.assert_empty().await;
}
