//! Migrations: an empty database, an adopted one, two at once, and databases that do not fit.

use fault::{Class, Classify, chain};
use store::migrate;
use store::testing::TestDatabase;

use crate::{connected, execute, text, within};

/// As AlgaPSA makes them: no foreign keys of ours, its own extra columns, its own names of constraints.
const ALGAPSA: &str = include_str!("algapsa.sql");

#[tokio::test]
async fn an_empty_database_becomes_current_and_a_second_run_does_nothing() {
    let database = TestDatabase::empty().await;
    let store = database.store();
    let before = migrate::state(&store).await.unwrap();
    assert!(before.applied.is_empty() && before.behind == before.known && !before.is_current());
    migrate::run(&store).await.unwrap();
    let after = migrate::state(&store).await.unwrap();
    assert!(after.is_current() && after.applied == after.known, "{after:?}");
    let stamps = "select string_agg(xmin::text || installed_on::text, ',' order by version) from muster.migration";
    let applied = text(&database, stamps).await;
    migrate::run(&store).await.unwrap();
    assert_eq!(text(&database, stamps).await, applied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn migrations_at_once_apply_each_step_once() {
    let database = TestDatabase::empty().await;
    let all: Vec<_> = (0..5)
        .map(|_| {
            let store = database.second_store();
            tokio::spawn(async move { migrate::run(&store).await })
        })
        .collect();
    for one in all {
        within(one).await.unwrap().unwrap();
    }
    assert!(migrate::state(&database.store()).await.unwrap().is_current());
}

#[tokio::test]
async fn algapsas_tables_stand_in_public_also_for_a_role_that_is_called_like_our_schema() {
    let database = TestDatabase::create().await;
    let schemas = "select string_agg(distinct table_schema, ',') from information_schema.tables
                   where table_name in ('tenants', 'rmm_alerts', 'assets')";
    assert_eq!(text(&database, schemas).await, "public");
    let strangers =
        "select string_agg(tablename, ',') from pg_tables where schemaname = 'public' and tablename like '%migration%'";
    assert_eq!(text(&database, strangers).await, "", "our own record stands in our own schema");
}

#[tokio::test]
async fn a_database_that_algapsa_made_is_adopted_and_no_row_is_touched() {
    let database = TestDatabase::empty().await;
    let store = database.store();
    execute(&database, ALGAPSA).await;
    let rows = "select md5(string_agg(line, '|' order by line)) from (
                    select a.xmin::text || a.ctid::text || a::text as line from rmm_alerts a
                    union all select t.xmin::text || t::text from tenants t
                    union all select i.xmin::text || i::text from rmm_integrations i
                    union all select s.xmin::text || s::text from assets s) all_rows";
    let columns = "select md5(string_agg(concat_ws(' ', table_name, column_name, data_type, is_nullable), ',' order by
                       table_name, ordinal_position))
                   from information_schema.columns where table_schema = 'public'
                       and table_name in ('tenants', 'clients', 'rmm_integrations', 'rmm_alerts', 'assets')";
    let before = (text(&database, rows).await, text(&database, columns).await);
    migrate::run(&store).await.unwrap();
    assert_eq!((text(&database, rows).await, text(&database, columns).await), before);
    let external = "select count(*)::text from pg_index where indisunique
                    and indrelid = 'tenant_external_entity_mappings'::regclass
                    and pg_get_indexdef(indexrelid) like '%COALESCE(external_realm_id%'";
    assert_eq!(text(&database, external).await, "1", "its own unique index serves, a second one would only cost");
    // and it works: the connection that it has is found and not doubled
    let one = connected(&store, 1).await;
    assert_eq!(one.integration_id, uuid::Uuid::from_u128(0x11));
    assert_eq!(store::tenant::list(&store).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_database_that_lacks_a_column_is_refused_by_name_and_as_a_whole() {
    let database = TestDatabase::empty().await;
    let store = database.store();
    execute(&database, ALGAPSA).await;
    execute(&database, "alter table rmm_alerts drop dedup_key; alter table tenants drop suspended_at").await;
    let error = migrate::run(&store).await.unwrap_err();
    assert!(chain(&error).contains("lack rmm_alerts.dedup_key, tenants.suspended_at"), "{}", chain(&error));
    assert!(migrate::state(&store).await.unwrap().applied.is_empty());
    assert_eq!(text(&database, "select to_regclass('public.software_catalog')::text").await, "", "rolled back");
    // what only a sync writes is asked for, too
    execute(
        &database,
        "alter table rmm_alerts add dedup_key varchar(255); alter table tenants add suspended_at timestamptz;
         alter table server_assets drop disk_usage",
    )
    .await;
    let error = migrate::run(&store).await.unwrap_err();
    assert!(chain(&error).contains("lack server_assets.disk_usage"), "{}", chain(&error));
    // once AlgaPSA is upgraded, the same command goes on
    execute(&database, "alter table server_assets add disk_usage jsonb").await;
    migrate::run(&store).await.unwrap();
}

#[tokio::test]
async fn a_database_ahead_of_this_build_is_refused_and_shown() {
    let database = TestDatabase::create().await;
    let store = database.store();
    execute(&database, "insert into muster.migration select 9999, 'later', now(), true, '\\x00', 0").await;
    assert_eq!(migrate::state(&store).await.unwrap().ahead, [9999]);
    let error = migrate::run(&store).await.unwrap_err();
    assert_eq!(error.class(), Class::Outage);
    assert!(error.to_string().contains("9999"), "{error}");
}

#[tokio::test]
async fn a_migration_that_was_edited_after_it_was_applied_is_refused_and_shown() {
    let database = TestDatabase::create().await;
    let store = database.store();
    execute(&database, "update muster.migration set checksum = '\\x00' where version = 1").await;
    assert_eq!(migrate::state(&store).await.unwrap().changed, [1]);
    assert!(migrate::run(&store).await.unwrap_err().to_string().contains("migration 1 differs"));
}

#[tokio::test]
async fn an_asset_with_an_alert_can_be_deleted_and_the_alert_keeps_its_tenant() {
    let database = TestDatabase::create().await;
    connected(&database.store(), 1).await;
    execute(
        &database,
        "insert into assets (tenant, client_id, asset_tag, name, status)
             select tenant, client_id, 'tactical:a', 'pc', 'active' from clients;
         insert into rmm_alerts (tenant, integration_id, external_alert_id, severity, triggered_at, asset_id)
             select i.tenant, i.integration_id, '7', 'minor', now(), a.asset_id from rmm_integrations i, assets a;
         delete from assets",
    )
    .await;
    let left = "select concat_ws(' ', tenant is not null, asset_id is null) from rmm_alerts";
    assert_eq!(text(&database, left).await, "t t");
}

#[tokio::test]
async fn what_was_read_before_there_were_events_is_not_told_as_an_import_after_the_update() {
    let database = TestDatabase::empty().await;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let events = paths.iter().position(|path| path.ends_with("0010_events.sql")).expect("it is there");
    for path in &paths[..events] {
        database.execute(&std::fs::read_to_string(path).unwrap()).await;
    }
    // a connection that was read, and one that only webhooks have told of; of the first one's clients 1 was read, 2 has no
    // time yet, 3 is known to AlgaPSA's own sync alone, 4 has an agent that nobody has read
    execute(
        &database,
        "insert into tenants (tenant) values ('00000000-0000-0000-0000-000000000001');
         insert into rmm_integrations (tenant, integration_id, provider, is_active)
         values ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000011', 'tacticalrmm', true);
         insert into rmm_organization_mappings (tenant, integration_id, external_organization_id, last_synced_at)
         select tenant, integration_id, n::text, case when n <> 2 then now() end
         from rmm_integrations, generate_series(1, 4) n;
         insert into muster.agent (tenant, integration_id, agent_id, external_client_id, digest)
         select tenant, integration_id, 'agent-' || n, n::text, case when n <> 4 then '\\x00'::bytea end
         from rmm_integrations, unnest('{1,2,4}'::int[]) n;
         insert into muster.alert_poll (tenant, integration_id, polled_at)
         select tenant, integration_id, now() from rmm_integrations
         union all
         select tenant, '00000000-0000-0000-0000-000000000012', null from rmm_integrations",
    )
    .await;
    for path in &paths[events..] {
        database.execute(&std::fs::read_to_string(path).unwrap()).await;
    }
    let imported = "select string_agg(concat_ws(' ', right(integration_id::text, 2), kind, scope), ', ' order by kind)
                    from muster.imported";
    assert_eq!(text(&database, imported).await, "11 alerts , 11 devices 1");
    assert_eq!(text(&database, "select string_agg(distinct rev::text, ',') from muster.agent").await, "0");
}
