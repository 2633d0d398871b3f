//! The program itself: a bad configuration, and one life against real servers with a restart while Postgres is away.
#![allow(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

mod http_support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use http_support::client::request;
use hyper::Method;
use serde_json::{Value, json};
use store::testing::TestDatabase;
use store::{hook, tenant};
use uuid::Uuid;

const PEPPER: &str = "canary-pepper-0123456789";
const SECRET: &str = "canary-secret-0123456789";
const NO_DATABASE: &str = "postgres://muster@127.0.0.1:1/none";
const NO_BROKER: &str = "amqp://muster:x@127.0.0.1:1/%2f";
const BODY: &str = r#"{"event":"trigger","alert_id":4711,"severity":"error","agent_id":"AgentOne"}"#;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ingest-gateway"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MUSTER_")) {
        command.env_remove(name);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn a_bad_configuration_is_one_line_and_exit_2() {
    let folder = tempfile::tempdir().unwrap();
    let good = [
        ("MUSTER_DATABASE_URL", "postgres://muster@127.0.0.1:1/none"),
        ("MUSTER_AMQP_URL", "amqp://muster:x@127.0.0.1:1/%2f"),
        ("MUSTER_HOOK_PEPPER", PEPPER),
        ("MUSTER_GATEWAY_LISTEN", "127.0.0.1:0"),
        ("MUSTER_GATEWAY_STATE_DIR", folder.path().to_str().unwrap()),
    ];
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_address = taken.local_addr().unwrap().to_string();
    // an empty value stands for none
    let bad = [
        ("MUSTER_HOOK_PEPPER", "", "--hook-pepper"),
        ("MUSTER_HOOK_PEPPER", "short", "--hook-pepper"),
        ("MUSTER_DATABASE_URL", "", "--database-url"),
        ("MUSTER_DATABASE_URL", "mysql://x", "--database-url"),
        ("MUSTER_AMQP_URL", "http://x", "--amqp-url"),
        ("MUSTER_GATEWAY_LISTEN", "nowhere", "--listen"),
        ("MUSTER_GATEWAY_LISTEN", &taken_address, "--listen"),
        ("MUSTER_GATEWAY_CONNECTIONS_MAX", "0", "--connections-max"),
        ("MUSTER_OTLP_URL", "nowhere", "--otlp-url"),
        ("MUSTER_GATEWAY_SPOOL_DIR", "/dev/null", "--spool-dir"),
    ];
    for (variable, value, flag) in bad {
        let mut command = program();
        command.envs(good).env("MUSTER_LOG", "off");
        if value.is_empty() {
            command.env_remove(variable)
        } else {
            command.env(variable, value)
        };
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{variable}={value}: {text}");
        assert_eq!(text.trim_end().lines().count(), 1, "{variable}={value}: {text}");
        assert!(text.contains(flag) && text.contains(variable), "{variable}={value}: {text}");
    }
    drop(taken);
}

/// A gateway's process; ended with it.
struct Gateway {
    child: Child,
    url: String,
    log: std::sync::Arc<std::sync::Mutex<String>>,
}

impl Gateway {
    fn start(folder: &Path, database_url: &str, amqp_url: &str) -> Self {
        Self::spawn(program(), folder, database_url, amqp_url)
    }

    /// On a socket that somebody else holds, as systemd does it.
    fn start_on(socket: &std::net::TcpListener, folder: &Path) -> Self {
        let mut command = Command::new("sh");
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MUSTER_")) {
            command.env_remove(name);
        }
        let hand_over = r#"exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec "$0""#;
        command.args(["-c", hand_over, env!("CARGO_BIN_EXE_ingest-gateway")]);
        command.stdin(std::os::fd::OwnedFd::from(socket.try_clone().unwrap()));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::spawn(command, folder, NO_DATABASE, NO_BROKER)
    }

    fn spawn(mut command: Command, folder: &Path, database_url: &str, amqp_url: &str) -> Self {
        command.env("MUSTER_SPOOL_FREE_BYTES_MIN", "0");
        command.env("MUSTER_DATABASE_URL", database_url).env("MUSTER_AMQP_URL", amqp_url);
        command.env("MUSTER_HOOK_PEPPER", PEPPER).env("MUSTER_GATEWAY_LISTEN", "127.0.0.1:0");
        command.env("MUSTER_GATEWAY_STATE_DIR", folder).env("MUSTER_LOG", "debug");
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut text = String::new();
        let address = loop {
            let line = lines.next().expect("it says where it listens").unwrap();
            text.push_str(&line);
            if let Some((_, address)) = line.split_once(" listening listen.address=") {
                break address.trim().to_owned();
            }
        };
        let log = std::sync::Arc::new(std::sync::Mutex::new(text));
        let kept = std::sync::Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().unwrap().push_str(&line);
            }
        });
        Self { child, url: format!("http://{address}"), log }
    }

    async fn until_ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let answer = request(Method::GET, &format!("{}/readyz", self.url)).send().await;
            if answer.is_ok_and(|answer| answer.status == 200) {
                return;
            }
            assert!(Instant::now() < deadline, "ready in 30 s: {}", self.log.lock().unwrap());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn post(&self, tenant: Uuid) -> u16 {
        let url = format!("{}/api/webhooks/tacticalrmm?tenant={tenant}", self.url);
        let request = request(Method::POST, &url).header("x-alga-webhook-secret", SECRET).body(BODY);
        request.send().await.unwrap().status
    }

    /// SIGTERM, and what becomes of it.
    fn terminate(&mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_restart_refuses_nobody_on_a_socket_that_is_held() {
    let (socket, folder) = (std::net::TcpListener::bind("127.0.0.1:0").unwrap(), tempfile::tempdir().unwrap());
    let address = socket.local_addr().unwrap();
    let ask = || {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n").unwrap();
        stream
    };
    let answer = |mut stream: std::net::TcpStream| {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let mut first = Gateway::start_on(&socket, folder.path());
    assert_eq!(first.url, format!("http://{address}"));
    assert!(answer(ask()).starts_with("HTTP/1.1 200"));
    assert_eq!(first.terminate().code(), Some(0));
    let between: Vec<_> = (0..20).map(|_| ask()).collect();
    let _second = Gateway::start_on(&socket, folder.path());
    for stream in between {
        assert!(answer(stream).starts_with("HTTP/1.1 200"));
    }
}

#[test]
fn a_second_gateway_on_the_same_folder_is_one_line_and_exit_1_so_that_it_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Gateway::start(folder.path(), NO_DATABASE, NO_BROKER);
    let mut command = program();
    command.env("MUSTER_DATABASE_URL", NO_DATABASE).env("MUSTER_AMQP_URL", NO_BROKER);
    command.env("MUSTER_HOOK_PEPPER", PEPPER).env("MUSTER_GATEWAY_LISTEN", "127.0.0.1:0");
    command.env("MUSTER_GATEWAY_STATE_DIR", folder.path()).env("MUSTER_LOG", "off");
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), text.trim_end().lines().count()), (Some(1), 1), "{text}");
    assert!(text.contains("--spool-dir") && text.contains("MUSTER_GATEWAY_SPOOL_DIR"), "{text}");
    assert_eq!(first.terminate().code(), Some(0), "the first one goes on");
}

