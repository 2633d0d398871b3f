//! `muster doctor`: looks at everything that Muster stands on, and says what is wrong and what mends it.
//!
//! A check is one function in one file, named in the registry `check.rs`; docs/RUNBOOK.md tells each. A look changes
//! nothing, and no line holds a secret.

mod broker;
mod check;
mod clock;
mod configuration;
mod finding;
mod integration;
mod postgres;
mod role;
mod schema;
mod session;
mod spool;
mod topology;
mod waiting;
mod workers;

use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::json;
use store::Store;

use crate::show::{print_json, safe};
use check::Check;
use finding::{Finding, State};

/// The flags of `doctor`.
///
/// Run it with the environment of the program that is looked after: what is checked is what that program would meet.
#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Only this check; may be given several times
    #[arg(long, value_name = "CHECK")]
    only: Vec<Check>,
    /// The role that ingest-gateway connects as, where it has one of its own: its rights are compared with those of
    /// deploy/roles/gateway.sql
    #[arg(long, value_name = "ROLE")]
    gateway_role: Option<String>,
    /// A worker that this fleet is not to have: nobody misses it; may be given several times
    #[arg(long, value_name = "WORKER", value_parser = worker_names())]
    without: Vec<String>,
    #[command(flatten)]
    database: store::Config,
    #[command(flatten)]
    broker: ::broker::Config,
}

/// What the checks look at.
pub(crate) struct Patient<'a> {
    database: &'a store::Config,
    broker: &'a ::broker::Config,
    store: &'a Store,
    gateway_role: Option<&'a str>,
    /// Workers that nobody misses.
    without: &'a [String],
}

fn worker_names() -> clap::builder::PossibleValuesParser {
    contract::topology::Worker::ALL.iter().map(|worker| worker.as_str()).collect::<Vec<_>>().into()
}

/// What an exit code says of what was found.
const WRONG: u8 = 1;
/// The configuration cannot be used, so nothing was looked at.
const UNUSABLE: u8 = 2;

/// Looks and tells: exit code 0 where nothing is wrong, 1 where something is, 2 where the configuration cannot be used.
///
/// # Errors
/// stdout is closed.
pub(crate) async fn run(flags: Doctor) -> anyhow::Result<ExitCode> {
    ::broker::install_tls_provider();
    let unusable = |why: &dyn std::fmt::Display| {
        eprintln!("muster: {why}");
        ExitCode::from(UNUSABLE)
    };
    if let Err(why) = flags.broker.check() {
        return Ok(unusable(&why));
    }
    let store = match Store::lazy(&flags.database, "muster-doctor") {
        Ok(store) => store,
        Err(error) => return Ok(unusable(&format!("--database-url (MUSTER_DATABASE_URL): {error}"))),
    };
    let patient = Patient {
        database: &flags.database,
        broker: &flags.broker,
        store: &store,
        gateway_role: flags.gateway_role.as_deref(),
        without: &flags.without,
    };
    let found = look(&patient, &flags.only).await;
    store.close().await;
    let worst = found.iter().map(|(_, finding)| finding.state).max().unwrap_or(State::Ok);
    if flags.json {
        print_json(&json!({
            "state": worst.as_str(),
            "findings": found.iter().map(|(check, finding)| finding.json(check.name())).collect::<Vec<_>>(),
        }))?;
    } else {
        report(&mut io::stdout().lock(), &found)?;
    }
    Ok(ExitCode::from(if worst == State::Wrong { WRONG } else { 0 }))
}

/// Runs the checks in their order; one whose ground is missing is left out, and says so.
async fn look(patient: &Patient<'_>, only: &[Check]) -> Vec<(Check, Finding)> {
    let mut found: Vec<(Check, Finding)> = Vec::new();
    for check in Check::ALL.iter().copied().filter(|check| only.is_empty() || only.contains(check)) {
        let blocking = found.iter().find(|(other, finding)| finding.blocks && check.needs().contains(other));
        let findings = match blocking {
            Some((other, _)) => vec![Finding::skipped(format!("not looked at: see {}", other.name()))],
            None => check.run(patient).await,
        };
        found.extend(findings.into_iter().map(|finding| (check, finding)));
    }
    found
}

fn report(out: &mut impl Write, found: &[(Check, Finding)]) -> io::Result<()> {
    let width = Check::ALL.iter().map(|check| check.name().len()).max().unwrap_or(0);
    for (check, finding) in found {
        writeln!(out, "{:<7}  {:<width$}  {}", finding.state.shown(), check.name(), safe(&finding.line))?;
        if let Some(remedy) = &finding.remedy {
            writeln!(out, "{:<7}  {:<width$}  remedy: {}", "", "", safe(remedy))?;
        }
    }
    let count = |state: State| found.iter().filter(|(_, finding)| finding.state == state).count();
    writeln!(out, "{} wrong, {} warnings, {} ok", count(State::Wrong), count(State::Warning), count(State::Ok))
}
