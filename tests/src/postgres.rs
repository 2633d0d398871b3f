//! A PostgreSQL server of a test's own, for what a shared one cannot bear: a crash, a stop, a failover, no connections left.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use tempfile::TempDir;

use crate::account::{self, Account};
use crate::disk::SmallDisk;
use crate::process::Process;
use crate::{Proxy, until};

/// A server starts in a second; after a crash it reads its log first.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// Debian's folders, one per major version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// The role that owns everything.
const ROLE: &str = "muster";

/// A server, and perhaps a replica of it; its processes end with the handle.
///
/// Its URL leads through a door, a [`Proxy`] that follows to the replica when that is promoted.
#[derive(Debug)]
pub struct PrivatePostgres {
    // fields are dropped in this order: the servers before their folder
    server: Node,
    replica: Option<Node>,
    door: Proxy,
    url: String,
    bin: PathBuf,
    account: Option<Account>,
    settings: Vec<String>,
    disk: Option<SmallDisk>,
    folder: TempDir,
}

/// One server's process with its data.
#[derive(Debug)]
struct Node {
    process: Option<Process>,
    data: PathBuf,
    port: u16,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end("QUIT");
    }
}

impl Node {
    /// Ends it by a signal: what runs in it is cut off, and its processes are gone afterwards.
    fn end(&mut self, signal: &str) {
        if let Some(mut process) = self.process.take() {
            // a stopped backend hears nothing
            process.signal_family("CONT");
            process.end_by(signal);
        }
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    async fn try_connect(&self) -> Result<PgConnection, String> {
        let url = format!("postgres://{ROLE}@127.0.0.1:{}/postgres", self.port);
        let options = PgConnectOptions::from_str(&url).expect("it is a URL");
        options.connect().await.map_err(|error| error.to_string())
    }

    /// Runs a statement as its owner; what it answers is dropped.
    async fn run(&self, sql: &str) {
        let mut connection = self.try_connect().await.unwrap_or_else(|error| panic!("connect to Postgres: {error}"));
        let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// Waits until a condition in SQL holds.
    async fn until(&self, condition: &str) {
        until(START_DEADLINE, async || {
            let mut connection = self.try_connect().await?;
            let asked = sqlx::query_scalar(AssertSqlSafe(format!("select {condition}"))).fetch_one(&mut connection);
            match asked.await {
                Ok(true) => Ok(()),
                Ok(false) => Err(format!("not yet: {condition}")),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
    }
}

impl PrivatePostgres {
    /// Starts a server and waits until it serves.
    ///
    /// # Panics
    /// If PostgreSQL is not installed or does not come up.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// As [`PrivatePostgres::start`], with settings: `max_connections=20`.
    ///
    /// # Panics
    /// As there.
    pub async fn start_with(settings: &[&str]) -> Self {
        Self::start_on(None, settings).await
    }

    /// As [`PrivatePostgres::start_with`], on a disk of so many MiB that [`PrivatePostgres::fill_disk`] fills. 256 do.
    ///
    /// # Panics
    /// As there, and where the tests are not root.
    pub async fn start_on_disk(mib: u32, settings: &[&str]) -> Self {
        Self::start_on(Some(mib), settings).await
    }

    async fn start_on(disk_mib: Option<u32>, settings: &[&str]) -> Self {
        let bin = newest(Path::new(VERSIONS));
        let folder = tempfile::Builder::new().prefix("muster-postgres-").tempdir().expect("a temporary folder");
        let account = Account::owning("postgres", folder.path());
        let disk = disk_mib.map(|mib| SmallDisk::mount(folder.path().join("disk"), mib));
        if let (Some(disk), Some(account)) = (&disk, account) {
            account.own(disk.path());
        }
        let data = disk.as_ref().map_or(folder.path(), SmallDisk::path).join("server");
        let [port] = account::free_ports();
        let server = Node { process: None, data, port };
        let (door, url) = Proxy::before(&format!("postgres://{ROLE}:{}@{}", password(), server.address())).await;
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut postgres = Self { server, replica: None, door, url, bin, account, settings, disk, folder };
        let initdb = ["--username", ROLE, "--auth=trust", "--encoding=UTF8", "--no-sync", "-D"];
        postgres.run("initdb", &initdb, &postgres.server.data).await;
        postgres.start_again().await;
        postgres
    }

    /// Its URL, with a password and without a database.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What every connection to it goes through.
    #[must_use]
    pub fn door(&self) -> &Proxy {
        &self.door
    }

    /// Starts the server again after it was ended, with all that was on its disk.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn start_again(&mut self) {
        let process = self.begin(&self.server);
        self.server.process = Some(process);
        self.server.until("not pg_is_in_recovery()").await;
    }

    /// Immediate stop (SIGQUIT): no session is told, nothing is written down, the log is read at the next start.
    pub fn stop_at_once(&mut self) {
        self.server.end("QUIT");
    }

    /// Fast stop (SIGINT): every session is ended, then the server.
    pub fn stop(&mut self) {
        self.server.end("INT");
    }

    /// `kill -9` of every process of it at once.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.server.process.take() {
            process.signal_family("KILL");
            process.kill();
        }
    }

    /// Stops all of its processes (SIGSTOP): connections stand, and nobody answers.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Ends [`PrivatePostgres::freeze`].
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        if let Some(process) = &self.server.process {
            process.signal_family(signal);
        }
    }

    /// Leaves no byte free on its disk.
    ///
    /// # Panics
    /// If it has no disk of its own.
    pub fn fill_disk(&self) {
        self.disk.as_ref().expect("ask for a disk: the other one is everybody's").fill();
    }

    /// Ends [`PrivatePostgres::fill_disk`], and starts the server where it has given up.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn empty_disk(&mut self) {
        let disk = self.disk.as_ref().expect("it has one, it was filled");
        disk.empty();
        until(START_DEADLINE, async || {
            if self.server.process.as_mut().is_none_or(|process| process.ended().is_some()) {
                let process = self.begin(&self.server);
                self.server.process = Some(process);
            }
            self.server.try_connect().await.map(drop)
        })
        .await;
    }

