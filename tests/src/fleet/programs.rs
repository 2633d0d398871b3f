//! A fleet's programs: their environment, and when they are ready.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use store::Store;
use store::tenant::{self, NewConnection};
use uuid::Uuid;

use super::{Connection, RETRY_BASE_MS};
use crate::process::Process;
use crate::until;

/// A program declares its queues first, which takes seconds on a machine that runs every test at once.
const READY_DEADLINE: Duration = Duration::from_secs(60);
/// A program that does not answer by then is stopped or gone.
const ANSWER: Duration = Duration::from_secs(2);
/// The key of the hooks' digests.
pub const PEPPER: &str = "the pepper of the fleet tests";
/// The key that seals the tenants' secrets.
pub const VAULT_KEY: &str = "6d757374657220666c656574207465737473207661756c74206b657920303031";

/// A program with the address of its probes.
#[derive(Debug)]
pub struct Program {
    process: Process,
    name: &'static str,
    address: Option<String>,
}

/// Makes the tenant and its connection to Tactical.
pub(crate) async fn connect(store: &Store) -> Connection {
    let (tenant, secret) = (Uuid::new_v4(), store::hook::generate_secret());
    let new = NewConnection {
        tenant,
        client_name: "A client".to_owned(),
        instance_url: None,
        digest: Some(store::hook::digest(PEPPER.as_bytes(), &secret)),
        grace: Duration::ZERO,
    };
    let connected = tenant::connect(store, &new, "a test").await.expect("an empty database takes a tenant");
    Connection { tenant, integration_id: connected.integration_id, secret }
}

/// What every program is told; ports are free ones, which they log.
pub(super) fn environment(amqp_url: &str, database_url: &str, state: &Path) -> Vec<(String, String)> {
    [
        ("MUSTER_AMQP_URL", amqp_url),
        ("MUSTER_DATABASE_URL", database_url),
        ("MUSTER_RETRY_BASE_MS", &RETRY_BASE_MS.to_string()),
        ("MUSTER_PROBE_LISTEN", "127.0.0.1:0"),
        ("MUSTER_GATEWAY_LISTEN", "127.0.0.1:0"),
        ("MUSTER_GATEWAY_STATE_DIR", &state.display().to_string()),
        // a test that is about the spool sets it low: elsewhere a slow machine should not make second copies
        ("MUSTER_GATEWAY_SPOOL_AFTER_MS", "5000"),
        ("MUSTER_SPOOL_FREE_BYTES_MIN", "0"),
        ("MUSTER_HOOK_PEPPER", PEPPER),
        // a test that is not about schedules must not find runs that it has not asked for; `Builder::ticks`
        ("MUSTER_GATEWAY_TICKS", "false"),
        ("MUSTER_GATEWAY_TICK_PERIOD_MS", "50"),
        ("MUSTER_LOG_FORMAT", "json"),
        ("MUSTER_VAULT_KEY", VAULT_KEY),
        // the simulator has no certificate and no public address
        ("MUSTER_TACTICAL_ALLOW_HTTP", "true"),
        ("MUSTER_TACTICAL_ALLOW_NETWORKS", "127.0.0.0/8"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

impl Program {
    /// Starts a program and does not wait.
    #[must_use]
    pub fn begin(binary: &'static str, name: &str, environment: &[(String, String)]) -> Self {
        let environment: Vec<(&str, &str)> =
            environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Self { process: Process::start_as(name, binary, &[], &environment), name: binary, address: None }
    }

    /// As [`Program::begin`], on a socket that listens already.
    pub(super) fn begin_on(
        socket: &TcpListener,
        binary: &'static str,
        name: &str,
        environment: &[(String, String)],
    ) -> Self {
        let environment: Vec<(&str, &str)> =
            environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Self { process: Process::start_on(name, binary, socket, &environment), name: binary, address: None }
    }

    /// Waits until it has an address.
    pub(super) async fn listening(&mut self) {
        // the gateway's first such line names the webhooks' listener, a worker's only one that of its probes
        let line = self.process.until_log(READY_DEADLINE, "\"listen.address\":\"").await;
        let address = line.split("\"listen.address\":\"").nth(1).and_then(|rest| rest.split('"').next());
        self.address = address.map(str::to_owned);
    }

    /// Waits until it says that it is ready.
    ///
    /// # Panics
    /// If it does not become ready.
    pub async fn ready(&mut self) {
        self.listening().await;
        let (url, name) = (format!("{}/readyz", self.url()), self.name);
        until(READY_DEADLINE, async || {
            let ended = self.process.ended();
            assert!(ended.is_none(), "{name} ended ({ended:?}) before it was ready");
            let answer = reqwest::get(&url).await.map_err(|error| error.to_string())?;
            if answer.status().is_success() { Ok(()) } else { Err(answer.text().await.unwrap_or_default()) }
        })
        .await;
    }

    /// Waits until a gateway asks the broker first: it is ready before that, with its spool.
    pub(super) async fn until_publishing(&self) {
        until(READY_DEADLINE, async || {
            let metrics = self.metrics().await.ok_or("no metrics")?;
            let is_publishing = metrics.lines().any(|line| line == "muster_spooling 0");
            if is_publishing { Ok(()) } else { Err("it spools") }
        })
        .await;
    }

    /// Its metrics, unless it does not listen or does not answer soon.
    pub(super) async fn metrics(&self) -> Option<String> {
        let url = self.metrics_url()?;
        let asked = async { reqwest::get(url).await?.text().await };
        tokio::time::timeout(ANSWER, asked).await.ok()?.ok()
    }

    /// Where it listens: `http://127.0.0.1:1234`.
    ///
    /// # Panics
    /// If it never did.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address.as_deref().expect("it has logged its address"))
    }

    /// Where a worker tells its metrics; `None` before it listens.
    fn metrics_url(&self) -> Option<String> {
        self.address.as_ref().map(|address| format!("http://{address}/metrics"))
    }

    /// Whether it runs and has told where it listens; whoever has not does no work yet.
    pub(super) fn is_silent(&self) -> bool {
        self.address.is_some() && self.process.is_running()
    }

    /// Where its log is kept, if it is.
    pub(super) fn log_file(&self) -> Option<PathBuf> {
        self.process.log_file()
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}
