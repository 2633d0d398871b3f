//! The console's program: what it was told, and what it runs; the rest is every program's.

use std::process::ExitCode;

use console::Config;
use telemetry::program::{self, EXIT_CONFIG, Program, Start};

fn main() -> ExitCode {
    let program = Program { name: "console", version: env!("CARGO_PKG_VERSION") };
    // it does not start, or drains: what fails is the configuration
    program::main(program, read(), console::run, |_| EXIT_CONFIG)
}

fn read() -> Result<Start<Config>, String> {
    let config = Config::read(std::env::args_os()).map_err(|refused| refused.to_string())?;
    config.check()?;
    let holds = format!("{:?} {:?}", config.limits, config.database);
    Ok(Start { telemetry: config.telemetry.clone(), holds, config })
}
