//! `muster mappings …`: which of the tenant's clients each client of Tactical is.

use std::io;

use anyhow::ensure;
use clap::ValueEnum;
use reqwest::Method;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::console::{Console, Flags, INTEGRATION};
use crate::held::Held;
use crate::show::{print_json, print_table, safe, text};

/// The console takes so many changes at once.
const CHANGES_MAX: usize = 5_000;

/// So many clients are named in a sentence.
const GONE_NAMED_MAX: usize = 5;
/// What follows from `confirm reassign`.
const REASSIGN: &str = "every mapping is to be assigned anew; the assets of the old server stay with their clients and are \
    marked as missing";

/// What can be done with mappings.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Every client of Tactical, with the tenant's client that it is or may be
    List {
        #[command(flatten)]
        console: Flags,
    },
    /// Change one
    Set(Set),
    /// Take every proposal by name for which there is exactly one client; asked again it changes nothing
    AcceptProposals {
        /// Take only names that are equal to the letter
        #[arg(long)]
        exact: bool,
        #[command(flatten)]
        console: Flags,
    },
    /// Decide about mappings that are held because another server seems to stand behind the connection
    Confirm {
        /// What it is; `muster mappings list` shows both sides
        decision: Decision,
        /// The new URL that `muster mappings list` showed
        #[arg(long)]
        new_url: String,
        #[command(flatten)]
        console: Flags,
    },
}

/// What stands behind a connection whose server looks like another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Decision {
    /// The same server: the mappings stay
    Keep,
    /// Another one: every mapping is to be assigned anew; the assets of the old server stay with their clients and are
    /// marked as missing
    Reassign,
}

/// The flags of `set`.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("change").args(["client", "no_client", "auto_sync"]).required(true).multiple(true)))]
pub(crate) struct Set {
    /// The mapping's id, see `muster mappings list`
    mapping_id: Uuid,
    /// The tenant's client that it is; assets that exist already move with it
    #[arg(long, conflicts_with = "no_client")]
    client: Option<Uuid>,
    /// It is none: nothing is imported any more, what was stays
    #[arg(long)]
    no_client: bool,
    /// Whether its devices are synced
    #[arg(long)]
    auto_sync: Option<bool>,
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
        Command::AcceptProposals { exact, console } => accept(&console.open()?, exact).await,
        Command::Confirm { decision, new_url, console } => confirm(&console.open()?, decision, &new_url).await,
    }
}

/// All mappings, as the console tells them.
///
/// # Errors
/// What the console said.
pub(crate) async fn read(console: &Console) -> anyhow::Result<Value> {
    console.get(&format!("{INTEGRATION}/organization-mappings")).await
}

/// The mappings of an answer.
pub(crate) fn rows(answer: &Value) -> &[Value] {
    answer["mappings"].as_array().map_or(&[], Vec::as_slice)
}

async fn list(console: &Console) -> anyhow::Result<()> {
    let answer = read(console).await?;
    if console.json {
        return Ok(print_json(&answer)?);
    }
    if !answer["held"].is_null() {
        Held(&answer["held"]).print(&mut io::stderr().lock())?;
        eprintln!(
            "nothing is imported until somebody decides with --new-url: `muster mappings confirm keep` (the same server), \
             or `reassign` (another one: {REASSIGN})\n"
        );
    }
    let cells: Vec<Vec<String>> = rows(&answer).iter().map(cells).collect();
    print_table(
        &mut io::stdout().lock(),
        &["mapping", "in Tactical", "agents", "client (? = proposed)", "sync", "shown by Tactical"],
        &cells,
    )?;
    let failing = rows(&answer).iter().filter(|row| !row["vanished_at"].is_null() && is_synced(row));
    let failing: Vec<String> = failing.map(|row| text(row, "name")).collect();
    if let Some(hint) = gone(failing.iter().map(String::as_str)) {
        eprintln!("\n{hint}");
    }
    Ok(())
}

fn cells(row: &Value) -> Vec<String> {
    let client = match row["client_id"].is_null() {
        false => text(row, "client_name"),
        true => proposal(row, false).map_or_else(String::new, |it| format!("? {}", text(it, "client_name"))),
    };
    let sync = if row["auto_sync"] == json!(false) { "off" } else { "on" };
    let shown = match row["vanished_at"].as_str() {
        Some(at) => format!("no more, since {}", at.get(..10).unwrap_or(at)),
        None => "yes".to_owned(),
    };
    vec![text(row, "mapping_id"), text(row, "name"), text(row, "agent_count"), client, sync.to_owned(), shown]
}

