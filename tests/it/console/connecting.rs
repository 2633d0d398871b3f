//! From settings to a connection and back, over HTTP: codes, schedules, who will call, and the end of it all.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Connection as _;
use store::token::Permission;
use tests::fleet::Answer;
use tests::simulator::{PASSWORD, SimulatorConfig, WebhookSettings, key, totp_code};
use tests::{DEADLINE, Fleet, until};

const TACTICAL: &str = "/integrations/tacticalrmm";

/// A console, a gateway and a quiet server; nobody has connected them.
struct World {
    fleet: Fleet,
    token: String,
}

impl World {
    async fn start() -> Self {
        Self::with_agents(40).await
    }

    async fn with_agents(agents: u32) -> Self {
        let server = SimulatorConfig {
            agents,
            clients: 4,
            sites_per_client: 2,
            online_percent: 100,
            speed: 0.0,
            ..SimulatorConfig::default()
        };
        let fleet = Fleet::builder().console().simulator(server).start().await;
        let token = fleet.token(&Permission::ALL).await;
        Self { fleet, token }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.fleet.ask(&self.token, method, &format!("{TACTICAL}{path}"), body.as_ref()).await
    }

    async fn ok(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let answer = self.ask(method.clone(), path, body).await;
        assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
        answer.json
    }

    async fn status(&self) -> Value {
        self.ok(Method::GET, "", None).await
    }

    async fn test(&self, code: Option<&str>) -> Value {
        self.ok(Method::POST, "/test", code.map(|code| json!({ "code": code }))).await
    }

    /// One text of the database.
    async fn text(&self, sql: &'static str) -> String {
        let mut database = self.fleet.database().connect().await;
        let found = sqlx::query_scalar(sql).fetch_one(&mut database).await;
        database.close().await.expect("the database answers");
        found.expect("there is one")
    }

    /// What AlgaPSA reads and writes, too.
    async fn settings(&self) -> Value {
        let mut database = self.fleet.database().connect().await;
        let settings = sqlx::query_scalar("select settings from rmm_integrations").fetch_one(&mut database).await;
        database.close().await.expect("the database answers");
        settings.expect("there is one connection")
    }
}

/// (4) of what the incumbent gets wrong: as a person meets it.
#[tokio::test]
async fn an_account_with_a_second_factor_waits_for_its_code_and_then_works() {
    let world = World::start().await;
    let url = world.fleet.simulator().base_url();
    let login = json!({"instance_url": url, "auth_mode": "knox", "username": "totp", "password": PASSWORD});
    world.ok(Method::PUT, "", Some(login)).await;
    let waits = world.test(None).await;
    assert_eq!(waits["outcome"], "code_needed", "{waits}");
    for part in ["sentence", "remedy"] {
        assert!(waits[part].as_str().is_some_and(|text| text.contains("code")), "{waits}");
    }
    let status = world.status().await;
    assert_eq!((&status["state"], &status["needs_code"]), (&json!("needs_code"), &json!(true)), "{status}");
    let refused = world.test(Some("000000")).await;
    assert_eq!(refused["outcome"], "code_refused", "{refused}");
    assert_eq!(world.status().await["state"], "needs_code", "a wrong code is none");
    let no_code = world.ask(Method::POST, "/test", Some(json!({"code": "12 34 56"}))).await;
    assert_eq!(no_code.status, 422, "{no_code:?}");

    let code = totp_code(world.fleet.simulator().control().now());
    let tested = world.test(Some(&code)).await;
    assert_eq!((&tested["outcome"], &tested["agents_visible"]), (&json!("ok"), &json!(40)), "{tested}");
    let status = world.status().await;
    assert_eq!((&status["state"], &status["needs_code"]), (&json!("active"), &json!(false)), "{status}");
    assert_eq!(world.test(None).await["outcome"], "ok", "its session is good without another code");
    // the server ends the session: nobody can renew it without a person, and the status says so
    world.fleet.simulator().control().end_sessions();
    assert_eq!(world.test(None).await["outcome"], "code_needed");
    assert_eq!(world.status().await["state"], "needs_code");
}

