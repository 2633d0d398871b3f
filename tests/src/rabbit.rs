//! A RabbitMQ node of a test's own, for what a shared one cannot bear: a crash, a stop, an alarm.

mod disk;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::account::{self, Account};
use crate::amqp::Client;
use crate::disk::SmallDisk;
use crate::process::Process;
use crate::until;

/// Debian's scripts; the wrappers in the path change the user and read the system's configuration.
const BIN: &str = "/usr/lib/rabbitmq/bin";
/// A node starts in about 7 s on an idle machine of two cores.
const START_DEADLINE: Duration = Duration::from_secs(90);
/// A quorum queue of RabbitMQ 3.10 is not crash-safe in its first second, and a test may have declared one just now.
const SETTLE: Duration = Duration::from_millis(1_100);

/// Where a node keeps everything, below its folder.
const DATA: &str = "mnesia";
/// A node with the default vhost and nothing else; its processes end with the handle.
#[derive(Debug)]
pub struct PrivateBroker {
    // fields are dropped in this order: the node before its directory of nodes, and both before their folder
    node: Option<Process>,
    _epmd: Process,
    client: Client,
    ports: Ports,
    user: Option<Account>,
    disk: Option<SmallDisk>,
    folder: TempDir,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    amqp: u16,
    distribution: u16,
    epmd: u16,
}

impl PrivateBroker {
    /// Starts a node and waits until it serves.
    ///
    /// # Panics
    /// If RabbitMQ is not installed or does not come up.
    pub async fn start() -> Self {
        Self::start_with(&[], None).await
    }

    /// As [`PrivateBroker::start`], with all that it keeps on a disk of so many MiB that [`PrivateBroker::fill_disk`] fills.
    ///
    /// # Panics
    /// As [`PrivateBroker::start`], and where the tests are not root.
    pub async fn start_on_disk(mib: u32) -> Self {
        Self::start_with(&[], Some(mib)).await
    }

    /// As [`PrivateBroker::start`], with every feature flag off, as after the upgrade of an old node.
    ///
    /// # Panics
    /// As [`PrivateBroker::start`].
    pub async fn start_without_feature_flags() -> Self {
        Self::start_with(&[("RABBITMQ_FEATURE_FLAGS", "")], None).await
    }

    async fn start_with(environment: &[(&str, &str)], disk_mib: Option<u32>) -> Self {
        assert!(Path::new(BIN).join("rabbitmq-server").is_file(), "RabbitMQ is not installed: run `./dev setup`");
        let folder = tempfile::Builder::new().prefix("muster-rabbit-").tempdir().expect("a temporary folder");
        let user = Account::owning("rabbitmq", folder.path());
        let disk = disk_mib.map(|mib| SmallDisk::mount(folder.path().join(DATA), mib));
        if let (Some(disk), Some(user)) = (&disk, user) {
            user.own(disk.path());
        }
        let [amqp, distribution, epmd] = account::free_ports();
        let ports = Ports { amqp, distribution, epmd };
        write(folder.path(), ports, user);
        let client = Client::at(&format!("amqp://guest:guest@127.0.0.1:{}/%2f", ports.amqp));
        let mut epmd = command("epmd", folder.path(), ports, user);
        epmd.args(["-port", &ports.epmd.to_string(), "-address", "127.0.0.1"]);
        let epmd = Process::spawn("epmd", epmd);
        let mut broker = Self { node: None, _epmd: epmd, client, ports, user, disk, folder };
        broker.begin(environment).await;
        broker
    }

