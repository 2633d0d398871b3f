//! A connection's settings, its tests, its end, and one login at a time.

use std::time::Duration;

use fault::{Class, Classify};
use serde_json::json;
use store::Store;
use store::audit::Entry;
use store::connection::{
    self, AuthMode, DeviceSource, Login, LoginBy, LoginClaim, LoginEnd, LoginRules, Save, TestNote,
};
use store::secret::{self, Sealed};
use store::testing::TestDatabase;
use uuid::Uuid;

use crate::{connected, execute, text, within};

const URL: &str = "https://api.example.com";
const RULES: LoginRules = LoginRules { lease: Duration::from_secs(60), every: Duration::from_secs(600), burst: 3 };

fn entry(action: &'static str) -> Entry {
    Entry { tenant: Some(Uuid::from_u128(1)), actor: "a test".to_owned(), action, subject: None, detail: json!({}) }
}

fn sealed(byte: u8) -> Sealed {
    Sealed { key_id: "k".to_owned(), bytes: vec![byte; 48] }
}

fn save(url: &str, auth_mode: AuthMode, secrets: Vec<(&'static str, Option<Sealed>)>) -> Save {
    Save {
        tenant: Uuid::from_u128(1),
        instance_url: url.to_owned(),
        auth_mode,
        device_source: DeviceSource::Classic,
        secrets,
    }
}

async fn saved(store: &Store, new: &Save) -> Uuid {
    connection::save(store, new, &entry("integration.settings.save")).await.expect("it is saved").integration_id
}

async fn find(store: &Store) -> connection::Connection {
    connection::find(store, Uuid::from_u128(1)).await.expect("it answers").expect("it was made")
}

fn note(integration_id: Uuid, instance_url: &str, is_success: bool) -> TestNote<'_> {
    TestNote {
        tenant: Uuid::from_u128(1),
        integration_id,
        instance_url,
        is_success,
        server_version: Some("1.5.1\0"),
        clients_visible: Some(3),
        agents_visible: Some(40),
    }
}

/// A Knox connection with user and password.
async fn knox(database: &TestDatabase) -> (Store, Uuid) {
    let store = database.store();
    connected(&store, 1).await;
    let secrets = vec![(secret::USERNAME, Some(sealed(1))), (secret::PASSWORD, Some(sealed(2)))];
    let id = saved(&store, &save(URL, AuthMode::Knox, secrets)).await;
    (store, id)
}

async fn claim(store: &Store, id: Uuid, by: LoginBy) -> Login {
    connection::claim_login(store, Uuid::from_u128(1), id, by, &RULES).await.expect("it answers")
}

fn granted(login: Login) -> LoginClaim {
    let Login::Granted(claim) = login else { panic!("{login:?}") };
    claim
}

#[tokio::test]
async fn saving_makes_a_connection_that_is_not_active_and_touches_no_schedule() {
    let database = TestDatabase::create().await;
    let store = database.store();
    execute(&database, "insert into tenants (tenant) values ('00000000-0000-0000-0000-000000000001')").await;
    let new = save(URL, AuthMode::ApiKey, vec![(secret::API_KEY, Some(sealed(1)))]);
    let first = connection::save(&store, &new, &entry("integration.settings.save")).await.unwrap();
    assert!(first.is_new && !find(&store).await.is_active);
    execute(
        &database,
        r#"update rmm_integrations set settings = settings || '{"deviceSync": {"enabled": true, "interval": 15}}'"#,
    )
    .await;
    let second = connection::save(&store, &save(URL, AuthMode::Knox, vec![]), &entry("x")).await.unwrap();
    assert_eq!((second.integration_id, second.is_new), (first.integration_id, false));
    let found = find(&store).await;
    assert_eq!(found.settings, json!({"auth_mode": "knox", "deviceSync": {"enabled": true, "interval": 15}}));
    assert_eq!(found.auth_mode, AuthMode::Knox);
    assert_eq!(secret::get(&store, Uuid::from_u128(1), secret::API_KEY).await.unwrap(), Some(sealed(1)));
    assert_eq!(text(&database, "select count(*)::text from muster.audit").await, "2");
}

