//! The operators' command: migrates the database, connects tenants, makes tokens, and speaks to the console's API.

mod alert;
mod asset;
mod connect;
mod console;
mod doctor;
mod held;
mod mapping;
mod merge;
mod migrate;
mod park;
mod pause;
mod remove;
mod run;
mod schedule;
mod secret;
mod show;
mod software;
mod spool;
mod sync;
mod tenant;
mod token;
mod vault;
mod webhook;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use store::Store;

/// The operators' command of Muster.
///
/// Results go to stdout, where a script can read them; everything else goes to stderr. Exit code 0: done, 1: it failed,
/// 2: the command line was wrong. `migrate`, `doctor`, `tenant`, `webhook`, `token`, `vault` and `spool drain` work on
/// the database itself and take its URL; all others ask the console's API and need no database, `spool list --dir` needs
/// neither.
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
    /// Look at everything that Muster stands on: what is wrong, and what mends it
    Doctor(Box<doctor::Doctor>),
    /// Connect, list, suspend, resume, disconnect and remove tenants
    Tenant(OnStore<tenant::Command>),
    /// Make a key for tenants' secrets, see which keys are in use, seal everything anew under another one
    #[command(subcommand)]
    Vault(vault::Command),
    /// Replace a webhook's secret
    Webhook(OnStore<webhook::Command>),
    /// What the gateways' spools hold; handing over what lies in the one of a gateway that does not run
    #[command(subcommand)]
    Spool(spool::Command),
    /// Make, list and revoke tokens of the console's API
    Token(OnStore<token::Command>),
    /// Save a tenant's connection to Tactical and test it; what is not given stays as it is
    Connect(Box<connect::Connect>),
    /// Delete the connection's secrets and end its syncs; mappings and assets stay
    Disconnect(console::Flags),
    /// Tell how the connection stands
    Status(console::Flags),
    /// Test the connection: what is wrong, and what to do
    Test(connect::Test),
    /// Read clients, devices, their software or alerts from Tactical now
    Sync(sync::Sync),
    /// What syncs have done and are doing
    #[command(subcommand)]
    Runs(run::Command),
    /// When each kind of sync runs by itself
    #[command(subcommand)]
    Schedule(schedule::Command),
    /// Which of the tenant's clients each client of Tactical is
    #[command(subcommand)]
    Mappings(mapping::Command),
    /// Agents that were installed anew: two assets that may be one
    #[command(subcommand)]
    Merges(merge::Command),
    /// List the devices, with the age of their status
    Assets(asset::Assets),
    /// What is installed on the devices, and what has changed
    #[command(subcommand)]
    Software(software::Command),
    /// The alerts, and what a person does to one
    #[command(subcommand)]
    Alerts(alert::Command),
    /// Messages that nobody could work on: look at them, send them again, drop them
    #[command(subcommand)]
    Park(park::Command),
    /// Hold a tenant's messages, or those of a kind; they are still accepted
    Pause(pause::Scope),
    /// End a pause; what it held is worked on
    Resume(pause::Scope),
    /// List what is paused
    Pauses(console::FleetFlags),
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
    match act(Muster::parse().command).await {
        Ok(code) => code,
        // whoever reads has read enough: `muster assets | head`
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // the whole chain in one line; it may tell of names that somebody else has given
            eprintln!("muster: {}", show::safe(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

async fn act(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Doctor(flags) => return doctor::run(*flags).await,
        Command::Migrate(database) => on_store(&database, migrate::run).await,
        Command::Tenant(it) => on_store(&it.database, async |store| tenant::run(store, it.command).await).await,
        Command::Vault(it) => vault::run(it).await,
        Command::Webhook(it) => on_store(&it.database, async |store| webhook::run(store, it.command).await).await,
        Command::Token(it) => on_store(&it.database, async |store| token::run(store, it.command).await).await,
        Command::Spool(command) => spool::run(command).await,
        Command::Connect(flags) => connect::connect(*flags).await,
        Command::Disconnect(flags) => connect::disconnect(flags).await,
        Command::Status(flags) => connect::status(flags).await,
        Command::Test(flags) => connect::test(flags).await,
        Command::Sync(flags) => sync::run(flags).await,
        Command::Runs(command) => run::run(command).await,
        Command::Schedule(command) => schedule::run(command).await,
        Command::Mappings(command) => mapping::run(command).await,
        Command::Merges(command) => merge::run(command).await,
        Command::Assets(flags) => asset::run(flags).await,
        Command::Software(command) => software::run(command).await,
        Command::Alerts(command) => alert::run(command).await,
        Command::Park(command) => park::run(command).await,
        Command::Pause(scope) => pause::pause(scope).await,
        Command::Resume(scope) => pause::resume(scope).await,
        Command::Pauses(flags) => pause::list(flags).await,
    }?;
    Ok(ExitCode::SUCCESS)
}

async fn on_store(database: &store::Config, act: impl AsyncFnOnce(&Store) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let store = Store::lazy(database, "muster")?;
    let done = act(&store).await;
    store.close().await;
    done
}