#[tokio::test]
async fn settings_are_tried_before_they_are_saved_and_a_trial_changes_nothing() {
    let world = World::start().await;
    let url = world.fleet.simulator().base_url();
    let elsewhere = url.replace("127.0.0.1", "localhost");
    let user = |name: &str, password: &str| json!({"auth_mode": "knox", "username": name, "password": password});
    let mut login = user("plain", PASSWORD);
    login["instance_url"] = url.clone().into();
    world.ok(Method::PUT, "", Some(login)).await;
    world.ok(Method::PUT, "", Some(json!({"auth_mode": "api_key", "api_key": key::SYNC}))).await;
    assert_eq!(world.test(None).await["outcome"], "ok");
    let (before, kept) = (
        world.status().await,
        "select string_agg(name || encode(sealed, 'hex'), ' ' order by name) || (select c::text from muster.connection c)
         from muster.secret",
    );
    let stored = world.text(kept).await;
    let tries = [
        (json!({"instance_url": "http://nothing.invalid:8080", "api_key": key::SYNC}), "not_resolved"),
        // the stored key is for the server that it was saved for
        (json!({"instance_url": elsewhere}), "no_secret"),
        (json!({"instance_url": format!("{url}/")}), "ok"),
        (json!({"api_key": key::EXPIRED}), "key_expired"),
        (json!({"api_key": key::ADMIN}), "ok"),
        (json!({"device_source": "beta"}), "beta_off"),
        (user("totp", PASSWORD), "code_needed"),
        (user("plain", "wrong"), "bad_credentials"),
        (user("plain", PASSWORD), "ok"),
        // the user and the password of before are still stored; their session is not kept
        (json!({"auth_mode": "knox"}), "ok"),
        (json!({}), "ok"),
    ];
    for (settings, outcome) in &tries {
        let report = world.ok(Method::POST, "/test", Some(json!({ "settings": settings }))).await;
        assert_eq!(report["outcome"], *outcome, "{settings}: {report}");
        assert_eq!(report["is_active"], true, "{settings}");
        assert_eq!(world.status().await, before, "{settings}");
        assert_eq!(world.text(kept).await, stored, "{settings}");
    }
    let noted = "select count(*)::text from muster.audit where action = 'integration.settings.try'";
    assert_eq!(world.text(noted).await, tries.len().to_string());
    for (body, status) in [
        (json!({"settings": {}, "code": "123456"}), 422),
        (json!({"settings": {"instance_url": "ftp://x"}}), 422),
        (json!({"settings": {"url": "x"}}), 400),
    ] {
        let answer = world.ask(Method::POST, "/test", Some(body.clone())).await;
        assert_eq!(answer.status, status, "{body}: {answer:?}");
    }
}

/// (27) of what the incumbent gets wrong.
#[tokio::test]
async fn saving_the_settings_leaves_the_schedules_and_all_else_in_them_as_they_were() {
    let world = World::start().await;
    let url = world.fleet.simulator().base_url();
    world.ok(Method::PUT, "", Some(json!({"instance_url": url, "api_key": key::ADMIN}))).await;
    let theirs = json!({"auth_mode": "api_key", "alertPolling": {"enabled": true, "intervalMinutes": 7},
        "deviceSync": {"scheduleId": "s-1", "cron": "17 */6 * * *"}, "else": [1, null, {"x": "ü"}]});
    world.fleet.database().execute(&format!("update rmm_integrations set settings = '{theirs}'")).await;
    for body in [
        json!({}),
        json!({"device_source": "beta"}),
        json!({"device_source": "classic", "api_key": key::SYNC}),
        json!({"instance_url": url.replace("127.0.0.1", "localhost"), "api_key": key::SYNC}),
        json!({"instance_url": url, "api_key": key::SYNC}),
    ] {
        world.ok(Method::PUT, "", Some(body.clone())).await;
        assert_eq!(world.settings().await, theirs, "{body}");
    }
    let refused = world.ask(Method::PUT, "", Some(json!({"alertPolling": {"enabled": false}}))).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    assert_eq!(world.test(None).await["outcome"], "ok");
    world.ok(Method::PUT, "", Some(json!({"auth_mode": "knox", "username": "plain", "password": PASSWORD}))).await;
    let mut expected = theirs;
    expected["auth_mode"] = "knox".into();
    assert_eq!(world.settings().await, expected);
    world.ok(Method::POST, "/disconnect", None).await;
    assert_eq!(world.settings().await, expected, "nor does the end of the connection");
}

