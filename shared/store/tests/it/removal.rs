//! Removing a tenant: nothing of it is left, nothing of another is touched, and nothing under way brings it back.

mod refused;

use std::collections::BTreeSet;

use chrono::Utc;
use sqlx::postgres::PgConnection;
use store::alert::{self, Details, Fact, Found, Outcome, Said, Under};
use store::connection::{self, LoginBy, LoginRules, TestNote};
use store::parked::{self, Parked, ParkedState};
use store::removal::{self, Fate, Rows};
use store::run::Kind;
use store::schedule::{self, PatchEnd};
use store::testing::{self, TestDatabase};
use store::{Store, organization, tenant};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::{connected, text, within};

/// A row of every table that can hold one of a tenant; ids are the tenant's own number, so that rows of two never meet.
const FILL: &str = "
insert into muster.secret (tenant, name, key_id, sealed) values ($t, 'tacticalrmm_api_key', 'k', 'x');
insert into muster.token (token_id, tenant, name, digest, permissions) values ($t, $t, 'x', sha256($t::text::bytea), '{}');
insert into muster.outbox (tenant, exchange, routing_key, kind, message_id, dedup, body) values ($t, 'e', 'r', 'k', 'm', $t, '');
insert into muster.run (tenant, run_id, integration_id, kind, slot, requested_by) values ($t, $t, $i, 'devices', now(), 'x');
insert into muster.run_part (tenant, run_id, name, label) values ($t, $t, 'p', 'P');
insert into muster.run_candidate (tenant, run_id, agent_id, since) values ($t, $t, 'a', now());
insert into muster.merge_proposal (tenant, proposal_id, integration_id, agent_id, old_agent_id, serial_number)
    values ($t, $t, $i, 'a', 'b', 's');
insert into muster.webhook_finding values ($t, $i, 'verbatim_event', now(), now(), 1);
insert into muster.reconcile_wish values ($t, $i, now());
insert into muster.alert_poll (tenant, integration_id) values ($t, $i);
insert into muster.alert_raw (tenant, integration_id, digest, received_at, agent_id, reasons, raw)
    select $t, $i, n, now(), 'a', '{}', '' from generate_series(1, 2500) n;
insert into muster.alert_recount (tenant, integration_id, dedup_key) values ($t, $i, 'd');
insert into muster.alert_key values ($t, $i, 'id:1', $t);
insert into muster.alert_state (tenant, alert_id, integration_id, dedup_key) values ($t, $t, $i, 'd');
insert into muster.alert_dedup (tenant, integration_id, dedup_key) values ($t, $i, 'd');
insert into muster.software_change (tenant, asset_id, software_id, change, version, rev, noticed_at)
    values ($t, $t, $t, 'installed', '1', 1, now());
insert into muster.software_version (tenant, asset_id, software_id, version, first_seen_at) values ($t, $t, $t, '1', now());
insert into muster.software_report (tenant, asset_id, digest, programs, fetched_at, first_fetched_at)
    values ($t, $t, decode(repeat('00', 16), 'hex'), 1, now(), now());
insert into muster.agent (tenant, integration_id, agent_id, asset_id) values ($t, $i, 'a', $t);
insert into muster.site values ($t, $i, '1', '1', 'Main');
insert into muster.imported (tenant, integration_id, kind, scope) values ($t, $i, 'alerts', '');
insert into muster.parked (dedup, tenant, class, reason, attempt, worker_version, exchange, routing_key, headers, body)
    values ($t, $t, 'poison', '', 0, '', '', '', '{}', 'body');
insert into muster.parked (dedup, tenant, class, state, reason, attempt, worker_version, exchange, routing_key, headers, body)
    values ('held ' || $t, $t, 'held', 'held', '', 0, '', '', '', '{}', 'body');
insert into muster.pause (tenant, cause, paused_by) values ($t, 'person', 'a test');
insert into muster.connection (tenant, integration_id) values ($t, $i) on conflict do nothing;
insert into assets (tenant, asset_id, client_id, asset_tag, name, status, rmm_provider, rmm_device_id, agent_status)
    select $t, $t, client_id, 'tactical:a', 'HOST', 'active', 'tacticalrmm', 'a', 'online' from clients where tenant = $t;
