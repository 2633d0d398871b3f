//! A tenant with one connection in a database, and what a reader sees of it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use contract::event::{AlertChanged, CloudEvent, Transition};
use sqlx::postgres::{PgConnection, PgPool};
use store::Store;
use store::alert::{Details, Fact, Said, Severity};
use store::testing::TestDatabase;
use uuid::Uuid;

/// What `rmm_alerts` and the state show of one alert; the ids and clocks of this very run are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) rev: i64,
    pub(crate) status: String,
    pub(crate) severity: String,
    pub(crate) message: Option<String>,
    pub(crate) alert_type: Option<String>,
    pub(crate) host_name: Option<String>,
    pub(crate) check_id: Option<String>,
    pub(crate) agent_id: Option<String>,
    pub(crate) asset_id: Option<Uuid>,
    pub(crate) triggered_at: DateTime<Utc>,
    pub(crate) resolved_at: Option<DateTime<Utc>>,
    pub(crate) dedup_key: String,
    pub(crate) occurrence_count: i32,
}

/// A row as sqlx reads it.
#[derive(sqlx::FromRow)]
struct Found {
    external_alert_id: String,
    rev: i64,
    status: String,
    severity: String,
    message: Option<String>,
    alert_class: Option<String>,
    device_name: Option<String>,
    check_id: Option<String>,
    external_device_id: Option<String>,
    asset_id: Option<Uuid>,
    triggered_at: DateTime<Utc>,
    resolved_at: Option<DateTime<Utc>>,
    dedup_key: String,
    occurrence_count: i32,
}

/// One tenant with one connection.
pub(crate) struct World {
    pub(crate) pool: PgPool,
    pub(crate) store: Store,
    pub(crate) tenant: Uuid,
    pub(crate) integration_id: Uuid,
    pub(crate) client_id: Uuid,
}

impl World {
    /// A new tenant whose connection has an API, and was polled before.
    pub(crate) async fn new(database: &TestDatabase) -> Self {
        let pool = PgPool::connect(database.url()).await.unwrap();
        Self::beside(&pool, &database.store()).await
    }

    /// Another tenant in the same database.
    pub(crate) async fn beside(pool: &PgPool, store: &Store) -> Self {
        let (tenant, integration_id, client_id) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
        let world = Self { pool: pool.clone(), store: store.clone(), tenant, integration_id, client_id };
        world.run(&format!("insert into tenants (tenant) values ('{tenant}')")).await;
        world
            .run(&format!(
                "insert into clients (tenant, client_id, client_name) values ('{tenant}', '{client_id}', 'c')"
            ))
            .await;
        world
            .run(&format!(
                "insert into rmm_integrations (tenant, integration_id, provider, is_active, settings)
                 values ('{tenant}', '{integration_id}', 'tacticalrmm', true, '{{\"auth_mode\": \"api_key\"}}');
                 insert into muster.imported (tenant, integration_id, kind, scope)
                 values ('{tenant}', '{integration_id}', 'alerts', '')"
            ))
            .await;
        world
    }

