//! Schedules are made with their connection, tick while it is active, and keep what a person has set.

use store::connection::{self, AuthMode, Save, TestNote};
use store::migrate;
use store::run::Kind;
use store::schedule::{self, Patch};
use store::testing::TestDatabase;
use uuid::Uuid;

use crate::world::{World, connect, entry};

#[tokio::test]
async fn a_connection_that_becomes_active_has_a_schedule_of_each_kind_with_its_default() {
    let world = World::new().await;
    let schedules = schedule::list(&world.store, world.tenant).await.unwrap();
    let shown: Vec<_> = schedules.iter().map(|it| (it.kind, it.default_interval_s, it.interval_s)).collect();
    let known = [
        (Kind::Clients, 3_600, None),
        (Kind::Devices, 120, None),
        (Kind::Software, 86_400, None),
        (Kind::Alerts, 300, None),
    ];
    assert_eq!(shown, known, "the migration names the kinds that there are jobs for");
    assert_eq!(Kind::ALL.len(), known.len());
    assert!(schedules.iter().all(|it| it.is_enabled && it.next_due_at.is_some() && it.last_slot.is_none()));
    // soon, also where the interval is a day
    assert_eq!(
        world.number("select count(*) from muster.schedule where next_due_at > now() + interval '1 hour'").await,
        0
    );
    assert!(schedule::list(&world.store, Uuid::new_v4()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_connection_that_is_not_active_yet_does_not_tick() {
    let database = TestDatabase::create().await;
    database
        .execute(
            "insert into tenants (tenant) values ('00000000-0000-0000-0000-000000000001');
             insert into rmm_integrations (tenant, integration_id, provider, is_active, instance_url)
                 values ('00000000-0000-0000-0000-000000000001', gen_random_uuid(), 'tacticalrmm', false, 'https://a.b'),
                     ('00000000-0000-0000-0000-000000000001', gen_random_uuid(), 'another', true, 'https://a.b')",
        )
        .await;
    let schedules = schedule::list(&database.store(), Uuid::from_u128(1)).await.unwrap();
    assert_eq!(schedules.len(), Kind::ALL.len(), "those of another provider are nobody's");
    assert!(schedules.iter().all(|it| it.next_due_at.is_none()));
    // whoever switches it on, also AlgaPSA itself
    database.execute("update rmm_integrations set is_active = true where provider = 'tacticalrmm'").await;
    let schedules = schedule::list(&database.store(), Uuid::from_u128(1)).await.unwrap();
    assert!(schedules.iter().all(|it| it.next_due_at.is_some()));
}

#[tokio::test]
async fn a_disconnect_ends_the_ticks_and_keeps_what_a_person_has_set() {
    let world = World::new().await;
    let hourly = Patch { interval_s: Some(Some(3_600)), is_enabled: None };
    schedule::patch(&world.store, world.tenant, Kind::Alerts, &hourly, &entry()).await.unwrap();
    let off = Patch { interval_s: None, is_enabled: Some(false) };
    schedule::patch(&world.store, world.tenant, Kind::Clients, &off, &entry()).await.unwrap();
    assert!(connection::disconnect(&world.store, world.tenant, &entry()).await.unwrap());
    assert_eq!(world.number("select count(*) from muster.schedule where next_due_at is not null").await, 0);
    connect(&world.store, world.tenant).await;
    assert_eq!(world.schedule(Kind::Alerts).await.interval_s, Some(3_600));
    assert!(world.schedule(Kind::Devices).await.next_due_at.is_some());
    assert_eq!(world.schedule(Kind::Clients).await.next_due_at, None, "what was switched off stays so");
    world.run("delete from rmm_integrations").await;
    assert_eq!(world.number("select count(*) from muster.schedule").await, 0);
}

/// A removal may have taken them while somebody switched the connection on.
#[tokio::test]
async fn an_active_connection_without_schedules_gets_them_where_it_is_connected_or_tested() {
    let world = World::new().await;
    for is_tested in [false, true] {
        world.run("delete from muster.schedule; delete from muster.connection").await;
        if is_tested {
            let note = TestNote {
                tenant: world.tenant,
                integration_id: world.integration_id,
                revision: 0,
                instance_url: "https://api.example.com",
                is_success: true,
                server_version: None,
                clients_visible: None,
                agents_visible: None,
            };
            let is_active = connection::note_test(&world.store, &note, &entry()).await.unwrap();
            assert_eq!(is_active, Some(true));
        } else {
            connect(&world.store, world.tenant).await;
        }
        let schedules = schedule::list(&world.store, world.tenant).await.unwrap();
        assert_eq!(schedules.len(), Kind::ALL.len(), "tested: {is_tested}");
        assert!(schedules.iter().all(|it| it.next_due_at.is_some()));
    }
}

/// What AlgaPSA gets wrong: saving the form wipes the schedules.
#[tokio::test]
async fn saving_the_settings_touches_no_schedule() {
    let world = World::new().await;
    world.run("update muster.schedule set interval_s = 777 where kind = 'devices'").await;
    let rows = "select string_agg(ctid || ' ' || xmin, ',' order by kind) from muster.schedule";
    let before: String = sqlx::query_scalar(rows).fetch_one(&world.pool).await.unwrap();
    for url in ["https://api.example.com", "https://elsewhere.example.com"] {
        let save = Save {
            tenant: world.tenant,
            instance_url: Some(url.to_owned()),
            auth_mode: Some(AuthMode::ApiKey),
            device_source: None,
            secrets: Vec::new(),
        };
        connection::save(&world.store, &save, &entry()).await.unwrap();
        let after: String = sqlx::query_scalar(rows).fetch_one(&world.pool).await.unwrap();
        assert_eq!(after, before, "{url}");
    }
}

/// What AlgaPSA gets wrong: all schedules fire at minute 0.
#[tokio::test]
async fn the_slots_of_many_tenants_are_spread_over_the_interval() {
    let world = World::new().await;
    world
        .run(
            "insert into tenants (tenant) select lpad(to_hex(n), 32, '0')::uuid from generate_series(1000, 1599) n;
             insert into rmm_integrations (tenant, integration_id, provider, is_active)
                 select tenant, tenant, 'tacticalrmm', true from tenants where tenant <> '00000000-0000-0000-0000-000000000007'",
        )
        .await;
    for (kind, bucket_s) in [("clients", 60), ("devices", 2), ("alerts", 5), ("software", 60)] {
        let most = world
            .number(&format!(
                "select max(n) from (select count(*) n from muster.schedule where kind = '{kind}'
                 group by floor(extract(epoch from next_due_at) / {bucket_s})) b"
            ))
            .await;
        // 600 over 60 buckets: ten in each on average
        assert!(most < 30, "{most} schedules of {kind} within {bucket_s} s");
    }
    let together = "select count(*) from (select tenant from muster.schedule where kind in ('clients', 'software')
                    group by tenant having count(distinct phase_s % 3600) = 1) t";
    assert!(world.number(together).await < 6, "nor do the kinds of one tenant fall together");
}

#[tokio::test]
async fn a_slot_lies_by_its_phase_and_after_the_moment_whatever_the_interval() {
    let world = World::new().await;
    for (after, interval_s, phase_s, next) in [
        ("1970-01-01 00:00:00", 60, 0, "1970-01-01 00:01:00"),
        ("1970-01-01 00:00:59.999999", 60, 0, "1970-01-01 00:01:00"),
        ("1970-01-01 00:01:00", 60, 61, "1970-01-01 00:01:01"),
        ("2026-03-29 01:59:59", 3_600, 604_799, "2026-03-29 02:59:59"),
        ("2026-11-22 15:00:00", 604_800, 0, "2026-11-26 00:00:00"),
        ("2026-11-22 15:00:00", 86_400, 604_799, "2026-11-22 23:59:59"),
    ] {
        // also where the session is in another zone
        let sql = format!(
            "select count(*) from set_config('timezone', 'Europe/Berlin', false)
             where muster.next_slot('{after}+00', {interval_s}, {phase_s}) = '{next}+00'"
        );
        assert_eq!(world.number(&sql).await, 1, "{after} {interval_s} {phase_s}");
    }
}

#[tokio::test]
async fn connections_that_are_there_already_get_their_schedules_by_the_migration() {
    let database = TestDatabase::empty().await;
    let store = database.store();
    database.execute(include_str!("../it/algapsa.sql")).await;
    migrate::run(&store).await.unwrap();
    let count = "select count(*) from muster.schedule s join rmm_integrations i using (tenant, integration_id)
                 where i.is_active and s.next_due_at is not null";
    let count: i64 = sqlx::query_scalar(count).fetch_one(&mut database.connect().await).await.unwrap();
    assert_eq!(count, i64::try_from(Kind::ALL.len()).unwrap());
}