insert into assets (tenant, client_id, asset_tag, name, status, rmm_provider, rmm_device_id)
    select $t, client_id, 'other', 'OTHER', 'active', 'ninjaone', 'n' from clients where tenant = $t;
insert into rmm_organization_mappings (tenant, integration_id, external_organization_id) values ($t, $i, '1');
insert into rmm_alerts (tenant, alert_id, integration_id, external_alert_id, asset_id, severity, triggered_at)
    values ($t, $t, $i, '1', $t, 'critical', now());
insert into tenant_external_entity_mappings (tenant, integration_type, alga_entity_type, alga_entity_id, external_entity_id)
    values ($t, 'tacticalrmm', 'asset', $t, 'a'), ($t, 'ninjaone', 'asset', 'n', 'n');
insert into software_catalog (tenant, software_id, name, normalized_name, publisher) values ($t, $t, 'X', 'x', '');
insert into asset_software (tenant, asset_id, software_id) values ($t, $t, $t);
";

/// Two tenants with a row of everything, and how many rows the second has.
async fn two(database: &TestDatabase) -> (Uuid, Uuid, BTreeSet<String>) {
    let store = database.store();
    for seed in [1, 2] {
        let connected = connected(&store, seed).await;
        let (tenant, integration) = (connected.tenant, connected.integration_id);
        let fill = FILL.replace("$t", &format!("'{tenant}'")).replace("$i", &format!("'{integration}'"));
        database.execute(&fill).await;
    }
    (Uuid::from_u128(1), Uuid::from_u128(2), rows(database, Uuid::from_u128(2)).await)
}

/// Every row of a tenant, by its table and its place.
async fn rows(database: &TestDatabase, tenant: Uuid) -> BTreeSet<String> {
    let mut connection = database.connect().await;
    let mut rows = BTreeSet::new();
    for table in tables(database, "'muster', 'public'").await {
        let sql = format!("select '{table} ' || ctid || ' ' || xmin from {table} where tenant = $1");
        let found: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(tenant)
            .fetch_all(&mut connection)
            .await
            .expect("the database answers");
        rows.extend(found);
    }
    rows
}

/// The tables with a column `tenant`, by the catalogue.
async fn tables(database: &TestDatabase, schemas: &str) -> BTreeSet<String> {
    let sql = format!(
        "select n.nspname || '.' || c.relname from pg_attribute a join pg_class c on c.oid = a.attrelid
         join pg_namespace n on n.oid = c.relnamespace
         where n.nspname in ({schemas}) and c.relkind in ('r', 'p') and a.attname = 'tenant' and not a.attisdropped"
    );
    let mut connection = database.connect().await;
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .fetch_all(&mut connection)
        .await
        .expect("the database answers")
        .into_iter()
        .collect()
}

/// Tables of which a row of the tenant is left.
async fn left(database: &TestDatabase, tenant: Uuid) -> BTreeSet<String> {
    rows(database, tenant).await.iter().filter_map(|row| Some(row.split_once(' ')?.0.to_owned())).collect()
}

