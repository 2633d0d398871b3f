//! The webhook's contract: every answer, and what an accepted one publishes.

mod http_support;

use std::sync::atomic::Ordering;

use contract::alert_observed::{Said, TemplateMistake};
use http_support::client::request;
use http_support::{Answer, BODY, FakeSource, INTEGRATION, SECRET, TENANT, World, get, hook, hook_of};
use hyper::Method;
use serde_json::json;
use store::hook::{Hook, HookState};
use uuid::Uuid;

#[tokio::test]
async fn a_good_webhook_is_published_and_accepted() {
    let world = World::start(&[]).await;
    let before = chrono::Utc::now();
    let answer = world.post_good(BODY).await;
    assert_eq!(answer.status, 202);
    let published = world.published();
    let [(meta, alert)] = published.as_slice() else { panic!("{published:?}") };
    assert_eq!(answer.json, json!({"accepted": true, "event_id": meta.message_id}));
    assert_eq!((meta.tenant, meta.kind.as_str(), meta.attempt), (TENANT, "alert.observed.v1", 0));
    assert_eq!((alert.integration_id, alert.said, alert.agent_id.as_str()), (INTEGRATION, Said::Open, "AgentOne"));
    assert_eq!((alert.raw.as_slice(), alert.truncated), (BODY.as_bytes(), false));
    let off = (alert.received_at - before).num_milliseconds();
    assert!((-100..5_000).contains(&off), "received {off} ms after it was sent");
    assert_eq!(alert.received_at.timestamp_subsec_nanos() % 1_000, 0, "whole microseconds");
}

#[tokio::test]
async fn put_and_patch_are_as_good_as_post_and_others_are_not() {
    let world = World::start(&[]).await;
    for (method, status) in
        [("POST", 202), ("PUT", 202), ("PATCH", 202), ("GET", 405), ("DELETE", 405), ("HEAD", 405), ("OPTIONS", 405)]
    {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = request(method.clone(), &world.hook_url(TENANT));
        let request = request.header("x-alga-webhook-secret", SECRET).header("content-type", "application/json");
        let answer = Answer::of(request.body(BODY).send().await.unwrap());
        assert_eq!(answer.status, status, "{method}");
        assert_eq!(answer.header("allow"), (status == 405).then_some("POST, PUT, PATCH"));
    }
    assert_eq!(world.published().len(), 3);
    assert_eq!(world.get("/").await.0, 404);
    assert_eq!(world.get("/api/webhooks/other").await.0, 404);
}

#[tokio::test]
async fn two_equal_requests_are_two_facts() {
    let world = World::start(&[]).await;
    let (one, other) = (world.post_good(BODY).await, world.post_good(BODY).await);
    assert_ne!(one.json["event_id"], other.json["event_id"]);
}

#[tokio::test]
async fn a_request_without_a_tenant_is_told_so() {
    let world = World::start(&[]).await;
    let base = format!("{}/api/webhooks/tacticalrmm", world.url);
    for end in ["", "?", "?tenant=", "?tenant=7", "?Tenant=00000000-0000-0000-0000-00000000007e", "?tenant=%ff"] {
        let request = request(Method::POST, &format!("{base}{end}")).header("x-alga-webhook-secret", SECRET);
        let answer = Answer::of(request.body(BODY).send().await.unwrap());
        assert_eq!(answer.status, 400, "{end}");
        assert!(answer.json["error"].as_str().unwrap().contains("?tenant="), "{end}");
    }
}

#[tokio::test]
async fn unknown_tenant_no_secret_and_wrong_secret_are_answered_alike() {
    let world = World::start(&[]).await;
    let wrong = world.post(TENANT, "wrong", BODY).await;
    assert_eq!(wrong.status, 401);
    assert_eq!(world.post(Uuid::from_u128(9), SECRET, BODY).await, wrong, "unknown tenant");
    assert_eq!(world.post(Uuid::nil(), "", BODY).await, wrong, "empty secret");
    assert_eq!(world.post(TENANT, "", BODY).await, wrong, "empty secret");
    let none = request(Method::POST, &world.hook_url(TENANT)).body(BODY).send().await.unwrap();
    assert_eq!(Answer::of(none), wrong, "no secret");
    let odd = request(Method::POST, &world.hook_url(TENANT)).header("x-alga-webhook-secret", b"\xff\xfe").body(BODY);
    assert_eq!(Answer::of(odd.send().await.unwrap()), wrong, "not text");
    let long = "x".repeat(16 * 1024);
    assert_eq!(world.post(TENANT, &long, BODY).await, wrong, "very long secret");
    assert!(world.published().is_empty());
}

#[tokio::test]
async fn a_stranger_learns_nothing_from_a_body() {
    let world = World::start(&["--body-bytes-max", "1000"]).await;
    for body in [String::new(), "not json".to_owned(), "x".repeat(1_001)] {
        assert_eq!(world.post(TENANT, "wrong", body).await.status, 401);
    }
}