#[tokio::test]
async fn an_unknown_tenant_is_refused_and_leaves_nothing() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let error = connection::save(&store, &save(URL, AuthMode::ApiKey, vec![]), &entry("x")).await.unwrap_err();
    assert_eq!(error.class(), Class::Permanent, "{error}");
    assert_eq!(text(&database, "select count(*)::text from muster.audit").await, "0");
    assert!(connection::find(&store, Uuid::from_u128(1)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_token_never_goes_to_another_server_or_another_login() {
    let database = TestDatabase::create().await;
    let (store, id) = knox(&database).await;
    let tenant = Uuid::from_u128(1);
    let token = async || {
        let claim = granted(claim(&store, id, LoginBy::Person).await);
        assert!(connection::finish_login(&store, &claim, &LoginEnd::Token(sealed(3))).await.unwrap());
        assert!(secret::get(&store, tenant, secret::KNOX_TOKEN).await.unwrap().is_some());
    };
    let has_token = async || secret::get(&store, tenant, secret::KNOX_TOKEN).await.unwrap().is_some();
    token().await;
    saved(&store, &save(URL, AuthMode::Knox, vec![])).await;
    assert!(has_token().await, "nothing has changed");
    saved(&store, &save("https://api.other.example", AuthMode::Knox, vec![])).await;
    assert!(!has_token().await);
    token().await;
    saved(&store, &save("https://api.other.example", AuthMode::Knox, vec![(secret::PASSWORD, Some(sealed(5)))])).await;
    assert!(!has_token().await);
    assert_eq!(secret::get(&store, tenant, secret::USERNAME).await.unwrap(), Some(sealed(1)), "not named, not touched");

    // a login that is under way when the server changes leaves no token
    let under_way = granted(claim(&store, id, LoginBy::Person).await);
    saved(&store, &save(URL, AuthMode::Knox, vec![])).await;
    assert!(!connection::finish_login(&store, &under_way, &LoginEnd::Token(sealed(3))).await.unwrap());
    assert!(!has_token().await);
}

#[tokio::test]
async fn a_successful_test_activates_and_confirms_the_url_while_nothing_is_mapped() {
    let database = TestDatabase::create().await;
    let store = database.store();
    execute(&database, "insert into tenants (tenant) values ('00000000-0000-0000-0000-000000000001')").await;
    let id = saved(&store, &save(URL, AuthMode::ApiKey, vec![])).await;
    assert!(!connection::note_test(&store, &note(id, URL, false), &entry("integration.test")).await.unwrap());
    let failed = find(&store).await;
    assert!(!failed.is_active && failed.confirmed_url.is_none() && failed.tested_at.is_some());
    assert!(!connection::note_test(&store, &note(id, "https://api.before", true), &entry("x")).await.unwrap());
    assert!(connection::note_test(&store, &note(id, URL, true), &entry("integration.test")).await.unwrap());
    let found = find(&store).await;
    assert_eq!((found.confirmed_url.as_deref(), found.server_version.as_deref()), (Some(URL), Some("1.5.1")));
    assert_eq!((found.clients_visible, found.agents_visible), (Some(3), Some(40)));
    assert!(found.is_active && found.connected_at.is_some());

    execute(
        &database,
        "insert into rmm_organization_mappings (tenant, integration_id, external_organization_id)
         select tenant, integration_id, '1' from rmm_integrations",
    )
    .await;
    let other = "https://api.other.example";
    saved(&store, &save(other, AuthMode::ApiKey, vec![])).await;
    assert_eq!(find(&store).await.agents_visible, None, "it told of another server");
    assert!(connection::note_test(&store, &note(id, other, true), &entry("x")).await.unwrap());
    assert_eq!(find(&store).await.confirmed_url.as_deref(), Some(URL), "the mappings may be another server's");
    assert!(connection::note_test(&store, &note(id, other, false), &entry("x")).await.unwrap());
    assert!(find(&store).await.is_active, "a failed test ends nothing");
}

#[tokio::test]
async fn a_disconnect_clears_the_secrets_ends_the_runs_and_keeps_the_mappings() {
    let database = TestDatabase::create().await;
    let (store, id) = knox(&database).await;
    let under_way = granted(claim(&store, id, LoginBy::Person).await);
    execute(
        &database,
        "insert into rmm_organization_mappings (tenant, integration_id, external_organization_id)
         select tenant, integration_id, '1' from rmm_integrations;
         update rmm_integrations set sync_status = 'syncing';
         insert into muster.run (tenant, run_id, integration_id, kind, slot, state, requested_by)
         select tenant, gen_random_uuid(), integration_id, kind, now(), state, 'a test'
         from rmm_integrations, (values ('clients', 'completed'), ('devices', 'running')) as v (kind, state);
         insert into muster.run_part (tenant, run_id, name, label, state)
         select tenant, run_id, name, name, name
         from muster.run, (values ('open'), ('done')) as v (name) where kind = 'devices'",
    )
    .await;
    assert!(connection::disconnect(&store, Uuid::from_u128(1), &entry("integration.disconnect")).await.unwrap());
    let found = find(&store).await;
    assert!(!found.is_active);
    assert_eq!(
        (found.sync_status.as_deref(), found.sync_error.as_deref()),
        (Some("error"), Some("devices: disconnected"))
    );
    let runs = "select string_agg(concat_ws(' ', kind, state, epoch, error), ', ' order by kind) from muster.run";
    assert_eq!(text(&database, runs).await, "clients completed 0, devices partial 0 disconnected");
    let parts = "select string_agg(concat_ws(' ', name, state, error), ', ' order by name) from muster.run_part";
    assert_eq!(text(&database, parts).await, "done done, open failed disconnected");
    assert_eq!(secret::list(&store, Uuid::from_u128(1)).await.unwrap(), []);
    assert_eq!(text(&database, "select count(*)::text from rmm_organization_mappings").await, "1");
    assert_eq!(text(&database, "select count(*)::text from muster.hook").await, "1");
    assert!(!connection::finish_login(&store, &under_way, &LoginEnd::Token(sealed(3))).await.unwrap());
    assert_eq!(secret::list(&store, Uuid::from_u128(1)).await.unwrap(), [], "a late login leaves no token");
    assert!(!connection::disconnect(&store, Uuid::from_u128(2), &entry("x")).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_that_want_to_log_in_one_may() {
    let database = TestDatabase::create().await;
    let (_, id) = knox(&database).await;
    let all: Vec<_> = (0..8)
        .map(|_| {
            let store = database.second_store();
            tokio::spawn(async move { claim(&store, id, LoginBy::Program).await })
        })
        .collect();
    let mut may = 0;
    for one in all {
        match within(one).await.unwrap() {
            Login::Granted(_) => may += 1,
            Login::Busy { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(may, 1);
}

#[tokio::test]
async fn a_wanted_code_and_a_refused_password_wait_for_a_person() {
    let database = TestDatabase::create().await;
    let (store, id) = knox(&database).await;
    for (end, answer) in [(LoginEnd::CodeWanted, Login::CodeWanted), (LoginEnd::Refused, Login::Refused)] {
        let first = granted(claim(&store, id, LoginBy::Program).await);
        assert!(connection::finish_login(&store, &first, &end).await.unwrap());
        assert!(!connection::finish_login(&store, &first, &end).await.unwrap(), "it has ended");
        assert_eq!(claim(&store, id, LoginBy::Program).await, answer);
        let person = granted(claim(&store, id, LoginBy::Person).await);
        assert!(connection::finish_login(&store, &person, &LoginEnd::Other).await.unwrap());
        assert_eq!(claim(&store, id, LoginBy::Program).await, answer, "the person's try told nothing");
        let person = granted(claim(&store, id, LoginBy::Person).await);
        assert!(connection::finish_login(&store, &person, &LoginEnd::Token(sealed(3))).await.unwrap());
        let found = find(&store).await;
        assert_eq!((found.code_wanted_at, found.login_refused_at), (None, None));
    }
    let first = granted(claim(&store, id, LoginBy::Program).await);
    assert!(connection::finish_login(&store, &first, &LoginEnd::Refused).await.unwrap());
    saved(&store, &save(URL, AuthMode::Knox, vec![(secret::PASSWORD, Some(sealed(6)))])).await;
    let found = find(&store).await;
    assert_eq!(found.login_refused_at, None, "another password may be right");
}

#[tokio::test]
async fn the_servers_throttle_is_remembered_and_never_shortened_or_endless() {
    let database = TestDatabase::create().await;
    let (store, id) = knox(&database).await;
    let wait = async |after_s: u64| {
        let claim = granted(claim(&store, id, LoginBy::Person).await);
        let end = LoginEnd::Throttled(Duration::from_secs(after_s));
        assert!(connection::finish_login(&store, &claim, &end).await.unwrap());
    };
    wait(59).await;
    let Login::NotBefore { after, .. } = claim(&database.second_store(), id, LoginBy::Person).await else {
        panic!("every program knows it")
    };
    assert!((50..=59).contains(&after.as_secs()), "{after:?}");
    execute(&database, "update muster.connection set login_not_before = null").await;
    wait(u64::MAX).await;
    let Login::NotBefore { after, .. } = claim(&store, id, LoginBy::Program).await else { panic!("it is throttled") };
    assert!(after <= Duration::from_secs(86_400), "{after:?}");
}
