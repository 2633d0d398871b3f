//! From nothing to devices, as an operator does it: connect, test, sync the clients, map them, sync the devices, look.

use reqwest::Method;
use serde_json::{Value, json};
use store::token::Permission;
use tests::fleet::Answer;
use tests::simulator::{SimulatorConfig, key};
use tests::{DEADLINE, Fleet, until};

/// Below the tenant.
const TACTICAL: &str = "/integrations/tacticalrmm";

struct Operator<'a> {
    fleet: &'a Fleet,
    token: String,
}

impl Operator<'_> {
    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.fleet.ask(&self.token, method, &format!("{TACTICAL}{path}"), body.as_ref()).await
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.ask(Method::GET, path, None).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json
    }

    /// Starts a sync and waits for its end.
    async fn sync(&self, what: &str) -> Value {
        let started = self.ask(Method::POST, &format!("/sync/{what}"), None).await;
        assert_eq!(started.status, 202, "{started:?}");
        let run = format!("/runs/{}", started.json["run_id"].as_str().expect("a run has an id"));
        until(DEADLINE * 3, async || {
            let run = self.get(&run).await;
            if run["run"]["finished_at"].is_null() { Err(run) } else { Ok(run) }
        })
        .await
    }
}

fn server() -> SimulatorConfig {
    SimulatorConfig { agents: 40, clients: 4, sites_per_client: 2, speed: 0.0, ..SimulatorConfig::default() }
}

#[tokio::test]
async fn an_operator_connects_tests_syncs_maps_and_sees_the_devices() {
    let fleet = Fleet::builder().sync_workers(1).console().simulator(server()).start().await;
    let operator = Operator { fleet: &fleet, token: fleet.token(&Permission::ALL).await };
    let settings = json!({"instance_url": fleet.simulator().base_url(), "api_key": key::NO_ROLE});
    let saved = operator.ask(Method::PUT, "", Some(settings)).await;
    assert_eq!(saved.status, 200, "{saved:?}");

    let refused = operator.ask(Method::POST, "/test", None).await;
    assert_eq!((refused.status, &refused.json["outcome"]), (200, &json!("permissions_missing")), "{refused:?}");
    assert!(refused.json["missing_permissions"].to_string().contains("can_list_agents"), "{refused:?}");
    operator.ask(Method::PUT, "", Some(json!({"api_key": key::ADMIN}))).await;
    let tested = operator.ask(Method::POST, "/test", None).await;
    assert_eq!((&tested.json["outcome"], &tested.json["agents_visible"]), (&json!("ok"), &json!(40)), "{tested:?}");

    assert_eq!(operator.sync("clients").await["run"]["state"], "completed");
    map_all(&fleet, &operator).await;
    let run = operator.sync("devices").await;
    assert_eq!((&run["run"]["state"], &run["run"]["created"]), (&json!("completed"), &json!(40)), "{run}");
    assert_eq!(run["parts"].as_array().map(Vec::len), Some(4), "a part for each client: {run}");

    let status = operator.get("").await;
    let devices = &status["devices"];
    let count = |state: &str| devices[state].as_i64().unwrap_or_default();
    assert_eq!(count("online") + count("offline") + count("overdue"), 40, "{status}");
    assert!(devices["status_age_s"].as_i64().is_some_and(|age_s| age_s < 600), "{status}");
    assert_eq!((&status["state"], &status["open_runs"]), (&json!("active"), &json!([])), "{status}");
    see_all(&fleet, &operator).await;

    let coverage = operator.get("/coverage").await;
    assert_eq!(coverage["agents"], 40, "{coverage}");
    let covered = coverage["covered"].as_u64().unwrap_or_default();
    let uncovered = coverage["uncovered"].as_array().map_or(0, Vec::len) as u64;
    assert_eq!(covered + uncovered, 40, "{coverage}");
    assert!(covered > 0, "{coverage}");
    fleet.until_idle().await;
}

/// One is named, the others are accepted as they are proposed, all in one request.
async fn map_all(fleet: &Fleet, operator: &Operator<'_>) {
    let mappings = operator.get("/organization-mappings").await["mappings"].clone();
    let rows = mappings.as_array().expect("a list");
    assert_eq!(rows.len(), 4);
    let tenant = fleet.connection().tenant;
    for row in rows {
        let name = row["name"].as_str().expect("it has a name").to_uppercase();
        fleet
            .database()
            .execute(&format!(
                "insert into clients (tenant, client_name) values ('{tenant}', '{}')",
                name.replace('\'', "''")
            ))
            .await;
    }
    let proposed = operator.get("/organization-mappings").await["mappings"].clone();
    let changes: Vec<Value> = (proposed.as_array().expect("a list").iter())
        .map(|row| json!({"mapping_id": row["mapping_id"], "accept_proposal": true}))
        .collect();
    let changed = operator.ask(Method::PATCH, "/organization-mappings", Some(json!({"mappings": changes}))).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert!(changed.json["mappings"].as_array().is_some_and(|rows| rows.iter().all(|row| !row["client_id"].is_null())));
}

/// Page by page, each once, and one of them wholly.
async fn see_all(fleet: &Fleet, operator: &Operator<'_>) {
    let (mut seen, mut cursor) = (std::collections::BTreeSet::new(), String::new());
    loop {
        let page = fleet.ask(&operator.token, Method::GET, &format!("/assets?limit=7{cursor}"), None).await.json;
        for asset in page["assets"].as_array().expect("a list") {
            assert!(seen.insert(asset["asset_id"].to_string()), "shown twice: {asset}");
        }
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen.len(), 40);
    let one = seen.first().expect("there are some").trim_matches('"').to_owned();
    let detail = fleet.ask(&operator.token, Method::GET, &format!("/assets/{one}"), None).await;
    assert_eq!(detail.status, 200);
    assert!(detail.json["vitals"].is_object() && detail.json["status_age_s"].is_i64(), "{detail:?}");
}
