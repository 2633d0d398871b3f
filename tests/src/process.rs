//! A program as a child of the test: its log is kept and shown if the test fails, and it never outlives the test.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    may_end: bool,
    ended_by_itself: Option<ExitStatus>,
}

type Log = Arc<Mutex<Lines>>;

#[derive(Debug, Default)]
struct Lines {
    newest: VecDeque<String>,
    /// Where all of them go.
    file: Option<(PathBuf, File)>,
}

impl Lines {
    fn push(&mut self, line: String) {
        if let Some((_, file)) = &mut self.file {
            // a full disk is not what the process under test is to blame for
            let _ = writeln!(file, "{line}");
        }
        if self.newest.len() == LOG_LINES_MAX {
            self.newest.pop_front();
        }
        self.newest.push_back(line);
    }
}

fn lock(log: &Log) -> MutexGuard<'_, Lines> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

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
        command.args(arguments);
        Self::spawn(name, within(command, environment))
    }

    /// As [`Process::start_as`], with a socket that listens already, as systemd hands it over (`LISTEN_FDS`): who connects
    /// while no process runs waits.
    ///
    /// # Panics
    /// As there.
    #[must_use]
    pub fn start_on(name: &str, program: &str, socket: &TcpListener, environment: &[(&str, &str)]) -> Self {
        let hand_over = r#"exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec "$0""#;
        let mut command = Command::new("sh");
        command.args(["-c", hand_over]).arg(binary(program));
        let mut command = within(command, environment);
        command.stdin(OwnedFd::from(socket.try_clone().expect("a process may have another descriptor")));
        Self::spawn_fed(name, command)
    }

    /// Limits what it may use from now on, as `prlimit` says it: `--nofile=40`.
    ///
    /// # Panics
    /// If there is no such limit.
    pub fn limit(&self, limit: &str) {
        let pid = self.pid().to_string();
        let set = Command::new("prlimit").args(["--pid", &pid, limit]).status();
        assert!(set.is_ok_and(|status| status.success()), "prlimit {limit} of {}", self.name);
    }

    /// Starts any command.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn spawn(name: &str, mut command: Command) -> Self {
        command.stdin(Stdio::null());
        Self::spawn_fed(name, command)
    }

    fn spawn_fed(name: &str, mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("start {name}: {error}"));
        let log = Log::default();
        keep(&log, child.stdout.take().expect("it is piped"));
        keep(&log, child.stderr.take().expect("it is piped"));
        Self { name: name.to_owned(), child, log, may_end: false, ended_by_itself: None }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its log so far, both streams, line by line.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        lock(&self.log).newest.iter().cloned().collect()
    }

    /// Keeps all of its log, from its first line on, at the end of a file: [`Process::log`] has the newest lines only.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn keep_log_in(&self, path: &Path) {
        let opened = File::options().create(true).append(true).open(path);
        let mut file = opened.unwrap_or_else(|error| panic!("open {}: {error}", path.display()));
        let mut lines = lock(&self.log);
        for line in &lines.newest {
            writeln!(file, "{line}").unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
        }
        lines.file = Some((path.to_owned(), file));
    }

    /// Where [`Process::keep_log_in`] keeps its log.
    #[must_use]
    pub fn log_file(&self) -> Option<PathBuf> {
        lock(&self.log).file.as_ref().map(|(path, _)| path.clone())
    }

    /// Its exit status, once it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the child is ours")
    }

    /// Whether it runs, be it stopped; one that has ended does not, whether or not anybody has taken its status.
    #[must_use]
    pub fn is_running(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    }

    /// It is ended from now on, or told to, or does what ends it.
    pub fn may_end(&mut self) {
        // what happened before was nobody's will
        let _ = self.ended_by_itself();
        self.may_end = true;
    }

    /// Its name and its exit status, if it ended before anybody ended it by [`Process::kill`], [`Process::end_by`],
    /// [`Process::terminate`], or allowed it by [`Process::may_end`].
    pub fn ended_by_itself(&mut self) -> Option<String> {
        if !self.may_end && self.ended_by_itself.is_none() {
            self.ended_by_itself = self.ended();
        }
        self.ended_by_itself.map(|status| format!("{} ended by itself: {status}", self.name))
    }

    /// Waits for a line of its log that holds `text`, and answers the line.
    ///
    /// # Panics
    /// If none comes in time, or the process ends before.
    pub async fn until_log(&mut self, deadline: Duration, text: &str) -> String {
        until(deadline, async || {
            // whoever reads its streams holds the log, too, until there is nothing more to read
            let is_whole = Arc::strong_count(&self.log) == 1;
            let log = self.log();
            if let Some(line) = log.iter().find(|line| line.contains(text)) {
                return Ok(line.clone());
            }
            let ended = self.ended();
            assert!(
                ended.is_none() || !is_whole,
                "{} ended ({ended:?}) before it logged {text:?}: {log:#?}",
                self.name
            );
            Err(log.last().cloned())
        })
        .await
    }

    /// `kill -9`, and waits for the end.
    pub fn kill(&mut self) {
        self.may_end();
        // one that has ended already is as dead
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Tells it to end by a signal that it cannot put off for long, and waits for the end.
    pub fn end_by(&mut self, signal: &str) {
        self.may_end();
        self.signal("CONT");
        self.signal(signal);
        let _ = self.child.wait();
    }

    /// SIGTERM, and its exit status.
    ///
    /// # Panics
    /// If it has not ended within `deadline`.
    pub async fn terminate(&mut self, deadline: Duration) -> ExitStatus {
        self.may_end();
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
        send(signal, &[self.pid()]);
    }

    /// Sends a signal to it and to every process that it has started.
    ///
    /// # Panics
    /// If there is no shell.
    pub fn signal_family(&self, signal: &str) {
        let mut family = children(self.pid());
        family.push(self.pid());
        send(signal, &family);
    }
}

/// A command with nothing in its environment but what is given, `PATH` and the home folder.
fn within(mut command: Command, environment: &[(&str, &str)]) -> Command {
    command.env_clear().envs(environment.iter().copied());
    for kept in ["PATH", "HOME", "LLVM_PROFILE_FILE"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    command
}

fn send(signal: &str, pids: &[u32]) {
    // the shell's own `kill`: the standard library has none, and a minimal machine no program of that name
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    let script = format!("kill -{signal} {}", pids.join(" "));
    // one of a family may have ended just now
    let quiet = Stdio::null();
    Command::new("sh").args(["-c", &script]).stderr(quiet).status().expect("every machine has a shell");
}

/// The processes that a process has started and that still run.
#[must_use]
pub fn children(pid: u32) -> Vec<u32> {
    let parent = |stat: &str| -> Option<u32> {
        // the command's name may hold spaces and brackets; what follows its last bracket does not
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
    };
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_child =
        |one: &u32| std::fs::read_to_string(format!("/proc/{one}/stat")).is_ok_and(|stat| parent(&stat) == Some(pid));
    pids.filter(is_child).collect()
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            match self.log_file() {
                Some(path) => eprintln!("--- log of {}: {} ---", self.name, path.display()),
                None => eprintln!("--- log of {} ---\n{}\n---", self.name, self.log().join("\n")),
            }
        }
    }
}

/// Reads a stream to its end, so that the child never waits for a full pipe.
fn keep(log: &Log, stream: impl Read + Send + 'static) {
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            lock(&log).push(String::from_utf8_lossy(&line).into_owned());
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
mod tests;
