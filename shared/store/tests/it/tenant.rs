//! Connecting a tenant: once, twice, at once, and on a database that AlgaPSA made.

use std::time::Duration;

use fault::{Class, Classify};
use store::audit::Entry;
use store::connection::{self, Save};
use store::hook::{self, Change, HookState, Rotation};
use store::secret::{self, Sealed};
use store::tenant::{self, NewConnection};
use store::testing::{TestDatabase, entry};
use uuid::Uuid;

use crate::{connected, execute, text, within};

#[tokio::test]
async fn connecting_twice_makes_nothing_twice_and_writes_nothing() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let first = connected(&store, 1).await;
    assert_eq!(first.hook, Some(Change::Created));
    let rows = "select concat_ws(' ', t.xmin, c.xmin, i.xmin, h.xmin, v.xmin)
                from tenants t, clients c, rmm_integrations i, muster.hook h, muster.hook_version v";
    let before = text(&database, rows).await;
    let second = connected(&store, 1).await;
    assert_eq!(second.hook, Some(Change::Unchanged));
    assert_eq!((second.client_id, second.integration_id), (first.client_id, first.integration_id));
    assert_eq!(text(&database, rows).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connecting_at_once_makes_one_of_each() {
    let database = TestDatabase::create().await;
    let all: Vec<_> = (0..8)
        .map(|_| {
            let store = database.second_store();
            tokio::spawn(async move { connected(&store, 1).await })
        })
        .collect();
    let mut ids = Vec::new();
    for one in all {
        let one = within(one).await.unwrap();
        ids.push((one.client_id, one.integration_id));
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(text(&database, "select count(*)::text from clients").await, "1");
}

#[tokio::test]
async fn another_secret_is_a_rotation_and_none_leaves_the_hook() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let one = connected(&store, 1).await;
    let mut new = NewConnection {
        tenant: one.tenant,
        client_name: "Acme".to_owned(),
        instance_url: None,
        digest: Some([2; 32]),
        grace: Duration::from_secs(60),
    };
    let again = tenant::connect(&store, &new, "a test").await.unwrap();
    assert!(matches!(again.hook, Some(Change::Rotated { .. })), "{again:?}");
    new.digest = None;
    assert_eq!(tenant::connect(&store, &new, "a test").await.unwrap().hook, None);
    assert_eq!(hook::find(&store, one.tenant).await.unwrap().unwrap().digest, [2; 32]);
    assert_eq!(
        tenant::list(&store).await.unwrap()[0].instance_url.as_deref(),
        Some("https://api.example.com"),
        "no url given keeps the one before"
    );
}

/// What `tenant connect` asks for, with another URL.
fn to(instance_url: &str) -> NewConnection {
    NewConnection {
        tenant: Uuid::from_u128(1),
        client_name: "Acme".to_owned(),
        instance_url: Some(instance_url.to_owned()),
        digest: None,
        grace: Duration::ZERO,
    }
}

#[tokio::test]
async fn another_url_changes_what_a_saved_one_changes() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let one = connected(&store, 1).await;
    execute(
        &database,
        "insert into rmm_organization_mappings (tenant, mapping_id, integration_id, external_organization_id)
         select tenant, gen_random_uuid(), integration_id, '1' from rmm_integrations",
    )
    .await;
    let before = connection::find(&store, one.tenant).await.unwrap().unwrap();
    assert!(!before.is_unconfirmed());
    tenant::connect(&store, &to("https://api.example.com"), "a test").await.unwrap();
    assert_eq!(connection::find(&store, one.tenant).await.unwrap().unwrap().revision, before.revision, "the same URL");

    tenant::connect(&store, &to("https://api.example.net"), "a test").await.unwrap();
    let after = connection::find(&store, one.tenant).await.unwrap().unwrap();
    assert_eq!(after.confirmed_url.as_deref(), Some("https://api.example.com"), "the mappings are the one before's");
    assert!(after.is_unconfirmed() && after.revision > before.revision && after.is_active);
    let noted = "select string_agg(detail ->> 'instance_url', ' ' order by audit_id) from muster.audit
                 where action = 'integration.settings.save'";
    assert_eq!(
        text(&database, noted).await,
        "https://api.example.com https://api.example.net",
        "one row for each change"
    );
}

