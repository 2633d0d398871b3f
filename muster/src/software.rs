//! `muster software …`: what is installed on the devices, and what has changed.

use std::io;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::console::Flags;
use crate::show::{print_json, print_table, text};

/// What can be asked about software.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// The programs by name with the number of devices that have each, or those of one device
    List(List),
    /// What was installed, updated or removed where, the newest first
    Changes(Changes),
}

/// The flags of `list`.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Only those whose name or publisher holds this
    #[arg(long, conflicts_with = "asset")]
    search: Option<String>,
    /// Only those that some device has now (true), or that none has any more (false)
    #[arg(long, conflicts_with = "asset")]
    installed: Option<bool>,
    /// What this device has
    #[arg(long)]
    asset: Option<Uuid>,
    /// With --asset: also what it had
    #[arg(long, requires = "asset")]
    gone: bool,
    /// At most so many
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
    #[command(flatten)]
    console: Flags,
}

/// The flags of `changes`.
#[derive(Debug, clap::Args)]
pub(crate) struct Changes {
    /// Only those of this device
    #[arg(long)]
    asset: Option<Uuid>,
    /// Only those of this program
    #[arg(long)]
    program: Option<Uuid>,
    /// Only those of this kind
    #[arg(long, value_parser = ["installed", "updated", "removed"])]
    change: Option<String>,
    /// Only those noticed then or later: 2026-01-31T12:00:00Z
    #[arg(long)]
    since: Option<DateTime<Utc>>,
    /// At most so many
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
    #[command(flatten)]
    console: Flags,
}

/// Asks and prints the answer.
///
/// # Errors
/// What the console said.
pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::List(flags) => match flags.asset {
            Some(asset) => of_asset(flags, asset).await,
            None => list(flags).await,
        },
        Command::Changes(flags) => changes(flags).await,
    }
}

async fn list(flags: List) -> anyhow::Result<()> {
    let console = flags.console.open()?;
    let filters = [("q", flags.search), ("installed", flags.installed.map(|installed| installed.to_string()))];
    let rows = console.pages("/software", "software", &filters, flags.limit).await?;
    show(console.json, rows, &["program", "name", "publisher", "devices"], |row| {
        ["software_id", "name", "publisher", "devices"].map(|name| text(row, name)).to_vec()
    })
}

async fn of_asset(flags: List, asset: Uuid) -> anyhow::Result<()> {
    let console = flags.console.open()?;
    let filters = [("gone", flags.gone.then(|| true.to_string()))];
    let rows = console.pages(&format!("/assets/{asset}/software"), "software", &filters, flags.limit).await?;
    show(console.json, rows, &["name", "publisher", "versions", "installed", "bytes", "gone since"], |row| {
        let versions = row["versions"].as_array().into_iter().flatten().map(|version| text(version, "version"));
        let mut cells = ["name", "publisher"].map(|name| text(row, name)).to_vec();
        cells.push(versions.collect::<Vec<_>>().join(", "));
        cells.extend(["install_date", "size_bytes", "uninstalled_at"].map(|name| text(row, name)));
        cells
    })
}

async fn changes(flags: Changes) -> anyhow::Result<()> {
    let console = flags.console.open()?;
    let filters = [
        ("asset_id", flags.asset.map(|asset| asset.to_string())),
        ("software_id", flags.program.map(|program| program.to_string())),
        ("change", flags.change),
        ("since", flags.since.map(|since| since.to_rfc3339_opts(chrono::SecondsFormat::Micros, true))),
    ];
    let rows = console.pages("/software/changes", "changes", &filters, flags.limit).await?;
    show(console.json, rows, &["noticed at", "device", "what", "name", "from", "version"], |row| {
        ["noticed_at", "asset_name", "change", "name", "previous_version", "version"]
            .map(|name| text(row, name))
            .to_vec()
    })
}

fn show(json: bool, rows: Vec<Value>, headings: &[&str], cells: impl Fn(&Value) -> Vec<String>) -> anyhow::Result<()> {
    if json {
        return Ok(print_json(&Value::Array(rows))?);
    }
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    Ok(print_table(&mut io::stdout().lock(), headings, &cells)?)
}
