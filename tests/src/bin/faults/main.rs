//! `faults`: runs the fault suite and prints its table; `./dev faults` starts it with servers of its own.

use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Parser;
use tests::faults::{self, Case, Length, Report};

/// How long a soak takes unless somebody says otherwise.
const SOAK_MINUTES: u64 = 120;

/// Faults done to a whole fleet under load, each followed by the same checks.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// A case, or all whose names begin so; again for more. All of them where there is none
    #[arg(long = "case")]
    cases: Vec<String>,
    /// What everything is drawn from; another one each time where there is none
    #[arg(long)]
    seed: Option<u64>,
    /// Goes on for so long, with random cases and seeds of their own
    #[arg(long)]
    minutes: Option<u64>,
    /// So many cases at once; each has a fleet of its own
    #[arg(long, default_value_t = NonZeroUsize::MIN)]
    jobs: NonZeroUsize,
    /// Instead of cases: one fleet under load for two hours, or so many minutes, in which nothing may grow
    #[arg(long)]
    soak: bool,
    /// Only names the cases
    #[arg(long)]
    list: bool,
    /// As in `./dev test`: what takes long is shorter
    #[arg(long)]
    short: bool,
    /// Prints the table in Markdown
    #[arg(long)]
    markdown: bool,
    /// Where the logs of cases that failed are kept
    #[arg(long, overrides_with = "logs", default_value_os_t = std::env::temp_dir().join("muster-faults"))]
    logs: PathBuf,
}

/// Prints a line; a reader that went away ends nothing.
macro_rules! say {
    ($($text:tt)*) => {{
        let _ = writeln!(std::io::stdout().lock(), $($text)*);
    }};
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let cases = chosen(&arguments.cases)?;
    if arguments.list {
        for case in cases {
            say!("{:<34} {}", case.name, case.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let seed = arguments.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let reports = if arguments.soak {
        let minutes = arguments.minutes.unwrap_or(SOAK_MINUTES);
        if minutes < faults::SOAK_MINUTES_MIN {
            bail!("a soak of {minutes} minutes shows nothing: --minutes takes {} at least", faults::SOAK_MINUTES_MIN);
        }
        vec![told(faults::run(&faults::SOAK, seed, Length::Soak(minutes), &arguments.logs))]
    } else {
        suite(&cases, seed, &arguments)
    };
    say!("\n{}", faults::table(&reports, arguments.markdown));
    let is_passed = reports.iter().all(Report::is_passed);
    Ok(if is_passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every case once, and then by chance until the time is over; the reports in the cases' order.
fn suite(cases: &[&'static Case], seed: u64, arguments: &Arguments) -> Vec<Report> {
    let length = if arguments.short { Length::Short } else { Length::Long };
    let act = |case: &'static Case, seed| {
        say!("{} --seed {seed}: {}", case.name, case.about);
        told(faults::run(case, seed, length, &arguments.logs))
    };
    let (next, reports) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let keep = |place, report| reports.lock().expect("nobody panics with it").push((place, report));
    let ends = Instant::now() + Duration::from_secs(60 * arguments.minutes.unwrap_or_default());
    let work = || loop {
        let place = next.fetch_add(1, Ordering::Relaxed);
        match cases.get(place) {
            Some(case) => keep(place, act(case, seed)),
            None if Instant::now() < ends => {
                let case = cases[rand::random_range(0..cases.len())];
                keep(place, act(case, u64::from(rand::random::<u32>())));
            }
            None => return,
        }
    };
    std::thread::scope(|scope| (0..arguments.jobs.get()).for_each(|_| drop(scope.spawn(work))));
    let mut reports = reports.into_inner().expect("nobody panicked with it");
    reports.sort_unstable_by_key(|(place, _)| *place);
    reports.into_iter().map(|(_, report)| report).collect()
}

fn chosen(prefixes: &[String]) -> anyhow::Result<Vec<&'static Case>> {
    if prefixes.is_empty() {
        return Ok(faults::all().collect());
    }
    let mut chosen = Vec::new();
    for prefix in prefixes {
        let named = faults::named(prefix);
        if named.is_empty() {
            bail!("there is no case '{prefix}': --list names them");
        }
        chosen.extend(named);
    }
    Ok(chosen)
}

/// Says at once what came of it.
fn told(report: Report) -> Report {
    let (name, seed, took_s) = (report.case.name, report.seed, report.took.as_secs());
    if report.is_passed() {
        say!("{name} --seed {seed}: ok after {took_s} s");
    } else {
        say!("{name} --seed {seed}: FAILED after {took_s} s\n{}\n", report.story());
    }
    report
}
