//! Postgres is away from a running worker: nothing is lost, parked or counted as an attempt, and the worker stays.

use tests::proxy::Fault;
use tests::simulator::Severity;
use tests::{DEADLINE, Fleet, until};

use super::{differences, expected, quiet, seen};

/// Webhooks that come meanwhile.
const WEBHOOKS: u32 = 50;

// two threads: the fleet's end blocks one, and the proxies that its programs hang on need the other
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_outlives_a_postgres_that_refuses() {
    let away = Fault { refuse: true, ..Fault::NONE };
    outlives(away, true).await;
}

// two threads: the fleet's end blocks one, and the proxies that its programs hang on need the other
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_outlives_a_postgres_that_answers_nothing() {
    outlives(Fault::BLACK_HOLE, false).await;
}

async fn outlives(fault: Fault, cut: bool) {
    let mut fleet = Fleet::builder().workers(1).proxies().simulator(quiet(20)).start().await;
    let pid = fleet.worker(0).pid();
    fleet.database_proxy().set(fault);
    if cut {
        fleet.database_proxy().cut();
    }
    let control = fleet.simulator().control();
    for place in 0..i64::from(WEBHOOKS) {
        let (agent, check) = (place % 20 + 1, place / 20 + 1);
        control.fail_check(agent, check, Severity::Error).expect("the agent exists").expect("it opens");
    }
    assert!(control.webhooks_finished(DEADLINE).await, "the gateway did not take them in time");
    let statuses: Vec<_> = control.webhooks().into_iter().map(|webhook| webhook.status).collect();
    assert_eq!(statuses, vec![Some(202); WEBHOOKS as usize], "the gateway knows its hooks");
    assert!(seen(&fleet).await.is_empty(), "Postgres was away");

    fleet.database_proxy().set(Fault::NONE);
    let expected = expected(&fleet);
    assert_eq!(expected.len(), WEBHOOKS as usize);
    until(DEADLINE * 3, async || differences(&expected, &seen(&fleet).await)).await;
    fleet.until_idle().await;
    let parked = store::parked::count(&fleet.store()).await.expect("the database answers");
    assert_eq!(parked, 0);
    assert!(fleet.worker(0).ended().is_none() && fleet.worker(0).pid() == pid, "it is the same process");
    let url = format!("{}/metrics", fleet.worker_url(0));
    let metrics = reqwest::get(url).await.expect("it answers").text().await.expect("a text");
    let burnt = metrics.lines().find(|line| line.starts_with("muster_attempts_total"));
    assert_eq!(burnt, None, "an outage burns no attempt");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_end_although_neither_server_answers() {
    let mut fleet = Fleet::builder().workers(1).proxies().start().await;
    for proxy in [fleet.database_proxy(), fleet.amqp_proxy()] {
        proxy.set(Fault::BLACK_HOLE);
    }
    assert!(fleet.gateway().terminate(DEADLINE).await.success(), "the gateway has nothing in hand");
    // the relay's last look at the outbox has the deadline of a statement, which is below the grace
    assert!(fleet.worker(0).terminate(DEADLINE * 3).await.success(), "the worker has nothing in hand");
}
