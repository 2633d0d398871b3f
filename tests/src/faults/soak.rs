//! The soak: hours of load with retries, kills of workers and lost connections, in which nothing may grow.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use store::run::Kind;

use super::{Case, Ground, Length, Outcome, Trial};
use crate::Fleet;
use crate::process::{Process, children};
use crate::simulator::{Fault, FaultKind};

/// Between two looks at what is used.
const MINUTE: Duration = Duration::from_secs(60);
/// Webhooks of both servers in a second.
const PER_SECOND: u32 = 10;
/// The shortest soak: with less the first quarter, in which caches fill, is over before anything has been harmed twice.
pub const MINUTES_MIN: u64 = 12;
/// What the last quarter's median may lie above the second one's before it counts as growth.
const MEMORY_KIB_MORE: u64 = 4 << 10;
/// A descriptor that is lost with each lost connection makes ten in the hour between the two.
const DESCRIPTORS_MORE: u64 = 3;
/// Two logs of the node: one that is full, and the one that is written.
const DISK_KIB_MORE: u64 = 32 << 10;

/// No case of the suite: it takes hours.
pub static SOAK: Case =
    Case::new("soak", "hours of load with retries, kills and lost connections", |ground| Box::pin(soak(ground)));

/// What is used at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Usage {
    /// Resident memory of the gateway and of a worker that is never killed, in KiB.
    memory_kib: [u64; 2],
    /// Open descriptors of both.
    descriptors: [u64; 2],
    /// Everything below the broker's folder, in KiB.
    broker_disk_kib: u64,
}

async fn soak(ground: Ground) -> Outcome {
    let Length::Soak(minutes) = ground.length else { panic!("a soak is told how long it takes") };
    let builder = Fleet::builder().workers(2).proxies().private_broker().set("MUSTER_LOG", "info,lapin=off");
    // spans of hours are more than the receiver keeps
    let mut trial = Trial::start(ground, builder.set("MUSTER_OTLP_URL", "")).await;
    trial.are_traces_checked = false;
    trial.load(PER_SECOND, u64::MAX);
    let began = Instant::now();
    let (mut victim, mut usages) = (1, Vec::new());
    for minute in 1..=minutes {
        harm(&mut trial, minute, &mut victim).await;
        tokio::time::sleep_until((began + MINUTE * u32::try_from(minute).unwrap_or(u32::MAX)).into()).await;
        trial.keep_events().await;
        let usage = usage(&mut trial);
        // a reader that went away ends nothing
        let _ = writeln!(std::io::stdout().lock(), "{}", line(minute, &usage));
        usages.push(usage);
    }
    // what was to fail and was not asked for yet would fail the last poll
    trial.sides().iter().for_each(|side| side.control().clear_faults());
    trial.healed().await;
    trial.fleet.until_idle().await;
    let mut outcome = trial.finish().await;
    outcome.findings.extend(grown(&usages));
    outcome
}

/// What happens in a minute: always a kill, and by turns a lost broker, a lost Postgres, and a Tactical that fails.
async fn harm(trial: &mut Trial, minute: u64, victim: &mut usize) {
    trial.kill_worker(*victim);
    *victim = trial.fleet().add_worker().await;
    match minute % 3 {
        0 => trial.fleet().amqp_proxy().cut(),
        1 => trial.fleet().database_proxy().cut(),
        _ => {
            for side in trial.sides() {
                let kind = FaultKind::ServerError { status: 503 };
                side.control().add_fault(Fault { path_prefix: String::new(), kind, requests: Some(5) });
                side.start_run(&trial.fleet, Kind::Alerts).await;
            }
        }
    }
}

fn line(minute: u64, usage: &Usage) -> String {
    let Usage { memory_kib: [gateway, worker], descriptors: [of_gateway, of_worker], broker_disk_kib } = usage;
    format!(
        "minute {minute}: gateway {gateway} KiB, {of_gateway} descriptors; worker {worker} KiB, {of_worker} descriptors; \
         broker's disk {broker_disk_kib} KiB"
    )
}

fn usage(trial: &mut Trial) -> Usage {
    let broker = trial.fleet().broker().folder().to_owned();
    let gateway = of(trial.gateway());
    let worker = of(trial.fleet().worker(0));
    Usage {
        memory_kib: [gateway.0, worker.0],
        descriptors: [gateway.1, worker.1],
        broker_disk_kib: disk_bytes(&broker) / 1024,
    }
}

/// Resident KiB and open descriptors of a process and of what it has started; one that has ended would be the flattest.
fn of(process: &mut Process) -> (u64, u64) {
    assert!(process.ended().is_none(), "a process ended that nobody had harmed: {:#?}", process.log());
    let mut family = children(process.pid());
    family.push(process.pid());
    let memory_kib = family.iter().filter_map(|pid| resident_kib(*pid)).sum();
    let descriptors = family.iter().filter_map(|pid| std::fs::read_dir(format!("/proc/{pid}/fd")).ok());
    (memory_kib, descriptors.map(|open| open.count() as u64).sum())
}

fn resident_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

fn disk_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(file) if file.is_dir() => disk_bytes(&entry.path()),
        Ok(file) => file.len(),
        // it went away while the node worked
        Err(_) => 0,
    };
    entries.map(size).sum()
}

type Measure = fn(&Usage) -> u64;

/// What is higher in the last quarter than in the second one, by their medians and more than by chance.
fn grown(usages: &[Usage]) -> Vec<String> {
    let quarter = usages.len() / 4;
    let (before, after) = (&usages[quarter..2 * quarter], &usages[usages.len() - quarter..]);
    let measures: [(&str, Measure, u64); 5] = [
        ("KiB of the gateway's memory", |usage| usage.memory_kib[0], MEMORY_KIB_MORE),
        ("KiB of a worker's memory", |usage| usage.memory_kib[1], MEMORY_KIB_MORE),
        ("descriptors of the gateway", |usage| usage.descriptors[0], DESCRIPTORS_MORE),
        ("descriptors of a worker", |usage| usage.descriptors[1], DESCRIPTORS_MORE),
        ("KiB of the broker's disk", |usage| usage.broker_disk_kib, DISK_KIB_MORE),
    ];
    let grown = measures.into_iter().filter_map(|(what, of, more)| {
        let [was, is] = [before, after].map(|usages| median(usages.iter().map(of).collect()));
        (is > was + more).then(|| format!("{was} {what} grew to {is}"))
    });
    grown.collect()
}

fn median(mut figures: Vec<u64>) -> u64 {
    figures.sort_unstable();
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usages(memory_kib: impl Fn(u64) -> u64) -> Vec<Usage> {
        (0..40).map(|minute| Usage { memory_kib: [memory_kib(minute), 1], ..Usage::default() }).collect()
    }

    #[test]
    fn what_fills_up_at_first_or_goes_up_and_down_has_not_grown() {
        assert_eq!(grown(&usages(|minute| 50_000 * minute.min(10))), Vec::<String>::new());
        assert_eq!(grown(&usages(|minute| 50_000 * (minute % 5))), Vec::<String>::new());
    }

    #[test]
    fn what_goes_on_growing_is_found() {
        // from minutes 10 to 19 until 30 to 39 are 20
        let (chance, leak) = (MEMORY_KIB_MORE / 20, MEMORY_KIB_MORE / 20 + 1);
        assert_eq!(grown(&usages(|minute| chance * minute)), Vec::<String>::new());
        let (was, is) = (leak * 15, leak * 35);
        assert_eq!(grown(&usages(|minute| leak * minute)), [format!("{was} KiB of the gateway's memory grew to {is}")]);
    }
}
