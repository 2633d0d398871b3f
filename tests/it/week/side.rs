//! One tenant with its own Tactical: connected, mapped and synced by the console, as its operator does it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sqlx::Row as _;
use store::audit::Entry;
use store::run::{self, Kind, PartView, RunView};
use store::tenant::{self, NewConnection};
use store::token::{self, NewToken, Permission};
use tests::fleet::{Answer, PEPPER};
use tests::simulator::{Control, Role, Simulator, SimulatorConfig, WebhookSettings, key};
use tests::{DEADLINE, Fleet, until};
use uuid::Uuid;

use super::relay::Relay;
use super::script::Script;
use super::settings::Settings;

/// Below the tenant.
const TACTICAL: &str = "/integrations/tacticalrmm";
/// Both servers have the same machines under the same ids: whatever crosses from one tenant to the other is seen.
const WORLD_SEED: u64 = 1;
/// Clients of a server.
const CLIENTS: u32 = 4;

/// A tenant and its server.
pub(super) struct Side {
    /// For messages: `wide`, `narrow`.
    pub(super) name: &'static str,
    pub(super) tenant: Uuid,
    pub(super) relay: Relay,
    pub(super) script: Script,
    simulator: Simulator,
    http: reqwest::Client,
    token: String,
    console_url: String,
    /// Which client of the tenant each of Tactical's is mapped to.
    pub(super) mapped: BTreeMap<String, Uuid>,
    /// Agents that ever had a device here.
    pub(super) imported: BTreeSet<String>,
    /// Agents that were missing when the key saw all last.
    pub(super) missing: BTreeSet<String>,
    /// Open alerts of which the last sync could not tell anything.
    pub(super) unverifiable: i64,
    /// What the key sees while it sees all.
    wide: Role,
    /// Kinds whose interval its operator has set, with it in minutes; the others have the default.
    pub(super) intervals: [(Kind, u32); 2],
}

impl Side {
    /// A new tenant on the fleet, connected and wholly synced.
    pub(super) async fn start(fleet: &Fleet, plan: (&'static str, [(Kind, u32); 2]), settings: &Settings) -> Self {
        let (name, intervals) = plan;
        let (tenant, secret) = (Uuid::new_v4(), store::hook::generate_secret());
        let new = connection(tenant, "Nobody's", Some(store::hook::digest(PEPPER.as_bytes(), &secret)));
        tenant::connect(&fleet.store(), &new, "a test").await.expect("the database takes a tenant");
        let target = contract::webhook::url(&fleet.gateway_url(), tenant);
        // each side has another week
        let seed = name.bytes().fold(settings.seed, |seed, byte| seed.wrapping_mul(1_000).wrapping_add(byte.into()));
        let relay = Relay::start(target, secret.clone(), seed).await;
        let simulator = Simulator::start(SimulatorConfig {
            webhook: Some(WebhookSettings::muster(relay.url(), &secret)),
            agents: settings.agents,
            clients: CLIENTS,
            sites_per_client: 3,
            alerts: settings.agents,
            // enough for each kind of change; a real machine's list is what the ingest's own tests are for
            software_per_agent: 12,
            seed: WORLD_SEED,
            speed: 0.0,
            // it ends about now: what a server says of a time far ahead is not believed
            start: Some(Utc::now() - TimeDelta::hours(settings.hours.into())),
            ..SimulatorConfig::default()
        });
        let simulator = simulator.await.expect("a simulator takes a free port");
        let control = simulator.control();
        let mut side = Self {
            name,
            tenant,
            relay,
            script: Script::new(control.clone(), seed),
            simulator,
            http: reqwest::Client::new(),
            token: operator(fleet, tenant).await,
            console_url: fleet.console_url(),
            mapped: BTreeMap::new(),
            imported: BTreeSet::new(),
            missing: BTreeSet::new(),
            unverifiable: 0,
            wide: control.role("sync").expect("every server has it"),
            intervals,
        };
        side.connect(fleet).await;
        side
    }

    /// The world behind it.
    pub(super) fn control(&self) -> Control {
        self.simulator.control()
    }

    async fn connect(&mut self, fleet: &Fleet) {
        let settings = json!({"instance_url": self.simulator.base_url(), "api_key": key::SYNC});
        self.ask(Method::PUT, "", Some(settings)).await;
        let tested = self.ask(Method::POST, "/test", None).await;
        assert_eq!(tested.json["outcome"], "ok", "{}: {tested:?}", self.name);
        for kind in [Kind::Clients, Kind::Devices, Kind::Software, Kind::Alerts] {
            let run_id = self.start_run(kind).await.expect("nothing is held yet");
            let (run, parts) = self.ended(fleet, run_id).await;
            assert_eq!((run.state, &run.error), (run::State::Completed, &None), "{}: {parts:#?}", self.name);
            if kind == Kind::Clients {
                self.map(fleet).await;
            }
        }
        for (kind, minutes) in self.intervals {
            let change = json!({"interval_s": minutes * 60});
            self.ask(Method::PATCH, &format!("/schedules/{}", kind.as_str()), Some(change)).await;
        }
    }

    /// Makes a client for each of Tactical's, and assigns it.
    async fn map(&mut self, fleet: &Fleet) {
        let mappings = self.ask(Method::GET, "/organization-mappings", None).await.json["mappings"].clone();
        let mut changes = Vec::new();
        for row in mappings.as_array().expect("a list") {
            let name = row["name"].as_str().expect("Tactical's clients have names");
            let made = tenant::connect(&fleet.store(), &connection(self.tenant, name, None), "a test").await;
            let client_id = made.expect("a client can be made").client_id;
            self.mapped.insert(row["organization_id"].as_str().expect("it has one").to_owned(), client_id);
            changes.push(json!({"mapping_id": row["mapping_id"], "client_id": client_id}));
        }
        self.ask(Method::PATCH, "/organization-mappings", Some(json!({"mappings": changes}))).await;
    }
}

/// What its operator does.
impl Side {
    /// Asks the console for something of the connection; it must not be refused.
    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let answer = self.request(method, &format!("{TACTICAL}{path}"), body).await;
        assert!(matches!(answer.status, 200..=299), "{}: {path}: {answer:?}", self.name);
        answer
    }

