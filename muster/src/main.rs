//! The operators' command: migrates the database and manages tenants.

mod migrate;
mod tenant;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The operators' command of Muster.
///
/// Results go to stdout and can be read by scripts, everything else goes to stderr. The exit code is 0 when all is well,
/// 1 when something failed and 2 when the command line was wrong.
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
    /// Bring the database to this version's schema; safe to run twice, and safe to run twice at once
    Migrate,
    /// Connect, list, suspend and disconnect tenants
    #[command(subcommand)]
    Tenant(tenant::Command),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let muster = Muster::parse();
    match run(muster).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // the chain in one line: a person sees it, and a script can log it
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
    };
    store.close().await;
    done
}
