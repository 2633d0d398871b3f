//! The gateway's program: what it was told, and what it runs; the rest is every program's.

use std::process::ExitCode;

use ingest_gateway::{Config, RunError};
use spool::OpenError;
use telemetry::program::{self, EXIT_CONFIG, EXIT_FAILURE, Program, Start};

fn main() -> ExitCode {
    broker::install_tls_provider();
    let program = Program { name: "ingest-gateway", version: env!("CARGO_PKG_VERSION") };
    program::main(program, read(), ingest_gateway::run, code)
}

fn read() -> Result<Start<Config>, String> {
    let config = Config::read(std::env::args_os()).map_err(|refused| refused.to_string())?;
    config.pepper.read()?;
    config.broker.check()?;
    let Config { limits, ticks, broker, database, .. } = &config;
    let holds = format!("{limits:?} {ticks:?} {broker:?} {database:?}");
    Ok(Start { telemetry: config.telemetry.clone(), holds, config })
}

/// It does not start, or drains. A spool that another process has, or that its disk does not give now, may be had later.
fn code(error: &RunError) -> u8 {
    match error {
        RunError::Spool(OpenError::Locked(_) | OpenError::Unusable { .. }) => EXIT_FAILURE,
        RunError::Spool(OpenError::NoSpool { .. }) | RunError::Config(_) | RunError::Listen { .. } => EXIT_CONFIG,
    }
}
