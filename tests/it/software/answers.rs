//! What the console answers about software, with rows of a real ingest in every field.

use reqwest::Method;
use serde_json::{Value, json};
use store::run::State;
use store::token::Permission;
use tests::Fleet;
use tests::simulator::Program;

use super::{builder, ingest, program, ready, still, windows_agents};

async fn get(fleet: &Fleet, token: &str, path: &str) -> Value {
    let answer = fleet.ask(token, Method::GET, path, None).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json
}

/// The only row of a list.
fn only<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let rows = answer[name].as_array().expect("it is a list");
    assert_eq!((rows.len(), &answer["next_cursor"]), (1, &Value::Null), "{answer}");
    &rows[0]
}

#[tokio::test]
async fn the_console_shows_a_programs_devices_versions_and_changes_as_tactical_told_them() {
    let fleet = ready(builder(still(20)).console()).await;
    let control = fleet.simulator().control();
    let (pk, agent_id) = windows_agents(&fleet).remove(0);
    assert_eq!(ingest(&fleet).await.state, State::Completed);
    let told = |version: &str, date: &str| Program {
        install_date: date.to_owned(),
        size: "12.5 MB".to_owned(),
        location: "C:\\Own\\".to_owned(),
        ..program("Agent's own", version)
    };
    control.install(pk, told("1.9", "2024-6-01")).expect("it exists");
    control.install(pk, told("1.10", "2024-7-02")).expect("it exists");
    assert_eq!(ingest(&fleet).await.counts.updated, 1);

    let token = fleet.token(&Permission::ALL).await;
    let found = get(&fleet, &token, "/software?q=AGENT%27S+own").await;
    let found = only(&found, "software");
    let software_id = found["software_id"].as_str().expect("it has an id").to_owned();
    let expected = json!({"software_id": software_id, "name": "Agent's own", "publisher": "Muster", "devices": 1});
    assert_eq!(found, &expected);

    let assets = get(&fleet, &token, "/assets?limit=200").await;
    let mut assets = assets["assets"].as_array().expect("it is a list").iter();
    let asset = assets.find(|asset| asset["agent_id"] == agent_id.as_str()).expect("it is a device");
    let asset_id = asset["asset_id"].as_str().expect("it has an id");

    let changes = get(&fleet, &token, &format!("/software/changes?asset_id={asset_id}&change=installed")).await;
    let changes = changes["changes"].as_array().expect("it is a list");
    let versions: Vec<&Value> = changes.iter().map(|change| &change["version"]).collect();
    assert_eq!(versions.len(), 2, "{changes:?}");
    assert!(versions.contains(&&json!("1.9")) && versions.contains(&&json!("1.10")), "{versions:?}");
    for change in changes {
        assert!(change["noticed_at"].as_str().is_some_and(|at| at.contains('T')), "{change}");
        let mut rest = change.clone();
        for name in ["noticed_at", "version"] {
            rest.as_object_mut().expect("it is one").remove(name);
        }
        let expected = json!({"asset_id": asset_id, "asset_name": asset["name"], "software_id": software_id,
            "name": "Agent's own", "publisher": "Muster", "change": "installed", "previous_version": null});
        assert_eq!(rest, expected);
    }

    let installed = get(&fleet, &token, &format!("/assets/{asset_id}/software?limit=200")).await;
    let mut installed = installed["software"].as_array().expect("it is a list").iter();
    let own = installed.find(|row| row["software_id"] == software_id.as_str()).expect("it is there");
    let known = ["name", "publisher", "version", "install_date", "install_path", "size_bytes", "uninstalled_at"];
    let shown: Vec<&Value> = known.iter().map(|name| &own[*name]).collect();
    let expected = json!(["Agent's own", "Muster", "1.10", "2024-07-02", "C:\\Own\\", 13_107_200, null]);
    assert_eq!(json!(shown), expected);
    let of = |version: &Value| json!([version["version"], version["install_date"], version["size_bytes"]]);
    let versions: Vec<Value> = own["versions"].as_array().expect("it is a list").iter().map(of).collect();
    assert_eq!(versions, [json!(["1.10", "2024-07-02", 13_107_200]), json!(["1.9", "2024-06-01", 13_107_200])]);
}
