//! What is asked right after a first sync, when no table has statistics yet: the work must grow with the devices, not with
//! their square.

use serde_json::Value;
use sqlx::postgres::PgConnection;
use store::testing::TestDatabase;

/// As many devices, agents and alerts as the tables get; each with each other would be two thousand times as much work.
const DEVICES: u64 = 2_000;
/// Rows that all nodes of a plan together may touch for one device: some look-ups and a sort.
const ROWS_A_DEVICE_MAX: f64 = 20.0;

/// Nobody looks at the tables: what autovacuum does sooner or later must not happen here.
const UNSEEN: &str = "
do $$
declare name regclass;
begin
    for name in select oid::regclass from pg_class
        where relkind = 'r' and relnamespace in ('public'::regnamespace, 'muster'::regnamespace)
    loop
        execute format('alter table %s set (autovacuum_enabled = off)', name);
    end loop;
end
$$";

/// A first sync's rows.
const FILL: &str = "
insert into tenants (tenant) values ('00000000-0000-0000-0000-000000000001');
insert into clients (tenant, client_id, client_name)
    values ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-00000000000c', 'Acme');
insert into rmm_integrations (tenant, integration_id, provider, is_active)
    values ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002', 'tacticalrmm', true);
insert into rmm_organization_mappings (tenant, integration_id, external_organization_id, client_id, last_synced_at)
    select tenant, integration_id, n::text, '00000000-0000-0000-0000-00000000000c', now()
    from rmm_integrations, generate_series(1, 20) n;
insert into assets (tenant, asset_id, client_id, asset_tag, name, status, asset_type, rmm_provider, rmm_device_id,
        rmm_organization_id, agent_status, last_rmm_sync_at)
    select tenant, md5(n::text)::uuid, client_id, 'tactical:' || n, 'HOST' || n, 'active',
        case when n % 5 = 0 then 'server' else 'workstation' end, 'tacticalrmm', lpad(n::text, 40, 'A'),
        (n % 20 + 1)::text, 'online', now()
    from clients, generate_series(1, 2000) n;
insert into muster.agent (tenant, integration_id, agent_id, asset_id, external_client_id)
    select a.tenant, i.integration_id, a.rmm_device_id, a.asset_id, a.rmm_organization_id
    from assets a, rmm_integrations i;
insert into workstation_assets (tenant, asset_id) select tenant, asset_id from assets where asset_type = 'workstation';
insert into server_assets (tenant, asset_id) select tenant, asset_id from assets where asset_type = 'server';
insert into tenant_external_entity_mappings (tenant, integration_type, alga_entity_type, alga_entity_id, external_entity_id,
        external_realm_id)
    select tenant, 'tacticalrmm', 'asset', asset_id::text, rmm_device_id, rmm_organization_id from assets;
insert into rmm_alerts (tenant, alert_id, integration_id, external_alert_id, external_device_id, severity, triggered_at)
    select a.tenant, a.asset_id, i.integration_id, a.rmm_device_id, a.rmm_device_id, 'critical', now()
    from assets a, rmm_integrations i;
insert into muster.alert_state (tenant, alert_id, integration_id, external_alert_id, agent_id)
    select tenant, alert_id, integration_id, external_alert_id, external_device_id from rmm_alerts";

const ARGUMENTS: &str = "
-- arguments that `execute` takes, in one order
create function tenants() returns uuid[] return (select array_agg(tenant order by alert_id) from muster.alert_state);
create function alerts() returns uuid[] return (select array_agg(alert_id order by alert_id) from muster.alert_state);
create function agents() returns text[] return (select array_agg(agent_id order by alert_id) from muster.alert_state);
create function ones() returns bigint[] return (select array_agg(1) from muster.alert_state);
";

const TENANT: &str = "'00000000-0000-0000-0000-000000000001'";
const INTEGRATION: &str = "'00000000-0000-0000-0000-000000000002'";

/// Name, statement, and what is asked.
fn statements() -> [(&'static str, &'static str, String); 9] {
    [
        ("fleet", include_str!("../../sql/view/fleet.sql"), format!("{TENANT}, 'tacticalrmm'")),
        (
            "assets",
            include_str!("../../sql/view/assets.sql"),
            format!("{TENANT}, 'tacticalrmm', null, null, null, null, null, null, null, 101"),
        ),
        (
            "assets_searched_in_vain",
            include_str!("../../sql/view/assets.sql"),
            format!("{TENANT}, 'tacticalrmm', null, 'online', null, null, false, 'nobody', null, 101"),
        ),
        (
            "alerts",
            include_str!("../../sql/view/alerts.sql"),
            format!("{TENANT}, 'tacticalrmm', null, null, null, null, null, null, 101"),
        ),
        // the asset of each alert has the alert's id
        (
            "link_states",
            include_str!("../../sql/alert/link_states.sql"),
            "tenants(), alerts(), agents(), alerts()".to_owned(),
        ),
        (
            "link_alerts",
            include_str!("../../sql/alert/link_alerts.sql"),
            "tenants(), alerts(), alerts(), ones(), now()".to_owned(),
        ),
        (
            "find_assets",
            include_str!("../../sql/alert/find_assets.sql"),
            format!("tenants(), array_fill({INTEGRATION}::uuid, array[{DEVICES}]), agents()"),
        ),
        (
            "find_adoptable",
            include_str!("../../sql/device/find_adoptable.sql"),
            format!("{TENANT}, {INTEGRATION}, agents(), '1'"),
        ),
        (
            "drop_mappings",
            include_str!("../../sql/device/drop_mappings.sql"),
            format!("{TENANT}, '1', agents(), alerts()::text[]"),
        ),
    ]
}

