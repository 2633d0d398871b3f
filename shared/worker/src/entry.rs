//! A worker's `main`, the same in every worker: its flags, its run, and what an error of it exits with.

use std::process::ExitCode;

use clap::Parser;
use store::Store;
use telemetry::program::{EXIT_FAILURE, Start};

use crate::registry::Registry;
use crate::run::{Args, Program, RunError, run};

pub use telemetry::program::EXIT_CONFIG;

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
    let run = async move |Flags { worker: args, extra }: Flags<Extra>, metrics, stop| {
        run(program, &args, async |store| jobs(store, &extra).await, metrics, stop).await
    };
    telemetry::program::main(program, read::<Extra>(), run, exit_code)
}

fn exit_code(error: &RunError) -> u8 {
    match error {
        RunError::Store(_) | RunError::Probe { .. } | RunError::Jobs(_) => EXIT_CONFIG,
        RunError::GraceOver(_) => EXIT_FAILURE,
    }
}

/// The command line and the environment, with limits that fit each other.
fn read<Extra: clap::Args>() -> Result<Start<Flags<Extra>>, String> {
    let flags: Flags<Extra> = telemetry::command::read(std::env::args_os()).map_err(|refused| refused.to_string())?;
    let args = &flags.worker;
    args.broker.check()?;
    args.worker.check()?;
    let holds = format!("{:?} {:?} {:?}", args.worker, args.broker, args.store);
    Ok(Start { telemetry: args.telemetry.clone(), holds, config: flags })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command::<NoFlags>().debug_assert();
    }
}