#[tokio::test]
async fn a_body_without_an_agent_is_told_what_to_do() {
    let world = World::start(&[]).await;
    for (body, word) in [("", "empty"), ("hello", "not JSON"), ("[1]", "not a JSON object"), ("{}", "agent_id")] {
        let answer = world.post_good(body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.json["error"].as_str().unwrap().contains(word), "{body}: {}", answer.json);
    }
}

#[tokio::test]
async fn what_is_not_recorded_says_why() {
    let tenants = [HookState::Suspended, HookState::Inactive];
    let hooks = tenants
        .iter()
        .enumerate()
        .map(|(number, state)| Hook { state: *state, ..hook_of(Uuid::from_u128(number as u128), SECRET) });
    let source = FakeSource::with(hooks.chain([hook()]).collect());
    let world = World::start_with(source, None, &[]).await;
    world.until_loaded().await;
    for (number, reason) in ["tenant_suspended", "connection_inactive"].iter().enumerate() {
        let answer = world.post(Uuid::from_u128(number as u128), SECRET, BODY).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json, json!({"accepted": true, "recorded": false, "reason": reason}));
        assert_eq!(world.post(Uuid::from_u128(number as u128), "wrong", BODY).await.status, 401);
    }
    let test = concat!(
        r#"{"event":"trigger","alert_id":17,"alert_type":"PC-07","severity":"PC-07","agent_id":"a","#,
        r#""alert_time":"PC-07"}"#
    );
    let answer = world.post_good(test).await;
    assert_eq!((answer.status, &answer.json["reason"]), (200, &json!("test")));
    assert!(world.published().is_empty());
}

#[tokio::test]
async fn a_template_mistake_is_recorded_as_open_with_a_warning() {
    let world = World::start(&[]).await;
    let answer = world.post_good(r#"{"event":"trigger|resolve","agent_id":"a","alert_id":1}"#).await;
    assert_eq!(answer.status, 202);
    assert!(answer.json["warning"].as_str().unwrap().contains("event"));
    let (_, alert) = world.published().remove(0);
    assert_eq!((alert.said, alert.template_mistake), (Said::Open, Some(TemplateMistake::VerbatimEvent)));
}

#[tokio::test]
async fn what_neither_the_broker_nor_the_spool_takes_is_not_accepted() {
    let world = World::start(&["--retry-after-s", "7", "--spool-bytes-max", "1"]).await;
    world.broker.fails.store(true, Ordering::SeqCst);
    let answer = world.post_good(BODY).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("7")));
    world.broker.fails.store(false, Ordering::SeqCst);
    assert_eq!(world.post_good(BODY).await.status, 202);
}

#[tokio::test]
async fn the_message_carries_the_senders_trace_on() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let world = World::start(&[]).await;
    for (sent, same_trace) in [(format!("00-{TRACE}-00f067aa0ba902b7-01"), true), ("00-zz-1-1".to_owned(), false)] {
        let request = request(Method::POST, &world.hook_url(TENANT)).header("x-alga-webhook-secret", SECRET);
        let response = request.header("traceparent", &sent).body(BODY).send().await.unwrap();
        assert_eq!(response.status, 202);
        let (meta, _) = world.published().pop().unwrap();
        let carried = meta.traceparent.expect("a message has a trace");
        assert_eq!(carried.contains(TRACE), same_trace, "{carried}");
        assert_ne!(carried, sent, "the publish is a span of its own");
    }
}

#[tokio::test]
async fn readiness_names_what_is_missing() {
    // no record is as small as a byte, but room for one is what is asked for
    let world = World::start_with(FakeSource::away(), None, &["--spool-bytes-max", "0"]).await;
    world.broker.not_ready.store(true, Ordering::SeqCst);
    assert_eq!(world.get("/livez").await.0, 200);
    assert_eq!(world.get("/readyz").await, (503, "not ready: hooks, broker or spool\n".to_owned()));
    world.broker.not_ready.store(false, Ordering::SeqCst);
    assert_eq!(world.get("/readyz").await, (503, "not ready: hooks\n".to_owned()));
    world.source.away.store(false, Ordering::SeqCst);
    world.until_loaded().await;
    assert_eq!(world.get("/readyz").await, (200, "ready\n".to_owned()));
}

#[tokio::test]
async fn metrics_leave_the_public_listener_where_there_is_an_admin_one() {
    let world = World::start(&[]).await;
    world.post_good(BODY).await;
    let (status, text) = world.get("/metrics").await;
    assert_eq!(status, 200);
    assert!(text.contains("muster_webhook_requests_total{status=\"202\"}"), "{text}");
    let world = World::start(&["--admin-listen", "127.0.0.1:0"]).await;
    assert_eq!(world.get("/metrics").await.0, 404);
    assert_eq!(world.get("/livez").await.0, 200);
    let admin = world.admin_url.clone().unwrap();
    for path in ["/metrics", "/livez", "/readyz"] {
        assert_eq!(get(&format!("{admin}{path}")).await.0, 200, "{path}");
    }
    assert_eq!(get(&format!("{admin}/api/webhooks/tacticalrmm")).await.0, 404);
}
