//! The programs of a measurement: a simulator, a sync-worker and a console as processes, moved by the operators' command.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use futures_util::StreamExt as _;
use sqlx::postgres::PgConnection;
use store::tenant::NewConnection;
use store::testing::TestDatabase;
use tests::process::{Process, binary};
use tests::simulator::key;
use tests::{Vhost, until};
use uuid::Uuid;

use crate::Arguments;

/// Release builds are ready in a second; queues are declared first.
const READY_DEADLINE: Duration = Duration::from_secs(60);
const STOP_DEADLINE: Duration = Duration::from_secs(60);
/// For the software of the agents that are looked at, on a machine that others use, too.
const SOFTWARE_DEADLINE: Duration = Duration::from_secs(15 * 60);
/// Every online agent checks in within a minute; an alert's beats are as far apart as in a quarter of an hour.
const SEEN_AGAIN_S: i64 = 15 * 60;

/// Everything that runs; ends with it.
pub(crate) struct Stage {
    pub(crate) database: TestDatabase,
    pub(crate) tenant: Uuid,
    simulator: Process,
    simulator_url: String,
    worker: Process,
    console: Process,
    environment: Vec<(String, String)>,
    vhost: Vhost,
}

impl Stage {
    /// Starts everything, connects the simulator and maps its clients; no device was read yet.
    pub(crate) async fn set(arguments: &Arguments) -> anyhow::Result<Self> {
        let (database, vhost) = (TestDatabase::create().await, Vhost::create().await);
        let tenant = Uuid::new_v4();
        let new = NewConnection {
            tenant,
            client_name: "A client".to_owned(),
            instance_url: None,
            digest: None,
            grace: Duration::ZERO,
        };
        store::tenant::connect(&database.store(), &new, "bench-devices").await?;
        let simulator = simulator(arguments);
        let simulator_url = address(&simulator, "listening on ").await;
        let mut environment = environment(&database, &vhost, tenant);
        let token = muster(&environment, &["token", "add", "--name", "bench", "--all-permissions"])?;
        environment.push(("MUSTER_TOKEN".to_owned(), String::from_utf8(token.stdout)?.trim().to_owned()));
        let (worker, console) = (program("sync-worker", &environment), program("console", &environment));
        ready(&worker).await;
        let console_url = ready(&console).await;
        environment.push(("MUSTER_CONSOLE_URL".to_owned(), console_url));
        let stage = Self { database, tenant, simulator, simulator_url, worker, console, environment, vhost };
        stage.connect().await?;
        Ok(stage)
    }

    /// What an operator does with a new Tactical.
    async fn connect(&self) -> anyhow::Result<()> {
        let key = tempfile::NamedTempFile::new()?;
        std::fs::write(key.path(), key::SYNC)?;
        let file = key.path().to_str().context("a temporary file's name is text")?;
        self.say("connecting, syncing the clients, mapping them");
        self.muster(&["connect", "--url", &self.simulator_url, "--api-key-file", file])?;
        self.muster(&["sync", "clients", "--wait"])?;
        let clients =
            include_str!("../../../../deploy/dev/clients.sql").replace(":'tenant'", &format!("'{}'", self.tenant));
        sqlx::raw_sql(sqlx::AssertSqlSafe(clients)).execute(&mut self.sql().await).await?;
        self.muster(&["mappings", "accept-proposals"])?;
        Ok(())
    }

    /// The operators' command; it must succeed.
    pub(crate) fn muster(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        muster(&self.environment, arguments)
    }

    /// A connection of the measurement's own.
    pub(crate) async fn sql(&self) -> PgConnection {
        self.database.connect().await
    }

    /// Lets the simulated time pass in which every online agent checks in, and stops it again.
    pub(crate) async fn let_everybody_be_seen(&self) -> anyhow::Result<()> {
        let body = serde_json::json!({"seconds": SEEN_AGAIN_S});
        let url = format!("{}/_control/advance", self.simulator_url);
        reqwest::Client::new().post(url).json(&body).send().await?.error_for_status()?;
        Ok(())
    }

    /// Reads all agents in one list and throws them away: what the simulator alone takes, and how much it sends.
    pub(crate) async fn read_list(&self) -> anyhow::Result<(u64, Duration)> {
        let began = Instant::now();
        let request = reqwest::Client::new().get(format!("{}/agents/", self.simulator_url));
        let mut body = request.header("X-API-KEY", key::SYNC).send().await?.error_for_status()?.bytes_stream();
        let mut bytes = 0;
        while let Some(chunk) = body.next().await {
            bytes += chunk?.len() as u64;
        }
        Ok((bytes, began.elapsed()))
    }

    /// The most memory that the sync-worker has had.
    pub(crate) fn worker_peak_bytes(&self) -> anyhow::Result<u64> {
        peak_bytes(&self.worker)
    }

