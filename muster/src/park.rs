//! `muster park …`: messages that nobody could work on, looked at, sent again or dropped.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::ensure;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::console::{Console, FleetFlags};
use crate::show::{Sheet, print_json, print_table, text, time};

/// Seconds in what an age is given in.
const UNITS_S: [(char, u32); 4] = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];

/// What can be done about parked messages.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List them, the newest first: why each is there
    List(List),
    /// Show one with its body; what looks like a secret is left out
    Show {
        /// The message's number, see `muster park list`
        parked_id: i64,
        #[command(flatten)]
        console: FleetFlags,
    },
    /// Send them again, as new messages with all their attempts; poison only where --class or ids name it
    Redrive(Act),
    /// Delete them for good
    Drop(Act),
}

/// Which messages.
#[derive(Debug, clap::Args)]
struct Chosen {
    /// Only of this kind, such as `alert.observed.v1`
    #[arg(long)]
    kind: Option<String>,
    /// Only of this class: retryable, contention, permanent, panic, timeout, poison, unknown_kind, unrouted, unpublished, held
    #[arg(long)]
    class: Option<String>,
    /// Only those that wait so: parked (they failed), held (their tenant or kind is paused)
    #[arg(long, value_parser = ["parked", "held"])]
    state: Option<String>,
    /// Only those that were parked so long ago at least: 90s, 30m, 12h, 7d
    #[arg(long, value_parser = age_s)]
    older_than: Option<u32>,
    /// Only those that were parked so long ago at most
    #[arg(long, value_parser = age_s)]
    newer_than: Option<u32>,
}

/// The flags of `park list`.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    chosen: Chosen,
    /// At most so many
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
    #[command(flatten)]
    console: FleetFlags,
}

/// The flags of `park redrive` and `park drop`.
#[derive(Debug, clap::Args)]
pub(crate) struct Act {
    /// The messages' numbers, 500 at most
    parked_ids: Vec<i64>,
    #[command(flatten)]
    chosen: Chosen,
    /// Every message that the other flags leave; needed where nothing else says which
    #[arg(long)]
    all: bool,
    /// Change nothing, and tell what would be done
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    console: FleetFlags,
}

/// Does it and prints the result.
///
/// # Errors
/// What the console said.
pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::List(flags) => list(flags).await,
        Command::Show { parked_id, console } => show(parked_id, console).await,
        Command::Redrive(flags) => act(flags, "redrive", "sent again").await,
        Command::Drop(flags) => act(flags, "drop", "dropped").await,
    }
}

/// `12h` in seconds.
fn age_s(text: &str) -> Result<u32, String> {
    let wrong = || format!("`{text}` is no age: give a number and its unit, such as 90s, 30m, 12h or 7d");
    let (number, unit) = text.split_at(text.len().saturating_sub(text.chars().last().map_or(0, char::len_utf8)));
    let unit_s = UNITS_S.iter().find(|(letter, _)| unit.starts_with(*letter)).map(|(_, unit_s)| *unit_s);
    let number: u32 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(unit_s.ok_or_else(wrong)?).ok_or_else(wrong)
}

