//! A pause as an operator makes it: webhooks are accepted meanwhile, and nothing of them is lost.

use serde_json::{Value, json};
use store::parked;
use store::token::Permission;
use tests::{DEADLINE, Fleet, until};

use super::{quiet, seen};

/// Asks the console for something that is below no tenant.
async fn ask(fleet: &Fleet, token: &str, path: &str, body: &Value) -> Value {
    let request = reqwest::Client::new().post(format!("{}/api/v1{path}", fleet.console_url()));
    let answer = request.bearer_auth(token).json(body).send().await.expect("the console answers");
    assert!(answer.status().is_success(), "{answer:?}");
    answer.json().await.expect("it is JSON")
}

#[tokio::test]
async fn a_paused_tenants_webhooks_are_accepted_and_become_rows_after_the_resume() {
    let mut fleet = Fleet::builder().workers(1).console().simulator(quiet(20)).start().await;
    let token = fleet.token(&[Permission::SettingsRead, Permission::SettingsUpdate]).await;
    let tenant = fleet.connection().tenant;
    assert_eq!(
        ask(&fleet, &token, "/pauses/pause", &json!({})).await,
        json!({"tenant": tenant, "kind": null, "is_new": true})
    );
    fleet.worker(0).until_log(DEADLINE, "\"pauses\":1").await;
    let control = fleet.simulator().control();
    for agent in 1..=3 {
        control.fail_check(agent, 1, tests::simulator::Severity::Error).expect("the agent exists").expect("it opens");
    }
    let store = fleet.store();
    until(DEADLINE, async || match parked::waiting(&store, tenant).await.map_err(|error| error.to_string())?.held {
        3 => Ok(()),
        held => Err(format!("{held} are held")),
    })
    .await;
    assert!(seen(&fleet).await.is_empty(), "nothing of a paused tenant is written");
    assert!(control.webhooks_finished(DEADLINE).await, "the gateway did not take them in time");
    assert!(
        control.webhooks().iter().all(|webhook| webhook.status == Some(202)),
        "a paused tenant's webhooks are accepted"
    );
    assert_eq!(ask(&fleet, &token, "/pauses/resume", &json!({})).await["is_new"], true);
    until(DEADLINE, async || match seen(&fleet).await.len() {
        3 => Ok(()),
        rows => Err(rows),
    })
    .await;
    fleet.until_idle().await;
}
