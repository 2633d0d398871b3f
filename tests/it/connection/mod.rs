//! From a tenant to its Tactical: the connection test, logging in, and that no secret is ever shown.

mod canary;
mod login;
mod outcomes;
mod rotate;

use std::time::Duration;

use connection::{Connections, TestReport};
use serde_json::json;
use store::Store;
use store::audit::Entry;
use store::connection::{AuthMode, DeviceSource, Save};
use store::secret;
use store::tenant::NewConnection;
use store::testing::TestDatabase;
use tests::simulator::{PASSWORD, Simulator, SimulatorConfig};
use uuid::Uuid;
use vault::Vault;

/// The key of these tests' programs.
const KEY: &str = "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e";

/// A database with one tenant, whose connection is active.
struct Bench {
    database: TestDatabase,
    tenant: Uuid,
    integration_id: Uuid,
}

/// How a connection says who it is.
enum Who<'a> {
    Key(&'a str),
    User { name: &'a str, password: &'a str },
}

impl Who<'_> {
    fn user(name: &str) -> Who<'_> {
        Who::User { name, password: PASSWORD }
    }
}

impl Bench {
    async fn new() -> Self {
        let (database, tenant) = (TestDatabase::create().await, Uuid::new_v4());
        let new = NewConnection {
            tenant,
            client_name: "Acme".to_owned(),
            instance_url: None,
            digest: None,
            grace: Duration::ZERO,
        };
        let connected =
            store::tenant::connect(&database.store(), &new, "a test").await.expect("an empty database takes a tenant");
        Self { database, tenant, integration_id: connected.integration_id }
    }

    /// With a connection to a server.
    async fn connected(url: &str, who: Who<'_>) -> Self {
        let bench = Self::new().await;
        bench.save(url, who, DeviceSource::Classic).await;
        bench
    }

    async fn save(&self, url: &str, who: Who<'_>, device_source: DeviceSource) {
        let vault = vault();
        let sealed = |name, text: &str| (name, Some(connection::seal(&vault, self.tenant, name, &text.into())));
        let (auth_mode, secrets) = match who {
            Who::Key(key) => (AuthMode::ApiKey, vec![sealed(secret::API_KEY, key)]),
            Who::User { name, password } => {
                (AuthMode::Knox, vec![sealed(secret::USERNAME, name), sealed(secret::PASSWORD, password)])
            }
        };
        let new = Save {
            tenant: self.tenant,
            instance_url: Some(url.to_owned()),
            auth_mode: Some(auth_mode),
            device_source: Some(device_source),
            secrets,
        };
        store::connection::save(&self.store(), &new, &self.entry("integration.settings.save"))
            .await
            .expect("it is saved");
    }

    fn store(&self) -> Store {
        self.database.store()
    }

    fn entry(&self, action: &'static str) -> Entry {
        Entry { tenant: Some(self.tenant), actor: "a test".to_owned(), action, subject: None, detail: json!({}) }
    }

    /// As a process of its own would have them; the simulator has no certificate and no public address.
    fn connections(&self) -> Connections {
        Connections::new(self.database.second_store(), vault(), config())
    }

    async fn test(&self, code: Option<&str>) -> TestReport {
        self.connections().test(self.tenant, code, "a test").await.expect("the database answers")
    }

    async fn word(&self, code: Option<&str>) -> &'static str {
        self.test(code).await.outcome.word()
    }

    async fn open(&self) -> Result<connection::Open, connection::Error> {
        self.connections().open(self.tenant, self.integration_id).await
    }
}

fn vault() -> Vault {
    let config = vault::Config { vault_key: Some(KEY.into()), ..vault::Config::default() };
    Vault::open(&config).expect("it is a key")
}

fn config() -> tactical::Config {
    tactical::Config {
        allow_http: true,
        allow_networks: vec!["127.0.0.0/8".parse().expect("it is a network")],
        ..tactical::Config::default()
    }
}

/// A small server whose clock stands still.
async fn simulator() -> Simulator {
    let config =
        SimulatorConfig { clients: 3, sites_per_client: 2, agents: 20, speed: 0.0, ..SimulatorConfig::default() };
    Simulator::start(config).await.expect("a free loopback port can be bound")
}

/// How many requests to paths that begin so were answered.
fn served(simulator: &Simulator, prefix: &str) -> usize {
    simulator.control().served().iter().filter(|served| served.target.starts_with(prefix)).count()
}