    /// Starts the node again after [`PrivateBroker::kill`] or [`PrivateBroker::stop`], with all that was on its disk.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn start_again(&mut self) {
        self.begin(&[]).await;
    }

    async fn begin(&mut self, environment: &[(&str, &str)]) {
        let mut node = self.command(&format!("{BIN}/rabbitmq-server"));
        node.envs(environment.iter().copied());
        let mut node = Process::spawn("rabbitmq", node);
        until(START_DEADLINE, async || {
            assert!(node.ended().is_none(), "RabbitMQ ended while it started: {:#?}", node.log());
            self.client.try_channel().await.map(drop)
        })
        .await;
        self.node = Some(node);
    }

    /// `kill -9`, once every queue is old enough to survive it.
    pub async fn kill(&mut self) {
        tokio::time::sleep(SETTLE).await;
        self.kill_at_once();
    }

    /// `kill -9`, whatever was declared just now: it may come back without a leader.
    pub fn kill_at_once(&mut self) {
        self.node = None;
    }

    /// Stops the node as a service manager would.
    ///
    /// # Panics
    /// If it does not end.
    pub async fn stop(&mut self) {
        if let Some(mut node) = self.node.take() {
            node.terminate(START_DEADLINE).await;
        }
    }

    /// Stops all of its processes (SIGSTOP): connections stand, and nobody answers.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Ends [`PrivateBroker::freeze`].
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        if let Some(node) = &self.node {
            node.signal_family(signal);
        }
    }

    /// Raises the disk alarm: more must be free than any disk has. It blocks as [`PrivateBroker::alarm_on`] does.
    ///
    /// # Panics
    /// If the node does not obey.
    pub async fn disk_alarm_on(&self) {
        self.control(&["set_disk_free_limit", "1000000GB"]).await;
    }

    /// Ends the disk alarm.
    ///
    /// # Panics
    /// If the node does not obey.
    pub async fn disk_alarm_off(&self) {
        self.control(&["set_disk_free_limit", "10MB"]).await;
    }

    /// Raises the memory alarm: from now on the node blocks every connection that publishes.
    ///
    /// # Panics
    /// If the node does not obey.
    pub async fn alarm_on(&self) {
        self.control(&["set_vm_memory_high_watermark", "0"]).await;
    }

    /// Ends the alarm.
    ///
    /// # Panics
    /// If the node does not obey.
    pub async fn alarm_off(&self) {
        self.control(&["set_vm_memory_high_watermark", "0.9"]).await;
    }

    /// Takes a quorum queue its leader, as a crash within a second of its declaration does.
    ///
    /// # Panics
    /// If the node does not obey.
    pub async fn take_leader(&self, queue: &str) {
        self.control(&["eval", &format!("ok = rabbit_quorum_queue:stop_server({{'%2F_{queue}', node()}}).")]).await;
    }

    /// Deletes a queue as an operator would.
    ///
    /// # Panics
    /// If the node does not obey.
    pub async fn delete_queue(&self, queue: &str) {
        self.control(&["delete_queue", queue]).await;
    }

    /// The queues that hold dead letters which their target has not taken yet, with how many, as the node tells it: `[]` where
    /// there are none. No depth counts them. A queue that does not answer stands there, too.
    ///
    /// # Panics
    /// If the node does not obey.
    pub async fn dead_letters(&self) -> String {
        self.control(&["eval", DEAD_LETTERS]).await.join(" ")
    }

    /// Switches every feature flag on.
    ///
    /// # Panics
    /// If the node does not obey.
    pub async fn enable_feature_flags(&self) {
        self.control(&["enable_feature_flag", "all"]).await;
    }

    /// A process's configuration for this node; see [`crate::vhost::config_for`].
    #[must_use]
    pub fn config(&self) -> broker::Config {
        crate::vhost::config_for(self.client.url())
    }

    /// Looks at the node's default vhost from outside.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Everything of it that lies on the disk.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the node said.
    async fn control(&self, arguments: &[&str]) -> Vec<String> {
        let mut command = self.command(&format!("{BIN}/rabbitmqctl"));
        command.args(["-n", NODE]).args(arguments);
        let mut control = Process::spawn("rabbitmqctl", command);
        let running = format!("rabbitmqctl {arguments:?} still runs");
        let status = until(START_DEADLINE, async || control.ended().ok_or(&running)).await;
        assert!(status.success(), "rabbitmqctl {arguments:?}: {:#?}", control.log());
        control.log()
    }

    fn command(&self, program: &str) -> Command {
        command(program, self.folder.path(), self.ports, self.user)
    }
}

