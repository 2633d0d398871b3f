//! Authentication, roles, parameters and pages: what cannot be seen in single recordings.

use chrono::TimeDelta;
use serde_json::{Value, json};
use tests::simulator::{PASSWORD, Role, Simulator, SimulatorConfig, key, totp_code};

use super::{ask, get, small, start};

async fn login(simulator: &Simulator, code: &str) -> (u16, Value) {
    ask(simulator, "POST", "/v2/login/", "", Some(json!({"username": "totp", "password": PASSWORD, "twofactor": code})))
        .await
}

/// GET with a session token; `both` also sends a good API key.
async fn with_token(simulator: &Simulator, token: &str, both: bool) -> u16 {
    let request = reqwest::Client::new()
        .get(format!("{}/agents/?detail=false", simulator.base_url()))
        .header("Authorization", format!("Token {token}"));
    let request = if both { request.header("X-API-KEY", key::ADMIN) } else { request };
    request.send().await.expect("the simulator answers").status().as_u16()
}

#[tokio::test]
async fn a_login_with_a_code_opens_a_session_that_logout_ends() {
    let simulator = small().await;
    let control = simulator.control();
    let (status, session) = login(&simulator, &totp_code(control.now())).await;
    assert_eq!(status, 200);
    let token = session["token"].as_str().expect("a token");
    assert_eq!(token.len(), 64);
    assert_eq!(with_token(&simulator, token, false).await, 200);
    control.advance(TimeDelta::hours(4));
    assert_eq!(with_token(&simulator, token, false).await, 200);
    control.advance(TimeDelta::hours(4));
    assert_eq!(with_token(&simulator, token, false).await, 200, "its use extended it");
    control.end_sessions();
    assert_eq!(with_token(&simulator, token, false).await, 401, "an update of the server ends all sessions");
    assert_eq!(with_token(&simulator, token, true).await, 401, "a bad token beside a good key is still a bad token");
}

#[tokio::test]
async fn the_eleventh_login_in_a_minute_is_throttled_until_the_clock_moves() {
    let simulator = small().await;
    for _ in 0..10 {
        assert_eq!(login(&simulator, "000000").await.0, 400);
    }
    let (status, body) = login(&simulator, "000000").await;
    assert_eq!((status, &body), (429, &json!({"detail": "Request was throttled. Expected available in 60 seconds."})));
    simulator.control().advance(TimeDelta::seconds(60));
    assert_eq!(login(&simulator, "000000").await.0, 400);
}

#[tokio::test]
async fn a_limited_role_sees_its_client_only_and_a_narrowed_one_less() {
    let simulator = small().await;
    let control = simulator.control();
    let mine: Vec<i64> = control.agents().iter().filter(|agent| agent.client.0 == 1).map(|agent| agent.pk).collect();
    let (_, rows) = get(&simulator, "/agents/?detail=false", key::LIMITED).await;
    let seen: Vec<i64> = rows.as_array().expect("a bare array").iter().filter_map(|row| row["id"].as_i64()).collect();
    assert_eq!(seen, mine);
    assert_eq!(get(&simulator, "/clients/", key::LIMITED).await.1.as_array().map(Vec::len), Some(1));
    assert_eq!(get(&simulator, "/clients/2/", key::LIMITED).await.0, 403);
    let role = control.role("limited").unwrap();
    control.set_role("limited", Role { view_clients: [].into(), view_sites: [2].into(), ..role }).unwrap();
    let (_, sites) = get(&simulator, "/clients/sites/", key::LIMITED).await;
    assert_eq!(
        sites.as_array().map(|sites| sites.iter().map(|site| site["id"].clone()).collect()),
        Some(vec![json!(2)])
    );
    control.set_role("limited", Role::with(&["can_list_clients"])).unwrap();
    assert_eq!(get(&simulator, "/agents/", key::LIMITED).await.0, 403);
    assert_eq!(get(&simulator, "/core/version/", key::LIMITED).await.0, 200, "the version is no permission check");
}