    /// Lets an inventory-worker read the software of at least so many agents, or of all; how many it has read, and the most
    /// memory that it has had. Faster than it may ask a Tactical, since nothing but memory is looked at.
    pub(crate) async fn software_peak_bytes(&self, agents_min: u32) -> anyhow::Result<(i64, u64)> {
        let mut environment = self.environment.clone();
        environment.push(("MUSTER_SOFTWARE_AGENTS_PER_S".to_owned(), "1000".to_owned()));
        let mut worker = program("inventory-worker", &environment);
        ready(&worker).await;
        self.muster(&["sync", "software"])?;
        let mut sql = self.sql().await;
        let seen = until(SOFTWARE_DEADLINE, async || {
            let row = sqlx::query_as(
                "select bool_or(r.state <> 'running'), coalesce(sum(p.seen), 0)
                 from muster.run r join muster.run_part p using (tenant, run_id) where r.kind = 'software'",
            );
            let (has_ended, seen): (Option<bool>, i64) =
                row.fetch_one(&mut sql).await.map_err(|error| error.to_string())?;
            let is_enough = has_ended == Some(true) || seen >= i64::from(agents_min);
            if is_enough { Ok(seen) } else { Err(format!("{seen} of {agents_min} agents")) }
        })
        .await;
        let peak_bytes = peak_bytes(&worker)?;
        worker.terminate(STOP_DEADLINE).await;
        Ok((seen, peak_bytes))
    }

    /// A line for whoever waits.
    #[expect(clippy::print_stderr, reason = "the measurement is a program, and its progress goes to stderr")]
    pub(crate) fn say(&self, text: &str) {
        eprintln!("{}  {text}", chrono::Utc::now().format("%H:%M:%S"));
    }

    /// Ends everything in order, so that nothing is left to complain about.
    pub(crate) async fn strike(mut self) {
        for process in [&mut self.console, &mut self.worker, &mut self.simulator] {
            process.terminate(STOP_DEADLINE).await;
        }
        drop(self.vhost);
    }
}

fn peak_bytes(process: &Process) -> anyhow::Result<u64> {
    Ok(tests::memory_peak_kib(process.pid()).context("how much memory it has had")? * 1024)
}

fn environment(database: &TestDatabase, vhost: &Vhost, tenant: Uuid) -> Vec<(String, String)> {
    [
        ("MUSTER_DATABASE_URL", database.url()),
        ("MUSTER_AMQP_URL", vhost.url()),
        ("MUSTER_TENANT", &tenant.to_string()),
        ("MUSTER_PROBE_LISTEN", "127.0.0.1:0"),
        ("MUSTER_CONSOLE_LISTEN", "127.0.0.1:0"),
        ("MUSTER_GATEWAY_URL", "http://127.0.0.1:1"),
        ("MUSTER_HOOK_PEPPER", "the pepper of a measurement"),
        ("MUSTER_VAULT_KEY", &"5e".repeat(32)),
        ("MUSTER_TACTICAL_ALLOW_HTTP", "true"),
        ("MUSTER_TACTICAL_ALLOW_NETWORKS", "127.0.0.0/8"),
        ("MUSTER_LOG_FORMAT", "json"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

fn simulator(arguments: &Arguments) -> Process {
    let (agents, clients) = (arguments.agents.to_string(), arguments.clients.to_string());
    let online = arguments.online_percent.to_string();
    let flags = ["--agents", &agents, "--clients", &clients, "--online-percent", &online, "--speed", "0"];
    Process::start("tactical-simulator", &flags, &[])
}

fn program(name: &str, environment: &[(String, String)]) -> Process {
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Process::start(name, &[], &environment)
}

async fn address(process: &Process, before: &str) -> String {
    until(READY_DEADLINE, async || {
        let log = process.log();
        let found = log.iter().find_map(|line| line.split(before).nth(1));
        found.and_then(|rest| rest.split('"').next()).map(str::to_owned).ok_or(log)
    })
    .await
}

/// Waits until a program is ready; its URL.
async fn ready(process: &Process) -> String {
    let url = format!("http://{}", address(process, "\"listen.address\":\"").await);
    until(READY_DEADLINE, async || {
        let answer = reqwest::get(format!("{url}/readyz")).await.map_err(|error| error.to_string())?;
        if answer.status().is_success() { Ok(()) } else { Err(answer.text().await.unwrap_or_default()) }
    })
    .await;
    url
}

fn muster(environment: &[(String, String)], arguments: &[&str]) -> anyhow::Result<Output> {
    let mut command = Command::new(binary("muster"));
    command.args(arguments).env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
    let output = command.stdin(Stdio::null()).output().context("start muster")?;
    if !output.status.success() {
        bail!("muster {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    ensure!(output.status.code() == Some(0), "muster ended by a signal");
    Ok(output)
}
