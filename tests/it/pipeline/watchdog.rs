//! The watchdog leaves those alone who wait for a server that is away, and tells systemd of those who live.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use tests::proxy::Fault;
use tests::simulator::Severity;
use tests::{DEADLINE, Fleet, until};

use super::{differences, expected, quiet, seen};

/// What a job and a hold may take, so that a batch may take four times as much.
const LIMIT: Duration = Duration::from_secs(1);
/// What comes on top of a limit: a loaded machine may be late by a second.
const PATIENCE: Duration = Duration::from_secs(3);

// two threads: the fleet's end blocks one, and the proxies that its programs hang on need the other
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_either_server_beyond_the_watchdogs_patience_restarts_nobody() {
    let mut fleet = Fleet::builder()
        .workers(1)
        .console()
        .proxies()
        .simulator(quiet(20))
        .set("MUSTER_STUCK_MS_MAX", PATIENCE.as_millis())
        .set("MUSTER_JOB_TIMEOUT_MS", LIMIT.as_millis())
        .set("MUSTER_HOLD_MS_MAX", LIMIT.as_millis())
        .start()
        .await;
    let pids = [fleet.worker(0).pid(), fleet.gateway().pid(), fleet.console().pid()];
    let control = fleet.simulator().control();
    for check in 1..=2 {
        // without Postgres the gateway still takes webhooks, and the worker has them in hand
        let proxy = if check == 1 { fleet.database_proxy() } else { fleet.amqp_proxy() };
        if check == 1 {
            proxy.set(Fault::BLACK_HOLE);
        }
        for agent in 1..=20 {
            control.fail_check(agent, check, Severity::Error).expect("the agent exists").expect("it opens");
        }
        assert!(control.webhooks_finished(DEADLINE).await, "the gateway did not take them in time");
        proxy.set(Fault::BLACK_HOLE);
        let away = Instant::now();
        let long = LIMIT * 4 + PATIENCE * 2;
        until(DEADLINE, async || if away.elapsed() > long { Ok(()) } else { Err("not away for long") }).await;
        proxy.set(Fault::NONE);
        let expected = expected(&fleet);
        until(DEADLINE * 3, async || differences(&expected, &seen(&fleet).await)).await;
    }
    let ended = [fleet.worker(0).ended(), fleet.gateway().ended(), fleet.console().ended()];
    assert_eq!(ended, [None; 3]);
    assert_eq!(pids, [fleet.worker(0).pid(), fleet.gateway().pid(), fleet.console().pid()]);
    fleet.until_idle().await;
}

#[tokio::test]
async fn systemd_hears_of_every_program_that_it_runs_lives_and_stops() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("notify");
    let systemd = UnixDatagram::bind(&path).expect("the folder is new");
    systemd.set_nonblocking(true).expect("a socket can be asked");
    let fleet = Fleet::builder()
        .workers(1)
        .console()
        .set("NOTIFY_SOCKET", path.display())
        .set("WATCHDOG_USEC", 2_000_000)
        .start()
        .await;
    let mut heard = Vec::new();
    let mut hear = async |wanted: &str, times: usize| {
        until(DEADLINE, async || {
            let mut state = [0; 64];
            while let Ok(length) = systemd.recv(&mut state) {
                heard.push(String::from_utf8_lossy(&state[..length]).into_owned());
            }
            if heard.iter().filter(|state| *state == wanted).count() >= times { Ok(()) } else { Err(heard.clone()) }
        })
        .await;
    };
    hear("READY=1", 3).await;
    hear("WATCHDOG=1", 6).await;
    drop(fleet);
    hear("STOPPING=1", 3).await;
}