    /// Asks the console for something of the tenant; while its database is away again and again, as it advises.
    pub(super) async fn request(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let url = format!("{}/api/v1/tenants/{}{path}", self.console_url, self.tenant);
        until(DEADLINE, async || {
            let request = self.http.request(method.clone(), &url).bearer_auth(&self.token);
            let request = if let Some(body) = &body { request.json(body) } else { request };
            let answer = request.send().await.map_err(|error| error.to_string())?;
            let status = answer.status().as_u16();
            let text = answer.text().await.map_err(|error| error.to_string())?;
            if status == 503 { Err(text) } else { Ok(Answer { status, json: json_of(&text), text }) }
        })
        .await
    }

    /// Asks for a run. `None`: another server seems to be there.
    pub(super) async fn start_run(&self, kind: Kind) -> Option<Uuid> {
        let answer = self.request(Method::POST, &format!("{TACTICAL}/sync/{}", kind.as_str()), None).await;
        if answer.status == 409 {
            return None;
        }
        assert_eq!(answer.status, 202, "{}: {answer:?}", self.name);
        Some(answer.json["run_id"].as_str().and_then(|id| id.parse().ok()).expect("it names the run"))
    }

    /// Waits for a run's end.
    pub(super) async fn ended(&self, fleet: &Fleet, run_id: Uuid) -> (RunView, Vec<PartView>) {
        let store = fleet.store();
        until(DEADLINE * 5, async || {
            let found = run::get(&store, self.tenant, run_id).await.map_err(|error| error.to_string())?;
            let (run, parts) = found.ok_or("there is no such run")?;
            if run.state.is_ended() { Ok((run, parts)) } else { Err(format!("{run:?}")) }
        })
        .await
    }

