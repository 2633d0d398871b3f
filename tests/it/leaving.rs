//! A tenant leaves while its webhooks come and its devices are read: nothing is left, and another notices nothing.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use store::hook;
use store::removal::{KEPT, TABLES};
use store::run::Kind;
use store::tenant::{self, NewConnection};
use tests::fleet::PEPPER;
use tests::simulator::{Fault, FaultKind, SimulatorConfig, key};
use tests::{DEADLINE, Fleet, until};
use uuid::Uuid;

/// Connects another tenant, which has webhooks alone; its secret.
async fn second(fleet: &Fleet, tenant: Uuid) -> String {
    let secret = hook::generate_secret();
    let new = NewConnection {
        tenant,
        client_name: "Another client".to_owned(),
        instance_url: None,
        digest: Some(hook::digest(PEPPER.as_bytes(), &secret)),
        grace: Duration::ZERO,
    };
    tenant::connect(&fleet.store(), &new, "a test").await.expect("the database takes a second tenant");
    secret
}

/// Somebody's Tactical, which sends one alert after the other until it is told to stop.
struct Sender {
    accepted: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Sender {
    fn start(gateway: String, tenant: Uuid, secret: String) -> Self {
        let (accepted, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, stopped) = (Arc::clone(&accepted), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let client = reqwest::Client::new();
            for number in 1_u64.. {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let status = send(&client, &gateway, tenant, &secret, number).await;
                counted.fetch_add(u64::from(status == StatusCode::ACCEPTED), Ordering::Relaxed);
            }
        });
        Self { accepted, stop, task }
    }

    /// Waits until so many more were accepted.
    async fn until_accepted(&self, more: u64) {
        let wanted = self.accepted.load(Ordering::Relaxed) + more;
        until(DEADLINE, async || match self.accepted.load(Ordering::Relaxed) {
            accepted if accepted >= wanted => Ok(()),
            accepted => Err(accepted),
        })
        .await;
    }

    /// Ends it; how many were accepted.
    async fn stopped(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("it sends to its end");
        self.accepted.load(Ordering::Relaxed)
    }
}

/// One alert of its own.
async fn send(client: &reqwest::Client, gateway: &str, tenant: Uuid, secret: &str, number: u64) -> StatusCode {
    let body = json!({"event": "trigger", "alert_id": number, "agent_id": "an-agent", "severity": "error"});
    let url = format!("{gateway}/api/webhooks/tacticalrmm?tenant={tenant}");
    let request = client.post(url).header("X-Alga-Webhook-Secret", secret).json(&body);
    request.send().await.expect("the gateway answers").status()
}

/// The operators' command.
async fn muster(fleet: &Fleet, arguments: &[&str]) -> String {
    let mut command = Command::new(tests::process::binary("muster"));
    command.env_clear().env("MUSTER_DATABASE_URL", fleet.database().url()).args(arguments);
    let run = tokio::task::spawn_blocking(move || command.output());
    let output = run.await.expect("it does not panic").expect("it was built");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it prints text")
}

/// One number out of the database.
async fn number(fleet: &Fleet, sql: String) -> i64 {
    let mut connection = fleet.database().connect().await;
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut connection).await.expect("the database answers")
}

/// Muster's tables that hold a row of the tenant.
async fn left(fleet: &Fleet, tenant: Uuid) -> Vec<&'static str> {
    let mut left = Vec::new();
    for table in TABLES.iter().chain(KEPT) {
        if number(fleet, format!("select count(*) from {table} where tenant = '{tenant}'")).await > 0 {
            left.push(*table);
        }
    }
    left
}

async fn leaves(more: &[&str]) {
    let config =
        SimulatorConfig { agents: 40, clients: 4, sites_per_client: 2, speed: 0.0, ..SimulatorConfig::default() };
    let fleet = Fleet::builder()
        .workers(2)
        .sync_workers(1)
        .inventory_workers(1)
        .simulator(config)
        .set("MUSTER_RELAY_SWEEP_MS", 100)
        .start()
        .await;
    let (leaver, stayer) = (fleet.connection().clone(), Uuid::new_v4());
    let other = second(&fleet, stayer).await;
    fleet.connect_tactical(key::SYNC).await;
    fleet.map_clients().await;
    fleet.sync(Kind::Devices).await;
    let leaving = Sender::start(fleet.gateway_url(), leaver.tenant, leaver.secret.clone());
    let staying = Sender::start(fleet.gateway_url(), stayer, other);
    leaving.until_accepted(50).await;

    // in the middle of a sync, each of whose lists takes its time
    let slow = FaultKind::Slow { delay_ms: 1_000 };
    fleet.simulator().control().add_fault(Fault { path_prefix: String::new(), kind: slow, requests: None });
    for kind in [Kind::Devices, Kind::Software, Kind::Alerts] {
        fleet.start_run(kind).await;
    }
    leaving.until_accepted(20).await;
    let tenant = leaver.tenant.to_string();
    let mut arguments = vec!["tenant", "remove", "--tenant", &tenant];
    arguments.extend(more);
    let told = muster(&fleet, &arguments).await;
    assert!(told.contains("Nothing was changed") && told.contains("muster.alert_state"), "{told}");
    leaving.until_accepted(5).await;
    arguments.push("--yes");
    let told = muster(&fleet, &arguments).await;
    assert!(told.contains("is removed") && told.contains("revoke the API key"), "{told}");

    let client = reqwest::Client::new();
    until(DEADLINE, async || {
        let status = send(&client, &fleet.gateway_url(), leaver.tenant, &leaver.secret, 1).await;
        if status == StatusCode::UNAUTHORIZED { Ok(()) } else { Err(status) }
    })
    .await;
    staying.until_accepted(20).await;
    leaving.stopped().await;
    let accepted = staying.stopped().await;
    fleet.until_idle().await;
    assert_eq!(left(&fleet, leaver.tenant).await, KEPT, "nothing but the audit tells of the tenant");
    let removed = format!("select count(*) from muster.audit where tenant = '{tenant}' and action = 'tenant.remove'");
    assert_eq!(number(&fleet, removed).await, 1);
    let alerts = |tenant: Uuid| number(&fleet, format!("select count(*) from rmm_alerts where tenant = '{tenant}'"));
    assert_eq!(alerts(stayer).await.cast_unsigned(), accepted, "the other tenant has lost nothing");
    assert_eq!(alerts(leaver.tenant).await > 0, more.is_empty());
}

#[tokio::test]
async fn a_tenant_that_leaves_in_full_swing_leaves_nothing_of_musters_behind() {
    leaves(&[]).await;
}

/// Then its late messages name a connection that is no more, and would be parked if nobody knew that it was removed.
#[tokio::test]
async fn a_tenant_that_leaves_with_its_connection_leaves_no_message_parked() {
    leaves(&["--with-algapsa-rows"]).await;
}