/// Whether its devices are to be read.
fn is_synced(row: &Value) -> bool {
    !row["client_id"].is_null() && row["auto_sync"] != json!(false)
}

/// What is to be done about clients that are to be synced and that Tactical does not show; `None`: there are none.
pub(crate) fn gone<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    let names: Vec<&str> = names.collect();
    let (shown, more) = names.split_at(names.len().min(GONE_NAMED_MAX));
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    (!names.is_empty()).then(|| {
        format!(
            "Tactical does not show {}{more} (any more), so that each sync of the devices ends as partial. Deleted there: \
             `muster mappings set <mapping> --no-client` (or --auto-sync false, which keeps the assignment) ends that; \
             only hidden: let the role of the key's user see them. `muster mappings list` names the mappings",
            safe(&shown.join(", "))
        )
    })
}

async fn set(flags: Set) -> anyhow::Result<()> {
    let console = flags.console.open()?;
    let mut change = Map::new();
    match flags.client {
        Some(client) => change.insert("client_id".to_owned(), json!(client)),
        None if flags.no_client => change.insert("client_id".to_owned(), Value::Null),
        None => None,
    };
    if let Some(auto_sync) = flags.auto_sync {
        change.insert("auto_sync".to_owned(), json!(auto_sync));
    }
    let answer = patch(&console, &flags.mapping_id.to_string(), &Value::Object(change)).await?;
    if console.json {
        print_json(&answer)?;
    }
    eprintln!("changed; `muster sync devices` brings its devices up to date");
    Ok(())
}

async fn patch(console: &Console, mapping_id: &str, change: &Value) -> anyhow::Result<Value> {
    console.send(Method::PATCH, &format!("{INTEGRATION}/organization-mappings/{mapping_id}"), Some(change)).await
}

async fn accept(console: &Console, exact: bool) -> anyhow::Result<()> {
    let answer = read(console).await?;
    ensure!(!rows(&answer).is_empty(), "there is nothing to map: run `muster sync clients` first");
    let open = rows(&answer).iter().filter(|row| row["client_id"].is_null());
    let fit = |row: &Value| {
        let client = &proposal(row, exact)?["client_id"];
        Some(json!({"mapping_id": row["mapping_id"], "client_id": client}))
    };
    let (accepted, left): (Vec<_>, Vec<_>) = open.map(fit).partition(Option::is_some);
    for changes in accepted.chunks(CHANGES_MAX) {
        let changes = json!({"mappings": changes});
        console.send::<Value>(Method::PATCH, &format!("{INTEGRATION}/organization-mappings"), Some(&changes)).await?;
    }
    if console.json {
        print_json(&json!({"accepted": accepted}))?;
    }
    eprintln!("{} mapped now, {} left without a client", accepted.len(), left.len());
    Ok(())
}

async fn confirm(console: &Console, decision: Decision, new_url: &str) -> anyhow::Result<()> {
    let word = match decision {
        Decision::Keep => "keep",
        Decision::Reassign => "reassign",
    };
    let body = json!({"decision": word, "new_url": new_url});
    let answer: Value = console.post(&format!("{INTEGRATION}/organization-mappings/confirm"), &body).await?;
    if console.json {
        print_json(&answer)?;
    }
    match decision {
        Decision::Keep => {
            eprintln!("decided: keep; the mappings stay, and `muster sync clients` reads the server's clients")
        }
        Decision::Reassign => eprintln!(
            "decided: reassign; {REASSIGN}. Next: `muster sync clients --wait`, `muster mappings accept-proposals`, \
             `muster sync devices --wait`, `muster merges list`"
        ),
    }
    Ok(())
}

/// The only proposal of a mapping; several are for a person to choose from.
fn proposal(row: &Value, exact: bool) -> Option<&Value> {
    let proposals = row["proposals"].as_array()?;
    let mut fit = proposals.iter().filter(|proposal| !exact || proposal["match"] == json!("exact"));
    fit.next().filter(|_| fit.next().is_none())
}
