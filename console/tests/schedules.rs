//! Schedules by the API: what they are, what is changed about them, what is refused, and what the status says of failures.
#![allow(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

mod support;

use serde_json::{Value, json};
use store::run::{self, Cause, Kind};
use store::token::Permission;
use support::{Answer, TENANT, World, bare_tenant, entry, make, tactical};
use uuid::Uuid;

async fn start() -> (World, String) {
    let world = World::start().await;
    let token = world.token(&Permission::ALL).await;
    (world, token)
}

async fn patch(world: &World, token: &str, kind: &str, body: Value) -> Answer {
    world.send("PATCH", &tactical(&format!("/schedules/{kind}")), Some(token), &body.to_string()).await
}

#[tokio::test]
async fn a_connection_shows_its_schedules_with_their_defaults() {
    let (world, token) = start().await;
    let answer = world.get(&token, &tactical("/schedules")).await;
    let schedules = answer.ok()["schedules"].as_array().unwrap();
    let shown: Vec<_> = schedules.iter().map(|it| (it["kind"].as_str().unwrap(), it["interval_s"].clone())).collect();
    assert_eq!(
        shown,
        [("clients", json!(3_600)), ("devices", json!(120)), ("software", json!(86_400)), ("alerts", json!(300))]
    );
    for schedule in schedules {
        assert_eq!((&schedule["is_default"], &schedule["enabled"]), (&json!(true), &json!(true)));
        assert!(schedule["next_due_at"].is_string() && schedule["failing"].is_null(), "{schedule}");
    }
}

#[tokio::test]
async fn an_interval_is_changed_within_its_limits_and_null_is_the_default_again() {
    let (world, token) = start().await;
    for interval_s in [60, 604_800] {
        let changed = patch(&world, &token, "alerts", json!({"interval_s": interval_s})).await;
        assert_eq!((&changed.ok()["interval_s"], &changed.json["is_default"]), (&json!(interval_s), &json!(false)));
    }
    for interval_s in [59, 604_801, 0, -1, i64::MAX] {
        let refused = patch(&world, &token, "alerts", json!({"interval_s": interval_s})).await;
        refused.problem(422, "invalid");
        assert!(refused.json["remedy"].as_str().unwrap().contains("60 to 604800"), "{refused:?}");
    }
    let off = patch(&world, &token, "alerts", json!({"enabled": false})).await;
    assert_eq!((&off.ok()["enabled"], &off.json["next_due_at"]), (&json!(false), &Value::Null));
    assert_eq!(off.json["interval_s"], json!(604_800), "what is absent stays");
    let on = patch(&world, &token, "alerts", json!({"enabled": true, "interval_s": null})).await;
    assert_eq!((&on.ok()["interval_s"], &on.json["is_default"]), (&json!(300), &json!(true)));
    assert!(on.json["next_due_at"].is_string());
    // each change once, no refusal
    let noted = "do $$ begin assert (select count(*) from muster.audit
                 where action = 'schedule.change' and subject = 'alerts') = 4; end $$";
    world.database.execute(noted).await;
}

#[tokio::test]
async fn what_is_no_change_or_no_schedule_is_refused() {
    let (world, token) = start().await;
    patch(&world, &token, "alerts", json!({})).await.problem(422, "invalid");
    patch(&world, &token, "alerts", json!({"interval_s": "5m"})).await.problem(400, "unreadable");
    patch(&world, &token, "alerts", json!({"interval": 300})).await.problem(400, "unreadable");
    patch(&world, &token, "patches", json!({"enabled": true})).await.problem(404, "not-found");
    let bare = Uuid::from_u128(0xba);
    bare_tenant(&world.database, bare).await;
    let (_, token) = make(&world.store, Some(bare), &Permission::ALL, None).await;
    let path = |rest: &str| tactical(rest).replace(&TENANT.to_string(), &bare.to_string());
    world.get(&token, &path("/schedules")).await.problem(409, "not-connected");
    let change = world.send("PATCH", &path("/schedules/alerts"), Some(&token), r#"{"enabled":true}"#).await;
    change.problem(409, "not-connected");
}

#[tokio::test]
async fn the_status_says_what_needs_a_person_and_one_success_takes_it_away() {
    let (world, token) = start().await;
    let url = json!({"instance_url": "https://api.example.com", "api_key": "k".repeat(32)});
    world.send("PUT", &tactical(""), Some(&token), &url.to_string()).await.ok();
    let status = world.get(&token, &tactical("")).await;
    assert_eq!((&status.ok()["state"], &status.json["attention"]), (&json!("active"), &json!([])));
    let integration: Uuid = serde_json::from_value(status.json["integration_id"].clone()).unwrap();
    let begin = async || run::start(&world.store, TENANT, integration, Kind::Alerts, "test", &entry()).await.unwrap();
    for failure in 0..3 {
        let run_id = begin().await.run_id;
        let cause = Cause { text: "the key has expired".to_owned(), needs_attention: true };
        run::fail(&world.store, TENANT, run_id, None, cause).await.unwrap();
        if failure == 0 {
            let back = "update muster.schedule set failing_since = failing_since - interval '10 minutes'";
            world.database.execute(back).await;
        }
    }
    let status = world.get(&token, &tactical("")).await;
    assert_eq!(status.ok()["state"], "needs_attention");
    let attention = &status.json["attention"][0];
    assert_eq!((&attention["kind"], &attention["cause"]), (&json!("alerts"), &json!("the key has expired")));
    assert!(attention["attention_at"].is_string() && attention["count"] == json!(3), "{attention}");
    let fence = run::take_over(&world.store, TENANT, begin().await.run_id).await.unwrap().unwrap().fence;
    run::plan(&world.store, &fence, &[]).await.unwrap();
    let status = world.get(&token, &tactical("")).await;
    assert_eq!((&status.ok()["state"], &status.json["attention"]), (&json!("active"), &json!([])));
}
