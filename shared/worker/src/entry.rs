//! A worker's `main`, the same in every worker: parse, telemetry, log what runs with which limits, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use store::Store;
use telemetry::{field, signal};

use crate::registry::Registry;
use crate::run::{Args, Program, RunError, run};

/// The exit code of a configuration that cannot work.
pub const EXIT_CONFIG: u8 = 2;

/// A worker without flags of its own.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct NoFlags {}

/// What every worker can be told, and what this one can be told beside it.
#[derive(Debug, Clone, Parser)]
#[command(version, about = "A worker of Muster: consumes its queues and writes to Postgres", long_about = None)]
// the extra flags may be a type of the same name
#[group(skip)]
struct Flags<Extra: clap::Args> {
    #[command(flatten)]
    worker: Args,
    #[command(flatten)]
    extra: Extra,
}

/// A worker's command line: what `--help` shows, and what a worker with flags of its own tests.
#[must_use]
pub fn command<Extra: clap::Args>() -> clap::Command {
    use clap::CommandFactory as _;
    Flags::<Extra>::command()
}

/// Runs a worker as a program: `worker::main::<NoFlags>(program, async |store, _| Ok(registry(store)))`.
///
/// `jobs` is called before anything is consumed, with a store that has not connected yet. What it says in `Err` is one line
/// on stderr, exit code 2: a configuration that cannot work, such as the wrong key. It should not wait for a database that
/// is away: a worker starts without one.
pub fn main<Extra: clap::Args>(
    program: Program,
    jobs: impl AsyncFnOnce(&Store, &Extra) -> Result<Registry, String>,
) -> ExitCode {
    broker::install_tls_provider();
    let Flags { worker: args, extra } = match read::<Extra>() {
        Ok(flags) => flags,
        Err(line) => return fail(program, &line, EXIT_CONFIG),
    };
    let guard = match telemetry::init(program.name, &args.telemetry) {
        Ok(guard) => guard,
        Err(error) => return fail(program, &fault::chain(&error), EXIT_CONFIG),
    };
    tracing::info!(
        { field::SERVICE_VERSION } = program.version,
        "{} starts with {:?} {:?} {:?}",
        program.name,
        args.worker,
        args.broker,
        args.store
    );
    let ended = live(program, &args, async |store| jobs(store, &extra).await, guard.metrics());
    guard.shutdown();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<RunError>() {
            Some(RunError::Store(_) | RunError::Probe { .. } | RunError::Jobs(_)) => {
                fail(program, &error.to_string(), EXIT_CONFIG)
            }
            _ => fail(program, &format!("{error:#}"), 1),
        },
    }
}

/// The command line and the environment, with limits that fit each other.
fn read<Extra: clap::Args>() -> Result<Flags<Extra>, String> {
    let flags: Flags<Extra> = telemetry::command::read(std::env::args_os()).map_err(|refused| refused.to_string())?;
    flags.worker.broker.check()?;
    flags.worker.worker.check()?;
    Ok(flags)
}

#[tokio::main]
async fn live(
    program: Program,
    args: &Args,
    jobs: impl AsyncFnOnce(&Store) -> Result<Registry, String>,
    metrics: telemetry::MetricsHandle,
) -> anyhow::Result<()> {
    let stop = signal::shutdown_token()?;
    Ok(run(program, args, jobs, metrics, stop).await?)
}

#[expect(clippy::print_stderr, reason = "why a program could not start is told on stderr, in one line")]
fn fail(program: Program, line: &str, code: u8) -> ExitCode {
    eprintln!("{}: {line}", program.name);
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command::<NoFlags>().debug_assert();
    }
}
