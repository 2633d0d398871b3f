//! `muster runs …`: what syncs have done and are doing.

use std::io::{self, Write};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::console::{Console, Flags, INTEGRATION};
use crate::show::{Sheet, print_json, print_table, safe};

/// The part of a run that looks a second time, by its name.
const SECOND_LOOK: &str = "confirm";
/// What sync-worker says of a client that Tactical does not show.
const NOT_SHOWN: &str = "does not show this client";

/// What can be asked about runs.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// The latest runs, the newest first
    List {
        #[command(flatten)]
        console: Flags,
    },
    /// One run with each of its parts
    Show {
        /// The run's id
        run_id: Uuid,
        #[command(flatten)]
        console: Flags,
    },
}

/// A run as the console tells it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Run {
    pub(crate) run_id: String,
    pub(crate) kind: String,
    pub(crate) state: String,
    pub(crate) requested_by: String,
    pub(crate) requested_at: Option<DateTime<Utc>>,
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) finished_at: Option<DateTime<Utc>>,
    pub(crate) error: Option<String>,
    pub(crate) parts: u64,
    pub(crate) parts_done: u64,
    pub(crate) parts_failed: u64,
    pub(crate) seen: u64,
    pub(crate) created: u64,
    pub(crate) updated: u64,
    pub(crate) moved: u64,
    pub(crate) unchanged: u64,
    pub(crate) missing: u64,
    pub(crate) unverifiable: u64,
}

/// A part of a run: a client, or a site of a large one.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) state: String,
    pub(crate) seen: u64,
    pub(crate) created: u64,
    pub(crate) updated: u64,
    pub(crate) unchanged: u64,
    pub(crate) missing: u64,
    pub(crate) unverifiable: u64,
    pub(crate) error: Option<String>,
}

/// A run with its parts, and the answer that told of it.
#[derive(Debug, Clone)]
pub(crate) struct Detail {
    pub(crate) run: Run,
    pub(crate) parts: Vec<Part>,
    pub(crate) raw: Value,
}

impl Run {
    /// Whether nothing more will happen.
    pub(crate) fn is_ended(&self) -> bool {
        !matches!(self.state.as_str(), "queued" | "running")
    }

    /// `18 of 20 done` with an empty unit, and how many failed where any did.
    pub(crate) fn parts_words(&self, unit: &str) -> String {
        let failed = if self.parts_failed > 0 { format!(", {} failed", self.parts_failed) } else { String::new() };
        format!("{} of {}{unit} done{failed}", self.parts_done, self.parts)
    }

    /// From the first worker's taking it to its end, in seconds.
    pub(crate) fn took_s(&self) -> Option<f64> {
        Some((self.finished_at? - self.started_at?).as_seconds_f64())
    }
}

impl Part {
    /// Whether it failed because Tactical does not show its client: it was deleted there, or hidden from the key's role.
    pub(crate) fn is_of_hidden(&self) -> bool {
        self.state == "failed" && self.error.as_deref().is_some_and(|error| error.contains(NOT_SHOWN))
    }

    /// What came of it, in one line.
    pub(crate) fn line(&self) -> String {
        let label = safe(&self.label);
        match &self.error {
            Some(error) => format!("{label}: {}: {}", self.state, safe(error)),
            None => format!(
                "{label}: {}: {} seen, {} new, {} changed, {} unchanged, {} missing{}",
                self.state,
                self.seen,
                self.created,
                self.updated,
                self.unchanged,
                self.missing,
                unverifiable(self.unverifiable)
            ),
        }
    }
}

/// What nobody can tell of, where there is any.
pub(crate) fn unverifiable(count: u64) -> String {
    if count == 0 { String::new() } else { format!(", {count} not to be verified (the key does not see them)") }
}

impl Detail {
    /// Whether it completed without the part of a client: none of Tactical's is to be read. The part that looks a second
    /// time for devices that no list shows reads no client.
    pub(crate) fn has_nothing_to_read(&self) -> bool {
        self.run.state == "completed" && self.parts.iter().all(|part| part.name == SECOND_LOOK)
    }

    /// Reads a run.
    ///
    /// # Errors
    /// What the console said.
    pub(crate) async fn read(console: &Console, run_id: &str) -> anyhow::Result<Self> {
        let raw: Value = console.get(&format!("{INTEGRATION}/runs/{run_id}")).await?;
        let run = Run::deserialize(&raw["run"]).context("read the console's answer about a run")?;
        let parts = Vec::deserialize(&raw["parts"]).context("read the console's answer about a run's parts")?;
        Ok(Self { run, parts, raw })
    }
}

/// Does it and prints the result.
///
/// # Errors
/// What the console said.
pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::List { console } => list(&console.open()?).await,
        Command::Show { run_id, console } => show(&console.open()?, run_id).await,
    }
}

async fn list(console: &Console) -> anyhow::Result<()> {
    let answer: Value = console.get(&format!("{INTEGRATION}/runs")).await?;
    if console.json {
        return Ok(print_json(&answer)?);
    }
    let runs: Vec<Run> = Vec::deserialize(&answer["runs"]).context("read the console's answer about runs")?;
    let cells: Vec<Vec<String>> = runs.iter().map(Run::cells).collect();
    let headings = ["run", "kind", "state", "asked for at", "by", "parts", "seen", "error"];
    Ok(print_table(&mut io::stdout().lock(), &headings, &cells)?)
}

async fn show(console: &Console, run_id: Uuid) -> anyhow::Result<()> {
    let detail = Detail::read(console, &run_id.to_string()).await?;
    if console.json {
        return Ok(print_json(&detail.raw)?);
    }
    let mut out = io::stdout().lock();
    Sheet(&detail.raw["run"]).print(&mut out)?;
    writeln!(out)?;
    detail.parts.iter().try_for_each(|part| writeln!(out, "{}", part.line()))?;
    Ok(())
}

impl Run {
    fn cells(&self) -> Vec<String> {
        let at = self.requested_at.map_or_else(String::new, |at| at.format("%F %T").to_string());
        let plain = [&self.run_id, &self.kind, &self.state].map(Clone::clone);
        let error = self.error.clone().unwrap_or_default();
        let rest = [at, self.requested_by.clone(), self.parts_words(""), self.seen.to_string(), error];
        plain.into_iter().chain(rest).collect()
    }
}