/// A vhost of the test's own; None, said loudly, where no broker is at hand.
struct Vhost {
    admin: String,
    name: String,
    url: String,
}

impl Vhost {
    async fn create() -> Option<Self> {
        let (Ok(admin), Ok(url)) = (std::env::var("MUSTER_AMQP_ADMIN_URL"), std::env::var("MUSTER_AMQP_URL")) else {
            eprintln!("!!! NOT CHECKED against a broker: MUSTER_AMQP_URL and MUSTER_AMQP_ADMIN_URL are not set !!!");
            return None;
        };
        let name = format!("gateway-{}", Uuid::new_v4().simple());
        let admin = admin.trim_end_matches('/').to_owned();
        let made = request(Method::PUT, &format!("{admin}/api/vhosts/{name}")).send().await.unwrap();
        assert!((200..300).contains(&made.status), "{made:?}");
        let (server, _) = url.rsplit_once('/').unwrap();
        let url = format!("{server}/{name}");
        Some(Self { admin, name, url })
    }

    /// Takes one message, once there is one: the gateway is ready before the broker is.
    async fn take(&self, queue: &str) -> Value {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let message = self.get(queue).await;
            if !message.is_null() {
                return message;
            }
            assert!(Instant::now() < deadline, "a message in {queue} in 30 s");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn get(&self, queue: &str) -> Value {
        let url = format!("{}/api/queues/{}/{queue}/get", self.admin, self.name);
        let how = json!({"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"});
        let request = request(Method::POST, &url).header("content-type", "application/json").body(how.to_string());
        let answer = request.send().await.unwrap().text;
        // no queue yet is no message
        serde_json::from_str::<Value>(&answer).unwrap_or_default().get_mut(0).map(Value::take).unwrap_or_default()
    }

    async fn delete(&self) {
        let _ = request(Method::DELETE, &format!("{}/api/vhosts/{}", self.admin, self.name)).send().await;
    }
}

#[tokio::test]
async fn a_webhook_reaches_the_queue_also_after_a_restart_without_postgres() {
    let Some(vhost) = Vhost::create().await else { return };
    let database = TestDatabase::create().await;
    let (store, folder) = (database.store(), tempfile::tempdir().unwrap());
    let tenant = Uuid::new_v4();
    let new = tenant::NewConnection {
        tenant,
        client_name: "a tenant".to_owned(),
        instance_url: None,
        digest: Some(hook::digest(PEPPER.as_bytes(), SECRET)),
        grace: Duration::from_secs(60),
    };
    let connected = tenant::connect(&store, &new, "a test").await.unwrap();
    // the second life has no Postgres: nothing listens on port 1
    for database_url in [database.url(), NO_DATABASE] {
        let mut gateway = Gateway::start(folder.path(), database_url, &vhost.url);
        gateway.until_ready().await;
        assert_eq!(gateway.post(tenant).await, 202);
        let message = vhost.take("alert-worker.main").await;
        assert_eq!(message["properties"]["type"], "alert.observed.v1", "{message}");
        assert_eq!(message["properties"]["headers"]["x-muster-tenant"], tenant.to_string());
        let payload: Value = serde_json::from_str(message["payload"].as_str().unwrap()).unwrap();
        assert_eq!(payload["agent_id"], "AgentOne");
        assert_eq!(payload["integration_id"], connected.integration_id.to_string());
        assert_eq!(gateway.terminate().code(), Some(0));
        let log = gateway.log.lock().unwrap().clone();
        assert!(!log.contains("canary"), "no secret in the log");
        for limit in ["connections_max", "amqp_confirm_window", "statement_timeout_ms"] {
            assert!(log.contains(limit), "the log names {limit}: {log}");
        }
        assert!(request(Method::GET, &format!("{}/livez", gateway.url)).send().await.is_err());
    }
    vhost.delete().await;
}
