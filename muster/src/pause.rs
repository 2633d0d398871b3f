//! `muster pause`, `resume` and `pauses`: a tenant's or a kind's messages wait, and nothing of them is lost.

use std::io::{self, Write as _};

use serde_json::{Value, json};

use crate::console::FleetFlags;
use crate::show::{print_json, print_table, text, time};

/// What is paused or resumed.
#[derive(Debug, clap::Args)]
pub(crate) struct Scope {
    /// Only messages of this kind, such as `alert.observed.v1`; with --all-tenants those of every tenant
    #[arg(long)]
    kind: Option<String>,
    #[command(flatten)]
    console: FleetFlags,
}

/// Pauses.
///
/// # Errors
/// What the console said.
pub(crate) async fn pause(scope: Scope) -> anyhow::Result<()> {
    let said = |what: &str, is_new| match is_new {
        true => {
            format!("paused {what}: messages are accepted and held from within seconds on; `muster resume` ends it")
        }
        false => format!("{what}: paused already"),
    };
    change(scope, "pause", said).await
}

/// Ends a pause.
///
/// # Errors
/// What the console said.
pub(crate) async fn resume(scope: Scope) -> anyhow::Result<()> {
    let said = |what: &str, is_new| match is_new {
        true => format!("resumed {what}: workers send what was held; `muster pauses` lists what is still paused"),
        false => format!("{what}: not paused; `muster pauses` lists what is"),
    };
    change(scope, "resume", said).await
}

async fn change(scope: Scope, word: &str, said: impl Fn(&str, bool) -> String) -> anyhow::Result<()> {
    let (tenant, console) = scope.console.open()?;
    let answer: Value =
        console.post(&format!("/pauses/{word}"), &json!({"tenant": tenant, "kind": scope.kind})).await?;
    if console.json {
        return Ok(print_json(&answer)?);
    }
    let what = what(&answer);
    Ok(writeln!(io::stdout().lock(), "{}", said(&what, answer["is_new"] == true))?)
}

/// `alert.observed.v1 of tenant …`.
fn what(answer: &Value) -> String {
    let kind = match answer["kind"].as_str() {
        Some(kind) => kind.to_owned(),
        None => "every kind".to_owned(),
    };
    let of = if answer["tenant"].is_null() {
        "every tenant".to_owned()
    } else {
        format!("tenant {}", text(answer, "tenant"))
    };
    format!("{kind} of {of}")
}

/// Lists the pauses in force.
///
/// # Errors
/// What the console said.
pub(crate) async fn list(flags: FleetFlags) -> anyhow::Result<()> {
    let (tenant, console) = flags.open()?;
    let path = tenant.map_or_else(|| "/pauses".to_owned(), |tenant| format!("/pauses?tenant={tenant}"));
    let answer: Value = console.get(&path).await?;
    if console.json {
        return Ok(print_json(&answer)?);
    }
    let rows = answer["pauses"].as_array().map_or(&[][..], Vec::as_slice);
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    Ok(print_table(&mut io::stdout().lock(), &["what", "since", "by", "held"], &cells)?)
}

fn cells(row: &Value) -> Vec<String> {
    let by = text(row, "paused_by");
    let by = if row["cause"] == "parks" { format!("{by}: parked too often") } else { by };
    vec![what(row), time(row, "paused_at"), by, text(row, "held")]
}
