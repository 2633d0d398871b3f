//! A whole fleet of a test's own: database, vhost, gateway, workers as real programs, and a simulated Tactical.
//!
//! Dropping it drains the programs and fails the test if a queue, a rung, the landing or `muster.parked` holds a message
//! that the test did not expect.

mod builder;
mod console;
mod ending;
mod gateways;
mod idle;
mod programs;
mod sync;

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use contract::topology::{self, Ladder, Lane, Worker};
use store::Store;
use store::testing::TestDatabase;
use tempfile::TempDir;
use uuid::Uuid;

use crate::amqp::Client;
use crate::process::Process;
use crate::simulator::Simulator;
use crate::{PrivateBroker, PrivatePostgres, Proxy, Vhost};

pub use builder::Builder;
pub use console::Answer;
pub(crate) use programs::connect;
pub use programs::{PEPPER, Program, VAULT_KEY};
pub use sync::{tactical_config, vault};

/// The shortest delay of a fleet's ladder; the longest is 3,600 times as long, so nothing may have to wait for it.
const RETRY_BASE_MS: u64 = 5;
/// A worker's own grace, and then some.
const STOP_DEADLINE: Duration = Duration::from_secs(40);

/// A running fleet.
#[derive(Debug)]
pub struct Fleet {
    simulator: Option<Simulator>,
    gateway: Option<Program>,
    /// What became of gateways that were replaced.
    ended: Vec<String>,
    gateway_socket: Option<TcpListener>,
    further_gateways: Vec<Program>,
    workers: Vec<Program>,
    sync_workers: Vec<Program>,
    inventory_workers: Vec<Program>,
    console: Option<Program>,
    connection: Connection,
    environment: Vec<(String, String)>,
    expected: Expected,
    amqp_proxy: Option<Proxy>,
    database_proxy: Option<Proxy>,
    logs: Option<PathBuf>,
    state: TempDir,
    // after the programs: they hold connections to it
    place: Place,
    database: TestDatabase,
    postgres: Option<Box<PrivatePostgres>>,
}

/// The tenant's connection to Tactical.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The tenant.
    pub tenant: Uuid,
    /// The integration.
    pub integration_id: Uuid,
    /// The webhook's secret.
    pub secret: String,
}

/// Which broker it runs on.
#[derive(Debug)]
enum Place {
    Shared(Box<Vhost>),
    Private(Box<PrivateBroker>),
}

impl Place {
    fn client(&self) -> &Client {
        match self {
            Self::Shared(vhost) => vhost,
            Self::Private(broker) => broker.client(),
        }
    }
}

/// What may be left when the test ends.
#[derive(Debug, Clone, Default)]
struct Expected {
    parked: u64,
    queues: Vec<(String, u32)>,
    /// A queue that does not answer is no empty one.
    every_queue: bool,
}