#[tokio::test]
async fn the_beta_api_shows_everything_to_a_limited_role_and_pages_like_drf() {
    let config = SimulatorConfig { clients: 3, agents: 250, beta: true, speed: 0.0, ..SimulatorConfig::default() };
    let simulator = start(config).await;
    let page = |query: &str| format!("/beta/v1/agent/?{query}");
    let (_, first) = get(&simulator, &page("page_size=100"), key::LIMITED).await;
    assert_eq!((&first["count"], first["results"].as_array().map(Vec::len)), (&json!(250), Some(100)));
    let next = first["next"].as_str().expect("there is more");
    assert_eq!(next, format!("{}/beta/v1/agent/?page=2&page_size=100", simulator.base_url()));
    for (query, status, rows) in [
        ("page=3", 200, Some(50)),
        ("page=last", 200, Some(50)),
        ("page=4", 404, None),
        ("page_size=5000", 200, Some(250)),
        ("page_size=0", 200, Some(100)),
        ("site=99999", 400, None),
        ("client_id=99999", 200, Some(0)),
        ("id=7", 200, Some(1)),
        ("plat=beos", 400, None),
        ("agent_id=x", 500, None),
        ("unknown=x", 200, Some(100)),
    ] {
        let (got, body) = get(&simulator, &page(query), key::ADMIN).await;
        assert_eq!((got, body["results"].as_array().map(Vec::len)), (status, rows), "{query}");
    }
    let descending = get(&simulator, &page("ordering=-id&page_size=1"), key::ADMIN).await.1;
    assert_eq!(descending["results"][0]["id"], 250);
    let seen_since = simulator.control().now() - TimeDelta::minutes(2);
    let online = simulator.control().agents().iter().filter(|agent| agent.status == "online").count();
    let delta = get(
        &simulator,
        &page(&format!("last_seen_range_after={}&page_size=1000", tests::simulator::iso(seen_since))),
        key::ADMIN,
    )
    .await
    .1;
    assert_eq!(delta["count"], online, "a delta by last_seen works");
    assert_eq!(get(&simulator, "/beta/v1/agent/1/", key::ADMIN).await.1["status"], "online");
    assert_eq!(ask(&simulator, "PUT", "/beta/v1/agent/1/", key::ADMIN, Some(json!({"hostname": "x"}))).await.0, 500);
    assert_eq!(get(&simulator, "/beta/v1/client/2/", key::LIMITED).await.0, 403);
}

#[tokio::test]
async fn agent_lists_take_their_parameters_with_their_quirks() {
    let simulator = small().await;
    let agents = simulator.control().agents();
    let count =
        |test: &dyn Fn(&tests::simulator::AgentTruth) -> bool| Some(agents.iter().filter(|agent| test(agent)).count());
    for (query, rows) in [
        ("", Some(40)),
        ("?client=2", count(&|agent| agent.client.0 == 2)),
        ("?site=1&client=2", count(&|agent| agent.site.0 == 1)),
        ("?monitoring_type=server", count(&|agent| agent.monitoring_type == "server")),
        ("?detail=false&client=1", count(&|agent| agent.client.0 == 1)),
        ("?site=99999", Some(0)),
        ("?client=abc", None),
    ] {
        let (_, body) = get(&simulator, &format!("/agents/{query}"), key::ADMIN).await;
        assert_eq!(body.as_array().map(Vec::len), rows, "{query}");
    }
    let (_, rows) = get(&simulator, "/agents/", key::ADMIN).await;
    for (row, agent) in rows.as_array().expect("a bare array").iter().zip(&agents) {
        assert_eq!((&row["status"], &row["client_name"]), (&json!(agent.status), &json!(agent.client.1)));
        assert!(row.get("policy").is_none(), "the key is absent where it would be null");
    }
}

#[tokio::test]
async fn moves_renames_and_edits_show_everywhere() {
    let simulator = small().await;
    let control = simulator.control();
    let id = control.agent(1).unwrap().agent_id;
    control.move_agent(1, 5).unwrap();
    control.rename_client(2, "Neuer Name KG").unwrap();
    control.rename_agent(1, "umbenannt-1").unwrap();
    let edit = json!({"maintenance_mode": true, "overdue_time": 5, "description": "moved"});
    assert_eq!(ask(&simulator, "PUT", &format!("/agents/{id}/"), key::ADMIN, Some(edit)).await.0, 200);
    let (_, agent) = get(&simulator, &format!("/agents/{id}/"), key::ADMIN).await;
    for (field, value) in [
        ("hostname", json!("umbenannt-1")),
        ("site", json!(5)),
        ("client", json!("Neuer Name KG")),
        ("maintenance_mode", json!(true)),
        ("overdue_time", json!(5)),
        ("description", json!("moved")),
    ] {
        assert_eq!(agent[field], value, "{field}");
    }
    let (_, clients) = get(&simulator, "/clients/", key::ADMIN).await;
    assert_eq!((&clients[1]["name"], &clients[1]["maintenance_mode"]), (&json!("Neuer Name KG"), &json!(true)));
}

#[tokio::test]
async fn options_heads_slashes_and_media_types_answer_as_django_does() {
    let simulator = small().await;
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let send = |method: &str, path: &str, media: &str| {
        let request = client.request(method.parse().unwrap(), format!("{}{path}", simulator.base_url()));
        request.header("X-API-KEY", key::ADMIN).header("content-type", media.to_owned()).body("x").send()
    };
    let json = "application/json";
    for (method, path, media, status) in [
        ("OPTIONS", "/agents/", json, 500),
        ("HEAD", "/agents/", json, 500),
        ("HEAD", "/clients/", json, 200),
        ("POST", "/clients/", json, 405),
        ("PATCH", "/alerts", json, 301),
        ("PATCH", "/alerts/", "text/plain", 415),
        ("GET", "/nosuch", json, 404),
    ] {
        assert_eq!(send(method, path, media).await.unwrap().status().as_u16(), status, "{method} {path}");
    }
    let moved = send("GET", "/agents?client=1", json).await.unwrap();
    assert_eq!(moved.headers()["location"], "/agents/?client=1");
}