    /// Adds a replica without which no transaction commits.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn add_replica(&mut self) {
        let [port] = account::free_ports();
        let mut replica = Node { process: None, data: self.folder.path().join("replica"), port };
        let primary = self.server.port.to_string();
        let arguments = ["-h", "127.0.0.1", "-p", &primary, "-U", ROLE, "-R", "-X", "stream", "-c", "fast", "-D"];
        self.run("pg_basebackup", &arguments, &replica.data).await;
        replica.process = Some(self.begin(&replica));
        replica.until("pg_is_in_recovery()").await;
        self.server.run("alter system set synchronous_standby_names = '*'").await;
        self.server.run("select pg_reload_conf()").await;
        self.server.until("exists (select from pg_stat_replication where sync_state = 'sync')").await;
        self.replica = Some(replica);
    }

    /// The server dies (`kill -9`), the replica becomes the server, and the door leads there.
    ///
    /// # Panics
    /// If there is no replica, or it does not become one.
    pub async fn fail_over(&mut self) {
        self.kill();
        self.server = self.replica.take().expect("a replica was added");
        self.server.run("select pg_promote()").await;
        self.server.until("not pg_is_in_recovery()").await;
        self.door.lead_to(&self.server.address());
        self.door.cut();
    }

    fn begin(&self, node: &Node) -> Process {
        let mut command = self.command("postgres");
        command.arg("-D").arg(&node.data).args(["-p", &node.port.to_string()]);
        // after a crash of the process alone nothing is lost that was handed to the system
        let own = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "max_connections=60"];
        for setting in own.into_iter().chain(self.settings.iter().map(String::as_str)) {
            command.args(["-c", setting]);
        }
        Process::spawn("postgres", command)
    }

    /// Runs one of its programs on a folder of data to its end.
    async fn run(&self, program: &str, arguments: &[&str], data: &Path) {
        let mut command = self.command(program);
        command.args(arguments).arg(data);
        let mut process = Process::spawn(program, command);
        let status = until(START_DEADLINE, async || process.ended().ok_or(format!("{program} still runs"))).await;
        assert!(status.success(), "{program}: {:#?}", process.log());
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.env_clear().env("LC_ALL", "C.UTF-8").current_dir(self.folder.path());
        if let Some(account) = self.account {
            account.run(&mut command);
        }
        command
    }
}

/// Looked for in logs, and for nothing else: every session is trusted.
fn password() -> String {
    format!("canary{:032x}", rand::random::<u128>())
}

/// The programs of the newest version that is installed.
fn newest(versions: &Path) -> PathBuf {
    let installed = std::fs::read_dir(versions).into_iter().flatten().flatten();
    let numbers = installed.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let newest = numbers.max().expect("PostgreSQL is not installed: run `./dev setup`");
    versions.join(newest.to_string()).join("bin")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn url_to(postgres: &PrivatePostgres) -> String {
        format!("{}/postgres", postgres.url())
    }

    async fn rows(postgres: &PrivatePostgres) -> Result<i64, String> {
        let options = PgConnectOptions::from_str(&url_to(postgres).await).unwrap();
        let mut connection = options.connect().await.map_err(|error| error.to_string())?;
        let count = sqlx::query_scalar("select count(*) from kept").fetch_one(&mut connection).await;
        count.map_err(|error| error.to_string())
    }

    async fn until_rows(postgres: &PrivatePostgres, wanted: i64) {
        until(START_DEADLINE, async || match rows(postgres).await {
            Ok(count) if count == wanted => Ok(()),
            other => Err(other),
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_was_committed_survives_every_way_to_end_the_server() {
        let mut postgres = PrivatePostgres::start_with(&["max_connections=17"]).await;
        postgres.server.until("current_setting('max_connections') = '17'").await;
        postgres.server.run("create table kept as select 1").await;
        postgres.stop_at_once();
        assert!(rows(&postgres).await.is_err(), "it is away");
        postgres.start_again().await;
        until_rows(&postgres, 1).await;
        postgres.kill();
        postgres.start_again().await;
        until_rows(&postgres, 1).await;
        postgres.freeze();
        let asked = tokio::time::timeout(Duration::from_millis(200), rows(&postgres)).await;
        assert!(asked.is_err(), "nobody answers: {asked:?}");
        postgres.thaw();
        until_rows(&postgres, 1).await;
        let folder = postgres.folder.path().to_owned();
        drop(postgres);
        assert!(!folder.exists(), "{} is left", folder.display());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_replica_has_what_was_committed_when_it_is_promoted() {
        let mut postgres = PrivatePostgres::start().await;
        postgres.add_replica().await;
        postgres.server.run("create table kept as select 1").await;
        let url = url_to(&postgres).await;
        postgres.fail_over().await;
        assert_eq!(url_to(&postgres).await, url);
        until_rows(&postgres, 1).await;
        postgres.server.run("insert into kept select 2").await;
    }
}
