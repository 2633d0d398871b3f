//! The first ingest, the second one that finds nothing new, and what changes between two of them.

use serde_json::json;
use store::run::{Kind, State};
use tests::simulator::{FaultKind, key};

use super::{
    answer, asked, assert_true, builder, fault, history, ingest, ingested, program, ready, still, versions,
    windows_agents,
};

#[tokio::test]
async fn a_first_ingest_shows_every_program_of_every_device_as_tactical_does() {
    let fleet = ready(builder(still(60))).await;
    fleet.simulator().control().forget_served();
    let (run, parts) = fleet.sync(Kind::Software).await;
    assert_eq!((run.state, run.error.as_deref()), (State::Completed, None));
    assert_eq!(parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>(), ["software"]);
    assert_eq!(asked(&fleet), ["/software/"], "one list of everything");
    let windows = windows_agents(&fleet).len();
    assert!(windows > 20 && run.counts.created == windows as i64, "{windows} of {:?}", run.counts);
    let systems = fleet.database().connect().await;
    assert!(others(systems).await > 0, "devices with Linux and macOS are among them, and have none");
    assert_true(&fleet).await;
    assert!(history(&fleet).await.is_empty(), "what a device has at first is no change");
}

/// Devices of another system than Windows; none of them has any software.
async fn others(mut connection: sqlx::PgConnection) -> i64 {
    let sql = "select count(*) from (
                   select tenant, asset_id, os_type from workstation_assets
                   union all select tenant, asset_id, os_type from server_assets
               ) d
               where lower(d.os_type) in ('linux', 'macos') and not exists (
                   select from asset_software s where s.tenant = d.tenant and s.asset_id = d.asset_id)";
    let without: i64 = sqlx::query_scalar(sql).fetch_one(&mut connection).await.expect("the database answers");
    let of_all = sql.split(" and not exists").next().expect("it has a beginning").to_owned();
    let all: i64 =
        sqlx::query_scalar(sqlx::AssertSqlSafe(of_all)).fetch_one(&mut connection).await.expect("the database answers");
    assert_eq!(without, all);
    all
}

#[tokio::test]
async fn an_ingest_of_an_unchanged_server_rewrites_no_row() {
    let fleet = ingested(40).await;
    let before = versions(&fleet).await;
    let run = ingest(&fleet).await;
    assert_eq!((run.state, run.counts.created, run.counts.updated), (State::Completed, 0, 0));
    assert_eq!(run.counts.unchanged, run.counts.seen);
    assert_eq!(versions(&fleet).await, before);
}

#[tokio::test]
async fn what_is_installed_updated_and_removed_is_shown_and_remembered() {
    let fleet = ingested(30).await;
    let control = fleet.simulator().control();
    let (pk, agent_id) = windows_agents(&fleet).remove(0);
    let goes = control.programs(pk).expect("it exists")[1].name.clone();
    control.install(pk, program("Agent's own", "1.9")).expect("it exists");
    assert_eq!(ingest(&fleet).await.counts.updated, 1);
    assert_true(&fleet).await;
    control.uninstall(pk, "Agent's own").expect("it exists");
    control.uninstall(pk, &goes).expect("it exists");
    control.install(pk, program("Agent's own", "1.10")).expect("it exists");
    assert_eq!(ingest(&fleet).await.counts.updated, 1);
    assert_true(&fleet).await;
    let history = history(&fleet).await;
    assert_eq!(history[0], format!("{agent_id} installed Agent's own 1.9"));
    assert!(history.contains(&format!("{agent_id} updated Agent's own 1.9 1.10")), "{history:?}");
    assert!(history.iter().any(|line| line.starts_with(&format!("{agent_id} removed {goes}"))), "{history:?}");
}

#[tokio::test]
async fn two_versions_side_by_side_are_both_there() {
    let fleet = ingested(20).await;
    let (pk, _) = windows_agents(&fleet).remove(0);
    for version in ["17.0.9", "17.0.10", "8"] {
        fleet.simulator().control().install(pk, program("Runtime", version)).expect("it exists");
    }
    ingest(&fleet).await;
    assert_true(&fleet).await;
}

#[tokio::test]
async fn a_report_that_comes_empty_once_removes_nothing() {
    let fleet = ingested(20).await;
    let (pk, _) = windows_agents(&fleet).remove(0);
    fleet.simulator().control().set_report_empty(pk, true).expect("it exists");
    assert_eq!(ingest(&fleet).await.state, State::Completed);
    assert_eq!(ingest(&fleet).await.state, State::Completed);
    fleet.simulator().control().set_report_empty(pk, false).expect("it exists");
    assert_true(&fleet).await;
    assert_eq!(ingest(&fleet).await.counts.updated, 0);
    assert!(history(&fleet).await.is_empty());
}

#[tokio::test]
async fn a_list_in_which_every_row_is_empty_is_doubted_and_leaves_no_trace() {
    let fleet = ingested(20).await;
    let before = versions(&fleet).await;
    let agents = windows_agents(&fleet);
    let row = |(pk, _): &(i64, String)| json!({"id": pk + 1_000, "agent": pk, "software": []});
    fault(&fleet, "/software/", answer(&agents.iter().map(row).collect()), None);
    for _ in 0..2 {
        let run = ingest(&fleet).await;
        assert_eq!(run.state, State::Failed);
        assert!(run.error.is_some_and(|error| error.contains("nothing was changed")));
    }
    assert_eq!(versions(&fleet).await, before, "nor is it remembered that they were empty");
}

#[tokio::test]
async fn no_odd_answer_removes_or_adds_anything() {
    let fleet = ingested(20).await;
    let before = versions(&fleet).await;
    for (kind, requests, state) in [
        (FaultKind::Html, None, State::Failed),
        (FaultKind::Json { body: "[]".to_owned() }, None, State::Failed),
        (FaultKind::Json { body: "{\"detail\": \"no\"}".to_owned() }, None, State::Failed),
        // what is cut is asked for agent by agent
        (FaultKind::CutShort { bytes: 3_000 }, Some(1), State::Completed),
    ] {
        fault(&fleet, "/software/", kind.clone(), requests);
        let run = ingest(&fleet).await;
        assert_eq!(run.state, state, "{kind:?}: {:?}", run.error);
        fleet.simulator().control().clear_faults();
        assert_eq!(versions(&fleet).await, before, "{kind:?}");
    }
    assert_eq!(ingest(&fleet).await.state, State::Completed);
    assert_true(&fleet).await;
}

#[tokio::test]
async fn a_key_without_the_right_to_list_software_fails_the_run_in_words() {
    let fleet = ingested(20).await;
    fleet.save_key(key::NO_ROLE, store::connection::DeviceSource::Classic).await;
    let run = ingest(&fleet).await;
    assert_eq!(run.state, State::Failed);
    assert!(run.error.is_some_and(|error| error.contains("role")), "it says what to do");
    assert_true(&fleet).await;
}