    /// Runs one statement of the test's own.
    pub(crate) async fn run(&self, sql: &str) -> u64 {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&self.pool).await.unwrap().rows_affected()
    }

    /// One value.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned())).fetch_one(&self.pool).await.unwrap()
    }

    /// A fact of this connection, `at_s` seconds into the test's time.
    pub(crate) fn fact(&self, said: Said, at_s: i64, number: Option<&str>, alert_time_s: Option<i64>) -> Fact {
        Fact {
            tenant: self.tenant,
            integration_id: self.integration_id,
            said,
            at: time(at_s),
            agent_id: "agent".to_owned(),
            number: number.map(str::to_owned),
            alert_time: alert_time_s.map(time),
            needs_fetch: false,
            details: Details { severity: Some(Severity::Critical), ..Details::default() },
            odd: Vec::new(),
            raw: Vec::new(),
            traceparent: None,
        }
    }

    /// One batch; how many events it wrote.
    pub(crate) async fn observe(&self, facts: &[Fact]) -> u64 {
        store::alert::observe(&self.store, facts).await.unwrap().events
    }

    /// An asset for an agent, as a sync commits it: the link afterwards is the caller's.
    pub(crate) async fn asset(&self, agent_id: &str) -> Uuid {
        let asset_id = Uuid::now_v7();
        let (tenant, client_id, integration_id) = (self.tenant, self.client_id, self.integration_id);
        self.run(&format!(
            "begin;
             insert into assets (tenant, asset_id, client_id, asset_tag, name, status)
             values ('{tenant}', '{asset_id}', '{client_id}', 'tactical:{agent_id}', '{agent_id}', 'active');
             insert into muster.agent (tenant, integration_id, agent_id, asset_id)
             values ('{tenant}', '{integration_id}', '{agent_id}', '{asset_id}')
             on conflict (tenant, integration_id, agent_id) do update set asset_id = excluded.asset_id;
             commit"
        ))
        .await;
        asset_id
    }

    /// Links an agent's alerts, as a sync does after its commit.
    pub(crate) async fn link(&self, agent_id: &str) {
        let agent = (self.tenant, self.integration_id, agent_id.to_owned());
        store::alert::link(&self.store, &[agent]).await.unwrap();
    }

    /// Every visible alert by its external id.
    pub(crate) async fn rows(&self) -> BTreeMap<String, Row> {
        let found: Vec<Found> = sqlx::query_as(
            "select r.external_alert_id, s.rev, r.status, r.severity, r.message, r.alert_class, r.device_name,
                    r.metadata ->> 'check_id' as check_id, r.external_device_id, r.asset_id, r.triggered_at, r.resolved_at,
                    r.dedup_key, r.occurrence_count
             from rmm_alerts r left join muster.alert_state s using (tenant, alert_id) where r.tenant = $1",
        )
        .bind(self.tenant)
        .fetch_all(&self.pool)
        .await
        .unwrap();
        found.into_iter().map(|row| (row.external_alert_id.clone(), Row::from(row))).collect()
    }

    /// The one visible alert.
    pub(crate) async fn row(&self) -> Row {
        let rows = self.rows().await;
        assert_eq!(rows.len(), 1, "{rows:#?}");
        rows.into_values().next().unwrap()
    }

    /// Revs of alerts of which nothing is to be seen.
    pub(crate) async fn hidden_revs(&self) -> Vec<i64> {
        sqlx::query_scalar(
            "select rev from muster.alert_state where tenant = $1 and external_alert_id is null order by rev",
        )
        .bind(self.tenant)
        .fetch_all(&self.pool)
        .await
        .unwrap()
    }

    /// Which version of which row stands where: equal before and after means that nothing was written.
    pub(crate) async fn versions(&self) -> BTreeSet<String> {
        let mut versions = BTreeSet::new();
        for table in [
            "rmm_alerts",
            "muster.alert_key",
            "muster.alert_state",
            "muster.alert_dedup",
            "muster.alert_recount",
            "muster.alert_raw",
            "muster.agent",
            "muster.outbox",
            "muster.webhook_finding",
            "muster.reconcile_wish",
        ] {
            let sql = format!("select '{table} ' || ctid || ' ' || xmin from {table} where tenant = $1");
            let rows: Vec<String> =
                sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(self.tenant).fetch_all(&self.pool).await.unwrap();
            versions.extend(rows);
        }
        versions
    }

    /// Takes what the outbox holds, as a relay does: its guard against doubles must not be what keeps them out.
    pub(crate) async fn drain(&self) -> Vec<AlertChanged> {
        drain(&mut self.pool.acquire().await.unwrap(), self.tenant).await
    }

    /// The transitions that the outbox holds, in the order of their revs.
    pub(crate) async fn heard(&self) -> Vec<(i64, Transition)> {
        let mut heard: Vec<_> = self.drain().await.iter().map(|event| (event.rev, event.transition)).collect();
        heard.sort_unstable();
        heard
    }
}

/// Takes a tenant's events out of the outbox; the refreshes that were asked for stay.
pub(crate) async fn drain(connection: &mut PgConnection, tenant: Uuid) -> Vec<AlertChanged> {
    let events = "delete from muster.outbox where tenant = $1 and kind like 'rmm.alert.%' returning body";
    let bodies: Vec<Vec<u8>> = sqlx::query_scalar(events).bind(tenant).fetch_all(connection).await.unwrap();
    let event = |body: &Vec<u8>| serde_json::from_slice::<CloudEvent<AlertChanged>>(body).unwrap();
    bodies.iter().map(|body| event(body).data).collect()
}

impl From<Found> for Row {
    fn from(row: Found) -> Self {
        Self {
            rev: row.rev,
            status: row.status,
            severity: row.severity,
            message: row.message,
            alert_type: row.alert_class,
            host_name: row.device_name,
            check_id: row.check_id,
            agent_id: row.external_device_id,
            asset_id: row.asset_id,
            triggered_at: row.triggered_at,
            resolved_at: row.resolved_at,
            dedup_key: row.dedup_key,
            occurrence_count: row.occurrence_count,
        }
    }
}

/// The test's time: seconds after a fixed moment.
pub(crate) fn time(at_s: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 123_456_000).unwrap() + TimeDelta::seconds(at_s)
}
