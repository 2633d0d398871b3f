//! `muster merges …`: agents that were installed anew, whose new asset may be the old one.

use std::io;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::console::{Console, Flags, INTEGRATION};
use crate::show::{print_json, print_table, text};

/// `2026-11-22T01:00`.
const MINUTE_CHARS: usize = 16;

/// What can be done about proposals.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Every agent with the serial number of one that is missing, the oldest proposal first
    List {
        #[command(flatten)]
        console: Flags,
    },
    /// Make both assets one: the missing agent's stays, with its alerts and history; the new one's goes
    Accept(Decide),
    /// Keep both assets, and do not propose it again
    Dismiss(Decide),
}

/// Which proposal.
#[derive(Debug, clap::Args)]
pub(crate) struct Decide {
    /// The proposal's id, see `muster merges list`
    proposal_id: Uuid,
    #[command(flatten)]
    console: Flags,
}

/// Does it and prints the result.
///
/// # Errors
/// What the console said.
pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::List { console } => list(&console.open()?).await,
        Command::Accept(it) => {
            let merged = |answer: &Value| {
                format!(
                    "merged: asset {} stays, {} alerts came over to it",
                    text(answer, "asset_id"),
                    text(answer, "moved_alerts")
                )
            };
            decide(it, "accept", merged).await
        }
        Command::Dismiss(it) => {
            decide(it, "dismiss", |_| "dismissed: both assets stay, and it is not proposed again".to_owned()).await
        }
    }
}

async fn list(console: &Console) -> anyhow::Result<()> {
    let answer: Value = console.get(&format!("{INTEGRATION}/merge-proposals")).await?;
    if console.json {
        return Ok(print_json(&answer)?);
    }
    let rows = answer["merge_proposals"].as_array().map_or(&[][..], Vec::as_slice);
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let headings = ["proposal", "serial number", "old asset (would stay)", "missing since", "new asset (would go)"];
    Ok(print_table(&mut io::stdout().lock(), &headings, &cells)?)
}

fn cells(row: &Value) -> Vec<String> {
    let since = text(row, "old_missing_since");
    let since = since.get(..MINUTE_CHARS).unwrap_or(&since).replace('T', " ");
    let [proposal, serial, old, new] =
        ["proposal_id", "serial_number", "old_asset_name", "asset_name"].map(|name| text(row, name));
    vec![proposal, serial, old, since, new]
}

async fn decide(it: Decide, word: &str, said: impl Fn(&Value) -> String) -> anyhow::Result<()> {
    let console = it.console.open()?;
    let path = format!("{INTEGRATION}/merge-proposals/{}/{word}", it.proposal_id);
    let answer: Value = console.post(&path, &json!({})).await?;
    if console.json {
        print_json(&answer)?;
    }
    eprintln!("{}", said(&answer));
    Ok(())
}