/// Asks the leader of every quorum queue.
const DEAD_LETTERS: &str = "
    Count = fun(Q) ->
        case ra:leader_query(amqqueue:get_pid(Q), fun rabbit_fifo:overview/1) of
            {ok, {_, #{num_discarded := Lying, num_discard_checked_out := Sent}}, _} -> Lying + Sent;
            Other -> Other
        end
    end,
    [{element(4, amqqueue:get_name(Q)), N} || Q <- rabbit_amqqueue:list(), amqqueue:get_type(Q) =:= rabbit_quorum_queue,
                                              N <- [Count(Q)], N =/= 0].";

/// Names are registered with the node's own epmd, so that all nodes may have the same.
const NODE: &str = "muster-private@localhost";

/// RabbitMQ's own 512 MiB would be written for hours before anything is let go: what grows could not be told from what fills.
const WAL_BYTES_MAX: u64 = 16 << 20;

/// After so long a dead letter whose queue did not confirm it is sent again, by the queues that are there then. Three minutes
/// of RabbitMQ's own, scaled as the ladder is.
const DEAD_LETTER_MS: u32 = 3_000;

fn write(folder: &Path, ports: Ports, user: Option<Account>) {
    let configuration = format!(
        "listeners.tcp.1 = 127.0.0.1:{}\nvm_memory_high_watermark.relative = 0.9\n\
         disk_free_limit.absolute = 10MB\nraft.wal_max_size_bytes = {WAL_BYTES_MAX}\n\
         log.file = false\nlog.console = true\nlog.console.level = warning\n",
        ports.amqp
    );
    for (name, text) in
        [("rabbitmq.conf", configuration.as_str()), ("enabled_plugins", "[].\n"), ("rabbitmq-env.conf", "")]
    {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("the folder is new and ours");
        if let Some(user) = user {
            user.own(&path);
        }
    }
}

/// A command with the node's own environment and nothing else. `RUNNING_UNDER_SYSTEMD` makes the server's script become
/// the node, so that its process id is the node's.
fn command(program: &str, folder: &Path, ports: Ports, user: Option<Account>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().current_dir(folder).env("PATH", std::env::var_os("PATH").unwrap_or_default());
    for (name, file) in [
        ("HOME", ""),
        ("RABBITMQ_MNESIA_BASE", DATA),
        ("RABBITMQ_LOG_BASE", "log"),
        ("RABBITMQ_CONFIG_FILE", "rabbitmq.conf"),
        ("RABBITMQ_CONF_ENV_FILE", "rabbitmq-env.conf"),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", "enabled_plugins"),
    ] {
        command.env(name, folder.join(file));
    }
    command
        .env("LC_ALL", "C.UTF-8")
        .env("RUNNING_UNDER_SYSTEMD", "true")
        .env("RABBITMQ_NODENAME", NODE)
        .env("RABBITMQ_DIST_PORT", ports.distribution.to_string())
        .env("ERL_EPMD_PORT", ports.epmd.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env(
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            format!(
                "-kernel inet_dist_use_interface {{127,0,0,1}} +S 1:1 \
                 -rabbit dead_letter_worker_publisher_confirm_timeout {DEAD_LETTER_MS}"
            ),
        );
    if let Some(user) = user {
        user.run(&mut command);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DEADLINE;

    #[tokio::test]
    async fn dead_letters_that_no_target_takes_are_told() {
        let broker = PrivateBroker::start().await;
        broker.client().declare_undeliverable("pending").await;
        assert_eq!(broker.dead_letters().await, "[]");
        assert!(broker.client().publish("", "pending", lapin::BasicProperties::default(), b"dead").await);
        until(DEADLINE, async || match broker.dead_letters().await {
            told if told == "[{<<\"pending\">>,1}]" => Ok(()),
            told => Err(told),
        })
        .await;
        assert_eq!(broker.client().depth("pending").await, Some(0), "which its depth does not tell");
    }

    #[tokio::test]
    async fn a_killed_node_comes_back_with_what_it_had_and_leaves_nothing_behind() {
        let mut broker = PrivateBroker::start().await;
        broker.client().declare_topology(&broker.config()).await.unwrap();
        let durable = lapin::BasicProperties::default().with_delivery_mode(2);
        assert!(broker.client().publish("", "muster.landing", durable, b"kept").await);
        broker.kill().await;
        assert_eq!(broker.client().depth("muster.landing").await, None);
        broker.start_again().await;
        until(DEADLINE, async || match broker.client().depth("muster.landing").await {
            Some(1) => Ok(()),
            other => Err(other),
        })
        .await;
        let folder = broker.folder.path().to_owned();
        drop(broker);
        assert!(!folder.exists(), "{} is left", folder.display());
    }
}
