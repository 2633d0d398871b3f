//! What a simulated Tactical server is made of, and which webhooks it sends.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};

use chrono::{DateTime, Utc};
use contract::webhook::{FAILURE_BODY, RESOLVED_BODY};
use serde::{Deserialize, Serialize};

/// A simulated server; `SimulatorConfig::default()` is a healthy small one on a free port.
#[derive(Debug, Clone)]
pub struct SimulatorConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How many clients; at least one.
    pub clients: u32,
    /// How many sites each client has; at least one.
    pub sites_per_client: u32,
    /// How many agents there are at the start.
    pub agents: u32,
    /// How many alerts of the last sixty days there are at the start, beside those of overdue agents.
    pub alerts: u32,
    /// About how many programs a Windows agent reports.
    pub software_per_agent: u32,
    /// How many services and WMI blocks of about 400 bytes a Windows agent carries; 300 is the size of a real one.
    pub services_per_agent: u32,
    /// Everything that is random follows from it.
    pub seed: u64,
    /// How many of 100 agents check in at the start; at 100 there is no agent that was never seen.
    pub online_percent: u8,
    /// What the clock shows at the start; the real time when absent.
    pub start: Option<DateTime<Utc>>,
    /// Simulated seconds in a real one; 0 stands still.
    pub speed: f64,
    /// Whether the beta API is enabled; it is not by default, as in a real server.
    pub beta: bool,
    /// The URL actions and the default alert template; none sends nothing.
    pub webhook: Option<WebhookSettings>,
    /// How many failures in a row open an alert.
    pub fails_before_alert: u32,
    /// Whether alerts of severity info and warning call URL actions (Tactical's settings; info is off by default).
    pub notify: Notify,
    /// Host names (without port) that the server answers to.
    pub allowed_hosts: Vec<String>,
    /// How long an action on an agent that is away waits, in percent of the real time (7 to 15 s).
    pub action_wait_percent: u32,
    /// How long a webhook may take, in milliseconds of real time; Tactical's eight seconds unless a test cannot wait.
    pub webhook_timeout_ms: u64,
    /// How many sent webhooks the ledger keeps; the oldest go first and are counted.
    pub ledger_webhooks_max: usize,
}

impl Default for SimulatorConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            clients: 12,
            sites_per_client: 3,
            agents: 400,
            alerts: 0,
            software_per_agent: 40,
            services_per_agent: 4,
            seed: 1,
            online_percent: 88,
            start: None,
            speed: 1.0,
            beta: false,
            webhook: None,
            fails_before_alert: 1,
            notify: Notify::default(),
            allowed_hosts: ["127.0.0.1", "localhost", "[::1]", "api.example.com"].map(str::to_owned).to_vec(),
            action_wait_percent: 1,
            webhook_timeout_ms: 8_000,
            ledger_webhooks_max: 1_000_000,
        }
    }
}

/// Which severities below error call URL actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notify {
    /// `notify_on_info_alerts`
    pub info: bool,
    /// `notify_on_warning_alerts`
    pub warning: bool,
}

impl Default for Notify {
    fn default() -> Self {
        Self { info: false, warning: true }
    }
}

/// The default alert template's two URL actions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WebhookSettings {
    /// Called when an alert opens.
    pub failure: Option<UrlAction>,
    /// Called when it is resolved by the agent.
    pub resolved: Option<UrlAction>,
    /// Clients that the template excludes: their agents have no template and call nobody.
    pub excluded_clients: BTreeSet<i64>,
    /// The key store: values for `{{global.<key>}}`.
    pub globals: BTreeMap<String, String>,
}

/// A URL action of type REST.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UrlAction {
    /// The URL, a template.
    pub pattern: String,
    /// `get`, `post`, `put`, `patch` or `delete`.
    #[serde(default = "post")]
    pub method: String,
    /// A JSON object of strings as text, a template; empty sends no headers of its own.
    #[serde(default)]
    pub headers: String,
    /// The body, a template.
    #[serde(default)]
    pub body: String,
}

fn post() -> String {
    "post".to_owned()
}

impl WebhookSettings {
    /// What Muster tells its users to configure: both of its bodies, a content type and the secret's header.
    #[must_use]
    pub fn muster(url: &str, secret: &str) -> Self {
        let headers =
            serde_json::json!({"Content-Type": "application/json", "X-Alga-Webhook-Secret": secret}).to_string();
        let action = |body: &str| {
            Some(UrlAction { pattern: url.to_owned(), method: post(), headers: headers.clone(), body: body.to_owned() })
        };
        Self { failure: action(FAILURE_BODY), resolved: action(RESOLVED_BODY), ..Self::default() }
    }
}
