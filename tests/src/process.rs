//! A program as a child of the test: its log is kept and shown if the test fails, and it never outlives the test.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::until;

/// Lines of log kept and shown; the oldest go first.
pub const LOG_LINES_MAX: usize = 2_000;

/// A running, or ended, child.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: Log,
}

type Log = Arc<Mutex<VecDeque<String>>>;

/// Where `cargo build --workspace --bins` puts a program of this workspace.
///
/// # Panics
/// If it is not there.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    // target/<profile>/deps/<test>-<hash>, or a program beside the others
    let folder = test.parent().expect("a file lies in a folder");
    let folder = folder.parent().filter(|_| folder.ends_with("deps")).unwrap_or(folder);
    let path = folder.join(name);
    assert!(path.is_file(), "no {name} beside the tests: run `cargo build --workspace --bins`, as `./dev test` does");
    path
}

impl Process {
    /// Starts a program of this workspace with nothing in its environment but what is given, `PATH` and the home folder.
    ///
    /// # Panics
    /// If it was not built or cannot be started.
    #[must_use]
    pub fn start(name: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::start_as(name, name, arguments, environment)
    }

    /// As [`Process::start`], under another name in logs and messages: where there are several of one program.
    ///
    /// # Panics
    /// If it was not built or cannot be started.
    #[must_use]
    pub fn start_as(name: &str, program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(binary(program));
        command.args(arguments).env_clear().envs(environment.iter().copied());
        for kept in ["PATH", "HOME", "LLVM_PROFILE_FILE"] {
            if let Some(value) = std::env::var_os(kept) {
                command.env(kept, value);
            }
        }
        Self::spawn(name, command)
    }

    /// Starts any command.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn spawn(name: &str, mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("start {name}: {error}"));
        let log = Log::default();
        keep(&log, child.stdout.take().expect("it is piped"));
        keep(&log, child.stderr.take().expect("it is piped"));
        Self { name: name.to_owned(), child, log }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its log so far, both streams, line by line.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Its exit status, once it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the child is ours")
    }

    /// Waits for a line of its log that holds `text`, and answers the line.
    ///
    /// # Panics
    /// If none comes in time, or the process ends before.
    pub async fn until_log(&mut self, deadline: Duration, text: &str) -> String {
        until(deadline, async || {
            let log = self.log();
            if let Some(line) = log.iter().find(|line| line.contains(text)) {
                return Ok(line.clone());
            }
            let ended = self.ended();
            assert!(ended.is_none(), "{} ended ({ended:?}) before it logged {text:?}: {log:#?}", self.name);
            Err(log.last().cloned())
        })
        .await
    }

    /// `kill -9`, and waits for the end.
    pub fn kill(&mut self) {
        // one that has ended already is as dead
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and its exit status.
    ///
    /// # Panics
    /// If it has not ended within `deadline`.
    pub async fn terminate(&mut self, deadline: Duration) -> ExitStatus {
        self.signal("TERM");
        self.terminated(deadline).await
    }

    /// Its exit status, once it has ended; it was told to.
    ///
    /// # Panics
    /// If it has not ended within `deadline`.
    pub async fn terminated(&mut self, deadline: Duration) -> ExitStatus {
        let name = self.name.clone();
        until(deadline, async || self.ended().ok_or(format!("{name} still runs after SIGTERM"))).await
    }

    /// Sends a signal by its name: `TERM`, `STOP`, `CONT`.
    ///
    /// # Panics
    /// If there is no shell.
    pub fn signal(&self, signal: &str) {
        // the shell's own `kill`: the standard library has none, and a minimal machine no program of that name
        let script = format!("kill -{signal} {}", self.pid());
        Command::new("sh").args(["-c", &script]).status().expect("every machine has a shell");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- log of {} ---\n{}\n---", self.name, self.log().join("\n"));
        }
    }
}

/// Reads a stream to its end, so that the child never waits for a full pipe.
fn keep(log: &Log, stream: impl Read + Send + 'static) {
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            if log.len() == LOG_LINES_MAX {
                log.pop_front();
            }
            log.push_back(String::from_utf8_lossy(&line).into_owned());
        }
    });
}

/// The most memory that a process ever held, in KiB.
///
/// # Errors
/// When there is no such process, or Linux does not tell it.
pub fn memory_peak_kib(pid: u32) -> std::io::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kib.ok_or_else(|| std::io::Error::other("Linux does not tell VmHWM in kB"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DEADLINE;

    fn shell(script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::spawn("sh", command)
    }

    #[tokio::test]
    async fn both_streams_are_kept_and_the_exit_status_is_told() {
        let mut process = shell("echo one; echo two >&2; trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done");
        process.until_log(DEADLINE, "ready").await;
        process.until_log(DEADLINE, "two").await;
        assert_eq!(process.terminate(DEADLINE).await.code(), Some(3));
    }

    #[tokio::test]
    #[should_panic(expected = "before it logged \"never\"")]
    async fn a_process_that_dies_is_not_waited_for() {
        shell("echo dying").until_log(DEADLINE, "never").await;
    }

    #[test]
    fn a_process_ends_with_its_handle() {
        let process = shell("exec sleep 600");
        let folder = format!("/proc/{}", process.pid());
        assert!(std::path::Path::new(&folder).exists());
        drop(process);
        assert!(!std::path::Path::new(&folder).exists(), "{folder} is left");
    }
}