async fn run(connection: &mut PgConnection, sql: String) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(connection).await.expect("it runs");
}

/// Rows that a plan's nodes made or looked at in vain.
fn rows_of(node: &Value) -> f64 {
    let number = |name: &str| node[name].as_f64().unwrap_or_default();
    let touched = number("Actual Rows") + number("Rows Removed by Filter") + number("Rows Removed by Join Filter");
    let below = node["Plans"].as_array().into_iter().flatten().map(rows_of).sum::<f64>();
    touched * number("Actual Loops") + below
}

#[tokio::test]
async fn without_statistics_a_fleet_is_read_once_and_not_once_for_each_device() {
    let database = TestDatabase::create().await;
    database.execute(&format!("{UNSEEN}; {FILL}; {ARGUMENTS}")).await;
    let mut connection = database.connect().await;
    for (name, statement, arguments) in statements() {
        run(&mut connection, format!("prepare {name} as {statement}")).await;
        for mode in ["force_custom_plan", "force_generic_plan"] {
            run(&mut connection, format!("set plan_cache_mode = {mode}")).await;
            few_rows(&mut connection, name, &arguments).await;
        }
    }
}

/// A worker's connections live for long, and keep the plans of their first messages.
#[tokio::test]
async fn plans_that_were_made_before_the_first_device_serve_a_fleet() {
    let database = TestDatabase::create().await;
    // Both unique indexes of the links look equally good to the planner, and a page more or less decides. Only one of them
    // knows agents; here is what it comes to where the other one is taken.
    let worse = "drop index tenant_external_entity_mappings_external";
    database.execute(&format!("{UNSEEN}; {worse}; {ARGUMENTS}")).await;
    let mut connection = database.connect().await;
    run(&mut connection, "set plan_cache_mode = force_generic_plan".to_owned()).await;
    for (name, statement, arguments) in statements() {
        run(&mut connection, format!("prepare {name} as {statement}")).await;
        run(&mut connection, format!("begin; execute {name}({arguments}); rollback")).await;
    }
    database.execute(FILL).await;
    for (name, _, arguments) in statements() {
        few_rows(&mut connection, name, &arguments).await;
    }
}

/// Executes a prepared statement, changes nothing, and looks at how many rows it touched.
async fn few_rows(connection: &mut PgConnection, name: &str, arguments: &str) {
    run(connection, "begin".to_owned()).await;
    let explain = format!("explain (analyze, timing off, format json) execute {name}({arguments})");
    let plan: Value = sqlx::query_scalar(sqlx::AssertSqlSafe(explain))
        .persistent(false)
        .fetch_one(&mut *connection)
        .await
        .expect("it is explained");
    run(connection, "rollback".to_owned()).await;
    let rows = rows_of(&plan[0]["Plan"]) / DEVICES as f64;
    assert!(rows <= ROWS_A_DEVICE_MAX, "{name}: {rows} rows for each device\n{plan:#}");
}

/// Changes of software in a tenant's history, and the latest of them that are asked for.
const CHANGES: u64 = 20_000;
const LATEST: u64 = 10;

#[tokio::test]
async fn the_latest_changes_of_software_are_found_without_the_history_behind_them() {
    let database = TestDatabase::create().await;
    let fill = format!(
        "insert into tenants (tenant) values ({TENANT});
         insert into muster.software_change (tenant, asset_id, software_id, change, version, rev, noticed_at)
             select {TENANT}, md5((n % 500)::text)::uuid, md5((n % 300)::text)::uuid, 'installed', '1', 1,
                    timestamptz '2026-01-01Z' + n * interval '1 minute'
             from generate_series(1, {CHANGES}) n;
         analyze muster.software_change"
    );
    database.execute(&fill).await;
    let mut connection = database.connect().await;
    run(&mut connection, format!("prepare changes as {}", include_str!("../../sql/software/changes.sql"))).await;
    let since = format!("timestamptz '2026-01-01Z' + {} * interval '1 minute'", CHANGES - LATEST + 1);
    let asked = format!("execute changes({TENANT}, null, null, null, null, {since}, 101)");
    // the database decides about a plan for all arguments after a few times
    for _ in 0..10 {
        run(&mut connection, asked.clone()).await;
    }
    let explain = format!("explain (analyze, timing off, format json) {asked}");
    let plan: Value = sqlx::query_scalar(sqlx::AssertSqlSafe(explain))
        .persistent(false)
        .fetch_one(&mut connection)
        .await
        .expect("it is explained");
    let rows = rows_of(&plan[0]["Plan"]);
    assert!(rows <= LATEST as f64 * 20.0, "{rows} rows\n{plan:#}");
}
