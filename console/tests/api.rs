//! What the routes do, against a database: settings, syncs, mappings, webhook, lists, and what goes wrong.
#![allow(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

mod support;

use serde_json::{Value, json};
use store::Store;
use store::run::{self, RunFilter};
use store::token::Permission;
use support::{Answer, PEPPER, TENANT, World, ask, make, tactical};
use uuid::Uuid;

/// Everything may be done.
async fn start() -> (World, String) {
    let world = World::start().await;
    let token = world.token(&Permission::ALL).await;
    (world, token)
}

async fn put(world: &World, token: &str, body: Value) -> Answer {
    world.send("PUT", &tactical(""), Some(token), &body.to_string()).await
}

async fn post(world: &World, token: &str, path: &str, body: &str) -> Answer {
    world.send("POST", &tactical(path), Some(token), body).await
}

#[tokio::test]
async fn settings_are_saved_in_parts_and_a_secret_is_never_shown() {
    let (world, token) = start().await;
    let key = "ABCDEFGHIJKLMNOPQRSTUVWXYZ123456";
    let body = json!({"instance_url": "https://api.example.com/", "api_key": key});
    let saved = put(&world, &token, body).await;
    let status = saved.ok();
    assert_eq!(status["instance_url"], "https://api.example.com");
    assert_eq!((&status["auth_mode"], &status["device_source"]), (&json!("api_key"), &json!("classic")));
    assert_eq!(status["secrets"][0]["masked"], "…3456");
    assert!(!saved.text.contains(key));
    let kept = put(&world, &token, json!({"device_source": "beta"})).await;
    assert_eq!(kept.ok()["secrets"][0]["masked"], "…3456", "what is absent stays");
    assert_eq!(kept.json["device_source"], "beta");
    assert_eq!(kept.json["instance_url"], "https://api.example.com");
    let login =
        put(&world, &token, json!({"auth_mode": "knox", "username": "ada", "password": "canary-password"})).await;
    assert_eq!(login.ok()["auth_mode"], "knox");
    assert!(!login.text.contains("canary"));
}

