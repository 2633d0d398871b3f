//! The frame of every process that runs until it is told to stop: telemetry, the first log line, signals, exit code.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{Config, MetricsHandle, field, notify, signal, watchdog};

/// The exit code of a configuration that cannot work.
pub const EXIT_CONFIG: u8 = 2;
/// The exit code of everything else that failed.
pub const EXIT_FAILURE: u8 = 1;
/// The exit code of a process that could not make progress; see [`crate::watchdog`].
pub const EXIT_STUCK: u8 = 3;
/// What tasks that nobody waits for may take at the end; one that never yields would hold the process for ever.
const TASKS_END_MAX: Duration = Duration::from_secs(1);

/// Which program this is.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// As its logs, its complaints and its database sessions name it.
    pub name: &'static str,
    /// Its crate's version.
    pub version: &'static str,
}

/// Everything that a program was told, checked.
#[derive(Debug)]
pub struct Start<C> {
    /// Telemetry's part.
    pub telemetry: Config,
    /// The limits and addresses that hold, for the first line of the log; no secret.
    pub holds: String,
    /// What the program itself reads.
    pub config: C,
}

/// Runs a program from its settings to its exit code.
///
/// `start` is what it was told, or one line that names what is wrong with it: that is exit code 2 with nothing bound. `run`
/// ends once its token is cancelled and what is under way has drained; `code` says what an error of it exits with. A
/// [`watchdog`] ends it where no progress is possible, with [`EXIT_STUCK`].
pub fn main<C, E: fmt::Display>(
    program: Program,
    start: Result<Start<C>, String>,
    run: impl AsyncFnOnce(C, MetricsHandle, CancellationToken) -> Result<(), E>,
    code: impl FnOnce(&E) -> u8,
) -> ExitCode {
    let start = match start {
        Ok(start) => start,
        Err(line) => return fail(program, &line, EXIT_CONFIG),
    };
    let telemetry = match crate::init(program.name, &start.telemetry) {
        Ok(telemetry) => telemetry,
        Err(error) => return fail(program, &chain(&error), EXIT_CONFIG),
    };
    tracing::info!({ field::SERVICE_VERSION } = program.version, "{} starts with {}", program.name, start.holds);
    let ended = tokio::runtime::Runtime::new().and_then(|runtime| {
        let ended = runtime.block_on(live(start.config, telemetry.metrics(), start.telemetry.stuck_max(), run));
        watchdog::rest();
        runtime.shutdown_timeout(TASKS_END_MAX);
        ended
    });
    telemetry.shutdown();
    match ended {
        // why it was told to stop comes before how it went
        _ if watchdog::has_stopped() => ExitCode::from(EXIT_STUCK),
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => fail(program, &error.to_string(), code(&error)),
        Err(error) => fail(program, &format!("cannot have threads or listen for signals: {error}"), EXIT_FAILURE),
    }
}

async fn live<C, E>(
    config: C,
    metrics: MetricsHandle,
    stuck_max: Duration,
    run: impl AsyncFnOnce(C, MetricsHandle, CancellationToken) -> Result<(), E>,
) -> std::io::Result<Result<(), E>> {
    let cancel = signal::shutdown_token()?;
    watchdog::start(stuck_max, cancel.clone());
    let stopped = cancel.clone();
    tokio::spawn(async move {
        stopped.cancelled().await;
        notify::stopping();
    });
    let ended = run(config, metrics, cancel).await;
    if ended.is_ok() {
        tracing::info!("drained, the end");
    }
    Ok(ended)
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}

#[expect(clippy::print_stderr, reason = "why a program could not start is told on stderr, in one line")]
fn fail(program: Program, line: &str, code: u8) -> ExitCode {
    eprintln!("{}: {line}", program.name);
    ExitCode::from(code)
}
