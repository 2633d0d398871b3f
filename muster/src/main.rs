//! The operators' command: migrates the database, connects tenants, makes tokens, and speaks to the console's API.

mod migrate;
mod secret;
mod tenant;
mod token;
mod vault;
mod webhook;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use store::Store;

/// The operators' command of Muster.
///
/// Results go to stdout, where a script can read them; everything else goes to stderr. Exit code 0: done, 1: it failed,
/// 2: the command line was wrong. `migrate`, `tenant`, `webhook`, `token` and `vault` work on the database itself and
/// take its URL; all others ask the console's API and need no database.
#[derive(Debug, Parser)]
#[command(name = "muster", version, arg_required_else_help = true)]
struct Muster {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring the database to this version's schema; safe to run twice, also at once
    Migrate(store::Config),
    /// Connect, list, suspend, resume and disconnect tenants
    Tenant(OnStore<tenant::Command>),
    /// Make a key for tenants' secrets, see which keys are in use, seal everything anew under another one
    #[command(subcommand)]
    Vault(vault::Command),
    /// Replace a webhook's secret
    Webhook(OnStore<webhook::Command>),
    /// Make, list and revoke tokens of the console's API
    Token(OnStore<token::Command>),
}

/// Commands that work on the database itself; its flags stand before the word that says what to do.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
struct OnStore<C: Subcommand> {
    #[command(flatten)]
    database: store::Config,
    #[command(subcommand)]
    command: C,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Muster::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // the whole chain in one line
            eprintln!("muster: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Migrate(database) => on_store(&database, migrate::run).await,
        Command::Tenant(it) => on_store(&it.database, async |store| tenant::run(store, it.command).await).await,
        Command::Vault(it) => vault::run(it).await,
        Command::Webhook(it) => on_store(&it.database, async |store| webhook::run(store, it.command).await).await,
        Command::Token(it) => on_store(&it.database, async |store| token::run(store, it.command).await).await,
    }
}

async fn on_store(database: &store::Config, act: impl AsyncFnOnce(&Store) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let store = Store::lazy(database, "muster")?;
    let done = act(&store).await;
    store.close().await;
    done
}
