//! Beside a running fleet: nothing is wrong, and a look leaves nothing behind.

use tests::{DEADLINE, Fleet, until};

use super::look;

// two threads: the fleet's end blocks one
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_at_a_running_fleet_finds_nothing_wrong_and_leaves_nothing_behind() {
    let fleet = Fleet::builder().workers(1).sync_workers(1).console().start().await;
    let environment: Vec<(&str, &str)> =
        fleet.environment().iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    for _ in 0..3 {
        let report = look(&["--without", "inventory-worker"], &environment).await;
        assert_eq!(report.code, Some(0), "{}", report.text);
        assert!(report.findings.iter().all(|it| it["state"] == "ok" || it["state"] == "warning"), "{}", report.text);
    }
    // the probes of its bindings were dropped on their way or in the landing queue
    until(DEADLINE, async || match fleet.amqp().depth(contract::topology::LANDING).await {
        Some(0) => Ok(()),
        other => Err(other),
    })
    .await;
    assert_eq!(store::parked::count(&fleet.store()).await.expect("the database answers"), 0);
    fleet.until_idle().await;
}
