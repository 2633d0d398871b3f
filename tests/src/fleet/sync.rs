//! What a fleet has for syncing: sync workers, the tenant's connection to the fleet's own simulator, runs.
//!
//! What a person does by the console is done here by the same functions of the store.

use connection::Connections;
use secrecy::SecretString;
use serde_json::Value;
use store::audit::Entry;
use store::connection::{AuthMode, DeviceSource, Save};
use store::organization::{self, Patch};
use store::run::{self, Kind, PartView, RunView};
use store::secret;
use store::tenant::{self, NewConnection};
use uuid::Uuid;
use vault::Vault;

use super::{Builder, Fleet, VAULT_KEY};
use crate::process::Process;
use crate::{DEADLINE, until};

/// How many.
impl Builder {
    /// So many sync workers; none by default, and then the refreshes that observed alerts ask for are left lying.
    #[must_use]
    pub fn sync_workers(mut self, count: usize) -> Self {
        self.sync_workers = count;
        self
    }

    /// So many inventory workers; none by default.
    #[must_use]
    pub fn inventory_workers(mut self, count: usize) -> Self {
        self.inventory_workers = count;
        self
    }
}

/// The workers that sync.
impl Fleet {
    /// Starts one more sync worker; its place in [`Fleet::sync_worker`].
    ///
    /// # Panics
    /// If it does not become ready.
    pub async fn add_sync_worker(&mut self) -> usize {
        let mut worker = self.begin_worker("sync-worker", self.sync_workers.len());
        worker.ready().await;
        self.sync_workers.push(worker);
        self.sync_workers.len() - 1
    }

    /// Begins one more sync worker with other settings than the fleet's; its place. It need not become ready.
    pub fn begin_sync_worker(&mut self, settings: &[(&str, &str)]) -> usize {
        let changed = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let environment: Vec<_> = self.environment.iter().cloned().chain(changed).collect();
        let name = format!("sync-worker {}", self.sync_workers.len() + 1);
        let begun = self.begin("sync-worker", &name, &environment);
        self.sync_workers.push(begun);
        self.sync_workers.len() - 1
    }

    /// A sync worker, by the order of starting; one that was ended keeps its place.
    ///
    /// # Panics
    /// If there is none.
    pub fn sync_worker(&mut self, place: usize) -> &mut Process {
        self.sync_workers[place].process()
    }

    /// An inventory worker, by the order of starting; one that was ended keeps its place.
    ///
    /// # Panics
    /// If there is none.
    pub fn inventory_worker(&mut self, place: usize) -> &mut Process {
        self.inventory_workers[place].process()
    }

    /// Starts one more inventory worker; its place in [`Fleet::inventory_worker`].
    ///
    /// # Panics
    /// If it does not become ready.
    pub async fn add_inventory_worker(&mut self) -> usize {
        let mut worker = self.begin_worker("inventory-worker", self.inventory_workers.len());
        worker.ready().await;
        self.inventory_workers.push(worker);
        self.inventory_workers.len() - 1
    }

    /// Where a sync worker serves its probes: `http://127.0.0.1:1234`.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn sync_worker_url(&self, place: usize) -> String {
        self.sync_workers[place].url()
    }
}

/// The vault that every program of a fleet has.
///
/// # Panics
/// Never: the key is one.
#[must_use]
pub fn vault() -> Vault {
    let config = vault::Config { vault_key: Some(SecretString::from(VAULT_KEY)), ..vault::Config::default() };
    Vault::open(&config).expect("it is a key")
}

/// What may be spoken to in tests: the simulator has no certificate and no public address.
///
/// # Panics
/// Never: the network is one.
#[must_use]
pub fn tactical_config() -> tactical::Config {
    let loopback = "127.0.0.0/8".parse().expect("it is a network");
    tactical::Config { allow_http: true, allow_networks: vec![loopback], ..tactical::Config::default() }
}

/// The connection and its mappings.
impl Fleet {
    /// Connects the tenant to the fleet's simulator with one of its keys, by a test that must succeed.
    ///
    /// # Panics
    /// If it does not.
    pub async fn connect_tactical(&self, key: &str) {
        self.save_key(key, DeviceSource::Classic).await;
        self.test_connection().await;
    }

    /// Saves the simulator's address and one of its keys, without a test.
    ///
    /// # Panics
    /// If the database does not take it.
    pub async fn save_key(&self, key: &str, device_source: DeviceSource) {
        let tenant = self.connection().tenant;
        let sealed = connection::seal(&vault(), tenant, secret::API_KEY, &SecretString::from(key));
        let save = Save {
            tenant,
            instance_url: Some(self.simulator().base_url()),
            auth_mode: Some(AuthMode::ApiKey),
            device_source: Some(device_source),
            secrets: vec![(secret::API_KEY, Some(sealed))],
        };
        store::connection::save(&self.store(), &save, &self.entry()).await.expect("the settings can be saved");
    }

