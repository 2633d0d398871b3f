//! The watchdog: a thread beside the runtime that ends a process which cannot make progress, so that others go on with
//! what it has in hand; and tells systemd that the process is alive, where it asks.
//!
//! No progress is one of two things. A piece of work goes on beyond its own limit ([`begin`]): a job that never yields
//! cannot be stopped by its timeout. Then the process is told to stop, drains what it can and ends. Or the runtime does not
//! even run a task that only counts: then nothing can drain, and the process ends at once. Waiting for a server that is away
//! is progress: such a wait has a limit below the work's own, and the runtime is idle meanwhile.
//!
//! A part that died by a panic makes no progress either, and nobody else would notice: [`vital`] ends the process as the
//! former does.
//!
//! Time is counted in the thread's own rounds, not read from a clock: a process that was stopped (`SIGSTOP`, a machine
//! asleep) has not been stuck.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::task::Poll;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::program::EXIT_STUCK;
use crate::{field, notify};

/// How often the thread looks; more often where systemd wants to hear of it sooner.
const ROUND: Duration = Duration::from_secs(1);
/// What a last line of the log may take: what hangs may be the log itself.
const LAST_LINE_MAX: Duration = Duration::from_secs(1);

/// Grows while the runtime runs tasks.
static HEART: AtomicU64 = AtomicU64::new(0);
/// Whether some work went on beyond its limit, or a part died.
static STUCK: AtomicBool = AtomicBool::new(false);
/// Whether the program has drained: what is left to do runs no tasks, and has limits of its own.
static OVER: AtomicBool = AtomicBool::new(false);
static WORKS: Mutex<Works> = Mutex::new(Works { next: 0, open: BTreeMap::new() });

#[derive(Debug)]
struct Works {
    next: u64,
    open: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    what: String,
    limit: Duration,
    /// In whole rounds: None before the first look, which comes in the midst of one.
    age: Option<Duration>,
}

/// Work that must end within its limit; it has ended when this is dropped.
#[derive(Debug)]
#[must_use = "the work ends when this is dropped"]
pub struct Work(u64);

/// Begins a piece of work that bounds itself to `limit`; `what` names it in the log, should it not end. A process that runs
/// no watchdog (a test) only counts it.
pub fn begin(limit: Duration, what: String) -> Work {
    let mut works = works();
    works.next += 1;
    let number = works.next;
    works.open.insert(number, Entry { what, limit, age: None });
    Work(number)
}

impl Drop for Work {
    fn drop(&mut self) {
        works().open.remove(&self.0);
    }
}

fn works() -> MutexGuard<'static, Works> {
    WORKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a part without which the process makes no progress. Should it die by a panic, `stop` is cancelled: the process
/// drains what it can and ends with [`EXIT_STUCK`]. `what` names the part in the log.
pub async fn vital(what: impl Display, stop: CancellationToken, part: impl Future<Output = ()>) {
    let mut part = std::pin::pin!(part);
    let panic = std::future::poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| part.as_mut().poll(context))) {
        Ok(polled) => polled.map(|()| None),
        Err(panic) => Poll::Ready(Some(panic)),
    });
    if let Some(panic) = panic.await {
        STUCK.store(true, Ordering::Relaxed);
        let why = format!("{what} has died: {}; this process drains what it can and ends", panic_text(&*panic));
        tracing::error!({ field::ERROR } = why, "stuck: no progress is possible");
        stop.cancel();
    }
}

/// [`vital`] in a task of its own.
pub fn part(
    what: impl Display + Send + 'static,
    stop: &CancellationToken,
    part: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<()> {
    tokio::spawn(vital(what, stop.clone(), part))
}

/// Waits for a task and passes its panic on, for a [`part`] that somebody else has spawned.
pub async fn joined(task: JoinHandle<()>) {
    if let Err(ended) = task.await
        && let Ok(panic) = ended.try_into_panic()
    {
        resume_unwind(panic);
    }
}

/// What a panic said.
#[must_use]
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without a text")
}

