//! The operators' command: migrates the database, connects tenants, rotates webhook secrets.

mod migrate;
mod secret;
mod tenant;
mod webhook;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The operators' command of Muster.
///
/// Results go to stdout, where a script can read them; everything else goes to stderr. Exit code 0: done, 1: it failed,
/// 2: the command line was wrong.
#[derive(Debug, Parser)]
#[command(name = "muster", version, arg_required_else_help = true)]
struct Muster {
    #[command(flatten)]
    database: store::Config,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring the database to this version's schema; safe to run twice, also at once
    Migrate,
    /// Connect, list, suspend, resume and disconnect tenants
    #[command(subcommand)]
    Tenant(tenant::Command),
    /// Replace a webhook's secret
    #[command(subcommand)]
    Webhook(webhook::Command),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Muster::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // the whole chain in one line
            eprintln!("muster: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(muster: Muster) -> anyhow::Result<()> {
    let store = store::Store::lazy(&muster.database, "muster")?;
    let done = match muster.command {
        Command::Migrate => migrate::run(&store).await,
        Command::Tenant(command) => tenant::run(&store, command).await,
        Command::Webhook(command) => webhook::run(&store, command).await,
    };
    store.close().await;
    done
}