fn named(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn every_table_of_muster_with_a_tenant_is_emptied_or_kept_on_purpose() {
    let database = TestDatabase::create().await;
    let known: BTreeSet<String> = named(&[removal::TABLES, removal::KEPT].concat());
    assert_eq!(tables(&database, "'muster'").await, known, "a table with tenants must stand in store::removal");
    let (tenant, _, _) = two(&database).await;
    let filled = left(&database, tenant).await;
    let unfilled: Vec<_> = known.difference(&filled).collect();
    assert!(unfilled.is_empty(), "these tests fill no row of {unfilled:?}");
}

#[tokio::test]
async fn a_dry_run_tells_of_every_table_and_changes_nothing() {
    let database = TestDatabase::create().await;
    let (tenant, _, _) = two(&database).await;
    let before = rows(&database, tenant).await;
    let told = removal::preview(&database.store(), tenant, false).await.expect("the database answers");
    let of = |fate| told.iter().filter(move |rows| rows.fate == fate).map(|rows| rows.table).collect::<Vec<_>>();
    assert_eq!(of(Fate::Deleted), removal::TABLES);
    let raw = Rows { table: "muster.alert_raw", count: 2_500, fate: Fate::Deleted };
    assert!(told.contains(&raw), "{told:?}");
    assert_eq!(of(Fate::Cleared), [""; 0]);
    assert_eq!(of(Fate::Kept).len(), removal::KEPT.len() + 6);
    assert_eq!(rows(&database, tenant).await, before);
    let told = removal::preview(&database.store(), tenant, true).await.expect("the database answers");
    let cleared: Vec<_> = told.iter().filter(|rows| rows.fate == Fate::Cleared).map(|rows| rows.table).collect();
    assert_eq!(cleared, ["assets"]);
}

#[tokio::test]
async fn what_is_musters_goes_and_what_is_algapsas_stays() {
    let database = TestDatabase::create().await;
    let (tenant, other, others) = two(&database).await;
    let done = removal::remove(&database.store(), tenant, false, "anna").await.expect("the database answers");
    assert_eq!(done.iter().map(|rows| rows.table).collect::<BTreeSet<_>>(), removal::TABLES.iter().copied().collect());
    let expected = [
        "muster.audit",
        "public.tenants",
        "public.clients",
        "public.rmm_integrations",
        "public.rmm_organization_mappings",
        "public.rmm_alerts",
        "public.assets",
        "public.asset_software",
        "public.software_catalog",
        "public.tenant_external_entity_mappings",
    ];
    assert_eq!(left(&database, tenant).await, named(&expected));
    assert_eq!(rows(&database, other).await, others, "the other tenant is untouched");
    assert_eq!(tenant::list(&database.store()).await.expect("the database answers").len(), 2);
    let noted = "select actor || ' ' || (detail ->> 'with_algapsa_rows') || ' ' || (subject = integration_id::text)
                 from muster.audit join rmm_integrations using (tenant) where action = 'tenant.remove' and not is_active";
    assert_eq!(text(&database, noted).await, "anna false true");
}

#[tokio::test]
async fn with_algapsas_rows_goes_what_this_integration_made_and_assets_stay_bare() {
    let database = TestDatabase::create().await;
    let (tenant, other, others) = two(&database).await;
    removal::remove(&database.store(), tenant, true, "anna").await.expect("the database answers");
    let expected = [
        "muster.audit",
        "public.tenants",
        "public.clients",
        "public.assets",
        "public.software_catalog",
        "public.tenant_external_entity_mappings",
    ];
    assert_eq!(left(&database, tenant).await, named(&expected));
    let assets = "select string_agg(concat_ws(' ', asset_tag, rmm_provider, rmm_device_id, agent_status), ', ' order by asset_tag)
                  from assets where tenant = '00000000-0000-0000-0000-000000000001'";
    assert_eq!(text(&database, assets).await, "other ninjaone n, tactical:a", "another provider's asset is its own");
    let links = "select integration_type from tenant_external_entity_mappings
                 where tenant = '00000000-0000-0000-0000-000000000001'";
    assert_eq!(text(&database, links).await, "ninjaone");
    assert_eq!(rows(&database, other).await, others);
}

#[tokio::test]
async fn a_removal_that_was_ended_half_way_goes_on_when_it_is_asked_for_again() {
    let database = TestDatabase::create().await;
    let (tenant, _, _) = two(&database).await;
    // as far as one that died may have come, at any step: the integration is gone and the rest is not
    database
        .execute(&format!(
            "delete from muster.hook where tenant = '{tenant}'; delete from muster.run_part where tenant = '{tenant}';
             delete from muster.alert_key where tenant = '{tenant}'; delete from rmm_integrations where tenant = '{tenant}'"
        ))
        .await;
    removal::remove(&database.store(), tenant, true, "anna").await.expect("the database answers");
    let mut ours = left(&database, tenant).await;
    ours.retain(|table| table.starts_with("muster."));
    assert_eq!(ours, named(&["muster.audit"]));
    assert_eq!(removal::remove(&database.store(), tenant, true, "anna").await.expect("the database answers"), []);
}

fn fact(tenant: Uuid, integration_id: Uuid) -> Fact {
    Fact {
        tenant,
        integration_id,
        said: Said::Open,
        at: Utc::now(),
        agent_id: "agent".to_owned(),
        number: Some("7".to_owned()),
        alert_time: None,
        needs_fetch: true,
        details: Details::default(),
        odd: Vec::new(),
        raw: Vec::new(),
        traceparent: None,
    }
}

/// A removal of the first tenant that has switched its connection off, and waits for a transaction of this session.
async fn begun(database: &TestDatabase, tenant: Uuid) -> (PgConnection, JoinHandle<Result<Vec<Rows>, store::Error>>) {
    let mut job = database.connect().await;
    let look = format!("begin; select is_active from rmm_integrations where tenant = '{tenant}'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(look)).execute(&mut job).await.expect("the database answers");
    let store = database.second_store();
    let removing = tokio::spawn(async move { removal::remove(&store, tenant, false, "anna").await });
    within(async {
        while text(database, IS_OFF).await != "true" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    (job, removing)
}

const IS_OFF: &str =
    "select (not is_active)::text from rmm_integrations where tenant = '00000000-0000-0000-0000-000000000001'";

/// A job that has looked whether the connection is active, and writes when the removal has begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_transaction_that_was_under_way_leaves_nothing_behind() {
    let database = TestDatabase::create().await;
    let (tenant, _, _) = two(&database).await;
    let (mut job, removing) = begun(&database, tenant).await;
    let write = format!(
        "insert into muster.site values ('{tenant}', gen_random_uuid(), '9', '9', 'late');
         insert into muster.alert_dedup (tenant, integration_id, dedup_key) values ('{tenant}', gen_random_uuid(), 'late'); commit"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(write)).execute(&mut job).await.expect("the database answers");
    within(removing).await.expect("the database answers").expect("the database answers");
    let mut ours = left(&database, tenant).await;
    ours.retain(|table| table.starts_with("muster."));
    assert_eq!(ours, named(&["muster.audit"]));
}

/// A test that has succeeded with the settings of `revision`.
fn succeeded(tenant: Uuid, integration_id: Uuid, revision: i64) -> TestNote<'static> {
    TestNote {
        tenant,
        integration_id,
        revision,
        instance_url: "https://api.example.com",
        is_success: true,
        server_version: None,
        clients_visible: None,
        agents_visible: None,
    }
}

/// A test of the connection that talks to Tactical meanwhile, and ends before the row of the connection is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_test_that_ends_in_the_midst_of_it_switches_nothing_on_again() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let (tenant, _, _) = two(&database).await;
    let before = connection::find(&store, tenant).await.expect("the database answers").expect("it is connected");
    let (mut job, removing) = begun(&database, tenant).await;
    let note = succeeded(tenant, before.integration_id, before.revision);
    let noted = connection::note_test(&store, &note, &testing::entry("integration.test")).await;
    assert_eq!(noted.expect("the database answers"), None, "it told of what is no longer so");
    sqlx::raw_sql("commit").execute(&mut job).await.expect("the database answers");
    within(removing).await.expect("the database answers").expect("the database answers");
    assert_eq!(text(&database, IS_OFF).await, "true");
    let mut ours = left(&database, tenant).await;
    ours.retain(|table| table.starts_with("muster."));
    assert_eq!(ours, named(&["muster.audit"]));
}

/// What jobs and requests do that were begun before and go on after it, one call of the store after the other.
async fn late_calls(store: &Store, tenant: Uuid, integration_id: Uuid, mapping_id: Uuid) {
    let entry = testing::entry("late");
    let note = succeeded(tenant, integration_id, 0);
    let noted = connection::note_test(store, &note, &entry).await.expect("the database answers");
    assert_eq!(noted, None, "it switches nothing on");
    assert!(!connection::disconnect(store, tenant, &entry).await.expect("the database answers"));
    let daily = schedule::Patch { interval_s: Some(Some(86_400)), is_enabled: None };
    let patched = schedule::patch(store, tenant, Kind::Devices, &daily, &entry).await.expect("the database answers");
    assert_eq!(patched, PatchEnd::NotConnected);
    let off = organization::Patch { client_id: None, auto_sync: Some(false) };
    organization::patch(store, tenant, mapping_id, off, &entry).await.expect("the database answers");
    let facts = [fact(tenant, integration_id)];
    let observed = alert::observe(store, &facts).await.expect("the database answers");
    assert!(matches!(observed.outcomes[..], [Outcome::Discarded | Outcome::NoSuchConnection]), "{observed:?}");
    let under = Under::Server { tenant, integration_id, server_epoch: 0 };
    let noted = alert::note_agents(store, &under, 7).await.expect("the database answers");
    assert!(noted.is_some(), "it is refused");
    let found = Found { polled_at: Utc::now(), undelivered: 0, undelivered_at: None, is_gap: false };
    assert!(alert::end_poll(store, &under, &found).await.expect("the database answers").is_some());
    let held = organization::Held::default();
    assert!(!organization::hold(store, tenant, integration_id, &held).await.expect("the database answers"));
    let url = "https://api.example.com";
    assert!(!organization::recognise(store, tenant, integration_id, url).await.expect("the database answers"));
    let rules = LoginRules { lease: RULE, every: RULE, burst: 3 };
    connection::claim_login(store, tenant, integration_id, LoginBy::Program, None, &rules)
        .await
        .expect_err("nobody needs a session any more");
}

const MAPPING: &str = "select mapping_id::text from rmm_organization_mappings
                       where tenant = '00000000-0000-0000-0000-000000000001'";
const RULE: std::time::Duration = std::time::Duration::from_secs(60);

#[tokio::test]
async fn what_goes_on_after_it_brings_nothing_back() {
    for with_algapsa_rows in [false, true] {
        let database = TestDatabase::create().await;
        let (tenant, _, _) = two(&database).await;
        let integration_id = tenant::list(&database.store()).await.expect("the database answers")[0].integration_id;
        let mapping_id = text(&database, MAPPING).await.parse().expect("it is an id");
        removal::remove(&database.store(), tenant, with_algapsa_rows, "anna").await.expect("the database answers");
        late_calls(&database.store(), tenant, integration_id, mapping_id).await;
        let mut ours = left(&database, tenant).await;
        ours.retain(|table| table.starts_with("muster."));
        assert_eq!(ours, named(&["muster.audit"]), "with AlgaPSA's rows: {with_algapsa_rows}");
    }
}

fn message(tenant: Uuid) -> Parked {
    Parked {
        tenant: Some(tenant),
        kind: None,
        message_id: Some(tenant.to_string()),
        class: "permanent".to_owned(),
        reason: String::new(),
        attempt: 0,
        worker_version: "0.1.0".to_owned(),
        state: ParkedState::Parked,
        exchange: String::new(),
        routing_key: String::new(),
        queue: None,
        headers: serde_json::json!({}),
        body: b"late".to_vec(),
        traceparent: None,
        first_published_at: None,
    }
}

#[tokio::test]
async fn nothing_of_a_removed_tenant_is_parked_until_it_is_connected_again() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let (tenant, other, _) = two(&database).await;
    let unknown = Uuid::from_u128(9);
    removal::remove(&store, tenant, true, "anna").await.expect("the database answers");
    let late = [message(tenant), message(other), message(unknown)];
    assert_eq!(
        parked::insert(&store, &late).await.expect("the database answers"),
        2,
        "only a removal says that a tenant is gone"
    );
    connected(&store, 1).await;
    assert_eq!(parked::insert(&store, &late).await.expect("the database answers"), 1);
}
