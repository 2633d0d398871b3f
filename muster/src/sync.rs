//! `muster sync …`: starts a run and, on request, shows its progress and ends with the truth about it.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::ValueEnum;
use serde_json::{Value, json};

use crate::console::{Console, Flags, INTEGRATION, Refused};
use crate::mapping;
use crate::run::{Detail, Part, Run, unverifiable};
use crate::show::print_json;

/// Fast enough for an eye, slow enough for the console.
const POLL: Duration = Duration::from_millis(400);
/// A console that restarts is away for seconds.
const AWAY_MAX: Duration = Duration::from_secs(60);
/// A worker relays the outbox every two seconds; beyond this somebody should look.
const QUEUED_MAX: Duration = Duration::from_secs(10);
const BAR_CHARS: u64 = 24;
/// A day, in seconds.
const TIMEOUT_S_MAX: u64 = 24 * 60 * 60;

/// What is read from Tactical.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// Clients and sites
    Clients,
    /// The devices of every mapped client
    Devices,
    /// What is installed on the devices
    Software,
    /// The open alerts: what is open here and what is open in Tactical become one
    Alerts,
}

/// The flags of `sync`.
#[derive(Debug, clap::Args)]
pub(crate) struct Sync {
    /// What to read
    what: What,
    /// Wait until the run has ended, with a progress bar on a terminal; exit code 1 unless it completed
    #[arg(long)]
    wait: bool,
    /// With --wait: one line on stderr for each client that is done
    #[arg(long, requires = "wait")]
    lines: bool,
    /// With --wait: give up waiting after so many seconds; the run goes on
    #[arg(long, requires = "wait", default_value_t = 3_600, value_parser = clap::value_parser!(u64).range(1..=TIMEOUT_S_MAX))]
    timeout_s: u64,
    // last: whatever follows would stand under its heading
    #[command(flatten)]
    console: Flags,
}

/// Starts the run, and waits for it where that was asked for.
///
/// # Errors
/// What the console said; the run failed, or in parts, or is not over in time.
pub(crate) async fn run(flags: Sync) -> anyhow::Result<()> {
    let console = flags.console.open()?;
    let word = match flags.what {
        What::Clients => "clients",
        What::Devices => "devices",
        What::Software => "software",
        What::Alerts => "alerts",
    };
    let started: Value = console.post(&format!("{INTEGRATION}/sync/{word}"), &json!({})).await?;
    let run_id = started["run_id"].as_str().context("the console named no run")?.to_owned();
    if !flags.wait {
        if console.json {
            return Ok(print_json(&started)?);
        }
        writeln!(io::stdout().lock(), "{run_id}")?;
        eprintln!("run {run_id} was started: `muster runs show {run_id}` tells how it goes");
        return Ok(());
    }
    let watch =
        Watch { console: &console, run_id, lines: flags.lines, bar: io::stderr().is_terminal(), told: Vec::new() };
    let detail = watch.until_ended(Duration::from_secs(flags.timeout_s)).await?;
    if console.json {
        print_json(&detail.raw)?
    } else {
        writeln!(io::stdout().lock(), "{}", truth(&detail))?
    }
    if flags.what == What::Devices {
        explain(&console, &detail).await;
    }
    verdict(&detail)
}

/// Says what a person can do about a sync of the devices that read nothing, or lacked clients that Tactical does not show.
async fn explain(console: &Console, detail: &Detail) {
    if detail.has_nothing_to_read() {
        // a token that may sync need not be one that may see the mappings
        let mappings = mapping::read(console).await;
        eprintln!(
            "{}",
            mappings.map_or("nothing was read: `muster mappings list` shows what is mapped", |it| why_nothing(&it))
        );
    }
    if let Some(hint) = mapping::gone(detail.parts.iter().filter(|part| part.is_of_hidden()).map(|part| &*part.label)) {
        eprintln!("{hint}");
    }
}

/// Why a sync of the devices had nothing to do, and what makes it have.
fn why_nothing(mappings: &Value) -> &'static str {
    let rows = mapping::rows(mappings);
    if rows.is_empty() {
        "nothing was read, because no clients of Tactical are known yet: `muster sync clients --wait` reads them, \
         `muster mappings accept-proposals` maps them"
    } else if rows.iter().all(|row| row["client_id"].is_null()) {
        "nothing was read, because no client of Tactical is mapped: `muster mappings list` shows them, \
         `muster mappings accept-proposals` or `muster mappings set <mapping> --client <client>` maps them"
    } else {
        "nothing was read, because no mapped client is to be synced: `muster mappings list` shows them, \
         `muster mappings set <mapping> --auto-sync true` switches one on"
    }
}

/// What is said once of a run that nobody takes.
fn untaken(run: &Run, waited: Duration) -> Option<String> {
    let worker = match run.kind.as_str() {
        "software" => "inventory-worker",
        "alerts" => "alert-worker",
        _ => "sync-worker",
    };
    (run.state == "queued" && waited >= QUEUED_MAX).then(|| {
        format!(
            "no worker has taken the run yet: is {worker} running, and does it reach broker and database? Still waiting; \
             Ctrl-C ends the waiting and leaves the run as it is"
        )
    })
}

/// A run that somebody waits for.
struct Watch<'a> {
    console: &'a Console,
    run_id: String,
    lines: bool,
    bar: bool,
    /// Parts whose line was written.
    told: Vec<String>,
}

