//! Hooks: what a gateway sees, when it must look again, and rotation.

use std::time::Duration;

use sqlx::Connection;
use store::Store;
use store::connection;
use store::hook::{self, Change, Digest, HookState, Rotation};
use store::tenant;
use store::testing::{TestDatabase, entry};
use uuid::Uuid;

use crate::{connected, execute, within};

const GRACE: Rotation = Rotation { grace: Duration::from_secs(60), is_forced: false };

async fn state(store: &Store) -> HookState {
    hook::snapshot(store).await.expect("it reads").hooks[0].state
}

async fn version(store: &Store) -> i64 {
    hook::version(store).await.expect("it reads")
}

#[tokio::test]
async fn an_empty_database_has_a_version_and_no_hooks() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let snapshot = hook::snapshot(&store).await.unwrap();
    assert!(snapshot.hooks.is_empty());
    assert_eq!(snapshot.version, version(&store).await);
    assert_eq!(hook::find(&store, Uuid::nil()).await.unwrap(), None);
}

#[tokio::test]
async fn the_snapshot_and_a_single_look_show_the_same_hook() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let one = connected(&store, 1).await;
    connected(&store, 2).await;
    let snapshot = hook::snapshot(&store).await.unwrap();
    assert_eq!(snapshot.hooks.iter().map(|hook| hook.digest[0]).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(snapshot.hooks[0].integration_id, one.integration_id);
    assert_eq!(hook::find(&store, one.tenant).await.unwrap().as_ref(), snapshot.hooks.first());
}

#[tokio::test]
async fn whatever_a_gateway_must_see_raises_the_version() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let mut seen = version(&store).await;
    for (what, sql) in [
        ("a tenant", "insert into tenants (tenant) values (gen_random_uuid())"),
        ("a connection", "insert into rmm_integrations (tenant, provider) select tenant, 'tacticalrmm' from tenants"),
    ] {
        execute(&database, sql).await;
        assert_eq!(version(&store).await, seen, "{what} without a hook is nothing to see");
    }
    for (what, sql) in [
        ("a hook", "insert into muster.hook select tenant, integration_id, sha256('a') from rmm_integrations"),
        ("a rotation", "update muster.hook set digest = sha256('b')"),
        ("a switch on", "update rmm_integrations set is_active = true"),
        ("a switch off", "update rmm_integrations set is_active = false"),
        ("a suspension", "update tenants set suspended_at = now()"),
        ("its end", "update tenants set suspended_at = null"),
        ("the connection's end", "delete from rmm_integrations"),
        ("the hook's end", "delete from muster.hook"),
    ] {
        execute(&database, sql).await;
        let now = version(&store).await;
        assert!(now > seen, "{what}");
        seen = now;
    }
}

#[tokio::test]
async fn a_syncs_own_stamps_neither_raise_the_version_nor_wait_for_its_lock() {
    let database = TestDatabase::create().await;
    let store = database.store();
    connected(&store, 1).await;
    let before = version(&store).await;
    let mut other = database.connect().await;
    let mut holder = other.begin().await.unwrap();
    sqlx::raw_sql("update muster.hook_version set version = version").execute(&mut *holder).await.unwrap();
    within(execute(
        &database,
        "update rmm_integrations set last_sync_at = now(), is_active = is_active; update tenants set suspended_at = suspended_at",
    ))
    .await;
    holder.rollback().await.unwrap();
    assert_eq!(version(&store).await, before);
}

#[tokio::test]
async fn versions_commit_in_their_order() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let one = connected(&store, 1).await;
    let two = connected(&store, 2).await;
    let before = version(&store).await;
    // the first change is not committed yet: the second waits, so no reader sees the higher number first
    let mut connection = database.connect().await;
    let mut first = connection.begin().await.unwrap();
    sqlx::query("update muster.hook set digest = $2 where tenant = $1")
        .bind(one.tenant)
        .bind([7_u8; 32])
        .execute(&mut *first)
        .await
        .unwrap();
    let mut second = tokio::spawn({
        let store = database.second_store();
        async move { hook::rotate(&store, two.tenant, two.integration_id, &[8; 32], GRACE, &entry("webhook.rotate")).await }
    });
    let is_done = tokio::time::timeout(Duration::from_millis(200), &mut second).await.is_ok();
    assert!(!is_done && version(&store).await == before);
    first.commit().await.unwrap();
    within(second).await.unwrap().unwrap();
    assert_eq!(version(&store).await, before + 2);
}

#[tokio::test]
async fn a_role_without_rights_in_our_schema_still_switches_its_connections() {
    let database = TestDatabase::create().await;
    let store = database.store();
    connected(&store, 1).await;
    let before = version(&store).await;
    let mut connection = database.connect().await;
    let role = format!("alga_{:032x}", Uuid::new_v4().as_u128());
    let sql = format!(
        "create role {role}; grant select, update on rmm_integrations, tenants to {role}; set role {role};
         update rmm_integrations set is_active = false; update tenants set suspended_at = now(); reset role;
         drop owned by {role}; drop role {role}"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    assert_eq!(version(&store).await, before + 2);
    assert_eq!(state(&store).await, HookState::Suspended);
}

#[tokio::test]
async fn suspended_is_stronger_than_inactive() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let one = connected(&store, 1).await;
    assert_eq!(state(&store).await, HookState::Active);
    assert!(connection::disconnect(&store, one.tenant, &entry("integration.disconnect")).await.unwrap());
    assert_eq!(state(&store).await, HookState::Inactive);
    assert!(tenant::set_suspended(&store, one.tenant, true, "a test").await.unwrap());
    assert_eq!(state(&store).await, HookState::Suspended);
    assert!(tenant::set_suspended(&store, one.tenant, false, "a test").await.unwrap());
    connected(&store, 1).await;
    assert_eq!(state(&store).await, HookState::Active);
}