impl Fleet {
    /// Nothing but a gateway, until more is asked for.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    async fn start_all(&mut self, [workers, sync_workers, inventory_workers]: [usize; 3], gateway: bool) {
        // begun one after the other and awaited together: each spends a second on new queues
        let mut begun: Vec<Program> = (0..workers).map(|n| self.begin_worker("alert-worker", n)).collect();
        let mut syncing: Vec<Program> = (0..sync_workers).map(|n| self.begin_worker("sync-worker", n)).collect();
        let mut taking: Vec<Program> =
            (0..inventory_workers).map(|n| self.begin_worker("inventory-worker", n)).collect();
        let mut gateway = gateway.then(|| self.begin_gateway());
        for program in begun.iter_mut().chain(&mut syncing).chain(&mut taking).chain(&mut gateway) {
            program.ready().await;
        }
        if let Some(gateway) = &gateway {
            gateway.until_publishing().await;
        }
        (self.workers, self.sync_workers, self.inventory_workers) = (begun, syncing, taking);
        self.gateway = gateway;
    }

    fn begin_worker(&self, program: &'static str, number: usize) -> Program {
        self.begin(program, &format!("{program} {}", number + 1), &self.environment)
    }

    /// Starts a program, whose log is kept where the test wants logs.
    fn begin(&self, program: &'static str, name: &str, environment: &[(String, String)]) -> Program {
        self.logged(Program::begin(program, name, environment), name)
    }

    fn begin_gateway(&self) -> Program {
        let name = "ingest-gateway";
        match &self.gateway_socket {
            Some(socket) => self.logged(Program::begin_on(socket, name, name, &self.environment), name),
            None => self.begin(name, name, &self.environment),
        }
    }

    fn logged(&self, mut begun: Program, name: &str) -> Program {
        if let Some(folder) = &self.logs {
            begun.process().keep_log_in(&folder.join(format!("{}.log", name.replace(' ', "-"))));
        }
        begun
    }

    /// Starts one more worker; its place in [`Fleet::worker`].
    ///
    /// # Panics
    /// If it does not become ready.
    pub async fn add_worker(&mut self) -> usize {
        let mut worker = self.begin_worker("alert-worker", self.workers.len());
        worker.ready().await;
        self.workers.push(worker);
        self.workers.len() - 1
    }

    /// Starts one more worker with other settings than the fleet's; its place in [`Fleet::worker`].
    ///
    /// # Panics
    /// If it does not become ready.
    pub async fn add_worker_with(&mut self, settings: &[(&str, &str)]) -> usize {
        self.add_worker_of("alert-worker", settings).await
    }

    /// Starts one more worker that has the alert worker's queues and is another program of the harness; its place in
    /// [`Fleet::worker`].
    ///
    /// # Panics
    /// If it does not become ready.
    pub async fn add_worker_of(&mut self, program: &'static str, settings: &[(&str, &str)]) -> usize {
        let place = self.begin_worker_of(program, settings);
        self.worker_ready(place).await;
        place
    }

    /// Waits until a worker that was begun is ready.
    ///
    /// # Panics
    /// If it does not become ready.
    pub async fn worker_ready(&mut self, place: usize) {
        self.workers[place].ready().await;
    }

    /// As [`Fleet::add_worker_of`]; it need not become ready.
    pub fn begin_worker_of(&mut self, program: &'static str, settings: &[(&str, &str)]) -> usize {
        let changed = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let environment: Vec<_> = self.environment.iter().cloned().chain(changed).collect();
        let name = format!("{program} {}", self.workers.len() + 1);
        let worker = self.begin(program, &name, &environment);
        self.workers.push(worker);
        self.workers.len() - 1
    }

    /// A worker, by the order of starting; one that was ended keeps its place.
    ///
    /// # Panics
    /// If there is none.
    pub fn worker(&mut self, place: usize) -> &mut Process {
        self.workers[place].process()
    }

    /// Where a worker serves its probes: `http://127.0.0.1:1234`.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn worker_url(&self, place: usize) -> String {
        self.workers[place].url()
    }

    /// The gateway.
    ///
    /// # Panics
    /// If there is none.
    pub fn gateway(&mut self) -> &mut Process {
        self.gateway.as_mut().expect("the fleet has a gateway").process()
    }

    /// Starts the gateway again after it was ended, with the state of its folder; it does not have to become ready. Its
    /// port is another one.
    pub async fn restart_gateway(&mut self) {
        let mut gateway = self.begin_gateway();
        gateway.listening().await;
        let before = self.gateway.replace(gateway);
        self.ended.extend(before.and_then(|mut before| before.process().ended_by_itself()));
    }

    /// Where the gateway listens: `http://127.0.0.1:1234`.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn gateway_url(&self) -> String {
        self.gateway.as_ref().expect("the fleet has a gateway").url()
    }

    /// What every program of this fleet is told.
    #[must_use]
    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// What stands in Tactical's template.
    #[must_use]
    pub fn webhook_url(&self) -> String {
        format!("{}/api/webhooks/tacticalrmm?tenant={}", self.gateway_url(), self.connection.tenant)
    }

    /// Tenant, integration and secret.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The simulated Tactical.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn simulator(&self) -> &Simulator {
        self.simulator.as_ref().expect("the fleet has a simulator")
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> &TestDatabase {
        &self.database
    }

    /// A store on the database, never through the proxy.
    #[must_use]
    pub fn store(&self) -> Store {
        self.database.store()
    }

    /// Looks at the vhost from outside, never through the proxy.
    #[must_use]
    pub fn amqp(&self) -> &Client {
        self.place.client()
    }

    /// The broker that may be killed.
    ///
    /// # Panics
    /// If the fleet runs on the shared one.
    pub fn broker(&mut self) -> &mut PrivateBroker {
        match &mut self.place {
            Place::Private(broker) => broker,
            Place::Shared(_) => panic!("ask for a private broker: the shared one is every test's"),
        }
    }

    /// The server of Postgres that may be stopped.
    ///
    /// # Panics
    /// If the fleet runs on the shared one.
    pub fn postgres(&mut self) -> &mut PrivatePostgres {
        self.postgres.as_mut().expect("ask for a private Postgres: the shared one is every test's")
    }

    /// Between the programs and RabbitMQ.
    ///
    /// # Panics
    /// If none was asked for.
    #[must_use]
    pub fn amqp_proxy(&self) -> &Proxy {
        self.amqp_proxy.as_ref().expect("the fleet was built with proxies()")
    }

    /// Between the programs and Postgres.
    ///
    /// # Panics
    /// If none was asked for.
    #[must_use]
    pub fn database_proxy(&self) -> &Proxy {
        self.database_proxy.as_ref().expect("the fleet was built with proxies()")
    }

    /// So many messages may lie in `muster.parked` at the end, no more and no fewer.
    pub fn expect_parked(&mut self, count: u64) {
        self.expected.parked = count;
    }

    /// So many messages may lie in a queue at the end, no more and no fewer.
    pub fn expect_left(&mut self, queue: &str, count: u32) {
        self.expected.queues.push((queue.to_owned(), count));
    }

    /// The broker is there at the end with every queue: one that does not answer then may hold anything.
    pub fn expect_every_queue(&mut self) {
        self.expected.every_queue = true;
    }

    /// Every queue that must be empty at the end. Where nobody syncs, the refreshes that alerts ask for may lie.
    fn queues(&self) -> Vec<String> {
        let mut queues = vec![topology::LANDING.to_owned()];
        let is_taken = |worker: &&Worker| **worker != Worker::Sync || !self.sync_workers.is_empty();
        for worker in Worker::ALL.iter().filter(is_taken) {
            queues.extend(Lane::ALL.iter().map(|lane| topology::queue(*worker, *lane)));
        }
        queues.extend(self.ladder().rungs().iter().map(|rung| topology::rung_queue(*rung)));
        queues
    }

    fn ladder(&self) -> Ladder {
        let set = self.environment.iter().rev().find(|(name, _)| name == "MUSTER_RETRY_BASE_MS");
        let base_ms = set.and_then(|(_, value)| value.parse().ok()).unwrap_or(RETRY_BASE_MS);
        Ladder::new(Duration::from_millis(base_ms))
    }
}
