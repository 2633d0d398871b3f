//! What a fleet is to consist of, and its start.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;

use store::testing::TestDatabase;

use super::{Expected, Fleet, Place, programs};
use crate::simulator::{Simulator, SimulatorConfig, WebhookSettings};
use crate::{PrivateBroker, PrivatePostgres, Proxy, Vhost};

/// What a fleet is to consist of.
#[derive(Debug, Default)]
pub struct Builder {
    pub(super) workers: usize,
    pub(super) sync_workers: usize,
    pub(super) inventory_workers: usize,
    pub(super) console: bool,
    pub(super) without_gateway: bool,
    pub(super) gateway_socket: Option<TcpListener>,
    pub(super) private_broker: bool,
    pub(super) broker_disk_mib: Option<u32>,
    pub(super) private_postgres: Option<Vec<String>>,
    pub(super) private_disk_mib: Option<u32>,
    pub(super) proxies: bool,
    pub(super) logs: Option<PathBuf>,
    pub(super) simulator: Option<SimulatorConfig>,
    pub(super) settings: Vec<(String, String)>,
}

impl Builder {
    /// So many alert workers; none by default.
    #[must_use]
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = count;
        self
    }

    /// The console, too.
    #[must_use]
    pub fn console(mut self) -> Self {
        self.console = true;
        self
    }

    /// No gateway: the test publishes itself.
    #[must_use]
    pub fn without_gateway(mut self) -> Self {
        self.without_gateway = true;
        self
    }

    /// The gateway listens on a socket that is the harness's own and stays when it is restarted, as under systemd.
    ///
    /// # Panics
    /// If no port can be bound.
    #[must_use]
    pub fn gateway_socket(mut self) -> Self {
        self.gateway_socket = Some(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port"));
        self
    }

    /// A RabbitMQ node of its own, which the test may kill; costs some ten seconds.
    #[must_use]
    pub fn private_broker(mut self) -> Self {
        self.private_broker = true;
        self
    }

    /// That node on a small disk, which the test may fill; takes root.
    #[must_use]
    pub fn broker_disk(mut self, mib: u32) -> Self {
        self.broker_disk_mib = Some(mib);
        self
    }

    /// A PostgreSQL server of its own, which the test may stop, with settings (`max_connections=20`).
    #[must_use]
    pub fn private_postgres(mut self, settings: &[&str]) -> Self {
        self.private_postgres = Some(settings.iter().map(|setting| (*setting).to_owned()).collect());
        self
    }

    /// That server on a small disk, which the test may fill; takes root.
    #[must_use]
    pub fn private_disk(mut self, mib: u32) -> Self {
        self.private_disk_mib = Some(mib);
        self
    }

    /// Keeps the whole log of each program in a file of this folder, `alert-worker-1.log`.
    #[must_use]
    pub fn logs(mut self, folder: PathBuf) -> Self {
        self.logs = Some(folder);
        self
    }

    /// Programs reach Postgres and RabbitMQ through [`Proxy`]s, which the test may turn against them.
    #[must_use]
    pub fn proxies(mut self) -> Self {
        self.proxies = true;
        self
    }

    /// A simulated Tactical whose webhooks lead to the gateway; without one it sends none.
    #[must_use]
    pub fn simulator(mut self, config: SimulatorConfig) -> Self {
        self.simulator = Some(config);
        self
    }

    /// A variable of every program: `MUSTER_OTLP_URL`, any limit. It wins over the harness's own.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.push((name.to_owned(), value.to_string()));
        self
    }

    /// As [`Builder::set`], where nobody has set it.
    #[must_use]
    pub fn unless_set(self, name: &str, value: impl ToString) -> Self {
        if self.settings.iter().any(|(set, _)| set == name) { self } else { self.set(name, value) }
    }

    /// Starts everything and waits until all of it is ready.
    ///
    /// # Panics
    /// If a program was not built, or does not become ready.
    pub async fn start(self) -> Fleet {
        let ((database, postgres), place) = tokio::join!(
            database(self.private_postgres.as_deref(), self.private_disk_mib),
            place(self.private_broker, self.broker_disk_mib)
        );
        let connection = programs::connect(&database.store()).await;
        let state = tempfile::tempdir().expect("a temporary folder");
        let (amqp_proxy, amqp_url) = proxied(self.proxies, place.client().url()).await;
        let (database_proxy, database_url) = proxied(self.proxies, database.url()).await;
        let mut environment = programs::environment(&amqp_url, &database_url, state.path());
        environment.extend(self.settings);
        let mut fleet = Fleet {
            simulator: None,
            gateway: None,
            ended: Vec::new(),
            gateway_socket: self.gateway_socket,
            further_gateways: Vec::new(),
            workers: Vec::new(),
            sync_workers: Vec::new(),
            inventory_workers: Vec::new(),
            console: None,
            connection,
            environment,
            expected: Expected::default(),
            amqp_proxy,
            database_proxy,
            logs: self.logs,
            state,
            place,
            database,
            postgres,
        };
        fleet.start_all([self.workers, self.sync_workers, self.inventory_workers], !self.without_gateway).await;
        if self.console {
            fleet.start_console().await;
        }
        if let Some(config) = self.simulator {
            let is_there = fleet.gateway.is_some();
            let webhook = is_there.then(|| WebhookSettings::muster(&fleet.webhook_url(), &fleet.connection.secret));
            let started = Simulator::start(SimulatorConfig { webhook, ..config }).await;
            fleet.simulator = Some(started.expect("a simulator takes a free port"));
        }
        fleet
    }
}

async fn place(private: bool, disk_mib: Option<u32>) -> Place {
    match (private, disk_mib) {
        (true, Some(mib)) => Place::Private(Box::new(PrivateBroker::start_on_disk(mib).await)),
        (true, None) => Place::Private(Box::new(PrivateBroker::start().await)),
        (false, _) => Place::Shared(Box::new(Vhost::create().await)),
    }
}

async fn database(private: Option<&[String]>, disk_mib: Option<u32>) -> (TestDatabase, Option<Box<PrivatePostgres>>) {
    let Some(settings) = private else { return (TestDatabase::create().await, None) };
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let postgres = match disk_mib {
        Some(mib) => PrivatePostgres::start_on_disk(mib, &settings).await,
        None => PrivatePostgres::start_with(&settings).await,
    };
    let url = format!("{}/postgres", postgres.url());
    (TestDatabase::create_on(&url).await, Some(Box::new(postgres)))
}

async fn proxied(wanted: bool, url: &str) -> (Option<Proxy>, String) {
    if !wanted {
        return (None, url.to_owned());
    }
    let (proxy, url) = Proxy::before(url).await;
    (Some(proxy), url)
}
