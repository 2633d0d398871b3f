//! The rounds by themselves, and real processes that are stuck: this test binary again, told to play that part.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};

use super::*;
use crate::Config;
use crate::program::{self, Program, Start};

const CHILD: &str = "MUSTER_TEST_WATCHDOG_CHILD";
/// Where the child sends its spans.
const COLLECTOR: &str = "MUSTER_TEST_WATCHDOG_COLLECTOR";
const SECOND: Duration = Duration::from_secs(1);

fn one(limit: Duration) -> BTreeMap<u64, Entry> {
    BTreeMap::from([(1, Entry { what: "a job".to_owned(), limit, age: None })])
}

#[test]
fn work_is_overdue_once_it_has_exceeded_its_limit_by_the_patience_and_is_told_once() {
    let (mut watch, mut works) = (Watch::new(SECOND * 3), one(SECOND * 2));
    // the first look may come right after it has begun
    for heart in 1..=5 {
        assert_eq!(watch.look(SECOND, heart, &mut works), Seen::Fine, "round {heart}");
    }
    let told = "a job has gone on for 5000 ms, its limit is 2000 ms".to_owned();
    assert_eq!(watch.look(SECOND, 6, &mut works), Seen::Overdue(told));
    assert_eq!(watch.look(SECOND, 7, &mut works), Seen::Fine);
}

#[test]
fn a_runtime_stands_still_after_the_patience_and_not_before() {
    let (mut watch, mut works) = (Watch::new(SECOND * 3), BTreeMap::new());
    assert_eq!(watch.look(SECOND, 7, &mut works), Seen::Fine);
    assert_eq!(watch.look(SECOND, 7, &mut works), Seen::Silent);
    assert_eq!(watch.look(SECOND, 7, &mut works), Seen::Silent);
    assert_eq!(watch.look(SECOND, 7, &mut works), Seen::Still(SECOND * 3));
    assert_eq!(watch.look(SECOND, 8, &mut works), Seen::Fine, "a beat begins the patience anew");
}

#[test]
fn work_that_ends_is_forgotten() {
    let work = begin(SECOND, "short".to_owned());
    let number = work.0;
    assert!(works().open.contains_key(&number));
    drop(work);
    assert!(!works().open.contains_key(&number));
}

/// The process that is watched.
#[test]
fn a_child_plays_its_part() {
    let Ok(part) = std::env::var(CHILD) else { return };
    let otlp_url = std::env::var(COLLECTOR).ok();
    let telemetry = Config { stuck_ms_max: 1_000, otlp_url, ..Config::default() };
    let start = Start { telemetry, holds: String::new(), config: part };
    let code = program::main(
        Program { name: "child", version: "0" },
        Ok(start),
        async |part: String, _, stop: CancellationToken| {
            match part.as_str() {
                // as a job that loops: its own task, beside a runtime that goes on
                "overdue" => drop(tokio::spawn(async {
                    let _work = begin(SECOND, "a job that loops".to_owned());
                    spin();
                })),
                "dead" => drop(super::part("a part", &stop, async { panic!("planted") })),
                // of somebody else's making
                "dead task" => drop(super::part("a task", &stop, joined(tokio::spawn(async { panic!("planted") })))),
                "done" => {
                    tracing::info_span!("the last one").in_scope(|| {});
                    return Ok(());
                }
                "still" => (0..64).for_each(|_| drop(tokio::spawn(async { spin() }))),
                _ => notify::ready(),
            }
            stop.cancelled().await;
            Ok::<_, String>(())
        },
        |_| 1,
    );
    // the test runner's own code would hide it
    std::process::exit(if code == ExitCode::SUCCESS { 0 } else { code_of(code) });
}

/// `ExitCode` tells its number only by its comparison.
fn code_of(code: ExitCode) -> i32 {
    (1..=255_u8).find(|number| ExitCode::from(*number) == code).map_or(-1, i32::from)
}

fn spin() {
    loop {
        std::hint::spin_loop();
    }
}

fn child(part: &str, environment: &[(&str, &str)]) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "watchdog::tests::a_child_plays_its_part", "--nocapture"])
        .env(CHILD, part)
        // also on a machine of one core the others must be able to drain
        .env("TOKIO_WORKER_THREADS", "4")
        .envs(environment.iter().copied())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn end(mut child: Child) -> (ExitStatus, String) {
    let log = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    (child.wait().unwrap(), log)
}

#[test]
fn a_process_with_work_that_never_yields_drains_and_ends() {
    let (status, log) = end(child("overdue", &[]));
    assert_eq!(status.code(), Some(i32::from(EXIT_STUCK)), "{log}");
    assert!(log.contains("a job that loops has gone on for"), "{log}");
    assert!(log.contains("drained"), "what could be drained was: {log}");
}

#[test]
fn a_process_whose_runtime_stands_still_ends_at_once() {
    let (status, log) = end(child("still", &[]));
    assert_eq!(status.code(), Some(i32::from(EXIT_STUCK)), "{log}");
    assert!(log.contains("no task has run for 1 s"), "{log}");
}

#[test]
fn a_process_of_which_a_part_has_died_drains_and_ends() {
    for (part, what) in [("dead", "a part"), ("dead task", "a task")] {
        let (status, log) = end(child(part, &[]));
        assert_eq!(status.code(), Some(i32::from(EXIT_STUCK)), "{log}");
        assert!(log.contains(&format!("{what} has died: planted;")), "{log}");
        assert!(log.contains("drained"), "what could be drained was: {log}");
    }
}

#[test]
fn a_process_that_has_drained_is_not_stuck_while_it_sends_its_last_spans() {
    // it takes connections and answers nobody, for longer than the patience of a second
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", collector.local_addr().unwrap());
    let (status, log) = end(child("done", &[(COLLECTOR, &url)]));
    assert!(log.contains("send the last spans failed"), "they were waited for: {log}");
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn systemd_hears_that_a_process_runs_lives_and_stops_and_a_stopped_one_is_not_stuck() {
    let name = std::env::temp_dir().join(format!("muster-watchdog-{}", std::process::id()));
    let systemd = UnixDatagram::bind(&name).unwrap();
    let path = name.to_str().unwrap();
    let mut child = child("idle", &[("NOTIFY_SOCKET", path), ("WATCHDOG_USEC", "400000")]);
    let next = |patience: Duration| {
        systemd.set_read_timeout(Some(patience)).unwrap();
        let mut state = [0; 64];
        systemd.recv(&mut state).map(|length| String::from_utf8_lossy(&state[..length]).into_owned())
    };
    let hear = |wanted: &str| while next(SECOND * 30).unwrap() != wanted {};
    let signal = |signal: &str| {
        let kill = format!("kill -{signal} {}", child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    };
    hear("READY=1");
    hear("WATCHDOG=1");
    signal("STOP");
    // it says nothing for longer than its patience of a second
    while next(SECOND * 2).is_ok() {}
    signal("CONT");
    hear("WATCHDOG=1");
    signal("TERM");
    hear("STOPPING=1");
    std::fs::remove_file(&name).unwrap();
    let log: Vec<_> = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok).collect();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{log:#?}");
}
