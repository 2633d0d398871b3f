//! A tenant with a connection, two clients and devices, and what a reader sees of their software.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::postgres::PgPool;
use store::device::{self, Device, Source};
use store::run::{self, Fence, Kind, NewPart, PartFence, Scope};
use store::software::{self, Batch, Merged, Outcome, Program, Report};
use store::testing::{TestDatabase, entry};
use store::{Left, Store};
use uuid::Uuid;

/// One tenant with one connection; Tactical's client 1 is mapped, 2 is switched off. Agents `a`, `b` and `c` are client 1's.
pub(crate) struct World {
    pub(crate) pool: PgPool,
    pub(crate) store: Store,
    pub(crate) tenant: Uuid,
    pub(crate) integration_id: Uuid,
}

/// A row of `asset_software` with its program: agent, name, publisher, version, whether it is current.
pub(crate) type Line = (String, String, String, String, bool);

impl World {
    pub(crate) async fn new(database: &TestDatabase) -> Self {
        let pool = PgPool::connect(database.url()).await.unwrap();
        let world = Self { pool, store: database.store(), tenant: Uuid::now_v7(), integration_id: Uuid::now_v7() };
        let (tenant, integration, client) = (world.tenant, world.integration_id, Uuid::now_v7());
        world
            .run(&format!(
                "insert into tenants (tenant) values ('{tenant}');
                 insert into clients (tenant, client_id, client_name) values ('{tenant}', '{client}', 'Acme GmbH');
                 insert into rmm_integrations (tenant, integration_id, provider, is_active, settings, instance_url)
                     values ('{tenant}', '{integration}', 'tacticalrmm', true, '{{\"auth_mode\": \"api_key\"}}',
                         'https://api.example.com');
                 insert into rmm_organization_mappings
                     (tenant, integration_id, external_organization_id, external_organization_name, client_id, auto_sync_assets)
                     values ('{tenant}', '{integration}', '1', 'Acme', '{client}', true),
                         ('{tenant}', '{integration}', '2', 'Globex', '{client}', true)"
            ))
            .await;
        world.devices("1", &["a", "b", "c"]).await;
        world.devices("2", &["off"]).await;
        world
            .run("update rmm_organization_mappings set auto_sync_assets = false where external_organization_id = '2'")
            .await;
        world
    }

    /// Makes devices of a client.
    pub(crate) async fn devices(&self, client: &str, agent_ids: &[&str]) {
        let devices = agent_ids.iter().map(|agent_id| Device {
            agent_id: (*agent_id).to_owned(),
            name: format!("HOST-{agent_id}"),
            os_type: Some(if agent_id.starts_with("linux") { "linux" } else { "windows" }.to_owned()),
            ..Device::default()
        });
        let batch = device::Batch {
            tenant: self.tenant,
            integration_id: self.integration_id,
            external_client_id: client.to_owned(),
            fetched_at: self.now().await,
            source: Source::List,
            server_epoch: 0,
            fence: None,
            devices: devices.collect(),
        };
        assert!(matches!(device::merge(&self.store, &batch).await.unwrap(), device::Outcome::Merged(_)));
    }

    /// The agent was last heard of that long after this moment.
    pub(crate) async fn heard(&self, agent_id: &str, since: DateTime<Utc>, after: TimeDelta) {
        let sql = "update assets a set last_seen_at = $3 from muster.agent g
                   where a.tenant = $1 and g.tenant = $1 and g.agent_id = $2 and a.asset_id = g.asset_id";
        let heard = sqlx::query(sql).bind(self.tenant).bind(agent_id).bind(since + after).execute(&self.pool).await;
        assert_eq!(heard.unwrap().rows_affected(), 1);
    }

    /// The database's clock.
    pub(crate) async fn now(&self) -> DateTime<Utc> {
        self.store.database_now().await.unwrap()
    }

