//! The connection test against the simulator: each thing that can be wrong is told apart, with its remedy.

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json};
use axum::routing::get;
use serde_json::json;
use store::connection::DeviceSource;
use tests::simulator::{Fault, FaultKind, Role, Simulator, SimulatorConfig, key, totp_code};

use super::{Bench, Who, config, simulator, vault};

#[tokio::test]
async fn a_success_tells_version_clients_agents_and_source_and_activates() {
    let simulator = simulator().await;
    let bench = Bench::connected(&simulator.base_url(), Who::Key(key::SYNC)).await;
    let (store, entry) = (bench.store(), bench.entry("integration.disconnect"));
    assert!(store::connection::disconnect(&store, bench.tenant, &entry).await.unwrap());
    assert_eq!(bench.word(None).await, "no_secret");
    bench.save(&simulator.base_url(), Who::Key(key::SYNC), DeviceSource::Classic).await;
    assert!(matches!(bench.open().await, Err(connection::Error::Inactive)));
    let report = bench.test(None).await;
    assert_eq!(report.outcome.word(), "ok");
    assert_eq!(report.server_version.as_deref(), Some("1.5.1"));
    assert_eq!((report.clients_visible, report.agents_visible), (Some(3), Some(20)));
    assert!(report.is_active && report.device_source == DeviceSource::Classic);
    let found = store::connection::find(&store, bench.tenant).await.unwrap().expect("it is there");
    assert_eq!(found.confirmed_url.as_deref(), Some(simulator.base_url().as_str()));
    let open = bench.open().await.expect("it is active");
    assert_eq!(open.call(|client| async move { client.clients().await }).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_401_has_four_meanings_and_a_role_that_sees_one_client_is_enough() {
    let simulator = simulator().await;
    for (api_key, word) in [
        (key::ADMIN, "ok"),
        (key::LIMITED, "ok"),
        (key::EXPIRED, "key_expired"),
        (key::INACTIVE, "user_inactive"),
        ("SIMULATORKEYNOBODY00000000000000", "key_invalid"),
        ("a key with\na line break", "unusable_key"),
    ] {
        let bench = Bench::connected(&simulator.base_url(), Who::Key(api_key)).await;
        assert_eq!(bench.word(None).await, word, "{api_key}");
    }
    // a proxy that takes the key away: the server sees none
    let stripping =
        serve(Router::new().route("/", get(|| async { Json(json!({"status": "ok"})) })).fallback(|| async {
            (StatusCode::UNAUTHORIZED, Json(json!({"detail": "Authentication credentials were not provided."})))
                .into_response()
        }))
        .await;
    assert_eq!(Bench::connected(&stripping, Who::Key(key::SYNC)).await.word(None).await, "key_missing");
}

#[tokio::test]
async fn the_permissions_that_a_role_lacks_are_named() {
    let simulator = simulator().await;
    let all = ["can_list_agents", "can_list_clients", "can_list_sites", "can_list_alerts", "can_list_software"];
    for api_key in [key::NO_ROLE, key::EMPTY_ROLE] {
        let report = Bench::connected(&simulator.base_url(), Who::Key(api_key)).await.test(None).await;
        assert_eq!(report.outcome.word(), "permissions_missing");
        assert_eq!(report.missing_permissions(), all);
        assert_eq!(report.server_version.as_deref(), Some("1.5.1"), "any valid user may see it");
    }
    let bench = Bench::connected(&simulator.base_url(), Who::Key(key::SYNC)).await;
    for missing in all {
        let kept: Vec<&str> = all.into_iter().filter(|&name| name != missing).collect();
        simulator.control().set_role("sync", Role::with(&kept)).unwrap();
        let report = bench.test(None).await;
        assert_eq!(report.missing_permissions(), [missing], "{:?}", report.outcome);
        assert!(report.outcome.sentence().contains(missing) && report.is_active, "a failed test ends nothing");
    }
    simulator.control().set_role("sync", Role::with(&all)).unwrap();
    assert_eq!(bench.word(None).await, "ok", "nothing else is needed");
}

#[tokio::test]
async fn a_role_that_sees_no_client_is_told() {
    let simulator = simulator().await;
    let mut role = simulator.control().role("sync").expect("it exists");
    role.view_clients = [999].into();
    simulator.control().set_role("sync", role).expect("it exists");
    let report = Bench::connected(&simulator.base_url(), Who::Key(key::SYNC)).await.test(None).await;
    assert_eq!((report.outcome.word(), report.clients_visible), ("ok", Some(0)));
    assert!(report.sentence().contains("but it shows no client"), "{}", report.sentence());
}

#[tokio::test]
async fn what_stands_where_tactical_should_be_is_told() {
    let simulator = simulator().await;
    let other_name =
        SimulatorConfig { allowed_hosts: vec!["api.example.com".to_owned()], ..SimulatorConfig::default() };
    let other_name = Simulator::start(other_name).await.expect("a free port");
    // an API of somebody else's that is well and does not know Tactical's routes
    let api = Router::new()
        .route("/", get(|| async { Json(json!({"status": "ok"})) }))
        .fallback(|| async { (StatusCode::NOT_FOUND, Json(json!({"detail": "There is nothing at this address."}))) });
    let (api, pages) = (serve(api).await, serve(Router::new().fallback(|| async { StatusCode::NOT_FOUND })).await);
    let (closed, tls) = (closed_port().await, simulator.base_url().replace("http://", "https://"));
    for (url, word) in [
        ("api.example.com", "not_a_url"),
        ("https://api.example.com/api", "not_a_url"),
        ("ftp://api.example.com", "not_a_url"),
        ("http://10.0.0.1:8080", "address_not_allowed"),
        ("http://169.254.169.254", "address_not_allowed"),
        ("http://nothing.invalid:8080", "not_resolved"),
        (&closed, "refused"),
        (&tls, "tls"),
        (&other_name.base_url(), "host_not_allowed"),
        (&api, "no_such_route"),
        (&pages, "no_such_route"),
    ] {
        let report = Bench::connected(url, Who::Key(key::SYNC)).await.test(None).await;
        assert_eq!(report.outcome.word(), word, "{url}: {:?}", report.outcome);
        assert!(!report.is_ok() && report.agents_visible.is_none());
    }
}

/// (7) of what the incumbent gets wrong.
#[tokio::test]
async fn the_dashboards_host_fails_the_test_although_it_answers_every_path_with_200() {
    let dashboard =
        serve(Router::new().fallback(|| async { axum::response::Html("<!DOCTYPE html><title>Tactical") })).await;
    let bench = Bench::connected(&dashboard, Who::Key(key::SYNC)).await;
    let (store, entry) = (bench.store(), bench.entry("integration.disconnect"));
    assert!(store::connection::disconnect(&store, bench.tenant, &entry).await.unwrap());
    bench.save(&dashboard, Who::Key(key::SYNC), DeviceSource::Classic).await;
    let report = bench.test(None).await;
    assert_eq!(report.outcome.word(), "wrong_host", "{:?}", report.outcome);
    assert!(report.outcome.sentence().contains("use the api. host"), "{}", report.outcome.sentence());
    assert!(!report.is_ok() && !report.is_active && report.agents_visible.is_none(), "{report:?}");
    assert!(matches!(bench.open().await, Err(connection::Error::Inactive)), "nothing will be synced from it");
}

#[tokio::test]
async fn an_old_server_and_a_beta_api_that_is_off_are_told() {
    let simulator = simulator().await;
    let url = simulator.base_url();
    let bench = Bench::connected(&url, Who::Key(key::SYNC)).await;
    let old = FaultKind::Json { body: r#"{"trmm_version": "0.20.1"}"#.to_owned() };
    simulator.control().add_fault(Fault { path_prefix: "/core/dashinfo/".to_owned(), kind: old, requests: Some(1) });
    let report = bench.test(None).await;
    assert!(report.outcome.word() == "too_old" && report.outcome.sentence().contains("0.20.1"), "{report:?}");

    bench.save(&url, Who::Key(key::SYNC), DeviceSource::Beta).await;
    assert_eq!(bench.word(None).await, "beta_off");
    bench.save(&url, Who::Key(key::SYNC), DeviceSource::Classic).await;
    assert_eq!(bench.word(None).await, "ok", "it is asked only where it is chosen");
    let with_beta = SimulatorConfig { beta: true, agents: 5, speed: 0.0, ..SimulatorConfig::default() };
    let with_beta = Simulator::start(with_beta).await.expect("a free port");
    bench.save(&with_beta.base_url(), Who::Key(key::SYNC), DeviceSource::Beta).await;
    assert_eq!(bench.test(None).await.device_source, DeviceSource::Beta);
    assert_eq!(bench.word(None).await, "ok");
}

#[tokio::test]
async fn a_login_is_told_apart_by_code_password_and_throttle() {
    let simulator = simulator().await;
    let control = simulator.control();
    let bench = Bench::connected(&simulator.base_url(), Who::user("totp")).await;
    assert_eq!(bench.word(None).await, "code_needed");
    assert!(store::connection::find(&bench.store(), bench.tenant).await.unwrap().unwrap().code_wanted_at.is_some());
    assert_eq!(bench.word(Some("000000")).await, "code_refused");
    assert_eq!(bench.word(Some(&totp_code(control.now()))).await, "ok");
    assert!(store::connection::find(&bench.store(), bench.tenant).await.unwrap().unwrap().code_wanted_at.is_none());
    assert_eq!(bench.word(None).await, "ok", "its session is good");

    let wrong = Bench::connected(&simulator.base_url(), Who::User { name: "plain", password: "wrong" }).await;
    assert_eq!(wrong.word(None).await, "bad_credentials");
    let plain = Bench::connected(&simulator.base_url(), Who::user("plain")).await;
    let throttle = FaultKind::TooManyRequests { retry_after_s: 59 };
    control.add_fault(Fault { path_prefix: "/v2/checkcreds/".to_owned(), kind: throttle, requests: Some(1) });
    for _ in 0..2 {
        // the first is the server's answer, the second is remembered
        let report = plain.test(None).await;
        assert!(report.outcome.word() == "throttled" && report.retry_after().is_some(), "{report:?}");
    }
}

#[tokio::test]
async fn a_server_that_fails_is_told_and_another_key_of_the_vault_too() {
    let simulator = simulator().await;
    let bench = Bench::connected(&simulator.base_url(), Who::Key(key::SYNC)).await;
    let fault = FaultKind::ServerError { status: 502 };
    simulator.control().add_fault(Fault { path_prefix: "/clients/".to_owned(), kind: fault, requests: Some(1) });
    let report = bench.test(None).await;
    assert!(report.outcome.word() == "server_error" && report.outcome.sentence().contains("502"), "{report:?}");

    let other = vault::Config { vault_key: Some("77".repeat(32).into()), ..vault::Config::default() };
    let other = vault::Vault::open(&other).unwrap();
    let connections = connection::Connections::new(bench.store(), other.clone(), config());
    let report = connections.test(bench.tenant, None, "a test").await.unwrap();
    assert_eq!(report.outcome.word(), "secret_unreadable");
    assert!(report.outcome.sentence().contains(vault().key_id()), "{}", report.outcome.sentence());
    let error = connection::check_vault(&bench.store(), &other).await.expect_err("it opens nothing").to_string();
    assert!(error.contains(vault().key_id()) && error.contains(other.key_id()), "{error}");
    assert_eq!(connection::check_vault(&bench.store(), &vault()).await.unwrap(), connection::VaultCheck::Sound);
}

#[tokio::test]
async fn every_test_leaves_its_trace_in_the_audit() {
    let bench = Bench::connected("https://api.example.com/path", Who::Key(key::SYNC)).await;
    bench.test(None).await;
    let row: (String, serde_json::Value) =
        sqlx::query_as("select actor, detail from muster.audit where action = 'integration.test'")
            .fetch_one(&mut bench.database.connect().await)
            .await
            .unwrap();
    assert_eq!(
        row,
        ("a test".to_owned(), json!({"outcome": "not_a_url", "instance_url": "https://api.example.com/path"}))
    );
}

/// A server that ends with the test's runtime; its URL.
async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free loopback port can be bound");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// A URL where nobody listens.
async fn closed_port() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free loopback port can be bound");
    format!("http://{}", listener.local_addr().expect("it is bound"))
}

#[tokio::test]
async fn of_two_tests_at_once_the_second_is_told_so_and_a_disconnect_is_not_undone() {
    let simulator = simulator().await;
    let bench = Bench::connected(&simulator.base_url(), Who::Key(key::SYNC)).await;
    let slow = FaultKind::Slow { delay_ms: 3_000 };
    simulator.control().add_fault(Fault { path_prefix: "/clients/".to_owned(), kind: slow, requests: Some(1) });
    let connections = bench.connections();
    let first = {
        let (connections, tenant) = (connections.clone(), bench.tenant);
        tokio::spawn(async move { connections.test(tenant, None, "the first").await.expect("it answers") })
    };
    tests::until(tests::DEADLINE, async || {
        if super::served(&simulator, "/core/dashinfo/") > 0 { Ok(()) } else { Err("it has not begun") }
    })
    .await;
    let second = connections.test(bench.tenant, None, "the second").await.expect("it answers");
    assert_eq!(second.outcome.word(), "test_busy");
    let entry = bench.entry("integration.disconnect");
    assert!(store::connection::disconnect(&bench.store(), bench.tenant, &entry).await.unwrap());
    let first = first.await.expect("it does not panic");
    assert_eq!((first.outcome.word(), first.is_active), ("settings_changed", false));
    let found = store::connection::find(&bench.store(), bench.tenant).await.unwrap().expect("it is there");
    assert!(!found.is_active && found.tested_at.is_none());
    assert_eq!(connections.test(bench.tenant, None, "the third").await.unwrap().outcome.word(), "no_secret");
}
