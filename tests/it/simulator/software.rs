//! What `/software/` answers, and how it changes.

use serde_json::{Value, json};
use tests::simulator::{Program, key};

use super::{get, small};

fn named<'a>(row: &'a Value, name: &'a str) -> impl Iterator<Item = &'a Value> {
    row["software"].as_array().into_iter().flatten().filter(move |item| item["name"] == name)
}

#[tokio::test]
async fn windows_agents_report_programs_by_pk_with_duplicates_and_odd_dates() {
    let simulator = small().await;
    let (_, rows) = get(&simulator, "/software/", key::ADMIN).await;
    let rows = rows.as_array().expect("a bare array");
    assert!(
        rows.iter()
            .all(|row| row["agent"].is_i64() && row["software"].as_array().is_some_and(|items| items.len() >= 40))
    );
    assert!(rows.len() < 40 && rows.iter().all(|row| row["agent"] != 2), "agents without a row are missing");
    let items: Vec<&Value> = rows.iter().flat_map(|row| row["software"].as_array().expect("a list")).collect();
    for date in ["01-1-01", "0001-01-01 00:00:00 +0000 UTC"] {
        assert!(items.iter().any(|item| item["install_date"] == date), "{date}");
    }
    assert!(items.iter().any(|item| item["version"] == "") && items.iter().any(|item| item["publisher"] == ""));
    let first = &rows[0]["software"].as_array().expect("a list")[0];
    assert_eq!(
        named(&rows[0], first["name"].as_str().expect("a name")).filter(|item| *item == first).count(),
        2,
        "exact duplicates are normal"
    );
}

#[tokio::test]
async fn programs_come_and_go_and_an_empty_report_looks_like_all_are_gone() {
    let simulator = small().await;
    let control = simulator.control();
    let path = format!("/software/{}/", control.agent(1).unwrap().agent_id);
    let program = Program { name: "Ünïcode Tool 東京".to_owned(), version: "1.0".to_owned(), ..Program::default() };
    control.install(1, program.clone()).unwrap();
    control.install(1, Program { version: "2.0".to_owned(), ..program.clone() }).unwrap();
    let (_, row) = get(&simulator, &path, key::ADMIN).await;
    assert_eq!(named(&row, &program.name).count(), 2, "two versions stand side by side");
    control.uninstall(1, &program.name).unwrap();
    control.uninstall(1, "Google Chrome").unwrap();
    let (_, row) = get(&simulator, &path, key::ADMIN).await;
    assert_eq!(named(&row, &program.name).chain(named(&row, "Google Chrome")).count(), 0);
    assert_eq!(row["software"].as_array().map(Vec::len), Some(control.programs(1).unwrap().len()));
    control.set_report_empty(1, true).unwrap();
    assert_eq!(get(&simulator, &path, key::ADMIN).await.1["software"], json!([]));
    control.set_report_empty(1, false).unwrap();
    assert_eq!(get(&simulator, &path, key::ADMIN).await.1, row);
}
