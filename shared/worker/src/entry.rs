//! A worker's `main`, the same in every worker: parse, telemetry, log what runs with which limits, run, exit code.

use std::process::ExitCode;

use store::Store;
use telemetry::{field, signal};

use crate::registry::Registry;
use crate::run::{Args, Program, RunError, run};

/// A configuration that cannot work; nothing was bound or consumed.
const EXIT_CONFIG: u8 = 2;

/// Runs a worker as a program.
pub fn main(program: Program, jobs: impl FnOnce(&Store) -> Registry) -> ExitCode {
    broker::install_tls_provider();
    let args = match read() {
        Ok(args) => args,
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
    let ended = live(program, &args, jobs, guard.metrics());
    guard.shutdown();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<RunError>() {
            Some(RunError::Store(_) | RunError::Probe { .. }) => fail(program, &error.to_string(), EXIT_CONFIG),
            _ => fail(program, &format!("{error:#}"), 1),
        },
    }
}

/// The command line and the environment, with limits that fit each other.
fn read() -> Result<Args, String> {
    let args: Args = telemetry::command::read(std::env::args_os()).map_err(|refused| refused.to_string())?;
    args.broker.check()?;
    args.worker.check()?;
    Ok(args)
}

#[tokio::main]
async fn live(
    program: Program,
    args: &Args,
    jobs: impl FnOnce(&Store) -> Registry,
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
