//! (14) of what the incumbent gets wrong: an empty or broken answer to the poll resolves every alert.

use store::run::{Kind, PartState, State};
use tests::Fleet;
use tests::simulator::{FaultKind, Severity, Source};

use super::{connected, fault, fault_once, open, opened, reconciled, refused, rows};

/// Three alerts that were reconciled once.
async fn three() -> (Fleet, Vec<i64>) {
    let fleet = connected(40).await;
    let mut numbers = Vec::new();
    for agent in 1..=3 {
        numbers.push(opened(&fleet, agent).await);
    }
    reconciled(&fleet).await;
    (fleet, numbers)
}

#[tokio::test]
async fn an_empty_list_resolves_nothing_that_is_open_when_it_is_asked_for_alone() {
    let (fleet, numbers) = three().await;
    fault_once(&fleet, "/alerts/", FaultKind::Json { body: "[]".to_owned() });
    let (_, cause) = refused(&fleet).await;
    assert!(cause.starts_with("Tactical lists 0 open alerts and not the 3 others"), "{cause}");
    assert_eq!(open(&fleet).await, numbers);
    // and where nothing else is answered either
    fault(&fleet, "/alerts/", FaultKind::Json { body: "[]".to_owned() });
    refused(&fleet).await;
    assert_eq!(open(&fleet).await, numbers);
    fleet.simulator().control().clear_faults();
    reconciled(&fleet).await;
    assert_eq!(open(&fleet).await, numbers);
}

#[tokio::test]
async fn an_empty_list_that_is_true_resolves_all() {
    let (fleet, numbers) = three().await;
    fleet.simulator().control().resolve_bulk(&numbers);
    assert_eq!(reconciled(&fleet).await.counts.missing, 3);
    assert_eq!(open(&fleet).await, [0; 0]);
}

