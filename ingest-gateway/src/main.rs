//! The gateway's program: what it was told, and what it runs; the rest is every program's.

use std::process::ExitCode;

use ingest_gateway::Config;
use telemetry::program::{self, EXIT_CONFIG, Program, Start};

fn main() -> ExitCode {
    broker::install_tls_provider();
    let program = Program { name: "ingest-gateway", version: env!("CARGO_PKG_VERSION") };
    // it does not start, or drains: what fails is the configuration
    program::main(program, read(), ingest_gateway::run, |_| EXIT_CONFIG)
}

fn read() -> Result<Start<Config>, String> {
    let config = Config::read(std::env::args_os()).map_err(|refused| refused.to_string())?;
    config.pepper.read()?;
    config.broker.check()?;
    let Config { limits, ticks, broker, database, .. } = &config;
    let holds = format!("{limits:?} {ticks:?} {broker:?} {database:?}");
    Ok(Start { telemetry: config.telemetry.clone(), holds, config })
}