impl Watch<'_> {
    async fn until_ended(mut self, timeout: Duration) -> anyhow::Result<Detail> {
        let (began, mut answered, mut warned) = (Instant::now(), Instant::now(), false);
        loop {
            match Detail::read(self.console, &self.run_id).await {
                Ok(detail) => {
                    answered = Instant::now();
                    self.show(&detail, began.elapsed());
                    if detail.run.is_ended() {
                        return Ok(detail);
                    }
                    if let (false, Some(hint)) = (warned, untaken(&detail.run, began.elapsed())) {
                        self.say(&hint);
                        warned = true;
                    }
                }
                // the console is there and refuses
                Err(error) if error.is::<Refused>() => return Err(error),
                Err(error) if answered.elapsed() > AWAY_MAX => return Err(error),
                Err(_) => {}
            }
            if began.elapsed() > timeout {
                self.clear();
                bail!(
                    "run {} is not over after {} s; it goes on: `muster runs show` tells how",
                    self.run_id,
                    timeout.as_secs()
                );
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn show(&mut self, detail: &Detail, waited: Duration) {
        if self.lines {
            let ended: Vec<&Part> =
                detail.parts.iter().filter(|part| part.state != "open" && !self.told.contains(&part.name)).collect();
            for part in ended {
                self.say(&part.line());
                self.told.push(part.name.clone());
            }
        }
        if detail.run.is_ended() {
            self.clear();
        } else if self.bar {
            eprint!("\r\x1b[K{}", bar(&detail.run, waited));
        }
    }

    fn clear(&self) {
        if self.bar {
            eprint!("\r\x1b[K");
        }
    }

    fn say(&self, line: &str) {
        self.clear();
        eprintln!("{line}");
    }
}

/// One line: how much of it is over, and what was seen.
fn bar(run: &Run, waited: Duration) -> String {
    let (over, parts) = (run.parts_done + run.parts_failed, run.parts.max(1));
    let full = (BAR_CHARS * over.min(parts) / parts) as usize;
    let empty = BAR_CHARS as usize - full;
    let failed = if run.parts_failed > 0 { format!(", {} failed", run.parts_failed) } else { String::new() };
    let word = if run.state == "queued" { "queued" } else { "parts" };
    format!(
        "[{}{}] {over} of {} {word}{failed}, {} seen, {} s",
        "#".repeat(full),
        "-".repeat(empty),
        run.parts,
        run.seen,
        waited.as_secs()
    )
}

/// How it ended, in one line.
fn truth(detail: &Detail) -> String {
    let run = &detail.run;
    let took = run.took_s().map_or_else(String::new, |took_s| format!(" in {took_s:.1} s"));
    format!(
        "{}{took}: {}; {} seen: {} new, {} changed ({} moved), {} unchanged, {} missing{}",
        run.state,
        run.parts_words(" parts"),
        run.seen,
        run.created,
        run.updated,
        run.moved,
        run.unchanged,
        run.missing,
        unverifiable(run.unverifiable)
    )
}

/// Only `completed` is a success.
fn verdict(detail: &Detail) -> anyhow::Result<()> {
    if detail.run.state == "completed" {
        return Ok(());
    }
    let failed: Vec<String> = detail.parts.iter().filter(|part| part.state == "failed").map(Part::line).collect();
    let why = detail.run.error.clone().unwrap_or_else(|| failed.join("; "));
    bail!("run {} ended as {}: {why}", detail.run.run_id, detail.run.state)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(state: &str, parts: u64, done: u64, failed: u64) -> Run {
        Run { state: state.to_owned(), parts, parts_done: done, parts_failed: failed, seen: 34, ..Run::default() }
    }

    #[test]
    fn the_bar_grows_with_the_parts_that_are_over() {
        let at = |run: &Run| bar(run, Duration::from_secs(7));
        assert_eq!(at(&run("queued", 0, 0, 0)), "[------------------------] 0 of 0 queued, 34 seen, 7 s");
        assert_eq!(at(&run("running", 12, 5, 1)), "[############------------] 6 of 12 parts, 1 failed, 34 seen, 7 s");
        assert_eq!(at(&run("running", 12, 12, 0)), "[########################] 12 of 12 parts, 34 seen, 7 s");
    }

    #[test]
    fn a_run_that_nobody_takes_is_told_of_after_ten_seconds() {
        let (queued, running) = (run("queued", 0, 0, 0), run("running", 1, 0, 0));
        assert_eq!(untaken(&queued, QUEUED_MAX - Duration::from_millis(1)), None);
        let software = Run { kind: "software".to_owned(), ..queued.clone() };
        assert!(untaken(&software, QUEUED_MAX).is_some_and(|said| said.contains("is inventory-worker running")));
        let said = untaken(&queued, QUEUED_MAX).expect("ten seconds are enough");
        assert!(said.contains("is sync-worker running") && said.contains("Ctrl-C"), "{said}");
        assert_eq!(untaken(&running, Duration::from_secs(600)), None);
    }

    #[test]
    fn only_a_completed_run_is_a_success() {
        for (state, is_success) in [("completed", true), ("partial", false), ("failed", false), ("odd", false)] {
            let detail = Detail { run: run(state, 1, 1, 0), parts: Vec::new(), raw: Value::Null };
            assert_eq!(verdict(&detail).is_ok(), is_success, "{state}");
            assert!(truth(&detail).starts_with(state));
        }
    }
}
