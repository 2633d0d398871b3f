//! How a process is told to stop: the first SIGTERM or SIGINT asks, the second one insists.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit codes as a shell reports a process that the signal ended: 128 + number.
const EXIT_SIGINT: i32 = 130;
const EXIT_SIGTERM: i32 = 143;

/// A token that SIGTERM or SIGINT cancels; a second signal ends the process at once with 130 (SIGINT) or 143 (SIGTERM).
///
/// Call it once, inside the runtime, before anything that has to be drained is started.
///
/// # Errors
/// The signal handlers could not be installed.
pub fn shutdown_token() -> io::Result<CancellationToken> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        let (name, _) = next(&mut term, &mut int).await;
        tracing::info!("shutting down: {name} came, a second signal ends the process at once");
        cancelled.cancel();
        let (name, code) = next(&mut term, &mut int).await;
        tracing::warn!("ended without a drain: {name} came as the second signal");
        std::process::exit(code);
    });
    Ok(token)
}

/// The next signal: its name and exit code.
async fn next(term: &mut Signal, int: &mut Signal) -> (&'static str, i32) {
    tokio::select! {
        _ = term.recv() => ("SIGTERM", EXIT_SIGTERM),
        _ = int.recv() => ("SIGINT", EXIT_SIGINT),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    use super::*;

    const CHILD: &str = "MUSTER_TEST_SIGNAL_CHILD";

    /// The process that is signalled: this test binary again, told by the environment to play that part.
    #[test]
    fn a_cancelled_process_waits_for_its_drain() {
        if std::env::var_os(CHILD).is_none() {
            return;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let token = shutdown_token().unwrap();
            say("ready");
            token.cancelled().await;
            say("cancelled");
            // a drain that never ends; the limit only keeps a failed test from leaving a process behind
            tokio::time::sleep(Duration::from_secs(60)).await;
        });
    }

    fn say(word: &str) {
        writeln!(io::stderr(), "{word}").unwrap();
    }

    fn start() -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "signal::tests::a_cancelled_process_waits_for_its_drain", "--nocapture"])
            .env(CHILD, "1")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn send(child: &Child, name: &str) {
        let kill = format!("kill -{name} {}", child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    fn ends_with(first: &str, second: &str) -> Option<i32> {
        let mut child = start();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        lines.find(|line| line == "ready").unwrap();
        send(&child, first);
        lines.find(|line| line == "cancelled").unwrap();
        send(&child, second);
        child.wait().unwrap().code()
    }

    #[test]
    fn the_first_signal_cancels_and_the_second_ends_at_once() {
        assert_eq!(ends_with("TERM", "INT"), Some(EXIT_SIGINT));
        assert_eq!(ends_with("INT", "TERM"), Some(EXIT_SIGTERM));
    }
}
