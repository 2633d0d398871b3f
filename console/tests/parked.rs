//! Parked messages and pauses by the API: whose may be seen and touched, what is shown of them, what is done.
#![allow(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

mod support;

use serde_json::{Value, json};
use store::outbox;
use store::parked::{self, Parked, ParkedState};
use store::token::Permission;
use support::{Answer, OTHER, TENANT, World, make};
use uuid::Uuid;

const KIND: &str = "alert.observed.v1";

fn message(tenant: Option<Uuid>, number: u32) -> Parked {
    Parked {
        tenant,
        kind: Some(KIND.to_owned()),
        message_id: Some(format!("message {number}")),
        class: "retryable".to_owned(),
        reason: "retryable: cannot reach https://ada:canary@rmm.example.com".to_owned(),
        attempt: 9,
        worker_version: "alert-worker 0.1.0".to_owned(),
        state: ParkedState::Parked,
        exchange: "muster.work".to_owned(),
        routing_key: "alert-worker.main.alert.observed.v1".to_owned(),
        queue: Some("alert-worker.main".to_owned()),
        headers: json!({"x-muster-attempt": "9", "x-api-key": "canary"}),
        body:
            br#"{"agent_id": "x", "raw": "eyJ0b2tlbiI6ICJjYW5hcnkifQ==", "note": "the key ABCDEFGHIJKLMNOPQRSTUVWXYZ"}"#
                .to_vec(),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        first_published_at: None,
    }
}

/// One of the tenant, one of the other, one of nobody; a token of the tenant and one of all.
async fn start() -> (World, String, String) {
    let world = World::start().await;
    let nobody = Parked { class: "poison".to_owned(), body: b"\xff token=canary".to_vec(), ..message(None, 3) };
    for one in [message(Some(TENANT), 1), message(Some(OTHER), 2), nobody] {
        parked::insert(&world.store, &[one]).await.unwrap();
    }
    let own = world.token(&Permission::ALL).await;
    let (_, all) = make(&world.store, None, &Permission::ALL, None).await;
    (world, own, all)
}

async fn post(world: &World, token: &str, path: &str, body: Value) -> Answer {
    world.send("POST", path, Some(token), &body.to_string()).await
}