#[tokio::test]
async fn another_server_wants_its_credentials_in_the_same_request() {
    let (world, token) = start().await;
    let (url, other) = ("https://api.example.com", "https://rmm.example.com");
    put(&world, &token, json!({"instance_url": url, "api_key": "k".repeat(32)})).await.ok();
    for (body, wanted) in [
        (json!({"instance_url": other}), "`api_key`"),
        (json!({"instance_url": other, "auth_mode": "knox", "username": "ada"}), "`username` and `password`"),
    ] {
        let refused = put(&world, &token, body).await;
        refused.problem(422, "invalid");
        assert!(refused.json["detail"].as_str().unwrap().contains(wanted), "{refused:?}");
    }
    assert_eq!(world.get(&token, &tactical("")).await.ok()["instance_url"], url, "nothing was saved");
    put(&world, &token, json!({"instance_url": format!("{url}:443/"), "device_source": "beta"})).await.ok();
    let saved =
        put(&world, &token, json!({"instance_url": other, "username": "ada", "password": "p", "auth_mode": "knox"}));
    let names: Vec<_> = saved.await.ok()["secrets"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
    assert_eq!(names, ["tacticalrmm_password", "tacticalrmm_username"], "the key of the other server is gone");
}

#[tokio::test]
async fn what_is_no_setting_is_refused_by_name_and_a_bad_url_with_its_sentence() {
    let (world, token) = start().await;
    for (body, status, says) in [
        (json!({"alertPolling": {}}), 400, "alertPolling"),
        (json!({"auth_mode": "canary"}), 400, "`api_key` or `knox`"),
        (json!({"instance_url": 7}), 400, "`instance_url` must be a text."),
        (json!({}), 422, "instance_url"),
        (json!({"instance_url": "api.example.com"}), 422, "https://"),
        (json!({"instance_url": "http://api.example.com"}), 422, "http://"),
        (json!({"instance_url": "https://127.0.0.1"}), 422, "not public"),
        (json!({"instance_url": "https://u:canary@api.example.com"}), 422, "user name or a password"),
        (json!({"instance_url": "https://api.example.com", "api_key": ""}), 422, "api_key"),
        (json!({"instance_url": "https://api.example.com", "password": "x".repeat(501)}), 422, "password"),
        (json!({"instance_url": "https://api.example.com", "api_key": "canary\nkey"}), 422, "`api_key` holds a space"),
        (json!({"instance_url": "https://api.example.com", "api_key": " canary"}), 422, "`api_key` holds a space"),
        (json!({"instance_url": "https://api.example.com", "api_key": "canäry"}), 422, "`api_key` holds a space"),
        (json!({"instance_url": "https://api.example.com", "username": "canary\t"}), 422, "`username` holds a control"),
        (json!({"instance_url": "https://api.example.com", "password": "canary\r"}), 422, "`password` holds a control"),
    ] {
        let answer = put(&world, &token, body.clone()).await;
        answer.problem(status, if status == 400 { "unreadable" } else { "invalid" });
        let detail = answer.json["detail"].as_str().unwrap();
        assert!(detail.contains(says) && !answer.text.contains("canary"), "{body}: {answer:?}");
    }
    assert_eq!(world.get(&token, &tactical("")).await.ok()["instance_url"], Value::Null, "nothing was saved");
}

#[tokio::test]
async fn a_test_of_what_is_not_entered_says_so_and_is_no_problem() {
    let (world, token) = start().await;
    let answer = post(&world, &token, "/test", "").await;
    assert_eq!(answer.ok()["outcome"], "no_url");
    assert!(answer.json["remedy"].as_str().unwrap().contains("https://api."));
    post(&world, &token, "/test", r#"{"code":"12 34"}"#).await.problem(422, "invalid");
}

#[tokio::test]
async fn a_sync_is_answered_with_its_run_and_asked_again_with_the_same() {
    let (world, token) = start().await;
    let first = post(&world, &token, "/sync/devices", "").await;
    assert_eq!((first.status, &first.json["is_new"]), (202, &json!(true)), "{first:?}");
    let run_id = first.json["run_id"].as_str().unwrap();
    assert_eq!(first.header("location"), tactical(&format!("/runs/{run_id}")));
    let again = post(&world, &token, "/sync/devices", "").await;
    assert_eq!((again.status, &again.json["run_id"], &again.json["is_new"]), (202, &json!(run_id), &json!(false)));
    let watched = world.get(&token, first.header("location")).await;
    assert_eq!(watched.ok()["run"]["state"], "queued");
    assert_eq!(watched.json["run"]["requested_by"], "the tests' token");
    assert_eq!(world.get(&token, &tactical("")).await.ok()["open_runs"][0]["run_id"], run_id);
    assert_eq!(store::outbox::count(&world.store).await.unwrap(), 1, "its message");
    world.get(&token, &tactical(&format!("/runs/{}", Uuid::nil()))).await.problem(404, "not-found");
    world.get(&token, &tactical("/runs/x")).await.problem(404, "not-found");
}

async fn end_all(store: &Store) {
    let entry = support::entry();
    store::connection::disconnect(store, TENANT, &entry).await.unwrap();
    store::tenant::set_suspended(store, TENANT, false, "a test").await.unwrap();
    support::connect(store, TENANT).await;
}

#[tokio::test]
async fn runs_are_filtered_and_paged() {
    let (world, token) = start().await;
    for _ in 0..3 {
        post(&world, &token, "/sync/clients", "").await;
        post(&world, &token, "/sync/devices", "").await;
        end_all(&world.store).await;
    }
    post(&world, &token, "/sync/clients", "").await;
    assert_eq!(run::page(&world.store, TENANT, &RunFilter::default(), 100).await.unwrap().len(), 7);
    let count = async |query: &str| {
        world.get(&token, &tactical(&format!("/runs?{query}"))).await.ok()["runs"].as_array().unwrap().len()
    };
    assert_eq!(count("").await, 7);
    assert_eq!(count("kind=devices").await, 3);
    assert_eq!(count("state=failed").await, 6);
    assert_eq!(count("state=open").await, 1);
    assert_eq!(count("state=queued&kind=clients").await, 1);
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world.get(&token, &tactical(&format!("/runs?limit=3{cursor}"))).await;
        seen.extend(page.ok()["runs"].as_array().unwrap().iter().map(|run| run["run_id"].clone()));
        let Some(next) = page.json["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    seen.dedup();
    assert_eq!(seen.len(), 7);
}

#[tokio::test]
async fn a_disconnect_deletes_the_secrets_and_ends_what_runs() {
    let (world, token) = start().await;
    put(&world, &token, json!({"instance_url": "https://api.example.com", "api_key": "k".repeat(32)})).await.ok();
    let run_id = post(&world, &token, "/sync/clients", "").await.json["run_id"].clone();
    let status = post(&world, &token, "/disconnect", "").await;
    assert_eq!((&status.ok()["state"], &status.json["secrets"]), (&json!("inactive"), &json!([])));
    let run = world.get(&token, &tactical(&format!("/runs/{}", run_id.as_str().unwrap()))).await;
    assert_eq!((&run.ok()["run"]["state"], &run.json["run"]["error"]), (&json!("failed"), &json!("disconnected")));
    post(&world, &token, "/sync/devices", "").await.problem(409, "conflict");
    post(&world, &token, "/coverage", "").await.problem(405, "method-not-allowed");
    world.get(&token, &tactical("/coverage")).await.problem(409, "conflict");
}

#[tokio::test]
async fn the_webhook_is_shown_and_only_a_rotation_shows_its_secret() {
    let (world, token) = start().await;
    let shown = world.get(&token, &tactical("/webhook")).await;
    let expected = format!("https://hooks.example.com/api/webhooks/tacticalrmm?tenant={TENANT}");
    assert_eq!((&shown.ok()["url"], &shown.json["header"]), (&json!(expected), &json!("X-Alga-Webhook-Secret")));
    assert!(shown.json["failure_body"].as_str().unwrap().contains("{{alert.id}}"));
    assert!(shown.json["resolved_body"].as_str().unwrap().contains(r#""event":"resolve""#));
    let rotated = post(&world, &token, "/webhook/rotate", "").await;
    let secret = rotated.ok()["secret"].as_str().unwrap();
    assert!(!rotated.json["previous_valid_until"].is_null(), "{rotated:?}");
    let hook = store::hook::find(&world.store, TENANT).await.unwrap().unwrap();
    assert_eq!(hook.digest, store::hook::digest(PEPPER.as_bytes(), secret), "the gateway takes it");
    let after = world.get(&token, &tactical("/webhook")).await;
    assert!(!after.text.contains(secret) && !after.json["previous_valid_until"].is_null(), "{after:?}");
}

#[tokio::test]
async fn lists_refuse_what_they_do_not_take_and_end() {
    let (world, token) = start().await;
    let assets = format!("/api/v1/tenants/{TENANT}/assets");
    let empty = world.get(&token, &assets).await;
    assert_eq!(empty.ok(), &json!({"assets": [], "next_cursor": null}));
    for query in ["limit=0", "limit=501", "limit=x", "cursor=x", "status=lost", "missing=1", "colour=red"] {
        world.get(&token, &format!("{assets}?{query}")).await.problem(400, "unreadable");
    }
    let query = "status=overdue&type=server&missing=false&q=%25&updated_since=2026-01-01T00:00:00Z&limit=500";
    assert_eq!(world.get(&token, &format!("{assets}?{query}")).await.ok()["assets"], json!([]));
    world.get(&token, &format!("{assets}/{}", Uuid::nil())).await.problem(404, "not-found");
    let alerts = format!("/api/v1/tenants/{TENANT}/alerts?status=auto_resolved&severity=none&agent=x&limit=1");
    assert_eq!(world.get(&token, &alerts).await.ok()["alerts"], json!([]));
}

#[tokio::test]
async fn lists_of_software_refuse_what_they_do_not_take_and_end() {
    let (world, token) = start().await;
    let tenant = format!("/api/v1/tenants/{TENANT}");
    for (path, name) in [
        ("/software?q=%25&installed=true&limit=500", "software"),
        ("/software/changes?change=removed&since=2026-01-01T00:00:00Z&limit=1", "changes"),
    ] {
        let empty = world.get(&token, &format!("{tenant}{path}")).await;
        assert_eq!(empty.ok(), &json!({name: [], "next_cursor": null}), "{path}");
    }
    for path in
        ["/software?cursor=x", "/software?installed=1", "/software/changes?change=lost", "/software/changes?cursor=x"]
    {
        world.get(&token, &format!("{tenant}{path}")).await.problem(400, "unreadable");
    }
    let far = "/software/changes?since=-6000-01-01T00:00:00Z";
    world.get(&token, &format!("{tenant}{far}")).await.problem(422, "invalid");
    world.get(&token, &format!("{tenant}/assets/{}/software", Uuid::nil())).await.problem(404, "not-found");
}

#[tokio::test]
async fn there_is_nothing_to_confirm_or_merge_where_nothing_is() {
    let (world, token) = start().await;
    let confirm = "/organization-mappings/confirm";
    post(&world, &token, confirm, r#"{"decision":"keep","new_url":"https://api.example.com"}"#)
        .await
        .problem(409, "conflict");
    post(&world, &token, confirm, r#"{"decision":"perhaps","new_url":""}"#).await.problem(400, "unreadable");
    assert_eq!(world.get(&token, &tactical("/merge-proposals")).await.ok(), &json!({"merge_proposals": []}));
    for word in ["accept", "dismiss"] {
        let path = format!("/merge-proposals/{}/{word}", Uuid::nil());
        post(&world, &token, &path, "").await.problem(404, "not-found");
    }
    assert_eq!(
        world.get(&token, &tactical("/organization-mappings")).await.ok(),
        &json!({"mappings": [], "held": null})
    );
    let changes = json!({"mappings": [{"mapping_id": Uuid::nil(), "auto_sync": false}]}).to_string();
    let answer = world.send("PATCH", &tactical("/organization-mappings"), Some(&token), &changes).await;
    answer.problem(404, "not-found");
}

#[tokio::test]
async fn five_thousand_mappings_are_changed_at_once_and_not_one_more() {
    let (world, token) = start().await;
    // the limit of a body that the console has by itself
    let mut config = support::config(world.database.url());
    config.limits.body_bytes_max = 1024 * 1024;
    let vault = vault::Vault::open(&config.vault).unwrap();
    let router = console::router(std::sync::Arc::new(console::App::new(&config, world.store.clone(), vault).unwrap()));
    for (count, status, word) in [(0, 422, "invalid"), (5_000, 404, "not-found"), (5_001, 422, "invalid")] {
        let change = |number| {
            json!({"mapping_id": Uuid::from_u128(number), "client_id": world.client_id, "auto_sync": false,
                "accept_proposal": false})
        };
        let body = json!({"mappings": (0..count).map(change).collect::<Vec<_>>()}).to_string();
        let answer = ask(&router, "PATCH", &tactical("/organization-mappings"), Some(&token), &body).await;
        answer.problem(status, word);
    }
}

#[tokio::test]
async fn a_tenant_without_a_connection_is_told_so() {
    let (world, _) = start().await;
    let (_, token) = make(&world.store, None, &Permission::ALL, None).await;
    // a tenant that the store knows and that never had a connection
    let tenant = Uuid::from_u128(0xbeef);
    support::bare_tenant(&world.database, tenant).await;
    for (method, below) in [("GET", ""), ("POST", "/disconnect"), ("POST", "/sync/clients"), ("GET", "/webhook")] {
        let path = format!("/api/v1/tenants/{tenant}/integrations/tacticalrmm{below}");
        let answer = world.send(method, &path, Some(&token), "").await;
        if below.is_empty() {
            assert_eq!(answer.ok()["state"], "not_connected");
        } else {
            answer.problem(409, "not-connected");
        }
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_not_read() {
    let (world, token) = start().await;
    let body = json!({"instance_url": "x".repeat(5_000)});
    put(&world, &token, body).await.problem(413, "too-large");
}

#[tokio::test]
async fn a_database_that_is_away_is_503_with_a_time_to_wait() {
    let mut config = store::Config::for_url("postgres://canary:canary@127.0.0.1:1/none");
    config.acquire_timeout_ms = 100;
    let store = Store::lazy(&config, "test").unwrap();
    let router = support::router(&store, "postgres://canary:canary@127.0.0.1:1/none");
    for (method, path) in [("GET", "/api/v1/whoami"), ("PUT", &tactical("")), ("POST", &tactical("/sync/clients"))] {
        let answer = ask(&router, method, path, Some("muster_0"), "{}").await;
        answer.problem(503, "unavailable");
        assert_eq!(answer.header("retry-after"), "5");
        assert!(!answer.text.contains("canary") && !answer.text.contains("127.0.0.1"), "{answer:?}");
    }
}

#[tokio::test]
async fn whoami_tells_the_tokens_own_scope() {
    let (world, _) = start().await;
    let (_, token) = make(&world.store, Some(TENANT), &[Permission::AssetRead], None).await;
    let answer = world.get(&token, "/api/v1/whoami").await;
    let expected =
        json!({"name": "the tests' token", "tenant": TENANT, "permissions": ["asset:read"], "expires_at": null});
    assert_eq!(answer.ok(), &expected);
}

#[tokio::test]
async fn the_spools_of_all_gateways_are_shown_and_one_that_was_not_heard_of_is_silent() {
    let (world, _) = start().await;
    let (_, everybody) = make(&world.store, None, &[Permission::SettingsRead], None).await;
    assert_eq!(world.get(&everybody, "/api/v1/spools").await.ok(), &json!({"spools": []}));
    let holding = store::spool::Holding {
        host: "gateway-1".to_owned(),
        folder: "/var/lib/muster/spool".to_owned(),
        records: 3,
        set_aside: 1,
        bytes: 4_000,
        oldest_age: Some(std::time::Duration::from_secs(90)),
        refusal: Some(store::spool::Refusal::Disk),
        is_spooling: true,
    };
    store::spool::note(&world.store, &holding).await.unwrap();
    let idle = store::spool::Holding { host: "gateway-0".to_owned(), oldest_age: None, records: 0, ..holding };
    store::spool::note(&world.store, &idle).await.unwrap();
    world.database.execute("update muster.spool set seen_at = now() - interval '40 s' where host = 'gateway-0'").await;

    let mut answer = world.get(&everybody, "/api/v1/spools").await;
    let spools = answer.json["spools"].as_array_mut().unwrap();
    assert_eq!(spools.len(), 2);
    assert_eq!((&spools[0]["host"], &spools[0]["is_silent"]), (&json!("gateway-0"), &json!(true)));
    assert_eq!(spools[0]["oldest_age_s"], Value::Null);
    let shown = spools[1].as_object_mut().unwrap();
    assert!(shown.remove("seen_at").unwrap().is_string());
    assert!(shown.remove("oldest_age_s").unwrap().as_i64().unwrap() >= 90);
    let expected = json!({"host": "gateway-1", "folder": "/var/lib/muster/spool", "records": 3, "set_aside": 1,
        "bytes": 4_000, "refusal": "disk", "is_spooling": true, "is_silent": false});
    assert_eq!(json!(shown), expected);
}