    /// Tests the connection.
    ///
    /// # Panics
    /// If it does not work.
    pub async fn test_connection(&self) {
        let connections = Connections::new(self.store(), vault(), tactical_config());
        let report = connections.test(self.connection().tenant, None, "harness").await.expect("the database answers");
        assert!(report.is_ok(), "the connection does not work: {report:?}");
    }

    /// Ends the connection.
    ///
    /// # Panics
    /// If the database does not answer.
    pub async fn disconnect(&self) {
        let ended = store::connection::disconnect(&self.store(), self.connection().tenant, &self.entry()).await;
        assert!(ended.expect("the database answers"), "there was a connection to end");
    }

    /// Syncs the clients and assigns each to a client of the same name.
    ///
    /// # Panics
    /// If that does not work.
    pub async fn map_clients(&self) {
        let (run, _) = self.sync(Kind::Clients).await;
        assert_eq!(run.error, None);
        let (store, tenant) = (self.store(), self.connection().tenant);
        for mapping in organization::list(&store, tenant).await.expect("the database answers") {
            let name = mapping.external_organization_name.clone().expect("Tactical's clients have names");
            let new = NewConnection {
                tenant,
                client_name: name,
                instance_url: None,
                digest: None,
                grace: std::time::Duration::ZERO,
            };
            let client = tenant::connect(&store, &new, "a test").await.expect("a client can be made").client_id;
            self.patch_mapping(mapping.mapping_id, Patch { client_id: Some(Some(client)), ..Patch::default() }).await;
        }
    }

    /// Changes a mapping.
    ///
    /// # Panics
    /// If it does not exist.
    pub async fn patch_mapping(&self, mapping_id: Uuid, patch: Patch) {
        let tenant = self.connection().tenant;
        let patched = organization::patch(&self.store(), tenant, mapping_id, patch, &self.entry()).await;
        assert!(patched.expect("the database answers").is_some(), "the mapping exists");
    }

    pub(super) fn entry(&self) -> Entry {
        Entry {
            tenant: Some(self.connection().tenant),
            actor: "harness".to_owned(),
            action: "test",
            subject: None,
            detail: Value::Object(serde_json::Map::new()),
        }
    }
}

/// Runs.
impl Fleet {
    /// Asks for a run; the one that is open already where there is one.
    ///
    /// # Panics
    /// If the connection is not active.
    pub async fn start_run(&self, kind: Kind) -> Uuid {
        let (tenant, integration_id) = (self.connection().tenant, self.connection().integration_id);
        let started = run::start(&self.store(), tenant, integration_id, kind, "harness", &self.entry()).await;
        started.expect("an active connection takes a run").run_id
    }

    /// A run as it is now, with its parts.
    ///
    /// # Panics
    /// If there is none.
    pub async fn run(&self, run_id: Uuid) -> (RunView, Vec<PartView>) {
        let found = run::get(&self.store(), self.connection().tenant, run_id).await.expect("the database answers");
        found.expect("the run exists")
    }

    /// Waits for the end of a run.
    ///
    /// # Panics
    /// If it does not come.
    pub async fn ended(&self, run_id: Uuid) -> (RunView, Vec<PartView>) {
        until(DEADLINE * 3, async || {
            let (run, parts) = self.run(run_id).await;
            if run.state.is_ended() { Ok((run, parts)) } else { Err((run, parts)) }
        })
        .await
    }

    /// Asks for a run and waits for its end.
    ///
    /// # Panics
    /// If it does not come.
    pub async fn sync(&self, kind: Kind) -> (RunView, Vec<PartView>) {
        self.ended(self.start_run(kind).await).await
    }
}

/// The simulator's API as a client sees it.
impl Fleet {
    /// What it answers to a GET.
    ///
    /// # Panics
    /// If that is no JSON.
    pub async fn tactical_get(&self, path: &str, key: &str) -> Value {
        let url = format!("{}{path}", self.simulator().base_url());
        let answer = reqwest::Client::new().get(url).header("X-API-KEY", key).send().await.expect("it answers");
        answer.json().await.expect("it answers with JSON")
    }

    /// Changes something.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn tactical_put(&self, path: &str, key: &str, body: &Value) {
        let url = format!("{}{path}", self.simulator().base_url());
        let put = reqwest::Client::new().put(url).header("X-API-KEY", key).json(body).send();
        let status = put.await.expect("it answers").status();
        assert!(status.is_success(), "PUT {path}: {status}");
    }
}