/// Ends the watch: the program has drained, and nothing beats any more while the last spans are sent.
pub(crate) fn rest() {
    OVER.store(true, Ordering::Relaxed);
}

/// Whether the watchdog told the process to stop.
pub(crate) fn has_stopped() -> bool {
    STUCK.load(Ordering::Relaxed)
}

/// Starts the thread and the task that it watches; within a runtime. `stuck_max` is what a limit may be exceeded by, and how
/// long the runtime may stand still.
pub(crate) fn start(stuck_max: Duration, stop: CancellationToken) {
    tokio::spawn(beat());
    let asked = notify::watchdog_period();
    let round = asked.map_or(ROUND, |period| ROUND.min(period / 2));
    let watch = move || watch(Watch::new(stuck_max), round, asked.is_some(), &stop);
    let spawned = std::thread::Builder::new().name("watchdog".to_owned()).spawn(watch);
    if let Err(error) = spawned {
        tracing::error!({ field::ERROR } = %error, "no watchdog: the system gives no thread");
    }
}

async fn beat() {
    loop {
        HEART.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(ROUND / 4).await;
    }
}

fn watch(mut watch: Watch, round: Duration, is_asked: bool, stop: &CancellationToken) {
    loop {
        std::thread::sleep(round);
        if OVER.load(Ordering::Relaxed) {
            return;
        }
        match watch.look(round, HEART.load(Ordering::Relaxed), &mut works().open) {
            Seen::Fine if is_asked => notify::alive(),
            Seen::Fine | Seen::Silent => {}
            Seen::Overdue(what) => {
                STUCK.store(true, Ordering::Relaxed);
                last_line(format!("{what}; this process drains what it can and ends"));
                stop.cancel();
            }
            Seen::Still(since) => {
                last_line(format!("no task has run for {} s; this process ends", since.as_secs()));
                std::process::exit(i32::from(EXIT_STUCK));
            }
        }
    }
}

/// From a thread of its own: whoever writes may hang on what the process hangs on.
fn last_line(why: String) {
    let (said, wait) = mpsc::channel();
    std::thread::spawn(move || {
        tracing::error!({ field::ERROR } = why, "stuck: no progress is possible");
        let _ = said.send(());
    });
    let _ = wait.recv_timeout(LAST_LINE_MAX);
}

/// What the thread remembers between its rounds.
#[derive(Debug)]
struct Watch {
    stuck_max: Duration,
    heart: u64,
    silence: Duration,
    is_told: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Fine,
    /// No task has run since the last look; that may be a busy moment.
    Silent,
    /// No task has run for too long.
    Still(Duration),
    /// The first work that went on beyond its limit: which, and for how long.
    Overdue(String),
}

impl Watch {
    fn new(stuck_max: Duration) -> Self {
        Self { stuck_max, heart: 0, silence: Duration::ZERO, is_told: false }
    }

    fn look(&mut self, round: Duration, heart: u64, works: &mut BTreeMap<u64, Entry>) -> Seen {
        let is_beating = std::mem::replace(&mut self.heart, heart) != heart;
        self.silence = if is_beating { Duration::ZERO } else { self.silence + round };
        if self.silence >= self.stuck_max {
            return Seen::Still(self.silence);
        }
        let mut overdue = None;
        for work in works.values_mut() {
            let age = *work.age.insert(work.age.map_or(Duration::ZERO, |age| age + round));
            if age >= work.limit + self.stuck_max {
                overdue = overdue.or(Some((&*work, age)));
            }
        }
        match overdue {
            Some((work, age)) if !self.is_told => {
                self.is_told = true;
                let (age, limit) = (age.as_millis(), work.limit.as_millis());
                Seen::Overdue(format!("{} has gone on for {age} ms, its limit is {limit} ms", work.what))
            }
            _ if is_beating => Seen::Fine,
            _ => Seen::Silent,
        }
    }
}

#[cfg(test)]
#[path = "watchdog_tests.rs"]
mod tests;