impl Chosen {
    fn pairs(&self, tenant: Option<Uuid>) -> [(&'static str, Option<String>); 6] {
        [
            ("tenant", tenant.map(|tenant| tenant.to_string())),
            ("kind", self.kind.clone()),
            ("class", self.class.clone()),
            ("state", self.state.clone()),
            ("older_than_s", self.older_than.map(|seconds| seconds.to_string())),
            ("newer_than_s", self.newer_than.map(|seconds| seconds.to_string())),
        ]
    }
}

async fn list(flags: List) -> anyhow::Result<()> {
    let (tenant, console) = flags.console.open()?;
    let rows = console.pages("/parked", "messages", &flags.chosen.pairs(tenant), flags.limit).await?;
    if console.json {
        return Ok(print_json(&Value::Array(rows))?);
    }
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let headings = ["number", "state", "kind", "tenant", "class", "attempts", "parked at", "reason"];
    Ok(print_table(&mut io::stdout().lock(), &headings, &cells)?)
}

fn cells(row: &Value) -> Vec<String> {
    let [number, state, kind, tenant, class, attempts] =
        ["parked_id", "state", "kind", "tenant", "class", "attempt"].map(|member| text(row, member));
    vec![number, state, kind, tenant, class, attempts, time(row, "parked_at"), text(row, "reason")]
}

async fn show(parked_id: i64, flags: FleetFlags) -> anyhow::Result<()> {
    let (_, console) = flags.open()?;
    let mut message: Value = console.get(&format!("/parked/{parked_id}")).await?;
    if console.json {
        return Ok(print_json(&message)?);
    }
    let body = message.as_object_mut().and_then(|members| members.remove("body")).filter(|body| !body.is_null());
    Sheet(&message).print(&mut io::stdout().lock())?;
    match body {
        Some(body) => Ok(print_json(&body)?),
        None => Ok(()),
    }
}

/// Batch by batch, so that neither the console nor the database has much to do at once. What is parked meanwhile is not
/// meant; where this ends early, the same command goes on.
async fn act(flags: Act, word: &str, done: &str) -> anyhow::Result<()> {
    let (tenant, console) = flags.console.open()?;
    let mut body = json!({
        "tenant": tenant, "kind": flags.chosen.kind, "class": flags.chosen.class, "state": flags.chosen.state,
        "older_than_s": flags.chosen.older_than, "newer_than_s": flags.chosen.newer_than,
        "ids": (!flags.parked_ids.is_empty()).then_some(&flags.parked_ids), "all": flags.all, "dry_run": true,
    });
    let path = format!("/parked/{word}");
    let planned: Value = console.post(&path, &body).await?;
    let (total, left) = (count(&planned, "messages"), count(&planned, "left"));
    let is_missing = !flags.parked_ids.is_empty() && total + left == 0;
    ensure!(!is_missing, "none of these messages is parked here; `muster park list` shows those that are");
    if left > 0 {
        eprintln!("{left} are left: poison that neither --class nor ids name, or what no worker could read");
    }
    if flags.dry_run {
        return told(&console, total, &format!("would be {done}"));
    }
    body["dry_run"] = json!(false);
    body["up_to"] = planned["up_to"].clone();
    let so_far = if total > 0 { batches(&console, &path, &body, total, done).await? } else { 0 };
    ensure!(so_far > 0 || total == 0, "no message was {done}: somebody else has worked on them meanwhile");
    told(&console, so_far, done)
}

/// Asks until nothing is left; how many messages it was about.
async fn batches(console: &Console, path: &str, body: &Value, total: i64, done: &str) -> anyhow::Result<i64> {
    let mut so_far = 0;
    loop {
        let batch: Value = console.post(path, body).await.map_err(|error| {
            let said = format!("{so_far} of {total} messages were {done}; the same command goes on with the rest");
            error.context(said)
        })?;
        so_far += count(&batch, "messages");
        if io::stderr().is_terminal() {
            eprint!("\r{so_far} of {total}");
        }
        if batch["is_done"] != json!(false) {
            break;
        }
    }
    if io::stderr().is_terminal() {
        eprintln!();
    }
    Ok(so_far)
}

fn count(answer: &Value, member: &str) -> i64 {
    answer[member].as_i64().unwrap_or_default()
}

fn told(console: &Console, messages: i64, done: &str) -> anyhow::Result<()> {
    if console.json {
        return Ok(print_json(&json!({ "messages": messages }))?);
    }
    Ok(writeln!(io::stdout().lock(), "{messages} messages {done}")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_a_number_and_a_unit() {
        for (text, seconds) in [("90s", 90), ("30m", 1_800), ("12h", 43_200), ("7d", 604_800), ("0s", 0)] {
            assert_eq!(age_s(text), Ok(seconds), "{text}");
        }
        for text in ["", "7", "d", "7w", "-1d", "1.5h", "99999999d", "7ü"] {
            assert!(age_s(text).expect_err("it is none").contains("is no age"), "{text}");
        }
    }
}