/// The ids of a list, the newest first.
fn ids(answer: &Answer) -> Vec<i64> {
    answer.ok()["messages"].as_array().unwrap().iter().map(|row| row["parked_id"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn a_tenants_token_sees_its_own_messages_and_one_of_all_sees_those_of_nobody_too() {
    let (world, own, all) = start().await;
    let everything = ids(&world.get(&all, "/api/v1/parked").await);
    let [nobodys, others, mine] = everything[..] else { panic!("{everything:?}") };
    assert_eq!(ids(&world.get(&own, "/api/v1/parked").await), [mine]);
    assert_eq!(ids(&world.get(&all, &format!("/api/v1/parked?tenant={OTHER}")).await), [others]);
    assert_eq!(ids(&world.get(&all, "/api/v1/parked?class=poison").await), [nobodys]);
    assert_eq!(
        ids(&world.get(&all, "/api/v1/parked?newer_than_s=3600&state=parked&kind=alert.observed.v1").await).len(),
        3
    );
    assert!(ids(&world.get(&all, "/api/v1/parked?older_than_s=3600").await).is_empty());
    world.get(&own, &format!("/api/v1/parked?tenant={OTHER}")).await.problem(404, "not-found");
    for parked_id in [others, nobodys] {
        world.get(&own, &format!("/api/v1/parked/{parked_id}")).await.problem(404, "not-found");
    }
    let first = world.get(&all, "/api/v1/parked?limit=2").await;
    let cursor = first.ok()["next_cursor"].as_str().unwrap();
    assert_eq!(ids(&world.get(&all, &format!("/api/v1/parked?limit=2&cursor={cursor}")).await), [mine]);
}

#[tokio::test]
async fn a_message_is_shown_with_why_it_is_there_and_without_secrets() {
    let (world, own, all) = start().await;
    let settings = json!({"instance_url": "https://api.example.com", "api_key": "ABCDEFGHIJKLMNOPQRSTUVWXYZ"});
    world.send("PUT", &support::tactical(""), Some(&own), &settings.to_string()).await.ok();
    let listed = world.get(&all, "/api/v1/parked").await;
    assert!(!listed.text.contains("canary"), "{listed:?}");
    let [nobodys, _, mine] = ids(&listed)[..] else { panic!("{listed:?}") };
    let shown = world.get(&own, &format!("/api/v1/parked/{mine}")).await;
    let message = shown.ok();
    assert_eq!((&message["class"], &message["attempt"]), (&json!("retryable"), &json!(9)));
    assert_eq!(message["worker_version"], "alert-worker 0.1.0");
    assert_eq!(message["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(message["reason"], "retryable: cannot reach https://[redacted]@rmm.example.com");
    assert_eq!(message["headers"], json!({"x-muster-attempt": "9", "x-api-key": "[redacted]"}));
    let body = json!({"agent_id": "x", "raw": r#"{"token":"[redacted]"}"#, "note": "the key [redacted]"});
    assert_eq!(message["body"], body);
    let poison = world.get(&all, &format!("/api/v1/parked/{nobodys}")).await;
    assert_eq!((&poison.ok()["body_text"], &poison.json["body"]), (&json!("\u{FFFD} token=[redacted]"), &Value::Null));
    let reader = world.token(&[Permission::SettingsRead]).await;
    world.get(&reader, &format!("/api/v1/parked/{mine}")).await.problem(403, "forbidden");
}

#[tokio::test]
async fn a_redrive_says_what_it_would_do_and_then_does_it_in_batches() {
    let (world, own, all) = start().await;
    post(&world, &all, "/api/v1/parked/redrive", json!({})).await.problem(422, "invalid");
    post(&world, &own, "/api/v1/parked/redrive", json!({"state": "held"})).await.problem(422, "invalid");
    // whose messages, and how they wait, is no choice: a shell has MUSTER_TENANT for all its commands
    for narrowed in [json!({"tenant": TENANT}), json!({"tenant": TENANT, "state": "parked"}), json!({"state": "held"})]
    {
        post(&world, &all, "/api/v1/parked/drop", narrowed).await.problem(422, "invalid");
    }
    post(&world, &own, "/api/v1/parked/redrive", json!({"tenant": OTHER})).await.problem(404, "not-found");
    for wrong in [json!({"all": true, "limit": 501}), json!({"all": true, "limit": 0}), json!({"ids": vec![1; 501]})] {
        post(&world, &all, "/api/v1/parked/redrive", wrong).await.problem(400, "unreadable");
    }
    let planned = post(&world, &all, "/api/v1/parked/redrive", json!({"all": true, "dry_run": true})).await;
    assert_eq!((&planned.ok()["messages"], &planned.json["left"]), (&json!(2), &json!(1)), "{planned:?}");
    assert_eq!(outbox::count(&world.store).await.unwrap(), 0, "a dry run changes nothing");
    let up_to = planned.json["up_to"].clone();
    let mut batches = Vec::new();
    loop {
        let batch =
            post(&world, &all, "/api/v1/parked/redrive", json!({"all": true, "up_to": up_to, "limit": 1})).await;
        batches.push(batch.ok()["messages"].as_i64().unwrap());
        if batch.json["is_done"] == true {
            break;
        }
    }
    assert_eq!(batches, [1, 1, 0]);
    assert_eq!((outbox::count(&world.store).await.unwrap(), parked::count(&world.store).await.unwrap()), (2, 1));
    audited(&world, "parked.redrive", "1 1").await;
}

#[tokio::test]
async fn a_tenants_token_drops_its_own_messages_only() {
    let (world, own, all) = start().await;
    let everything = ids(&world.get(&all, "/api/v1/parked").await);
    let dropped = post(&world, &own, "/api/v1/parked/drop", json!({"ids": everything})).await;
    assert_eq!((&dropped.ok()["messages"], &dropped.json["is_done"]), (&json!(1), &json!(true)));
    assert_eq!(ids(&world.get(&all, "/api/v1/parked").await), everything[..2]);
    audited(&world, "parked.drop", "1").await;
}

#[tokio::test]
async fn a_pause_is_made_seen_and_ended() {
    let (world, own, all) = start().await;
    let pause =
        async |token: &str, word: &str, body: Value| post(&world, token, &format!("/api/v1/pauses/{word}"), body).await;
    pause(&all, "pause", json!({})).await.problem(422, "invalid");
    pause(&all, "pause", json!({"kind": "alert.observed"})).await.problem(422, "invalid");
    pause(&all, "pause", json!({"tenant": Uuid::from_u128(0xdead)})).await.problem(404, "not-found");
    pause(&own, "pause", json!({"tenant": OTHER})).await.problem(404, "not-found");
    // a tenant's token means its tenant
    let paused = pause(&own, "pause", json!({"kind": KIND})).await;
    assert_eq!(*paused.ok(), json!({"tenant": TENANT, "kind": KIND, "is_new": true}));
    assert_eq!(pause(&own, "pause", json!({"kind": KIND})).await.ok()["is_new"], false);
    assert_eq!(pause(&all, "pause", json!({"kind": KIND})).await.ok()["tenant"], Value::Null);
    let held = Parked { state: ParkedState::Held, class: "held".to_owned(), ..message(Some(TENANT), 9) };
    assert_eq!(store::pause::hold(&world.store, &[held]).await.unwrap(), [true]);

    let status = world.get(&own, &support::tactical("")).await;
    assert_eq!((&status.ok()["parked"], &status.json["held"]), (&json!(1), &json!(1)));
    assert_eq!(status.json["pauses"][0]["paused_by"], "the tests' token");
    let listed = world.get(&own, "/api/v1/pauses").await;
    assert_eq!((listed.ok()["pauses"].as_array().unwrap().len(), &listed.json["pauses"][1]["held"]), (2, &json!(1)));
    assert_eq!(world.get(&all, &format!("/api/v1/pauses?tenant={OTHER}")).await.ok()["pauses"][0]["held"], 0);

    assert_eq!(pause(&own, "resume", json!({"kind": KIND})).await.ok()["is_new"], true);
    assert_eq!(
        pause(&own, "resume", json!({"kind": KIND})).await.ok()["is_new"],
        false,
        "that of all is not the tenant's"
    );
    assert_eq!(pause(&all, "resume", json!({"kind": KIND})).await.ok()["is_new"], true);
    assert!(world.get(&all, "/api/v1/pauses").await.ok()["pauses"].as_array().unwrap().is_empty());
}

/// The audit says so, an entry of so many messages each.
async fn audited(world: &World, action: &str, entries: &str) {
    let told = "select string_agg(action || ' by ' || actor || ': ' || (detail ->> 'messages'), ', ' order by audit_id)
                from muster.audit where action like 'parked.%'";
    let expected =
        entries.split(' ').map(|count| format!("{action} by the tests'' token: {count}")).collect::<Vec<_>>();
    let claim = format!("do $$ begin assert ({told}) = '{}', ({told}); end $$", expected.join(", "));
    world.database.execute(&claim).await;
}
