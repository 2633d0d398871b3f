//! A tenant with a connection, two mapped clients, and what a reader sees of its devices.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::postgres::PgPool;
use store::alert::{Details, Fact, Said};
use store::audit::Entry;
use store::device::{self, Batch, Device, Merged, Outcome, Source, Status};
use store::run::{self, Fence, Kind, NewPart, PartFence, Scope};
use store::testing::TestDatabase;
use store::{Left, Store};
use uuid::Uuid;

/// One tenant with one connection; Tactical's clients 1 and 2 are mapped, 3 is assigned to nobody.
pub(crate) struct World {
    pub(crate) pool: PgPool,
    pub(crate) store: Store,
    pub(crate) tenant: Uuid,
    pub(crate) integration_id: Uuid,
    pub(crate) clients: [Uuid; 2],
    clock: AtomicI64,
}

/// What a reader sees of a device.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Seen {
    pub(crate) agent_id: String,
    pub(crate) asset_id: Uuid,
    pub(crate) name: Option<String>,
    pub(crate) serial_number: Option<String>,
    pub(crate) location: Option<String>,
    pub(crate) asset_type: Option<String>,
    pub(crate) client_id: Uuid,
    pub(crate) organization: Option<String>,
    pub(crate) agent_status: Option<String>,
    pub(crate) last_seen_at: Option<DateTime<Utc>>,
    pub(crate) realm: Option<String>,
    pub(crate) is_missing: bool,
    pub(crate) extensions: i64,
    pub(crate) mappings: i64,
}

impl World {
    pub(crate) async fn new(database: &TestDatabase) -> Self {
        let pool = PgPool::connect(database.url()).await.unwrap();
        let world = Self {
            pool,
            store: database.store(),
            tenant: Uuid::now_v7(),
            integration_id: Uuid::now_v7(),
            clients: [Uuid::now_v7(), Uuid::now_v7()],
            clock: AtomicI64::new(0),
        };
        let (tenant, integration, [one, two]) = (world.tenant, world.integration_id, world.clients);
        world
            .run(&format!(
                "insert into tenants (tenant) values ('{tenant}');
                 insert into clients (tenant, client_id, client_name)
                     values ('{tenant}', '{one}', 'Acme GmbH'), ('{tenant}', '{two}', 'Globex Inc.');
                 insert into rmm_integrations (tenant, integration_id, provider, is_active, settings, instance_url)
                     values ('{tenant}', '{integration}', 'tacticalrmm', true, '{{\"auth_mode\": \"api_key\"}}',
                         'https://api.example.com');
                 insert into rmm_organization_mappings
                     (tenant, integration_id, external_organization_id, external_organization_name, client_id)
                     values ('{tenant}', '{integration}', '1', 'Acme', '{one}'),
                         ('{tenant}', '{integration}', '2', 'Globex', '{two}'), ('{tenant}', '{integration}', '3', 'Initech', null)"
            ))
            .await;
        world
    }

