//! The console's program: parse, telemetry, name what holds, run until told to stop, drain.

use std::process::ExitCode;

use console::{Config, RunError};

/// A configuration that cannot work.
const EXIT_CONFIG: u8 = 2;

fn main() -> ExitCode {
    let config = match Config::read(std::env::args_os()) {
        Ok(config) => config,
        Err(refused) => return fail(&refused.to_string(), EXIT_CONFIG),
    };
    if let Err(line) = config.check() {
        return fail(&line, EXIT_CONFIG);
    }
    let telemetry = match telemetry::init("console", &config.telemetry) {
        Ok(telemetry) => telemetry,
        Err(error) => return fail(&format!("{:#}", anyhow::Error::new(error)), EXIT_CONFIG),
    };
    tracing::info!(
        service.version = env!("CARGO_PKG_VERSION"),
        "console starts with {:?} {:?}",
        config.limits,
        config.database
    );
    let ended = live(config, telemetry.metrics());
    telemetry.shutdown();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<RunError>() {
            Some(error) => fail(&error.to_string(), EXIT_CONFIG),
            None => fail(&format!("{error:#}"), 1),
        },
    }
}

#[tokio::main]
async fn live(config: Config, metrics: telemetry::MetricsHandle) -> anyhow::Result<()> {
    let cancel = telemetry::signal::shutdown_token()?;
    console::run(config, metrics, cancel).await?;
    tracing::info!("drained, the end");
    Ok(())
}

#[expect(clippy::print_stderr, reason = "a configuration's fault is told on stderr, in one line")]
fn fail(line: &str, code: u8) -> ExitCode {
    eprintln!("console: {line}");
    ExitCode::from(code)
}
