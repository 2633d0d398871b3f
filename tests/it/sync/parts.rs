//! Parts that fail, and what the run then says.

use store::run::{Kind, PartState, State};
use tests::simulator::FaultKind;
use tests::{DEADLINE, until};

use super::{answer, assert_true, assets, fault, mapped, part, synced, truths};

/// (26) of what the incumbent gets wrong.
#[tokio::test]
async fn a_client_that_fails_leaves_the_others_imported_and_its_cause_told() {
    let fleet = mapped(40).await;
    fault(&fleet, "/agents/?client=2", FaultKind::ServerError { status: 502 });
    let (run, parts) = fleet.sync(Kind::Devices).await;
    assert_eq!(run.state, State::Partial);
    let failed = part(&parts, "client:2");
    assert_eq!((failed.state, run.parts_failed), (PartState::Failed, 1));
    let cause = failed.error.as_deref().expect("it says why");
    assert!(cause.contains("502") && cause.contains("Tactical's own log"), "{cause}");
    let said = run.error.expect("the run says which part failed");
    assert!(said.starts_with("1 of 4 parts failed: ") && said.contains("502"), "{said}");
    let mut expected = truths(&fleet);
    expected.retain(|_, truth| truth.client.0 != 2);
    assert_true(&fleet, &expected).await;

    let connection = store::connection::find(&fleet.store(), fleet.connection().tenant).await.expect("it answers");
    let connection = connection.expect("it exists");
    assert_eq!(connection.sync_status.as_deref(), Some("error"));
    assert!(connection.sync_error.expect("it is shown").contains("502"));
    assert!(connection.last_sync_at.is_some() && connection.last_full_sync_at.is_none(), "not everything was read");

    fleet.simulator().control().clear_faults();
    assert_eq!(fleet.sync(Kind::Devices).await.0.state, State::Completed);
    assert_true(&fleet, &truths(&fleet)).await;
}

#[tokio::test]
async fn a_failure_that_passes_costs_an_attempt_and_nothing_else() {
    let fleet = mapped(30).await;
    let kind = FaultKind::Truncated { bytes: 2_000 };
    let fault = tests::simulator::Fault { path_prefix: "/agents/?client=1".to_owned(), kind, requests: Some(2) };
    fleet.simulator().control().add_fault(fault);
    let (run, parts) = fleet.sync(Kind::Devices).await;
    assert_eq!((run.state, part(&parts, "client:1").attempt), (State::Completed, 3));
    assert_eq!(run.counts.seen, 30, "rows of an attempt that broke off are not counted twice");
    assert_true(&fleet, &truths(&fleet)).await;
}

#[tokio::test]
async fn a_run_whose_attempt_failed_says_why_while_it_is_repeated() {
    let fleet = mapped(30).await;
    let prefix = "/agents/?client=1".to_owned();
    let page = tests::simulator::Fault { path_prefix: prefix.clone(), kind: FaultKind::Html, requests: Some(1) };
    fleet.simulator().control().add_fault(page);
    fault(&fleet, &prefix, FaultKind::Slow { delay_ms: 3_000 });
    let run_id = fleet.start_run(Kind::Devices).await;
    let (store, tenant) = (fleet.store(), fleet.connection().tenant);
    let told = until(DEADLINE, async || {
        let (run, parts) = store::run::get(&store, tenant, run_id).await.expect("it answers").expect("it exists");
        let waits = parts.into_iter().find(|part| part.name == "client:1" && part.error.is_some());
        waits.ok_or(run.state)
    })
    .await;
    let cause = told.error.expect("it says why");
    assert!(told.state == PartState::Open && cause.starts_with("an attempt failed and is repeated: "), "{cause}");
    assert!(cause.contains("web page") && cause.contains("try again later"), "{cause}");
    let (run, parts) = fleet.ended(run_id).await;
    assert_eq!((run.state, part(&parts, "client:1").error.as_deref()), (State::Completed, None));
}

#[tokio::test]
async fn a_refused_key_fails_the_run_at_once_in_words_that_help() {
    let fleet = synced(10).await;
    fleet.save_key(tests::simulator::key::EXPIRED, store::connection::DeviceSource::Classic).await;
    let (run, parts) = fleet.sync(Kind::Devices).await;
    assert_eq!((run.state, parts.len(), run.epoch), (State::Failed, 0, 1));
    let error = run.error.expect("it says why");
    assert!(error.contains("the key has expired") && error.contains("Make a new API key"), "{error}");
    assert_true(&fleet, &truths(&fleet)).await;
}

#[tokio::test]
async fn an_answer_that_is_no_list_fails_the_part_and_is_parked_nowhere() {
    let fleet = mapped(10).await;
    fault(&fleet, "/agents/?client=1", answer(r#"{"results": 7}"#));
    let (run, parts) = fleet.sync(Kind::Devices).await;
    assert_eq!((run.state, part(&parts, "client:1").state), (State::Partial, PartState::Failed));
    assert_eq!(store::parked::count(&fleet.store()).await.expect("the database answers"), 0);
}

/// (28) of what the incumbent gets wrong.
#[tokio::test]
async fn progress_shows_while_a_run_goes_on() {
    let fleet = mapped(40).await;
    fault(&fleet, "/agents/?client=4", FaultKind::Slow { delay_ms: 1_500 });
    let run_id = fleet.start_run(Kind::Devices).await;
    let (store, tenant) = (fleet.store(), fleet.connection().tenant);
    let seen = until(DEADLINE, async || {
        let (run, parts) = store::run::get(&store, tenant, run_id).await.expect("it answers").expect("it exists");
        if run.counts.seen > 0 && !run.state.is_ended() { Ok((run, parts)) } else { Err(run.state) }
    })
    .await;
    assert_eq!((seen.0.state, seen.0.parts, seen.0.counts.expected), (State::Running, 4, Some(40)));
    assert!(seen.0.progressed_at.is_some() && seen.0.counts.seen < 40);
    assert!(seen.1.iter().any(|part| part.state == PartState::Open && part.error.is_none()));
    assert_eq!(fleet.ended(run_id).await.0.state, State::Completed);
    assert_eq!(assets(&fleet).await.len(), 40);
}
