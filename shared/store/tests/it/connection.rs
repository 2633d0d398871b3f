//! A connection's settings, its tests, its end, and its logins.

mod login;
mod racing;

use std::time::Duration;

use fault::{Class, Classify};
use serde_json::json;
use store::Store;
use store::audit::Entry;
use store::connection::{
    self, AuthMode, DeviceSource, Login, LoginBy, LoginClaim, LoginEnd, LoginRules, Save, SaveEnd, Saved, TestNote,
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
        instance_url: Some(url.to_owned()),
        auth_mode: Some(auth_mode),
        device_source: Some(DeviceSource::Classic),
        secrets,
    }
}

async fn end_of(store: &Store, new: &Save) -> SaveEnd {
    connection::save(store, new, &entry("integration.settings.save")).await.expect("it answers")
}

async fn save_all(store: &Store, new: &Save) -> Saved {
    match end_of(store, new).await {
        SaveEnd::Saved(saved) => saved,
        other => panic!("{other:?}"),
    }
}

async fn saved(store: &Store, new: &Save) -> Uuid {
    save_all(store, new).await.integration_id
}

/// User and password.
fn login(byte: u8) -> Vec<(&'static str, Option<Sealed>)> {
    vec![(secret::USERNAME, Some(sealed(byte))), (secret::PASSWORD, Some(sealed(byte + 1)))]
}

async fn find(store: &Store) -> connection::Connection {
    connection::find(store, Uuid::from_u128(1)).await.expect("it answers").expect("it was made")
}

/// A test that began with the settings of that revision.
fn note(integration_id: Uuid, revision: i64, instance_url: &str, is_success: bool) -> TestNote<'_> {
    TestNote {
        revision,
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
    let id = saved(&store, &save(URL, AuthMode::Knox, login(1))).await;
    (store, id)
}

/// A claim because the token `sealed(3)` is dead.
async fn claim(store: &Store, id: Uuid, by: LoginBy) -> Login {
    connection::claim_login(store, Uuid::from_u128(1), id, by, Some(&sealed(3)), &RULES).await.expect("it answers")
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
    let first = save_all(&store, &new).await;
    assert!(first.is_new && !find(&store).await.is_active);
    execute(
        &database,
        r#"update rmm_integrations set settings = settings || '{"deviceSync": {"enabled": true, "interval": 15}}'"#,
    )
    .await;
    let second = save_all(&store, &save(URL, AuthMode::Knox, vec![])).await;
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
    saved(&store, &save("https://api.other.example", AuthMode::Knox, login(1))).await;
    assert!(!has_token().await);
    token().await;
    saved(&store, &save("https://api.other.example", AuthMode::Knox, vec![(secret::PASSWORD, Some(sealed(5)))])).await;
    assert!(!has_token().await);
    assert_eq!(secret::get(&store, tenant, secret::USERNAME).await.unwrap(), Some(sealed(1)), "not named, not touched");

    // a login that is under way when the server changes leaves no token
    let under_way = granted(claim(&store, id, LoginBy::Person).await);
    saved(&store, &save(URL, AuthMode::Knox, login(1))).await;
    assert!(!connection::finish_login(&store, &under_way, &LoginEnd::Token(sealed(3))).await.unwrap());
    assert!(!has_token().await);
}

#[tokio::test]
async fn a_successful_test_activates_and_confirms_the_url_while_nothing_is_mapped() {
    let database = TestDatabase::create().await;
    let store = database.store();
    execute(&database, "insert into tenants (tenant) values ('00000000-0000-0000-0000-000000000001')").await;
    let id = saved(&store, &save(URL, AuthMode::ApiKey, vec![])).await;
    let told = async |url, is_success| {
        let revision = find(&store).await.revision;
        connection::note_test(&store, &note(id, revision, url, is_success), &entry("integration.test")).await.unwrap()
    };
    assert_eq!(told(URL, false).await, Some(false));
    let failed = find(&store).await;
    assert!(!failed.is_active && failed.confirmed_url.is_none() && failed.tested_at.is_some());
    assert_eq!(told("https://api.before", true).await, None);
    assert_eq!(told(URL, true).await, Some(true));
    let found = find(&store).await;
    assert_eq!((found.confirmed_url.as_deref(), found.server_version.as_deref()), (Some(URL), Some("1.5.1")));
    assert_eq!((found.clients_visible, found.agents_visible), (Some(3), Some(40)));
    assert!(found.is_active && found.connected_at.is_some());

    map_one(&database).await;
    let other = "https://api.other.example";
    saved(&store, &save(other, AuthMode::ApiKey, vec![])).await;
    assert_eq!(find(&store).await.agents_visible, None, "it told of another server");
    assert_eq!(told(other, true).await, Some(true));
    let found = find(&store).await;
    assert_eq!(found.confirmed_url.as_deref(), Some(URL), "the mappings may be another server's");
    assert!(found.is_unconfirmed());
    assert_eq!(told(other, false).await, Some(true), "a failed test ends nothing");
}