    /// Runs statements of the test's own.
    pub(crate) async fn run(&self, sql: &str) -> u64 {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&self.pool).await.unwrap().rows_affected()
    }

    /// One number.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned())).fetch_one(&self.pool).await.unwrap()
    }

    /// One value as text.
    pub(crate) async fn text(&self, sql: &str) -> String {
        let value: Option<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned())).fetch_one(&self.pool).await.unwrap();
        value.unwrap_or_default()
    }

    /// The next moment of the test's time, a minute after the one before; an hour ago at first.
    pub(crate) fn tick(&self) -> DateTime<Utc> {
        time(self.clock.fetch_add(60, Ordering::Relaxed))
    }

    /// A batch of the first client, read now from the list.
    pub(crate) fn batch(&self, devices: &[Device]) -> Batch {
        Batch {
            server_epoch: 0,
            tenant: self.tenant,
            integration_id: self.integration_id,
            external_client_id: "1".to_owned(),
            fetched_at: self.tick(),
            source: Source::List,
            fence: None,
            devices: devices.to_vec(),
        }
    }

    /// Writes a batch that nothing stands against.
    pub(crate) async fn merge(&self, batch: &Batch) -> Merged {
        match device::merge(&self.store, batch).await.unwrap() {
            Outcome::Merged(merged) => merged,
            other => panic!("{other:?}"),
        }
    }

    /// Writes a batch of which nothing is to be written.
    pub(crate) async fn left(&self, batch: &Batch) -> Left {
        match device::merge(&self.store, batch).await.unwrap() {
            Outcome::Left(left) => left,
            other => panic!("{other:?}"),
        }
    }

    /// Devices by agent.
    pub(crate) async fn seen(&self) -> BTreeMap<String, Seen> {
        let rows: Vec<Seen> = sqlx::query_as(
            "select g.agent_id, a.asset_id, a.name, a.serial_number, a.location, a.asset_type, a.client_id,
                    a.rmm_organization_id as organization, a.agent_status, a.last_seen_at,
                    (select m.external_realm_id from tenant_external_entity_mappings m
                     where m.tenant = a.tenant and m.alga_entity_id = a.asset_id::text) as realm,
                    g.missing_since is not null as is_missing,
                    (select count(*) from workstation_assets w where w.asset_id = a.asset_id)
                        + (select count(*) from server_assets s where s.asset_id = a.asset_id) as extensions,
                    (select count(*) from tenant_external_entity_mappings m
                     where m.tenant = a.tenant and m.external_entity_id = g.agent_id
                       and m.alga_entity_id = a.asset_id::text) as mappings
             from muster.agent g join assets a on a.tenant = g.tenant and a.asset_id = g.asset_id
             where g.tenant = $1",
        )
        .bind(self.tenant)
        .fetch_all(&self.pool)
        .await
        .unwrap();
        rows.into_iter().map(|row| (row.agent_id.clone(), row)).collect()
    }

    /// The one device.
    pub(crate) async fn one(&self) -> Seen {
        let seen = self.seen().await;
        assert_eq!(seen.len(), 1, "{seen:#?}");
        seen.into_values().next().unwrap()
    }

    /// Which version of which row stands where: equal before and after means that nothing was written.
    pub(crate) async fn versions(&self) -> BTreeSet<String> {
        let mut versions = BTreeSet::new();
        for table in [
            "assets",
            "workstation_assets",
            "server_assets",
            "tenant_external_entity_mappings",
            "muster.agent",
            "rmm_organization_mappings",
            "muster.site",
            "muster.outbox",
        ] {
            let sql = format!("select '{table} ' || ctid || ' ' || xmin from {table} where tenant = $1");
            let rows: Vec<String> =
                sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(self.tenant).fetch_all(&self.pool).await.unwrap();
            versions.extend(rows);
        }
        versions
    }

    /// From now on the devices of clients 1 and 2 are told one by one.
    pub(crate) async fn imported(&self) {
        let (tenant, integration) = (self.tenant, self.integration_id);
        self.run(&format!(
            "insert into muster.imported (tenant, integration_id, kind, scope)
             values ('{tenant}', '{integration}', 'devices', '1'), ('{tenant}', '{integration}', 'devices', '2')"
        ))
        .await;
    }

    /// Takes the events that the outbox holds, by type and subject.
    pub(crate) async fn events(&self) -> Vec<serde_json::Value> {
        let events = "delete from muster.outbox where tenant = $1 and exchange = 'muster.events' returning body";
        let bodies: Vec<Vec<u8>> = sqlx::query_scalar(events).bind(self.tenant).fetch_all(&self.pool).await.unwrap();
        let mut events: Vec<serde_json::Value> =
            bodies.iter().map(|body| serde_json::from_slice(body).unwrap()).collect();
        events.sort_by_key(|event| {
            (event["type"].to_string(), event["data"]["agent_id"].to_string(), event["data"]["rev"].as_i64())
        });
        events
    }

    /// A run of devices that a worker has just taken.
    pub(crate) async fn taken(&self, kind: Kind) -> Fence {
        let started = run::start(&self.store, self.tenant, self.integration_id, kind, "test", &entry()).await.unwrap();
        run::take_over(&self.store, self.tenant, started.run_id).await.unwrap().unwrap().fence
    }

    /// A run of devices over these parts, the first of them begun.
    pub(crate) async fn begun(&self, names: &[&str]) -> PartFence {
        let fence = self.taken(Kind::Devices).await;
        let parts: Vec<NewPart> = names.iter().map(|name| part(name)).collect();
        assert!(run::plan(&self.store, &fence, &parts).await.unwrap());
        self.begin(&fence, names[0]).await
    }

    /// Begins a part.
    pub(crate) async fn begin(&self, fence: &Fence, name: &str) -> PartFence {
        run::begin_part(&self.store, fence, name).await.unwrap().unwrap().fence
    }

    /// A complete part: the devices are merged, those not among them noted, the part finished.
    pub(crate) async fn complete(&self, fence: &PartFence, devices: &[Device]) -> Option<run::State> {
        let Some(Scope::Client(client)) = Scope::parse(&fence.name) else { panic!("{fence:?}") };
        let batch = Batch {
            fence: Some(fence.clone()),
            external_client_id: client,
            fetched_at: self.store.database_now().await.unwrap(),
            ..self.batch(devices)
        };
        self.merge(&batch).await;
        let seen = devices.iter().map(|device| device.agent_id.clone()).collect();
        device::candidates(&self.store, fence, &seen).await.unwrap().unwrap();
        run::finish_part(&self.store, fence).await.unwrap()
    }
}

