//! `muster alerts …`: the alerts as they stand in the database, and what a person does to one.

use std::io::{self, Write};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::console::Flags;
use crate::show::{print_json, print_table, text, time};

/// What can be asked about alerts.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the alerts, the newest first
    List(List),
    /// Resolve an alert in Tactical, then here
    Resolve(One),
    /// Note that an alert was seen; Tactical hears nothing of it
    Acknowledge(One),
}

/// The flags of `alerts list`.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Only active, acknowledged, suppressed or resolved ones
    #[arg(long, value_parser = ["active", "acknowledged", "suppressed", "resolved", "auto_resolved"])]
    status: Option<String>,
    /// Only those that are so bad
    #[arg(long, value_parser = ["critical", "major", "moderate", "minor", "none"])]
    severity: Option<String>,
    /// Only those of one device
    #[arg(long)]
    asset: Option<Uuid>,
    /// At most so many
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
    #[command(flatten)]
    console: Flags,
}

/// One alert.
#[derive(Debug, clap::Args)]
pub(crate) struct One {
    /// The alert's id, as `muster alerts list` shows it
    alert_id: Uuid,
    #[command(flatten)]
    console: Flags,
}

/// Does it and prints the result.
///
/// # Errors
/// What the console said.
pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::List(flags) => list(flags).await,
        Command::Resolve(one) => act(one, "resolve").await,
        Command::Acknowledge(one) => act(one, "acknowledge").await,
    }
}

async fn list(flags: List) -> anyhow::Result<()> {
    let filters =
        [("status", flags.status), ("severity", flags.severity), ("asset", flags.asset.map(|asset| asset.to_string()))];
    let console = flags.console.open()?;
    let rows = console.pages("/alerts", "alerts", &filters, flags.limit).await?;
    if console.json {
        return Ok(print_json(&Value::Array(rows))?);
    }
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let headings = ["alert", "status", "severity", "device", "since", "message"];
    Ok(print_table(&mut io::stdout().lock(), &headings, &cells)?)
}

async fn act(one: One, word: &str) -> anyhow::Result<()> {
    let console = one.console.open()?;
    let answer: Value = console.post(&format!("/alerts/{}/{word}", one.alert_id), &json!({})).await?;
    if console.json {
        return Ok(print_json(&answer)?);
    }
    if answer["is_gone"] == true {
        eprintln!("Tactical does not have this alert any more");
    }
    Ok(writeln!(io::stdout().lock(), "{}", text(&answer, "status"))?)
}

fn cells(row: &Value) -> Vec<String> {
    let name = if row["asset_name"].is_null() { text(row, "device_name") } else { text(row, "asset_name") };
    let [alert_id, severity, message] = ["alert_id", "severity", "message"].map(|member| text(row, member));
    vec![alert_id, status(row), severity, name, time(row, "triggered_at"), message]
}

/// The status, and what a person has said of the alert in Tactical.
fn status(row: &Value) -> String {
    let words = [("is_snoozed", "snoozed"), ("is_hidden", "hidden")];
    let said = words.iter().filter(|(member, _)| row[member] == true).map(|(_, word)| (*word).to_owned());
    std::iter::once(text(row, "status")).chain(said).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_the_devices_name_and_when_it_began() {
        let mut row = json!({"alert_id": "1", "status": "active", "device_name": "pc", "triggered_at":
            "2026-11-22T01:02:03.4Z", "message": "disk"});
        assert_eq!(cells(&row), ["1", "active", "", "pc", "2026-11-22 01:02:03", "disk"].map(str::to_owned));
        row["asset_name"] = json!("PC-7");
        assert_eq!(cells(&row)[3], "PC-7");
    }

    #[test]
    fn a_row_shows_what_a_person_said_in_tactical() {
        let mut row = json!({"status": "active", "is_snoozed": false, "is_hidden": false});
        assert_eq!(status(&row), "active");
        row["is_snoozed"] = json!(true);
        assert_eq!(status(&row), "active, snoozed");
        row["is_hidden"] = json!(true);
        assert_eq!(status(&row), "active, snoozed, hidden");
    }
}