async fn map_one(database: &TestDatabase) {
    execute(
        database,
        "insert into rmm_organization_mappings (tenant, integration_id, external_organization_id)
         select tenant, integration_id, '1' from rmm_integrations",
    )
    .await;
}

#[tokio::test]
async fn a_stored_key_never_goes_to_another_server() {
    let database = TestDatabase::create().await;
    let (store, _) = knox(&database).await;
    let tenant = Uuid::from_u128(1);
    let names = async || {
        let rows = secret::list(&store, tenant).await.unwrap();
        rows.into_iter().map(|row| row.name).collect::<Vec<_>>()
    };
    // both kinds of credentials are there
    saved(&store, &save(URL, AuthMode::ApiKey, vec![(secret::API_KEY, Some(sealed(9)))])).await;
    let before = (find(&store).await, names().await, text(&database, "select count(*)::text from muster.audit").await);
    for other in ["https://api.other.example", "http://api.example.com", "https://api.example.com:8443"] {
        let half = vec![(secret::PASSWORD, Some(sealed(8)))];
        for (mode, secrets) in [(AuthMode::ApiKey, vec![]), (AuthMode::Knox, half), (AuthMode::ApiKey, login(3))] {
            assert_eq!(end_of(&store, &save(other, mode, secrets)).await, SaveEnd::NoCredentials(mode), "{other}");
        }
    }
    let now = (find(&store).await, names().await, text(&database, "select count(*)::text from muster.audit").await);
    assert_eq!(
        (&now.0.instance_url, now.0.revision, now.1, now.2),
        (&before.0.instance_url, before.0.revision, before.1, before.2)
    );
    // the same server in other words needs nothing
    saved(&store, &save("https://API.example.com:443/", AuthMode::ApiKey, vec![])).await;
    assert_eq!(names().await, [secret::API_KEY, secret::PASSWORD, secret::USERNAME]);
    // and a new server's key is the only one that is left
    let other = "https://api.other.example";
    saved(&store, &save(other, AuthMode::ApiKey, vec![(secret::API_KEY, Some(sealed(7)))])).await;
    assert_eq!(names().await, [secret::API_KEY]);
    assert_eq!(secret::get(&store, tenant, secret::API_KEY).await.unwrap(), Some(sealed(7)));
}

#[tokio::test]
async fn another_server_ends_the_runs_and_stands_apart_from_the_mappings_of_the_one_before() {
    let database = TestDatabase::create().await;
    let (store, id) = knox(&database).await;
    let tenant = Uuid::from_u128(1);
    map_one(&database).await;
    let kind = store::run::Kind::Devices;
    let started = store::run::start(&store, tenant, id, kind, "a test", &entry("sync.start")).await.unwrap();
    saved(&store, &save("https://API.example.com/", AuthMode::Knox, vec![])).await;
    assert!(!find(&store).await.is_unconfirmed(), "it is the same server");
    saved(&store, &save("https://api.other.example", AuthMode::Knox, login(3))).await;
    let found = find(&store).await;
    assert!(found.is_active, "its webhooks are still recorded");
    // nothing had said a URL for the mappings: they are those of the server before
    assert_eq!(found.confirmed_url.as_deref(), Some("https://API.example.com/"));
    assert!(found.is_unconfirmed());
    let (run, _) = store::run::get(&store, tenant, started.run_id).await.unwrap().unwrap();
    let error = run.error.unwrap();
    assert_eq!((run.state, error.as_str()), (store::run::State::Failed, "the connection's server was changed"));
}

#[tokio::test]
async fn a_first_save_needs_a_url_and_takes_the_mode_of_its_secrets() {
    let database = TestDatabase::create().await;
    let store = database.store();
    execute(&database, "insert into tenants (tenant) values ('00000000-0000-0000-0000-000000000001')").await;
    let none = Save {
        tenant: Uuid::from_u128(1),
        instance_url: None,
        auth_mode: None,
        device_source: None,
        secrets: login(1),
    };
    assert_eq!(end_of(&store, &none).await, SaveEnd::NoUrl);
    assert_eq!(text(&database, "select count(*)::text from rmm_integrations").await, "0");
    saved(&store, &Save { instance_url: Some(URL.to_owned()), ..none }).await;
    let found = find(&store).await;
    assert_eq!((found.auth_mode, found.device_source), (AuthMode::Knox, DeviceSource::Classic));
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
