//! What the API refuses, with whose words: bodies, queries, cursors, a second rotation, a connection without settings.
#![allow(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

mod support;

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};
use store::hook::{self, GRACE_S_MAX};
use store::token::Permission;
use support::{Answer, PEPPER, TENANT, World, tactical};
use uuid::Uuid;

async fn start() -> (World, String) {
    let world = World::start().await;
    let token = world.token(&Permission::ALL).await;
    (world, token)
}

async fn post(world: &World, token: &str, path: &str, body: &str) -> Answer {
    world.send("POST", &tactical(path), Some(token), body).await
}

fn detail(answer: &Answer) -> &str {
    answer.json["detail"].as_str().unwrap()
}

#[tokio::test]
async fn a_second_rotation_within_the_grace_is_refused_unless_it_is_forced() {
    let (world, token) = start().await;
    let is_good = async |secret: &str| {
        let hook = hook::find(&world.store, TENANT).await.unwrap().unwrap();
        let digest = hook::digest(PEPPER.as_bytes(), secret);
        hook.digest == digest || hook.previous.is_some_and(|(previous, _)| previous == digest)
    };
    let in_tactical = "the-first-secret-of-the-tests";
    let first = post(&world, &token, "/webhook/rotate", "").await;
    let first = first.ok()["secret"].as_str().unwrap();
    for body in ["", "{}", r#"{"grace_s":0}"#, r#"{"force":false}"#] {
        let refused = post(&world, &token, "/webhook/rotate", body).await;
        refused.problem(409, "conflict");
        assert!(detail(&refused).starts_with("A rotation is under way until 20"), "{refused:?}");
        assert!(refused.json["remedy"].as_str().unwrap().contains("`force: true`"), "{refused:?}");
        assert!(is_good(in_tactical).await && is_good(first).await, "{body}");
    }
    let forced = post(&world, &token, "/webhook/rotate", r#"{"force":true}"#).await;
    assert!(is_good(first).await && is_good(forced.ok()["secret"].as_str().unwrap()).await);
    assert!(!is_good(in_tactical).await);
}

#[tokio::test]
async fn the_grace_of_a_rotation_is_the_callers_within_its_bounds() {
    let (world, token) = start().await;
    for (body, status, word) in [
        (json!({"grace_s": GRACE_S_MAX + 1}), 422, "invalid"),
        (json!({"grace_s": -1}), 400, "unreadable"),
        (json!({"grace_s": "60"}), 400, "unreadable"),
        (json!({"grace": 60}), 400, "unreadable"),
    ] {
        let refused = post(&world, &token, "/webhook/rotate", &body.to_string()).await;
        refused.problem(status, word);
        assert!(detail(&refused).contains("grace"), "{refused:?}");
    }
    for (body, grace_s) in
        [(json!({"grace_s": 0}), 0), (json!({"grace_s": GRACE_S_MAX}), GRACE_S_MAX), (json!({"force": true}), 86_400)]
    {
        let before = world.store.database_now().await.unwrap();
        let rotated = post(&world, &token, "/webhook/rotate", &body.to_string()).await;
        let until: chrono::DateTime<chrono::Utc> =
            rotated.ok()["previous_valid_until"].as_str().unwrap().parse().unwrap();
        let after = world.store.database_now().await.unwrap();
        let grace = chrono::TimeDelta::seconds(grace_s.try_into().unwrap());
        assert!((before + grace..=after + grace).contains(&until), "{body}: {until}");
    }
}

#[tokio::test]
async fn a_body_where_none_is_taken_is_refused_by_its_field() {
    let (world, token) = start().await;
    for path in ["/sync/clients", "/sync/devices", "/disconnect"] {
        let refused = post(&world, &token, path, r#"{"full":true}"#).await;
        refused.problem(400, "unreadable");
        assert!(detail(&refused).contains("`full`"), "{refused:?}");
        post(&world, &token, path, "[1]").await.problem(400, "unreadable");
    }
    assert_eq!(store::outbox::count(&world.store).await.unwrap(), 0, "nothing was started");
    assert_eq!(post(&world, &token, "/sync/clients", "{}").await.status, 202);
}

#[tokio::test]
async fn a_body_that_is_not_said_to_be_json_is_415() {
    let (world, token) = start().await;
    let send = async |content_type: Option<&str>, body: &str| {
        let mut request = Request::builder().method(Method::PUT).uri(tactical(""));
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let request = request.header("authorization", format!("Bearer {token}"));
        world.answer(request.body(Body::from(body.to_owned())).unwrap()).await
    };
    let body = r#"{"instance_url":"https://api.example.com","api_key":"KEY"}"#;
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "text/json", "application/jsonp", ""] {
        send(Some(content_type), body).await.problem(415, "media-type");
    }
    assert_eq!(world.get(&token, &tactical("")).await.ok()["instance_url"], Value::Null, "nothing was saved");
    for content_type in [None, Some("application/json"), Some("Application/JSON; charset=utf-8")] {
        send(content_type, body).await.ok();
    }
}

#[tokio::test]
async fn a_query_that_cannot_be_read_is_told_by_its_parameter() {
    let (world, token) = start().await;
    for (path, says) in [
        ("/assets?updated_since=yesterday", "`updated_since` must be a time such as `2026-01-31T12:00:00Z`"),
        ("/assets?updated_since=2026-01-01T00:00:00+01:00", "`updated_since` must be a time"),
        ("/assets?client_id=x", "`client_id` must be a UUID"),
        ("/assets?limit=x", "`limit` must be a whole number"),
        ("/assets?limit=70000", "`limit` must be a whole number"),
        ("/assets?missing=1", "`missing` must be true or false"),
        ("/assets?status=lost", "`status` must be `online`, `offline` or `overdue`."),
        ("/assets?colour=red", "`colour`, which is not known here"),
        ("/assets?q=a&q=b", "`q` is given twice."),
        ("/assets?q=a%00b", "`q` holds the character NUL"),
        ("/alerts?agent=%00", "`agent` holds the character NUL"),
        ("/integrations/tacticalrmm?x=1", "`x`, which is not known here: nothing is."),
    ] {
        let refused = world.get(&token, &format!("/api/v1/tenants/{TENANT}{path}")).await;
        refused.problem(400, "unreadable");
        assert!(detail(&refused).contains(says), "{path}: {refused:?}");
    }
    let far = format!("/api/v1/tenants/{TENANT}/assets?updated_since=-6000-01-01T00:00:00Z");
    let refused = world.get(&token, &far).await;
    refused.problem(422, "invalid");
    assert!(detail(&refused).contains("`updated_since`"), "{refused:?}");
}

#[tokio::test]
async fn a_cursor_of_another_list_is_refused() {
    let (world, token) = start().await;
    for kind in ["clients", "devices"] {
        post(&world, &token, &format!("/sync/{kind}"), "").await;
    }
    let runs = world.get(&token, &tactical("/runs?limit=1")).await;
    let cursor = runs.ok()["next_cursor"].as_str().unwrap();
    world.get(&token, &tactical(&format!("/runs?cursor={cursor}"))).await.ok();
    for list in ["assets", "alerts"] {
        let refused = world.get(&token, &format!("/api/v1/tenants/{TENANT}/{list}?cursor={cursor}")).await;
        refused.problem(400, "unreadable");
        assert!(detail(&refused).contains("`cursor`"), "{refused:?}");
    }
}

#[tokio::test]
async fn changes_that_cannot_be_read_are_told_by_their_field() {
    let (world, token) = start().await;
    let path = tactical("/organization-mappings");
    for (body, status, says) in [
        (json!({"mappings": []}), 422, "`mappings` is empty"),
        (json!({"mappings": {}}), 400, "`mappings` must be a list."),
        (json!({"mappings": [{"mapping_id": "x"}]}), 400, "`mappings[0].mapping_id` must be a UUID"),
        (
            json!({"mappings": [{"mapping_id": Uuid::nil(), "client_id": "x"}]}),
            400,
            "`mappings[0].client_id` must be a UUID",
        ),
        (json!({"mappings": [{"auto_sync": true}]}), 400, "`mappings[0].mapping_id` is missing."),
        (json!([]), 400, "The body must be an object."),
    ] {
        let refused = world.send("PATCH", &path, Some(&token), &body.to_string()).await;
        refused.problem(status, if status == 422 { "invalid" } else { "unreadable" });
        assert!(detail(&refused).contains(says), "{body}: {refused:?}");
        assert!(!refused.json["remedy"].as_str().unwrap().contains("several requests"), "{refused:?}");
    }
}

#[tokio::test]
async fn a_status_without_settings_says_what_is_missing_and_is_not_active() {
    let (world, token) = start().await;
    let stands = async || {
        let status = world.get(&token, &tactical("")).await;
        (status.ok()["state"].clone(), status.json["missing"].clone())
    };
    let put = async |body: Value| world.send("PUT", &tactical(""), Some(&token), &body.to_string()).await;
    assert_eq!(stands().await, (json!("incomplete"), json!(["instance_url", "api_key"])));
    world.database.execute("update rmm_integrations set instance_url = 'https://api.example.com'").await;
    assert_eq!(stands().await, (json!("incomplete"), json!(["api_key"])));
    put(json!({"auth_mode": "knox", "username": "ada"})).await.ok();
    assert_eq!(stands().await, (json!("incomplete"), json!(["password"])));
    put(json!({"password": "p w"})).await.ok();
    assert_eq!(stands().await, (json!("active"), json!([])));
    post(&world, &token, "/disconnect", "").await.ok();
    assert_eq!(stands().await, (json!("inactive"), json!(["username", "password"])));
}
