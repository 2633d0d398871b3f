//! `muster schedule …`: when each kind of sync runs by itself.

use std::io;

use anyhow::Context as _;
use clap::ValueEnum;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::console::{Console, Flags, INTEGRATION};
use crate::show::{print_json, print_table, safe, text, time};

/// The units of an interval, in seconds.
const UNITS: [(char, i64); 4] = [('s', 1), ('m', 60), ('h', 60 * 60), ('d', 24 * 60 * 60)];

/// What can be done with schedules.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Every kind of sync: how often it runs by itself, when it is due next, and whether its failures slow it down
    List {
        #[command(flatten)]
        console: Flags,
    },
    /// Change one
    Set(Set),
}

/// A kind of sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Clients and sites
    Clients,
    /// The devices of every mapped client
    Devices,
    /// What is installed on the devices
    Software,
    /// The open alerts
    Alerts,
}

/// The flags of `set`.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("change").args(["interval", "default", "enable", "disable"]).required(true).multiple(true)))]
pub(crate) struct Set {
    /// Which sync
    kind: Kind,
    /// How often: 1 minute to 7 days, as 90s, 5m, 1h or 7d
    #[arg(long, value_parser = interval_s, conflicts_with = "default")]
    interval: Option<i64>,
    /// As often as it runs where nobody says otherwise; devices by the size of the fleet
    #[arg(long)]
    default: bool,
    /// It runs by itself
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// It runs only when somebody asks for it
    #[arg(long)]
    disable: bool,
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
        Command::Set(flags) => set(flags).await,
    }
}

async fn list(console: &Console) -> anyhow::Result<()> {
    let answer: Value = console.get(&format!("{INTEGRATION}/schedules")).await?;
    if console.json {
        return Ok(print_json(&answer)?);
    }
    let rows = answer["schedules"].as_array().context("read the console's answer about schedules")?;
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    print_table(&mut io::stdout().lock(), &["sync", "every", "next", "last", "state"], &cells)?;
    for hint in rows.iter().filter_map(attention) {
        eprintln!("\n{hint}");
    }
    Ok(())
}

fn cells(row: &Value) -> Vec<String> {
    let by_default = if row["is_default"] == json!(true) { " (default)" } else { "" };
    let every = row["interval_s"].as_i64().map_or_else(String::new, |interval_s| words(interval_s) + by_default);
    let state = if row["enabled"] == json!(false) {
        "off".to_owned()
    } else if !row["failing"]["attention_at"].is_null() {
        "needs attention, at most once an hour".to_owned()
    } else if row["next_due_at"].is_null() {
        "not connected".to_owned()
    } else {
        "on".to_owned()
    };
    vec![text(row, "kind"), every, time(row, "next_due_at"), time(row, "last_slot"), state]
}

/// What a person is to do about a schedule that has slowed down.
fn attention(row: &Value) -> Option<String> {
    let failing = &row["failing"];
    (!failing["attention_at"].is_null()).then(|| {
        format!(
            "{} fail since {}: {}. They are tried at most once an hour until that is mended; `muster test` looks at once",
            text(row, "kind"),
            time(failing, "since"),
            safe(&text(failing, "cause"))
        )
    })
}

async fn set(flags: Set) -> anyhow::Result<()> {
    let console = flags.console.open()?;
    let mut change = Map::new();
    if flags.default {
        change.insert("interval_s".to_owned(), Value::Null);
    }
    if let Some(interval_s) = flags.interval {
        change.insert("interval_s".to_owned(), json!(interval_s));
    }
    if flags.enable || flags.disable {
        change.insert("enabled".to_owned(), json!(flags.enable));
    }
    let kind = flags.kind.to_possible_value().expect("no kind is hidden").get_name().to_owned();
    let path = format!("{INTEGRATION}/schedules/{kind}");
    let answer: Value = console.send(Method::PATCH, &path, Some(&Value::Object(change))).await?;
    if console.json {
        return Ok(print_json(&answer)?);
    }
    print_table(&mut io::stdout().lock(), &["sync", "every", "next", "last", "state"], &[cells(&answer)])?;
    Ok(())
}

/// `90s`, `5m`, `1h` or `7d` in seconds; whether that is a good interval the console says.
fn interval_s(text: &str) -> Result<i64, String> {
    let wrong = || "expected a number and its unit: 90s, 5m, 1h or 7d".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let (_, unit_s) = UNITS.iter().find(|(letter, _)| *letter == unit).ok_or_else(wrong)?;
    let number = &text[..text.len() - 1];
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: i64 = number.parse().ok().filter(|_| is_number).ok_or_else(wrong)?;
    number.checked_mul(*unit_s).ok_or_else(wrong)
}

/// The same the other way round, in the largest unit that fits.
fn words(interval_s: i64) -> String {
    let fits = UNITS.iter().rev().find(|(_, unit_s)| interval_s % unit_s == 0 && interval_s >= *unit_s);
    fits.map_or_else(|| format!("{interval_s}s"), |(letter, unit_s)| format!("{}{letter}", interval_s / unit_s))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_a_number_and_its_unit_and_is_shown_so() {
        for (text, seconds, shown) in [
            ("90s", 90, "90s"),
            ("60s", 60, "1m"),
            ("5m", 300, "5m"),
            ("60m", 3_600, "1h"),
            ("24h", 86_400, "1d"),
            ("7d", 604_800, "7d"),
        ] {
            assert_eq!(interval_s(text), Ok(seconds));
            assert_eq!(words(seconds), shown);
        }
        for text in ["", "5", "m", "5 m", "-5m", "+5m", "1.5h", "5w", "5é", "99999999999999999d"] {
            assert!(interval_s(text).is_err(), "{text}");
        }
    }
}