    /// Waits until no schedule is due and no run is open.
    pub(super) async fn until_quiet(&self, fleet: &Fleet) {
        let sql =
            "select (select count(*) from muster.schedule where tenant = $1 and next_due_at <= clock_timestamp()),
                          (select count(*) from muster.run where tenant = $1 and state in ('queued', 'running'))";
        let mut connection = fleet.database().connect().await;
        until(DEADLINE * 6, async || {
            let row = sqlx::query(sql).bind(self.tenant).fetch_one(&mut connection).await;
            let row = row.map_err(|error| error.to_string())?;
            let (due, open): (i64, i64) = (row.get(0), row.get(1));
            if due + open == 0 { Ok(()) } else { Err(format!("{due} schedules are due, {open} runs are open")) }
        })
        .await;
    }

    /// How many runs of each kind the schedules began, and how many ended how.
    pub(super) async fn runs(&self, fleet: &Fleet) -> BTreeMap<String, i64> {
        let sql = "select kind || ' ' || word, count(*)
                   from muster.run, lateral (
                       values (state), (case requested_by when 'schedule' then 'scheduled' else 'asked for' end)
                   ) words (word)
                   where tenant = $1 group by 1";
        let mut connection = fleet.database().connect().await;
        let rows = sqlx::query(sql).bind(self.tenant).fetch_all(&mut connection).await.expect("the database answers");
        rows.into_iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// Where the connection is held, its operator looks at both sides and says that it is the same server.
    pub(super) async fn confirm(&self) {
        let held = self.ask(Method::GET, "/organization-mappings", None).await.json["held"].clone();
        if let Some(url) = held["new_url"].as_str() {
            let decision = json!({"decision": "keep", "new_url": url});
            self.ask(Method::POST, "/organization-mappings/confirm", Some(decision)).await;
        }
    }

    /// Accepts every merge that is proposed.
    pub(super) async fn accept_merges(&mut self) {
        let proposals = self.ask(Method::GET, "/merge-proposals", None).await.json["merge_proposals"].clone();
        for proposal in proposals.as_array().expect("a list") {
            let id = proposal["proposal_id"].as_str().expect("it has an id");
            // of two proposals for one old device the second finds nothing to merge
            let path = format!("{TACTICAL}/merge-proposals/{id}/accept");
            let answer = self.request(Method::POST, &path, None).await;
            assert!(matches!(answer.status, 200 | 404 | 409), "{}: {answer:?}", self.name);
            if answer.status == 200 {
                self.script.count("merge accepted");
            }
        }
    }

    /// The key sees some of the clients only.
    pub(super) fn narrow_to_some(&mut self) {
        let view_clients = self.script.some_clients();
        let role = Role { view_clients, ..self.wide.clone() };
        self.control().set_role("sync", role).expect("every server has it");
        self.script.count("role narrowed");
    }

    /// The key sees everything again.
    pub(super) fn widen(&mut self) {
        self.control().set_role("sync", self.wide.clone()).expect("every server has it");
        self.script.count("role widened");
    }

    /// The clients that the key sees.
    pub(super) fn shown_clients(&self) -> BTreeSet<i64> {
        let (role, sites) = (self.role(), self.control().sites());
        sites.into_iter().filter(|(site, client)| role.sees(*client, *site)).map(|(_, client)| client).collect()
    }

    /// What the key may see now.
    pub(super) fn role(&self) -> Role {
        self.control().role("sync").expect("every server has it")
    }
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}

fn connection(tenant: Uuid, client_name: &str, digest: Option<store::hook::Digest>) -> NewConnection {
    let client_name = client_name.to_owned();
    NewConnection { tenant, client_name, instance_url: None, digest, grace: Duration::ZERO }
}

/// A token that may do everything of its tenant.
async fn operator(fleet: &Fleet, tenant: Uuid) -> String {
    let (name, permissions) = ("an operator".to_owned(), Permission::ALL.to_vec());
    let new = NewToken { tenant: Some(tenant), name, permissions, expires_at: None };
    let (actor, detail) = ("a test".to_owned(), json!({}));
    let entry = Entry { tenant: Some(tenant), actor, action: "test", subject: None, detail };
    let (_, secret) = token::add(&fleet.store(), &new, &entry).await.expect("the database takes a token");
    secret.expose_secret().to_owned()
}