#[tokio::test]
async fn a_rotation_keeps_the_secret_before_for_its_grace() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let one = connected(&store, 1).await;
    let now = store.database_now().await.unwrap();
    let change =
        hook::rotate(&store, one.tenant, one.integration_id, &[2; 32], GRACE, &entry("webhook.rotate")).await.unwrap();
    let Change::Rotated { previous_valid_until } = change else { panic!("{change:?}") };
    assert!((previous_valid_until - now).num_seconds() >= 60);
    let hook = hook::find(&store, one.tenant).await.unwrap().unwrap();
    assert_eq!((hook.digest, hook.previous), ([2; 32], Some(([1; 32], previous_valid_until))));
    assert_eq!(hook::snapshot(&store).await.unwrap().hooks, [hook], "both reads make the same of a row");
    // asked again, as after an answer that was lost: the secret before must not be pushed out
    let again =
        hook::rotate(&store, one.tenant, one.integration_id, &[2; 32], GRACE, &entry("webhook.rotate")).await.unwrap();
    assert_eq!(again, Change::Unchanged);
    let hook = hook::find(&store, one.tenant).await.unwrap().unwrap();
    assert_eq!(hook.previous, Some(([1; 32], previous_valid_until)));
}

#[tokio::test]
async fn a_second_rotation_waits_for_the_grace_of_the_first_or_is_forced() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let one = connected(&store, 1).await;
    let rotate = async |digest: u8, rotation: Rotation| {
        hook::rotate(&store, one.tenant, one.integration_id, &[digest; 32], rotation, &entry("webhook.rotate"))
            .await
            .unwrap()
    };
    let good = async || {
        let hook = hook::find(&store, one.tenant).await.unwrap().unwrap();
        (hook.digest[0], hook.previous.map(|(digest, _)| digest[0]))
    };
    let Change::Rotated { previous_valid_until } = rotate(2, GRACE).await else { panic!("the first is made") };
    // Tactical still sends the first secret: whatever the second one's grace is, it would end
    for grace in [GRACE, Rotation::gentle(Duration::ZERO)] {
        assert_eq!(rotate(3, grace).await, Change::UnderWay { previous_valid_until });
    }
    let seen = version(&store).await;
    assert_eq!(good().await, (2, Some(1)), "both are as they were");
    let new = tenant::NewConnection {
        tenant: one.tenant,
        client_name: "Another".to_owned(),
        instance_url: Some("https://rmm.example.com".to_owned()),
        digest: Some([3; 32]),
        grace: GRACE.grace,
    };
    let refused = tenant::connect(&store, &new, "a test").await.unwrap();
    assert_eq!(refused.hook, Some(Change::UnderWay { previous_valid_until }));
    assert_eq!(tenant::list(&store).await.unwrap()[0].instance_url.as_deref(), Some("https://api.example.com"));
    assert_eq!(version(&store).await, seen, "nothing was written");
    // there is a way back, which ends nothing
    assert!(matches!(rotate(1, GRACE).await, Change::Rotated { .. }));
    assert_eq!(good().await, (1, Some(2)));
    assert!(matches!(rotate(3, Rotation { is_forced: true, ..GRACE }).await, Change::Rotated { .. }));
    assert_eq!(good().await, (3, Some(1)));
    // a grace that is over, and one that never was, stand in nobody's way
    execute(&database, "update muster.hook set previous_valid_until = now() - interval '1 second'").await;
    assert!(matches!(rotate(4, Rotation::gentle(Duration::ZERO)).await, Change::Rotated { .. }));
    assert!(matches!(rotate(5, GRACE).await, Change::Rotated { .. }));
    assert_eq!(good().await, (5, Some(4)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_rotations_at_once_the_second_is_told_of_the_first() {
    for _ in 0..5 {
        let database = TestDatabase::create().await;
        let store = database.store();
        let one = connected(&store, 1).await;
        let rotate = |digest: Digest| {
            let store = database.second_store();
            tokio::spawn(async move {
                hook::rotate(&store, one.tenant, one.integration_id, &digest, GRACE, &entry("webhook.rotate")).await
            })
        };
        let (left, right) = (rotate([2; 32]), rotate([3; 32]));
        let ends = [within(left).await.unwrap().unwrap(), within(right).await.unwrap().unwrap()];
        let hook = hook::find(&store, one.tenant).await.unwrap().unwrap();
        let Some(([1, ..], until)) = hook.previous else { panic!("the first secret was cut off: {hook:?}") };
        let first = usize::from(hook.digest != [2; 32]);
        assert_eq!(ends[first], Change::Rotated { previous_valid_until: until });
        assert_eq!(ends[1 - first], Change::UnderWay { previous_valid_until: until });
    }
}

#[tokio::test]
async fn a_listener_hears_of_a_change() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let mut changes = hook::listen(&store).await.unwrap();
    connected(&store, 1).await;
    within(changes.next()).await.unwrap();
}