#[tokio::test]
async fn coverage_counts_the_agents_that_will_call_and_names_the_others() {
    let world = World::with_agents(130).await;
    world.fleet.connect_tactical(key::ADMIN).await;
    let control = world.fleet.simulator().control();
    let mut webhook = WebhookSettings::muster(&world.fleet.webhook_url(), &world.fleet.connection().secret);
    webhook.excluded_clients = [2].into();
    control.set_webhook(Some(webhook.clone()));
    let (silent, calling): (Vec<_>, Vec<_>) = control.agents().into_iter().partition(|agent| agent.client.0 == 2);
    assert!(!silent.is_empty() && !calling.is_empty());

    let coverage = world.ok(Method::GET, "/coverage", None).await;
    assert_eq!(coverage["sentence"], format!("{} of 130 agents will call you.", calling.len()), "{coverage}");
    assert_eq!((&coverage["agents"], &coverage["covered"]), (&json!(130), &json!(calling.len())), "{coverage}");
    assert_eq!(coverage["without_template"], silent.len(), "{coverage}");
    let named: BTreeSet<&str> = (coverage["uncovered"].as_array().expect("a list").iter())
        .filter_map(|agent| agent["agent_id"].as_str())
        .collect();
    assert_eq!(named, silent.iter().map(|agent| agent.agent_id.as_str()).collect());
    assert_eq!(coverage["templates"][0]["is_ours"], true, "{coverage}");

    // an action with another secret calls in vain, and is told without showing what it sends
    let other = WebhookSettings::muster(&world.fleet.webhook_url(), "canary-of-another-secret");
    control.set_webhook(Some(WebhookSettings { failure: other.failure, ..webhook }));
    let coverage = world.ok(Method::GET, "/coverage", None).await;
    assert_eq!(coverage["sentence"], "0 of 130 agents will call you.", "{coverage}");
    let text = coverage.to_string();
    assert!(text.contains("another secret") && !text.contains("canary"), "{text}");

    // where nobody has a template, a hundred are named and all are counted
    control.set_webhook(None);
    let coverage = world.ok(Method::GET, "/coverage", None).await;
    assert_eq!((&coverage["covered"], &coverage["without_template"]), (&json!(0), &json!(130)), "{coverage}");
    assert_eq!(coverage["uncovered"].as_array().map(Vec::len), Some(100));
}

#[tokio::test]
async fn coverage_names_the_permissions_that_it_lacks_and_needs_no_others() {
    let world = World::start().await;
    world.fleet.connect_tactical(key::SYNC).await;
    let control = world.fleet.simulator().control();
    assert!(world.ok(Method::GET, "/coverage", None).await["agents"].is_number());
    let role = control.role("sync").expect("it exists");
    for lacking in
        [&["can_list_alerttemplates"][..], &["can_run_urlactions"], &["can_list_alerttemplates", "can_run_urlactions"]]
    {
        let mut less = role.clone();
        less.permissions.retain(|permission| !lacking.contains(&permission.as_str()));
        control.set_role("sync", less).expect("it exists");
        let refused = world.ask(Method::GET, "/coverage", None).await;
        assert_eq!((refused.status, &refused.json["type"]), (403, &json!("urn:muster:problem:tactical-permissions")));
        let expected =
            format!("The user's role in Tactical lacks permissions that the coverage needs: {}.", lacking.join(", "));
        assert_eq!(refused.json["detail"], expected);
        assert!(refused.json["remedy"].as_str().expect("a text").contains("Permissions Manager"), "{refused:?}");
    }
    assert_eq!(world.test(None).await["outcome"], "ok", "a sync needs none of them");
}

/// (18) of what the incumbent gets wrong, with the whole of the disconnect.
#[tokio::test]
async fn after_a_disconnect_a_webhook_is_answered_and_not_recorded_within_ten_seconds() {
    let world = World::start().await;
    world.fleet.connect_tactical(key::ADMIN).await;
    let webhook = async |alert_id: u32| {
        let body = json!({"event": "trigger", "alert_id": alert_id, "agent_id": "A".repeat(40)});
        let call = reqwest::Client::new().post(world.fleet.webhook_url()).json(&body);
        let call = call.header("X-Alga-Webhook-Secret", &world.fleet.connection().secret);
        let answer = call.send().await.expect("the gateway answers");
        (answer.status().as_u16(), answer.json::<Value>().await.expect("it answers with JSON"))
    };
    // nobody works here: these are taken and lie
    let queue = contract::topology::queue(contract::topology::Worker::Alert, contract::topology::Lane::Main);
    assert_eq!(webhook(1).await.0, 202);
    let ended = world.ok(Method::POST, "/disconnect", None).await;
    let since = Instant::now();
    assert_eq!((&ended["state"], &ended["secrets"]), (&json!("inactive"), &json!([])), "{ended}");
    let mut taken = 1;
    let answer = until(DEADLINE, async || {
        let (status, answer) = webhook(taken + 1).await;
        taken += u32::from(status == 202);
        if status == 200 { Ok(answer) } else { Err((status, answer)) }
    })
    .await;
    let took = since.elapsed();
    assert_eq!(answer, json!({"accepted": true, "recorded": false, "reason": "connection_inactive"}));
    // the gateway looks every ten seconds, and hears of a change at once
    assert!(took < Duration::from_secs(10), "{took:?}");
    let hook = store::hook::find(&world.fleet.store(), world.fleet.connection().tenant).await;
    let hook = hook.expect("the database answers").expect("the hook stays for the connection's return");
    let secret = &world.fleet.connection().secret;
    assert_eq!(hook.digest, store::hook::digest(tests::fleet::PEPPER.as_bytes(), secret));
    let again = world.ask(Method::POST, "/sync/devices", None).await;
    assert_eq!(again.status, 409, "{again:?}");
    let mut fleet = world.fleet;
    fleet.expect_left(&queue, taken);
}