    /// Runs statements of the test's own.
    pub(crate) async fn run(&self, sql: &str) -> u64 {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&self.pool).await.unwrap().rows_affected()
    }

    /// One number.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned())).fetch_one(&self.pool).await.unwrap()
    }

    /// The asset of an agent.
    pub(crate) async fn asset(&self, agent_id: &str) -> Uuid {
        let asset = sqlx::query_scalar("select asset_id from muster.agent where tenant = $1 and agent_id = $2");
        asset.bind(self.tenant).bind(agent_id).fetch_one(&self.pool).await.unwrap()
    }

    /// A run of software whose part has begun.
    pub(crate) async fn begun(&self, scope: Scope) -> PartFence {
        let entry = entry("test");
        let started = run::start(&self.store, self.tenant, self.integration_id, Kind::Software, "test", &entry);
        let run_id = started.await.unwrap().run_id;
        let fence = run::take_over(&self.store, self.tenant, run_id).await.unwrap().unwrap().fence;
        let name = scope.to_string();
        let part = NewPart { scope, label: "Software".to_owned(), expected: None, fails: None };
        assert!(run::plan(&self.store, &fence, &[part]).await.unwrap());
        self.begin(&fence, &name).await.fence
    }

    /// Begins a part.
    pub(crate) async fn begin(&self, fence: &Fence, name: &str) -> run::Part {
        run::begin_part(&self.store, fence, name).await.unwrap().unwrap()
    }

    /// A batch that is fetched now.
    pub(crate) async fn batch(&self, fence: &PartFence, reports: &[Report]) -> Batch {
        Batch {
            tenant: self.tenant,
            integration_id: self.integration_id,
            fetched_at: self.now().await,
            fence: fence.clone(),
            reports: reports.to_vec(),
            silent: 0,
            refused: 0,
            cursor: None,
        }
    }

    /// Writes a batch that nothing stands against.
    pub(crate) async fn merge(&self, batch: &Batch) -> Merged {
        match software::merge(&self.store, batch).await.unwrap() {
            Outcome::Merged(merged) => merged,
            other => panic!("{other:?}"),
        }
    }

    /// A whole run over these reports, fetched that many hours from now.
    pub(crate) async fn ingest_in(&self, hours: i64, reports: &[Report]) -> Merged {
        let fence = self.begun(Scope::Software).await;
        let batch = self.batch(&fence, reports).await;
        let batch = Batch { fetched_at: batch.fetched_at + TimeDelta::hours(hours), ..batch };
        let merged = self.merge(&batch).await;
        assert_eq!(run::finish_part(&self.store, &fence).await.unwrap(), Some(run::State::Completed));
        merged
    }

    /// A whole run over these reports, fetched now.
    pub(crate) async fn ingest(&self, reports: &[Report]) -> Merged {
        self.ingest_in(0, reports).await
    }

    /// Why a batch is left.
    pub(crate) async fn left(&self, batch: &Batch) -> Left {
        match software::merge(&self.store, batch).await.unwrap() {
            Outcome::Left(left) => left,
            other => panic!("{other:?}"),
        }
    }

    /// What every device shows, in order.
    pub(crate) async fn lines(&self) -> Vec<Line> {
        sqlx::query_as(
            "select g.agent_id, c.name, c.publisher, coalesce(s.version, ''), s.is_current
             from asset_software s
             join software_catalog c on c.tenant = s.tenant and c.software_id = s.software_id
             join muster.agent g on g.tenant = s.tenant and g.asset_id = s.asset_id
             where s.tenant = $1 order by g.agent_id, c.normalized_name, c.publisher",
        )
        .bind(self.tenant)
        .fetch_all(&self.pool)
        .await
        .unwrap()
    }

    /// The history in the order in which it was written: agent, change, version before, version.
    pub(crate) async fn history(&self) -> Vec<String> {
        sqlx::query_scalar(
            "select concat_ws(' ', g.agent_id, h.change, c.name, h.previous_version, h.version)
             from muster.software_change h
             join software_catalog c on c.tenant = h.tenant and c.software_id = h.software_id
             join muster.agent g on g.tenant = h.tenant and g.asset_id = h.asset_id
             where h.tenant = $1 order by h.rev, g.agent_id, c.normalized_name, h.version",
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
            "software_catalog",
            "asset_software",
            "muster.software_report",
            "muster.software_version",
            "muster.software_change",
            "muster.outbox",
        ] {
            let sql = format!("select '{table} ' || ctid || ' ' || xmin from {table} where tenant = $1");
            let rows: Vec<String> =
                sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(self.tenant).fetch_all(&self.pool).await.unwrap();
            versions.extend(rows);
        }
        versions
    }
}

/// A program of Mozilla's.
pub(crate) fn program(name: &str, version: &str) -> Program {
    Program {
        name: Some(name.to_owned()),
        version: Some(version.to_owned()),
        publisher: Some("Mozilla".to_owned()),
        ..Program::default()
    }
}

/// What an agent reports: names with versions.
pub(crate) fn report(agent_id: &str, programs: &[(&str, &str)]) -> Report {
    let programs = programs.iter().map(|(name, version)| program(name, version)).collect();
    Report { agent_id: agent_id.to_owned(), programs }
}

/// A line of a program of Mozilla's.
pub(crate) fn line(agent_id: &str, name: &str, version: &str, is_current: bool) -> Line {
    (agent_id.to_owned(), name.to_owned(), "Mozilla".to_owned(), version.to_owned(), is_current)
}
