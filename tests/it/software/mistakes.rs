//! What the incumbent gets wrong with software, one test for each (numbers of the list in the contract's notes).
//!
//! (1), the shape of the answer, is every test of this folder; its client's side stands in `tactical/mistakes.rs`.

use serde_json::{Value, json};
use store::run::{Kind, State};
use tests::Fleet;
use tests::simulator::{Program, key};

use super::{
    answer, assert_true, builder, fault, ingest, ingested, installed, program, ready, still, versions, windows_agents,
};

/// (32); the statements themselves are counted in `sync/statements.rs`.
#[tokio::test]
async fn a_thousand_programs_cost_a_handful_of_transactions() {
    let fleet = ready(builder(still(40))).await;
    let calls = async || {
        let mut connection = fleet.database().connect().await;
        let sql = "select xact_commit from pg_stat_database where datname = current_database()";
        sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut connection).await.expect("the database answers")
    };
    let before = calls().await;
    let (run, _) = fleet.sync(Kind::Software).await;
    assert_eq!(run.state, State::Completed);
    let mut connection = fleet.database().connect().await;
    let programs: i64 = sqlx::query_scalar("select count(*) from muster.software_version")
        .fetch_one(&mut connection)
        .await
        .expect("the database answers");
    // three statements a program would each be a transaction of their own; the relays' sweeps are among these, too
    let transactions = calls().await - before;
    assert!(programs > 1_000 && transactions < programs / 2, "{transactions} transactions for {programs} programs");
}

/// (33)
#[tokio::test]
async fn names_of_any_alphabet_stay_apart() {
    let fleet = ready(builder(still(20))).await;
    let (pk, agent_id) = windows_agents(&fleet).remove(0);
    for name in ["Яндекс.Браузер", "Яндекс.Диск", "微信", "腾讯QQ", "カメラ"] {
        fleet.simulator().control().install(pk, program(name, "1")).expect("it exists");
    }
    assert_eq!(ingest(&fleet).await.state, State::Completed);
    let names: Vec<String> = installed(&fleet, &agent_id).await.into_iter().map(|program| program.name).collect();
    for name in ["Яндекс.Браузер", "Яндекс.Диск", "微信", "腾讯QQ", "カメラ"] {
        assert!(names.iter().any(|shown| shown == name), "{name} of {names:?}");
    }
    assert_true(&fleet).await;
}

/// (34)
#[tokio::test]
async fn an_over_long_version_costs_neither_its_program_nor_the_rest_of_the_device() {
    let fleet = ready(builder(still(20))).await;
    let (pk, agent_id) = windows_agents(&fleet).remove(0);
    let before = fleet.simulator().control().programs(pk).expect("it exists").len();
    fleet.simulator().control().install(pk, program("Long", &"1.".repeat(300))).expect("it exists");
    fleet.simulator().control().install(pk, program(&"n".repeat(900), "\0")).expect("it exists");
    let run = ingest(&fleet).await;
    assert_eq!((run.state, run.error), (State::Completed, None));
    let shown = installed(&fleet, &agent_id).await;
    let long = shown.iter().find(|program| program.name == "Long").expect("it is there");
    assert_eq!(long.version.as_ref().map(|version| version.chars().count()), Some(100));
    assert!(shown.len() > before / 2, "the rest is there");
}

/// (35)
#[tokio::test]
async fn install_date_size_and_path_are_kept() {
    let fleet = ready(builder(still(20))).await;
    let (pk, agent_id) = windows_agents(&fleet).remove(0);
    let told = Program {
        install_date: "2024-6-01".to_owned(),
        size: "12.5 MB".to_owned(),
        location: "C:\\Own\\".to_owned(),
        ..program("Own", "1")
    };
    let old = Program { install_date: "2019-06-09 00:00:00 +0000 UTC".to_owned(), ..program("Old", "1") };
    let unknown = Program { install_date: "01-1-01".to_owned(), size: "0 B".to_owned(), ..program("Unknown", "1") };
    for program in [told, old, unknown] {
        fleet.simulator().control().install(pk, program).expect("it exists");
    }
    assert_eq!(ingest(&fleet).await.state, State::Completed);
    let shown = installed(&fleet, &agent_id).await;
    let details = |name: &str| {
        let program = shown.iter().find(|program| program.name == name).expect("it is there");
        let date = program.install_date.map(|date| date.to_string());
        (date, program.size_bytes, program.install_path.clone())
    };
    assert_eq!(details("Own"), (Some("2024-06-01".to_owned()), Some(13_107_200), Some("C:\\Own\\".to_owned())));
    assert_eq!(details("Old").0.as_deref(), Some("2019-06-09"));
    assert_eq!(details("Unknown"), (None, None, None));
}

/// The exact duplicates that a real server lists, and rows that a hostile one could.
#[tokio::test]
async fn duplicates_and_odd_rows_cost_nothing() {
    let fleet = ingested(20).await;
    let (pk, agent_id) = windows_agents(&fleet).remove(0);
    let item = json!({"name": "Twice", "version": "1", "publisher": null, "size": 7});
    let odd = json!([
        {"id": 1, "agent": pk, "software": [item, item, item, 7, null, {"name": null}, {"name": "  "}]},
        {"id": 2, "agent": 999_999, "software": [item]},
        {"id": 3, "agent": pk, "software": [{"name": "Second row of the agent"}]},
    ]);
    fault(&fleet, "/software/", answer(&odd), None);
    let run = ingest(&fleet).await;
    assert_eq!((run.state, run.error), (State::Completed, None));
    let shown = installed(&fleet, &agent_id).await;
    assert_eq!(shown.iter().map(|program| program.name.as_str()).collect::<Vec<_>>(), ["Twice"]);
    fleet.simulator().control().clear_faults();
    assert_eq!(ingest(&fleet).await.state, State::Completed);
    assert_true(&fleet).await;
}

/// A row of a hostile or broken server that has no list of programs, again and again.
#[tokio::test]
async fn a_row_without_a_list_of_programs_is_no_empty_list() {
    let fleet = ingested(20).await;
    let before = versions(&fleet).await;
    let agents = windows_agents(&fleet);
    let other = json!({"id": 2, "agent": agents[1].0, "software": tactical_software(&fleet, agents[1].0).await});
    for odd in [json!({}), json!({"software": null}), json!({"software": "error"}), json!({"software": ["error"]})] {
        let mut row = json!({"id": 1, "agent": agents[0].0});
        row.as_object_mut().expect("it is one").extend(odd.as_object().expect("it is one").clone());
        fault(&fleet, "/software/", answer(&json!([row, other])), None);
        let run = ingest(&fleet).await;
        assert_eq!((run.state, run.counts.seen, run.counts.unchanged), (State::Completed, 2, 1), "{odd}");
        fleet.simulator().control().clear_faults();
    }
    assert_eq!(versions(&fleet).await, before, "nor is it remembered that one was empty");
}

/// What the true list has of an agent.
async fn tactical_software(fleet: &Fleet, pk: i64) -> Value {
    let rows = fleet.tactical_get("/software/", key::ADMIN).await;
    let row = rows.as_array().into_iter().flatten().find(|row| row["agent"].as_i64() == Some(pk));
    row.expect("it has reported")["software"].clone()
}