#[tokio::test]
async fn a_list_that_lacks_some_resolves_nothing() {
    let (fleet, numbers) = three().await;
    let row = format!(r#"[{{"id": {}, "alert_time": "2026-11-22T01:02:03Z", "resolved": false}}]"#, numbers[0]);
    fault_once(&fleet, "/alerts/", FaultKind::Json { body: row });
    let (_, cause) = refused(&fleet).await;
    assert!(cause.contains("lists 1 open alerts and not the 2 others"), "{cause}");
    assert_eq!(open(&fleet).await, numbers);
}

#[tokio::test]
async fn a_page_and_an_answer_that_is_cut_resolve_nothing() {
    let (fleet, numbers) = three().await;
    for kind in [FaultKind::Html, FaultKind::Truncated { bytes: 300 }, FaultKind::CutShort { bytes: 300 }] {
        fault(&fleet, "/alerts/", kind.clone());
        let (_, cause) = refused(&fleet).await;
        assert_eq!(open(&fleet).await, numbers, "{kind:?}: {cause}");
        fleet.simulator().control().clear_faults();
    }
    reconciled(&fleet).await;
}

#[tokio::test]
async fn a_list_of_agents_that_is_empty_cut_or_narrow_resolves_nothing() {
    let (fleet, numbers) = three().await;
    fleet.simulator().control().resolve_bulk(&numbers);
    for kind in [
        FaultKind::Json { body: "[]".to_owned() },
        FaultKind::Json { body: r#"[{"id": 1, "agent_id": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}]"#.to_owned() },
        FaultKind::CutShort { bytes: 300 },
        FaultKind::Html,
    ] {
        fault(&fleet, "/agents/?detail=false", kind.clone());
        let (_, cause) = refused(&fleet).await;
        assert_eq!(open(&fleet).await, numbers, "{kind:?}: {cause}");
        fleet.simulator().control().clear_faults();
    }
    assert_eq!(reconciled(&fleet).await.counts.missing, 3);
}

#[tokio::test]
async fn a_proxys_404_for_one_alert_resolves_nothing() {
    let (fleet, numbers) = three().await;
    fleet.simulator().control().resolve_bulk(&numbers);
    for number in &numbers {
        fault(&fleet, &format!("/alerts/{number}/"), FaultKind::ServerError { status: 404 });
    }
    let (_, cause) = refused(&fleet).await;
    assert!(cause.contains("unknown route"), "{cause}");
    assert_eq!(open(&fleet).await, numbers);
    fleet.simulator().control().clear_faults();
    assert_eq!(reconciled(&fleet).await.counts.missing, 3);
}

#[tokio::test]
async fn what_was_opened_is_written_even_where_nothing_may_be_resolved() {
    let (fleet, numbers) = three().await;
    let control = fleet.simulator().control();
    control.set_webhook(None);
    let new = control.fail_check(9, 1, Severity::Error).expect("it exists").expect("it opens");
    control.resolve_by_hand(numbers[0]).expect("it exists");
    fault(&fleet, "/agents/?detail=false", FaultKind::Html);
    let (run, _) = fleet.sync(Kind::Alerts).await;
    assert_eq!(run.counts.created, 1);
    let all: Vec<i64> = numbers.into_iter().chain([new]).collect();
    assert_eq!(open(&fleet).await, all);
}

#[tokio::test]
async fn one_alert_that_is_not_answered_keeps_no_other_open() {
    let (fleet, numbers) = three().await;
    fleet.simulator().control().resolve_bulk(&numbers);
    fault(&fleet, &format!("/alerts/{}/", numbers[0]), FaultKind::ServerError { status: 500 });
    let run = reconciled(&fleet).await;
    assert_eq!((run.counts.missing, run.counts.unverifiable), (2, 1));
    assert_eq!(open(&fleet).await, numbers[..1]);
    fleet.simulator().control().clear_faults();
    assert_eq!(reconciled(&fleet).await.counts.missing, 1);
}

#[tokio::test]
async fn alerts_that_are_answered_late_keep_no_other_open() {
    let (fleet, numbers) = three().await;
    let control = fleet.simulator().control();
    control.resolve_bulk(&numbers[..2]);
    // of the third the agent is gone: it is asked for after those that the list says are over
    control.delete_agent(3).expect("it exists");
    fault(&fleet, &format!("/alerts/{}/", numbers[2]), FaultKind::Held);
    let run = reconciled(&fleet).await;
    assert_eq!((run.counts.missing, run.counts.unverifiable), (2, 1));
    assert_eq!(open(&fleet).await, numbers[2..]);
    control.clear_faults();
    assert_eq!(reconciled(&fleet).await.counts.missing, 1);
}

#[tokio::test]
async fn a_look_back_that_fails_undoes_nothing_and_is_made_up_for_by_the_next_run() {
    let (fleet, numbers) = three().await;
    let control = fleet.simulator().control();
    control.set_webhook(None);
    let missed = control.fail_check(9, 1, Severity::Error).expect("it exists").expect("it opens");
    control.pass(9, Source::Check(1)).expect("it exists");
    control.resolve_by_hand(numbers[0]).expect("it exists");
    // and the connection's first poll has not come to its end yet, as far as readers of events know
    let back = "update muster.alert_poll set polled_at = polled_at - interval '20 min'; delete from muster.imported";
    fleet.database().execute(back).await;
    // the list of open alerts and the alerts themselves are answered, the list of the last day is not
    for number in &numbers {
        fault(&fleet, &format!("/alerts/{number}/"), FaultKind::Slow { delay_ms: 0 });
    }
    fault_once(&fleet, "/alerts/", FaultKind::Slow { delay_ms: 0 });
    fault(&fleet, "/alerts/", FaultKind::ServerError { status: 500 });
    let (run, parts) = fleet.sync(Kind::Alerts).await;
    assert_eq!((run.state, run.counts.missing), (State::Partial, 1), "{parts:#?}");
    let failed = parts.iter().filter(|part| part.state == PartState::Failed).map(|part| part.name.as_str());
    assert_eq!(failed.collect::<Vec<_>>(), ["alerts:backfill"]);
    assert_eq!(open(&fleet).await, numbers[1..]);
    let imported = "select count(*) from muster.imported where kind = 'alerts'";
    let imported = sqlx::query_scalar::<_, i64>(imported).fetch_one(&mut fleet.database().connect().await).await;
    assert_eq!(imported.expect("it answers"), 1, "what is open was read; what polls find from now on is told");
    control.clear_faults();
    // the last poll was not long ago, and the gap is known all the same
    assert_eq!(reconciled(&fleet).await.counts.created, 1);
    assert_eq!(rows(&fleet).await[&missed].status, "resolved");
}
