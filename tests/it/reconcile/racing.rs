//! Webhooks while a poll is under way, and workers that die in the middle of one.

use store::organization::{self, Held};
use store::run::{Kind, State};
use store::tenant;
use tests::simulator::{FaultKind, Severity};
use tests::{DEADLINE, Fleet};

use super::{assert_true, connected, fault, open, opened, reconciled, until_asked, until_status};

/// The list of agents: once it is asked for, the list of alerts is over.
const AGENTS: &str = "/agents/?detail=false";

#[tokio::test]
async fn an_alert_that_opens_by_webhook_after_the_list_stays_open() {
    let fleet = connected(20).await;
    let control = fleet.simulator().control();
    let old = opened(&fleet, 3).await;
    fault(&fleet, AGENTS, FaultKind::Slow { delay_ms: 2_500 });
    control.forget_served();
    let run_id = fleet.start_run(Kind::Alerts).await;
    until_asked(&fleet, AGENTS).await;
    let new = opened(&fleet, 5).await;
    control.pass_check(3, 1).expect("it exists");
    until_status(&fleet, old, "resolved").await;
    assert!(!fleet.run(run_id).await.0.state.is_ended(), "the webhooks must come in the middle");
    let (run, _) = fleet.ended(run_id).await;
    assert_eq!((run.state, run.counts.seen, run.counts.missing), (State::Completed, 1, 0));
    assert_eq!(open(&fleet).await, [new], "the list showed {old} as open, which it was");
    control.clear_faults();
    reconciled(&fleet).await;
    assert_true(&fleet).await;
}

#[tokio::test]
async fn an_alert_that_ends_by_webhook_while_the_list_is_read_is_over_once() {
    let fleet = connected(20).await;
    let number = opened(&fleet, 3).await;
    let control = fleet.simulator().control();
    fault(&fleet, "/alerts/", FaultKind::Held);
    control.forget_served();
    let run_id = fleet.start_run(Kind::Alerts).await;
    until_asked(&fleet, "/alerts/").await;
    control.pass_check(3, 1).expect("it exists");
    until_status(&fleet, number, "resolved").await;
    assert!(!fleet.run(run_id).await.0.state.is_ended(), "the webhook must come in the middle");
    control.clear_faults();
    let (run, _) = fleet.ended(run_id).await;
    assert_eq!((run.state, run.counts.missing, run.counts.updated), (State::Completed, 0, 0));
    assert_eq!(open(&fleet).await, [0; 0]);
}

/// What is decided while the agents are listed stops what the lists would have resolved.
async fn stopped(decide: impl AsyncFnOnce(&Fleet)) -> String {
    let fleet = connected(20).await;
    let number = opened(&fleet, 3).await;
    let control = fleet.simulator().control();
    control.resolve_by_hand(number).expect("it exists");
    fault(&fleet, AGENTS, FaultKind::Held);
    control.forget_served();
    let run_id = fleet.start_run(Kind::Alerts).await;
    until_asked(&fleet, AGENTS).await;
    decide(&fleet).await;
    control.clear_faults();
    let (run, _) = fleet.ended(run_id).await;
    fleet.until_idle().await;
    assert_eq!((run.state, open(&fleet).await), (State::Failed, vec![number]), "{:?}", run.error);
    run.error.expect("it says why")
}

#[tokio::test]
async fn a_poll_that_is_under_way_writes_nothing_once_another_server_is_suspected() {
    let hold = async |fleet: &Fleet| {
        let (tenant, integration_id) = (fleet.connection().tenant, fleet.connection().integration_id);
        let held = organization::hold(&fleet.store(), tenant, integration_id, &Held::default()).await;
        assert!(held.expect("the database answers"));
    };
    let cause = stopped(hold).await;
    assert!(cause.contains("another Tactical server seems to answer"), "{cause}");
}

#[tokio::test]
async fn a_poll_that_is_under_way_writes_nothing_once_its_connection_ends_or_is_suspended() {
    let cause = stopped(async |fleet: &Fleet| fleet.disconnect().await).await;
    assert!(cause.contains("disconnected"), "{cause}");
    let suspend = async |fleet: &Fleet| {
        let suspended = tenant::set_suspended(&fleet.store(), fleet.connection().tenant, true, "a test").await;
        assert!(suspended.expect("the database answers"));
    };
    let cause = stopped(suspend).await;
    assert!(cause.contains("suspended"), "{cause}");
}

#[tokio::test]
async fn a_worker_that_is_killed_in_the_middle_leaves_its_run_to_another() {
    let mut fleet = connected(20).await;
    let number = opened(&fleet, 3).await;
    let control = fleet.simulator().control().clone();
    control.resolve_by_hand(number).expect("it exists");
    fault(&fleet, AGENTS, FaultKind::Slow { delay_ms: 5_000 });
    control.forget_served();
    let run_id = fleet.start_run(Kind::Alerts).await;
    until_asked(&fleet, AGENTS).await;
    fleet.worker(0).kill();
    control.clear_faults();
    assert!(!fleet.run(run_id).await.0.state.is_ended(), "the test must kill it in the middle");
    fleet.add_worker().await;
    let (run, _) = fleet.ended(run_id).await;
    assert_eq!((run.state, run.error, run.counts.missing), (State::Completed, None, 1));
    assert_true(&fleet).await;
}

#[tokio::test]
async fn a_storm_of_webhooks_beside_polls_ends_in_the_truth() {
    let fleet = connected(200).await;
    let control = fleet.simulator().control();
    control.send_in_parallel(8);
    for round in 0..3_i64 {
        control.storm(400);
        for agent in 1..=10 {
            let number = control.fail_check(agent, 50 + round, Severity::Error).expect("it exists");
            // half of them end by hand, of which no webhook tells
            if let Some(number) = number.filter(|_| agent % 2 == 0) {
                control.resolve_by_hand(number).expect("it exists");
            }
        }
        let (run, _) = fleet.sync(Kind::Alerts).await;
        assert_eq!((run.state, run.error), (State::Completed, None), "round {round}");
    }
    assert!(control.webhooks_finished(DEADLINE * 3).await, "the gateway did not take them in time");
    fleet.until_idle().await;
    reconciled(&fleet).await;
    assert_true(&fleet).await;
}
