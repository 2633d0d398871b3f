//! Webhooks while a poll is under way, and workers that die in the middle of one.

use store::run::{Kind, State};
use tests::simulator::{FaultKind, Severity};
use tests::{DEADLINE, Fleet, until};

use super::{assert_true, connected, fault, open, opened, reconciled, until_status};

/// Waits until the list of agents has been asked for: the list of alerts is then over.
async fn until_agents_are_asked_for(fleet: &Fleet) {
    let control = fleet.simulator().control();
    until(DEADLINE, async || match control.asked() {
        asked if asked.iter().any(|target| target.starts_with("/agents/?detail=false")) => Ok(()),
        asked => Err(asked),
    })
    .await;
}

#[tokio::test]
async fn an_alert_that_opens_by_webhook_after_the_list_stays_open() {
    let fleet = connected(20).await;
    let control = fleet.simulator().control();
    let old = opened(&fleet, 3).await;
    fault(&fleet, "/agents/?detail=false", FaultKind::Slow { delay_ms: 2_500 });
    control.forget_served();
    let run_id = fleet.start_run(Kind::Alerts).await;
    until_agents_are_asked_for(&fleet).await;
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
async fn a_worker_that_is_killed_in_the_middle_leaves_its_run_to_another() {
    let mut fleet = connected(20).await;
    let number = opened(&fleet, 3).await;
    let control = fleet.simulator().control().clone();
    control.resolve_by_hand(number).expect("it exists");
    fault(&fleet, "/agents/?detail=false", FaultKind::Slow { delay_ms: 5_000 });
    control.forget_served();
    let run_id = fleet.start_run(Kind::Alerts).await;
    until_agents_are_asked_for(&fleet).await;
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
