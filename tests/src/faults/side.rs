//! One tenant of a trial with a Tactical of its own.

use chrono::{DateTime, Utc};
use connection::Connections;
use secrecy::SecretString;
use sqlx::PgPool;
use store::connection::{AuthMode, DeviceSource, Save};
use store::organization::{self, Patch};
use store::run::{self, Kind, RunView, State};
use store::tenant::{self, NewConnection};
use store::{secret, testing};
use uuid::Uuid;

use super::checks;
use super::facts::{self, Facts, Rows};
use crate::fleet::{self, Connection, tactical_config, vault};
use crate::simulator::{Control, Simulator, SimulatorConfig, WebhookSettings, key};
use crate::{DEADLINE, Fleet, Proxy, until};

/// Agents of each server; a storm makes use of the first ten.
const AGENTS: u32 = 20;
/// Webhooks under way at once. Tactical sends one by one, and then a fault would stop the load.
const LANES: usize = 4;

/// A tenant and its server.
#[derive(Debug)]
pub struct Side {
    /// The tenant.
    pub tenant: Uuid,
    /// Its connection.
    pub integration_id: Uuid,
    /// Its webhook's secret.
    pub secret: String,
    /// What its server knows the fleet by; the other one's is another.
    pub api_key: String,
    /// For messages: `A`, `B`.
    pub(super) name: &'static str,
    simulator: Simulator,
    tactical: Proxy,
}

impl Side {
    /// A new tenant on a fleet, connected, with one look at its empty list of alerts behind it: what comes is told by events.
    /// Its webhooks go to `gateway_url`.
    pub(super) async fn start(fleet: &Fleet, name: &'static str, seed: u64, gateway_url: &str) -> Self {
        let Connection { tenant, integration_id, secret } = fleet::connect(&fleet.store()).await;
        let target = contract::webhook::url(gateway_url, tenant);
        let simulator = Simulator::start(SimulatorConfig {
            agents: AGENTS,
            online_percent: 100,
            clients: 4,
            seed,
            webhook: Some(WebhookSettings::muster(&target, &secret)),
            ..SimulatorConfig::default()
        });
        let simulator = simulator.await.expect("a simulator takes a free port");
        simulator.control().send_in_parallel(LANES);
        // as long as Tactical's
        let api_key = format!("TRIALKEYOFSIDE{name:0<18}");
        simulator.control().change_key(key::SYNC, &api_key).expect("every server has it");
        let tactical = Proxy::start(simulator.base_url().trim_start_matches("http://")).await;
        let side = Self { tenant, integration_id, secret, api_key, name, simulator, tactical };
        side.connect(fleet).await;
        side.reconcile(fleet).await;
        side
    }

    /// The world behind it.
    #[must_use]
    pub fn control(&self) -> Control {
        self.simulator.control()
    }

    /// Between the fleet and its API.
    #[must_use]
    pub fn tactical_proxy(&self) -> &Proxy {
        &self.tactical
    }

    async fn connect(&self, fleet: &Fleet) {
        let sealed =
            connection::seal(&vault(), self.tenant, secret::API_KEY, &SecretString::from(self.api_key.as_str()));
        let save = Save {
            tenant: self.tenant,
            instance_url: Some(format!("http://{}", self.tactical.address())),
            auth_mode: Some(AuthMode::ApiKey),
            device_source: Some(DeviceSource::Classic),
            secrets: vec![(secret::API_KEY, Some(sealed))],
        };
        let saved = store::connection::save(&fleet.store(), &save, &testing::entry("test")).await;
        saved.expect("the settings can be saved");
        let connections = Connections::new(fleet.store(), vault(), tactical_config());
        let report = connections.test(self.tenant, None, "a trial").await.expect("the database answers");
        assert!(report.is_ok(), "the connection does not work: {report:?}");
    }

    /// Syncs the clients, and assigns each to a client of the same name.
    pub(super) async fn map_clients(&self, fleet: &Fleet) {
        let run_id = self.start_run(fleet, Kind::Clients).await;
        let run = self.ended(fleet, run_id).await;
        assert_eq!((run.state, run.error.as_deref()), (State::Completed, None), "tenant {}: its clients", self.name);
        let store = fleet.store();
        for mapping in organization::list(&store, self.tenant).await.expect("the database answers") {
            let new = NewConnection {
                tenant: self.tenant,
                client_name: mapping.external_organization_name.clone().expect("Tactical's clients have names"),
                instance_url: None,
                digest: None,
                grace: std::time::Duration::ZERO,
            };
            let client = tenant::connect(&store, &new, "a trial").await.expect("a client can be made").client_id;
            let patch = Patch { client_id: Some(Some(client)), ..Patch::default() };
            let by = testing::entry("test");
            let patched = organization::patch(&store, self.tenant, mapping.mapping_id, patch, &by).await;
            assert!(patched.expect("the database answers").is_some(), "the mapping exists");
        }
    }

    /// Asks for a run; the one that is open already where there is one.
    ///
    /// # Panics
    /// If the connection is not active.
    pub async fn start_run(&self, fleet: &Fleet, kind: Kind) -> Uuid {
        let by = testing::entry("test");
        let started = run::start(&fleet.store(), self.tenant, self.integration_id, kind, "a trial", &by).await;
        started.expect("an active connection takes a run").run_id
    }

    /// Waits for the end of a run.
    ///
    /// # Panics
    /// If it does not come.
    pub async fn ended(&self, fleet: &Fleet, run_id: Uuid) -> RunView {
        until(DEADLINE * 3, async || {
            let found = run::get(&fleet.store(), self.tenant, run_id).await.map_err(|error| error.to_string())?;
            let (run, parts) = found.ok_or("there is no such run")?;
            if run.state.is_ended() { Ok(run) } else { Err(format!("{run:?} {parts:?}")) }
        })
        .await
    }

    /// Polls the alerts once (`sync alerts`); it must complete.
    pub(super) async fn reconcile(&self, fleet: &Fleet) {
        let run_id = self.start_run(fleet, Kind::Alerts).await;
        let run = self.ended(fleet, run_id).await;
        assert_eq!((run.state, run.error.as_deref()), (State::Completed, None), "tenant {}: the poll", self.name);
    }

    /// Every webhook that was caused so far is answered or given up.
    pub(super) async fn until_answered(&self) {
        let is_over = self.control().webhooks_finished(DEADLINE * 6).await;
        assert!(is_over, "tenant {}: webhooks are still under way", self.name);
    }

    /// What is true now; polls may have told what webhooks told until `polled_until`.
    pub(super) fn facts(&self, polled_until: DateTime<Utc>) -> Facts {
        facts::facts(&self.control(), polled_until)
    }

    /// What Postgres shows.
    pub(super) async fn rows(&self, sql: &PgPool) -> Result<Rows, String> {
        facts::rows(sql, self.tenant).await
    }

    /// Waits until everything of these facts that was answered 2xx is reflected.
    pub(super) async fn until_reflected(&self, sql: &PgPool, facts: &Facts) {
        until(DEADLINE * 6, async || {
            let lost = checks::lost(facts, &self.rows(sql).await?);
            let few: Vec<String> = lost.iter().take(5).cloned().collect();
            if lost.is_empty() { Ok(()) } else { Err(format!("I1: {} are lost: {few:#?}", lost.len())) }
        })
        .await;
    }
}