#[tokio::test]
async fn a_stored_key_is_not_taken_to_another_server() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let one = connected(&store, 1).await;
    let sealed = Sealed { key_id: "k".to_owned(), bytes: vec![7; 48] };
    let key = vec![(secret::API_KEY, Some(sealed))];
    let save = Save { tenant: one.tenant, instance_url: None, auth_mode: None, device_source: None, secrets: key };
    connection::save(&store, &save, &entry("integration.settings.save")).await.unwrap();
    let error = tenant::connect(&store, &to("https://api.example.net"), "a test").await.unwrap_err();
    assert!(error.to_string().contains("`muster connect --url`"), "{error}");
    assert_eq!(
        connection::find(&store, one.tenant).await.unwrap().unwrap().instance_url,
        to("https://api.example.com").instance_url
    );
    assert!(secret::get(&store, one.tenant, secret::API_KEY).await.unwrap().is_some(), "nothing was changed");
}

#[tokio::test]
async fn the_list_shows_what_was_done() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let one = connected(&store, 1).await;
    connected(&store, 2).await;
    connection::disconnect(&store, one.tenant, &entry("integration.disconnect")).await.unwrap();
    let listed = tenant::list(&store).await.unwrap();
    assert_eq!(listed.iter().map(|one| one.state).collect::<Vec<_>>(), [HookState::Inactive, HookState::Active]);
    assert_eq!(listed[0].integration_id, one.integration_id);
    assert!(listed[0].rotated_at.is_some());
}

#[tokio::test]
async fn a_stranger_can_be_neither_disconnected_nor_suspended() {
    let database = TestDatabase::create().await;
    let store = database.store();
    assert!(!connection::disconnect(&store, Uuid::nil(), &entry("integration.disconnect")).await.unwrap());
    assert!(!tenant::set_suspended(&store, Uuid::nil(), true, "a test").await.unwrap());
}

#[tokio::test]
async fn a_second_suspension_keeps_the_first_stamp() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let one = connected(&store, 1).await;
    tenant::set_suspended(&store, one.tenant, true, "a test").await.unwrap();
    let before = text(&database, "select suspended_at::text from tenants").await;
    tenant::set_suspended(&store, one.tenant, true, "a test").await.unwrap();
    assert_eq!(text(&database, "select suspended_at::text from tenants").await, before);
    tenant::set_suspended(&store, one.tenant, false, "another").await.unwrap();
    let noted = "select string_agg(action || ' by ' || actor, ', ' order by audit_id) from muster.audit
                 where tenant = '00000000-0000-0000-0000-000000000001' and action like 'tenant.%'";
    assert_eq!(
        text(&database, noted).await,
        "tenant.suspend by a test, tenant.resume by another",
        "one for each change"
    );
}

#[tokio::test]
async fn each_change_of_a_connecting_has_its_row_in_the_audit_and_a_refused_one_none() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let tenant = Uuid::from_u128(1);
    let noted = async || {
        let rows =
            "select coalesce(string_agg(action, ' ' order by audit_id), '') from muster.audit where actor = 'Ada'";
        text(&database, rows).await
    };
    let mut new = NewConnection { instance_url: None, ..to("") };
    tenant::connect(&store, &new, "Ada").await.unwrap();
    assert_eq!(noted().await, "integration.connect", "for webhooks alone");
    for seed in [1, 1, 2, 3] {
        new.digest = Some([seed; 32]);
        new.grace = Duration::from_secs(60);
        tenant::connect(&store, &new, "Ada").await.unwrap();
    }
    let all = "integration.connect webhook.rotate webhook.rotate";
    assert_eq!(noted().await, all, "made, the same again, replaced, and refused while that is under way");
    let hook = hook::find(&store, tenant).await.unwrap().unwrap();
    let by = Entry { actor: "Ada".to_owned(), ..entry("webhook.rotate") };
    let rotate = async |seed: u8| {
        let rotation = Rotation { grace: Duration::ZERO, is_forced: true };
        hook::rotate(&store, tenant, hook.integration_id, &[seed; 32], rotation, &by).await.unwrap()
    };
    assert_eq!(rotate(2).await, Change::Unchanged);
    assert_eq!(noted().await, all);
    assert!(matches!(rotate(4).await, Change::Rotated { .. }));
    assert_eq!(noted().await, format!("{all} webhook.rotate"));
}

#[tokio::test]
async fn an_adopted_tenant_is_connected_although_its_table_wants_more() {
    let database = TestDatabase::create().await;
    let store = database.store();
    execute(
        &database,
        "alter table tenants add email text;
         insert into tenants (tenant, email) values ('00000000-0000-0000-0000-000000000001', 'a@example.com');
         alter table tenants alter email set not null",
    )
    .await;
    connected(&store, 1).await;
    let new = NewConnection {
        tenant: Uuid::from_u128(2),
        client_name: "Acme".to_owned(),
        instance_url: None,
        digest: None,
        grace: Duration::ZERO,
    };
    let error = tenant::connect(&store, &new, "a test").await.unwrap_err();
    assert_eq!(error.class(), Class::Permanent, "only AlgaPSA can make that tenant: {error:?}");
}
