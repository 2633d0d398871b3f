//! `muster assets`: the devices as they stand in the database, with the age of their status.

use std::io;

use serde_json::Value;
use uuid::Uuid;

use crate::console::Flags;
use crate::show::{print_json, print_table, text};

/// The flags of `assets`.
#[derive(Debug, clap::Args)]
pub(crate) struct Assets {
    /// Only online, offline or overdue ones
    #[arg(long, value_parser = ["online", "offline", "overdue"])]
    status: Option<String>,
    /// Only those of one client
    #[arg(long)]
    client: Option<Uuid>,
    /// Only workstations or servers
    #[arg(long = "type", value_parser = ["workstation", "server"])]
    kind: Option<String>,
    /// Only those whose name, serial number or user holds this
    #[arg(long)]
    search: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
    #[command(flatten)]
    console: Flags,
}

/// Lists them.
///
/// # Errors
/// What the console said.
pub(crate) async fn run(flags: Assets) -> anyhow::Result<()> {
    let filters = [
        ("status", flags.status),
        ("client_id", flags.client.map(|client| client.to_string())),
        ("type", flags.kind),
        ("q", flags.search),
    ];
    let console = flags.console.open()?;
    let rows = console.pages("/assets", "assets", &filters, flags.limit).await?;
    if console.json {
        return Ok(print_json(&Value::Array(rows))?);
    }
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let headings = ["name", "client", "type", "status", "read", "system", "user"];
    Ok(print_table(&mut io::stdout().lock(), &headings, &cells)?)
}

fn cells(row: &Value) -> Vec<String> {
    let status = if row["missing_since"].is_null() { text(row, "agent_status") } else { "missing".to_owned() };
    let age = row["status_age_s"].as_i64().map_or_else(String::new, age_words);
    let plain = ["name", "client_name", "asset_type"].map(|name| text(row, name));
    plain.into_iter().chain([status, age]).chain(["os_version", "current_user"].map(|name| text(row, name))).collect()
}

/// `5 s`, `12 min`, `3 h`, `2 d` ago.
fn age_words(age_s: i64) -> String {
    match age_s {
        ..120 => format!("{age_s} s ago"),
        120..7_200 => format!("{} min ago", age_s / 60),
        7_200..172_800 => format!("{} h ago", age_s / 3_600),
        _ => format!("{} d ago", age_s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_shows_the_status_with_its_age_and_says_when_the_device_is_gone() {
        let mut row = json!({"name": "pc", "agent_status": "online", "status_age_s": 600});
        assert_eq!(cells(&row)[3..5], ["online".to_owned(), "10 min ago".to_owned()]);
        row["missing_since"] = json!("2026-11-22T01:00:00Z");
        assert_eq!(cells(&row)[3], "missing");
        assert_eq!(["0 s ago", "2 h ago", "2 d ago"].map(str::to_owned), [0, 7_200, 172_800].map(age_words));
    }
}