/// A part to be planned.
pub(crate) fn part(name: &str) -> NewPart {
    NewPart { scope: Scope::parse(name).unwrap(), label: format!("label of {name}"), expected: None, fails: None }
}

/// What stands in the audit.
pub(crate) fn entry() -> Entry {
    Entry { tenant: None, actor: "tester".to_owned(), action: "test", subject: None, detail: serde_json::json!({}) }
}

/// A device that is online.
pub(crate) fn device(agent_id: &str) -> Device {
    Device {
        agent_id: agent_id.to_owned(),
        name: format!("HOST-{agent_id}"),
        site: Some("HQ".to_owned()),
        status: Some(Status::Online),
        last_seen_at: Some(time(0)),
        serial_number: Some(format!("SERIAL-{agent_id}")),
        os_type: Some("Windows".to_owned()),
        os_name: Some("Windows 11 Pro".to_owned()),
        os_version: Some("23H2".to_owned()),
        make_model: Some("HP ProLiant".to_owned()),
        lan_ip: Some("10.0.0.1".to_owned()),
        last_boot_at: Some(time(-86_400)),
        ..Device::default()
    }
}

/// The test's time: seconds after an hour ago, in whole seconds.
pub(crate) fn time(at_s: i64) -> DateTime<Utc> {
    static START: std::sync::OnceLock<i64> = std::sync::OnceLock::new();
    let start = START.get_or_init(|| (Utc::now() - TimeDelta::hours(1)).timestamp());
    DateTime::from_timestamp(start + at_s, 0).unwrap()
}

/// An alert that was opened for an agent.
pub(crate) fn opened(world: &World, agent: &str, number: &str) -> Fact {
    Fact {
        tenant: world.tenant,
        integration_id: world.integration_id,
        said: Said::Open,
        at: time(0),
        agent_id: agent.to_owned(),
        number: Some(number.to_owned()),
        alert_time: Some(time(0)),
        needs_fetch: false,
        details: Details::default(),
        odd: Vec::new(),
        raw: Vec::new(),
        traceparent: None,
    }
}
