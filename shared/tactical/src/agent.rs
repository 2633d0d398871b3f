//! Agents: the brief list, the full list, and one agent's own page.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use crate::ask::{Ask, Holds};
use crate::lenient;
use crate::{Client, Error, Monitoring, Platform, Status, Stream};

/// Which agents are listed; `default()` means all that the role sees. Tactical lets `site` win over `client`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AgentFilter {
    /// Primary key of a client.
    pub client: Option<i64>,
    /// Primary key of a site.
    pub site: Option<i64>,
    /// Servers or workstations only.
    pub monitoring_type: Option<Monitoring>,
}

/// The cheapest map between the integer key and the text id: 141 bytes an agent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BriefAgent {
    /// Primary key, which software and alerts refer to.
    pub id: i64,
    /// Forty letters; survives renames, not a reinstallation.
    pub agent_id: String,
    /// Not unique.
    #[serde(default, deserialize_with = "lenient::text")]
    pub hostname: Option<String>,
    /// The client's name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub client: Option<String>,
    /// The site's name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub site: Option<String>,
}

/// How an agent's checks stand; the list's figures are up to three minutes old, and all 0 where none are cached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Checks {
    /// All checks.
    #[serde(deserialize_with = "lenient::int")]
    pub total: Option<i64>,
    /// Those that pass.
    #[serde(deserialize_with = "lenient::int")]
    pub passing: Option<i64>,
    /// Those that fail.
    #[serde(deserialize_with = "lenient::int")]
    pub failing: Option<i64>,
    /// Failing as a warning.
    #[serde(deserialize_with = "lenient::int")]
    pub warning: Option<i64>,
    /// Failing as information.
    #[serde(deserialize_with = "lenient::int")]
    pub info: Option<i64>,
}

/// A custom field's value on an agent.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct CustomField {
    /// Primary key of the field's definition.
    pub field: i64,
    /// Text, true or false, a list of texts, or null.
    #[serde(default)]
    pub value: Value,
}

/// The alert template that an agent falls under.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TemplateName {
    /// Primary key; the list does not say it.
    #[serde(deserialize_with = "lenient::int")]
    pub id: Option<i64>,
    /// Names of templates are unique in practice only.
    #[serde(deserialize_with = "lenient::text")]
    pub name: Option<String>,
}

/// One row of `GET /agents/` (1.3 KB an agent). It has names of client and site and not their keys.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct AgentRow {
    /// Forty letters; survives renames, not a reinstallation.
    pub agent_id: String,
    /// Not unique.
    #[serde(default, deserialize_with = "lenient::text")]
    pub hostname: Option<String>,
    /// The client's name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub client_name: Option<String>,
    /// The site's name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub site_name: Option<String>,
    /// What it is watched as.
    #[serde(default, deserialize_with = "lenient::word")]
    pub monitoring_type: Option<Monitoring>,
    /// A person's words.
    #[serde(default, deserialize_with = "lenient::raw")]
    pub description: Option<String>,
    /// Whether it waits for a restart.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub needs_reboot: Option<bool>,
    /// Actions that wait for the agent.
    #[serde(default, deserialize_with = "lenient::int")]
    pub pending_actions_count: Option<i64>,
    /// Tactical's judgement at the moment of the answer.
    #[serde(default, deserialize_with = "lenient::word")]
    pub status: Option<Status>,
    /// Last check-in; never seen is `None`.
    #[serde(default, deserialize_with = "lenient::time")]
    pub last_seen: Option<DateTime<Utc>>,
    /// Last start of the machine.
    #[serde(default, deserialize_with = "lenient::epoch")]
    pub boot_time: Option<DateTime<Utc>>,
    /// How its checks stand.
    #[serde(default, deserialize_with = "lenient::object")]
    pub checks: Option<Checks>,
    /// Whether alerts are held back.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub maintenance_mode: Option<bool>,
    /// Who is logged in; `"None"` and `"-"` are nobody.
    #[serde(default, deserialize_with = "lenient::user")]
    pub logged_username: Option<String>,
    /// Nobody is logged in: the name before is the last one's.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub italic: Option<bool>,
    /// The operating system's family.
    #[serde(default, deserialize_with = "lenient::word")]
    pub plat: Option<Platform>,
    /// `amd64`, `arm64`, `386`, `arm`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub goarch: Option<String>,
    /// Whether updates wait.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub has_patches_pending: Option<bool>,
    /// The agent program's version; `0.1.0` until the first check-in.
    #[serde(default, deserialize_with = "lenient::text")]
    pub version: Option<String>,
    /// As the agent words it: `Microsoft Windows 10 Pro, 64 bit v22H2 (build 19045.4412)`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub operating_system: Option<String>,
    /// As the server sees it.
    #[serde(default, deserialize_with = "lenient::address")]
    pub public_ip: Option<IpAddr>,
    /// One a processor.
    #[serde(default, deserialize_with = "lenient::known_list")]
    pub cpu_model: Vec<String>,
    /// Graphics cards, joined by commas.
    #[serde(default, deserialize_with = "lenient::known")]
    pub graphics: Option<String>,
    /// Own addresses, in the agent's order, without prefix lengths.
    #[serde(default, deserialize_with = "lenient::addresses")]
    pub local_ips: Vec<IpAddr>,
    /// Manufacturer and model in one.
    #[serde(default, deserialize_with = "lenient::known")]
    pub make_model: Option<String>,
    /// Name and size of each disk in one.
    #[serde(default, deserialize_with = "lenient::known_list")]
    pub physical_disks: Vec<String>,
    /// Values of custom fields.
    #[serde(default, deserialize_with = "lenient::objects")]
    pub custom_fields: Vec<CustomField>,
    /// The machine's serial number.
    #[serde(default, deserialize_with = "lenient::known")]
    pub serial_number: Option<String>,
    /// The alert template that applies.
    #[serde(default, deserialize_with = "lenient::object")]
    pub alert_template: Option<TemplateName>,
    /// Primary key of a policy; the key is absent where there is none.
    #[serde(default, deserialize_with = "lenient::int")]
    pub policy: Option<i64>,
}

/// A mounted file system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Disk {
    /// `C:` or `/dev/sda1`.
    #[serde(deserialize_with = "lenient::text")]
    pub device: Option<String>,
    /// `NTFS`, `ext4` …
    #[serde(deserialize_with = "lenient::text")]
    pub fstype: Option<String>,
    /// As text with its unit: `343.3G`, `19.8 GB`.
    #[serde(deserialize_with = "lenient::text")]
    pub total: Option<String>,
    /// As text with its unit.
    #[serde(deserialize_with = "lenient::text")]
    pub used: Option<String>,
    /// As text with its unit.
    #[serde(deserialize_with = "lenient::text")]
    pub free: Option<String>,
    /// Used, in percent.
    #[serde(deserialize_with = "lenient::int")]
    pub percent: Option<i64>,
}

/// `GET /agents/<agent_id>/`: has the site's key, disks and memory, but neither `id` nor the client's key.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct AgentDetail {
    /// Forty letters; survives renames, not a reinstallation.
    pub agent_id: String,
    /// Not unique.
    #[serde(default, deserialize_with = "lenient::text")]
    pub hostname: Option<String>,
    /// The client's name.
    #[serde(default, rename = "client", deserialize_with = "lenient::text")]
    pub client_name: Option<String>,
    /// Primary key of the site.
    #[serde(default, deserialize_with = "lenient::int")]
    pub site: Option<i64>,
    /// The site's name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub site_name: Option<String>,
    /// What it is watched as.
    #[serde(default, deserialize_with = "lenient::word")]
    pub monitoring_type: Option<Monitoring>,
    /// A person's words.
    #[serde(default, deserialize_with = "lenient::raw")]
    pub description: Option<String>,
    /// Whether it waits for a restart.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub needs_reboot: Option<bool>,
    /// Tactical's judgement at the moment of the answer.
    #[serde(default, deserialize_with = "lenient::word")]
    pub status: Option<Status>,
    /// Last check-in; never seen is `None`.
    #[serde(default, deserialize_with = "lenient::time")]
    pub last_seen: Option<DateTime<Utc>>,
    /// Last start of the machine.
    #[serde(default, deserialize_with = "lenient::epoch")]
    pub boot_time: Option<DateTime<Utc>>,
    /// How its checks stand, counted now.
    #[serde(default, deserialize_with = "lenient::object")]
    pub checks: Option<Checks>,
    /// Whether alerts are held back.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub maintenance_mode: Option<bool>,
    /// Who is logged in; `"None"` and `"-"` are nobody.
    #[serde(default, deserialize_with = "lenient::user")]
    pub logged_in_username: Option<String>,
    /// Who was logged in last.
    #[serde(default, deserialize_with = "lenient::user")]
    pub last_logged_in_user: Option<String>,
    /// The operating system's family.
    #[serde(default, deserialize_with = "lenient::word")]
    pub plat: Option<Platform>,
    /// `amd64`, `arm64`, `386`, `arm`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub goarch: Option<String>,
    /// The agent program's version; `0.1.0` until the first check-in.
    #[serde(default, deserialize_with = "lenient::text")]
    pub version: Option<String>,
    /// As the agent words it.
    #[serde(default, deserialize_with = "lenient::text")]
    pub operating_system: Option<String>,
    /// As the server sees it.
    #[serde(default, deserialize_with = "lenient::address")]
    pub public_ip: Option<IpAddr>,
    /// Memory in GB.
    #[serde(default, rename = "total_ram", deserialize_with = "lenient::int")]
    pub total_ram_gb: Option<i64>,
    /// Mounted file systems.
    #[serde(default, deserialize_with = "lenient::objects")]
    pub disks: Vec<Disk>,
    /// One a processor.
    #[serde(default, deserialize_with = "lenient::known_list")]
    pub cpu_model: Vec<String>,
    /// Graphics cards, joined by commas.
    #[serde(default, deserialize_with = "lenient::known")]
    pub graphics: Option<String>,
    /// Own addresses, without prefix lengths.
    #[serde(default, deserialize_with = "lenient::addresses")]
    pub local_ips: Vec<IpAddr>,
    /// Manufacturer and model in one.
    #[serde(default, deserialize_with = "lenient::known")]
    pub make_model: Option<String>,
    /// Name and size of each disk in one.
    #[serde(default, deserialize_with = "lenient::known_list")]
    pub physical_disks: Vec<String>,
    /// The machine's serial number, dug out of its WMI data: the detail has no field for it.
    #[serde(default, rename = "wmi_detail", deserialize_with = "crate::wmi::serial_number")]
    pub serial_number: Option<String>,
    /// Values of custom fields.
    #[serde(default, deserialize_with = "lenient::objects")]
    pub custom_fields: Vec<CustomField>,
    /// When updates were installed last.
    #[serde(default, deserialize_with = "lenient::time")]
    pub patches_last_installed: Option<DateTime<Utc>>,
    /// The agent's time zone, by its IANA name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub time_zone: Option<String>,
    /// Unseen for so long it is offline, in minutes.
    #[serde(default, rename = "offline_time", deserialize_with = "lenient::int")]
    pub offline_time_min: Option<i64>,
    /// Unseen for so long it is overdue, in minutes.
    #[serde(default, rename = "overdue_time", deserialize_with = "lenient::int")]
    pub overdue_time_min: Option<i64>,
    /// How often checks run, in seconds.
    #[serde(default, rename = "check_interval", deserialize_with = "lenient::int")]
    pub check_interval_s: Option<i64>,
    /// MeshCentral's id of the device, 96 hexadecimal digits.
    #[serde(default, deserialize_with = "lenient::text")]
    pub mesh_node_id: Option<String>,
    /// The alert template that applies.
    #[serde(default, deserialize_with = "lenient::object")]
    pub alert_template: Option<TemplateName>,
    /// Primary key of a policy.
    #[serde(default, deserialize_with = "lenient::int")]
    pub policy: Option<i64>,
    /// When the agent was installed.
    #[serde(default, deserialize_with = "lenient::time")]
    pub created_time: Option<DateTime<Utc>>,
}

/// Text ids have 40 letters; this bound is AlgaPSA's column.
const AGENT_ID_CHARS_MAX: usize = 255;

/// An id that can stand in a path; anything else is no agent's, and is not asked for.
pub(crate) fn agent_place<'a>(endpoint: &'static str, agent_id: &'a str) -> Result<&'a str, Error> {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if (1..=AGENT_ID_CHARS_MAX).contains(&agent_id.len()) && agent_id.chars().all(is_letter) {
        return Ok(agent_id);
    }
    Err(Error::NotFound { endpoint, text: "no agent has such an id".to_owned() })
}

impl Client {
    /// `GET /agents/?detail=false`: every agent that the role sees. Needs `can_list_agents`.
    ///
    /// # Errors
    /// Tactical's refusal, or why there is no answer; the stream has its own.
    pub async fn brief_agents(&self) -> Result<Stream<BriefAgent>, Error> {
        self.stream(Ask::get("/agents/", &[]).holds(Holds::AgentRows).query("detail", Some("false"))).await
    }

    /// The brief list of one site.
    ///
    /// # Errors
    /// As [`Client::brief_agents`].
    pub async fn brief_agents_of_site(&self, site: i64) -> Result<Stream<BriefAgent>, Error> {
        self.stream(
            Ask::get("/agents/", &[]).holds(Holds::AgentRows).query("detail", Some("false")).query("site", Some(site)),
        )
        .await
    }

    /// `GET /agents/`: full rows, in no order; no pages. Needs `can_list_agents`.
    ///
    /// # Errors
    /// As [`Client::brief_agents`].
    pub async fn agents(&self, filter: &AgentFilter) -> Result<Stream<AgentRow>, Error> {
        let ask = Ask::get("/agents/", &[])
            .holds(Holds::AgentRows)
            .query("client", filter.client)
            .query("site", filter.site)
            .query("monitoring_type", filter.monitoring_type.map(Monitoring::as_str));
        self.stream(ask).await
    }

    /// `GET /agents/<agent_id>/`.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is gone, [`Error::Forbidden`] where the role does not see its client.
    pub async fn agent(&self, agent_id: &str) -> Result<AgentDetail, Error> {
        const ENDPOINT: &str = "/agents/{agent}/";
        self.object(Ask::get(ENDPOINT, &[agent_place(ENDPOINT, agent_id)?]).holds(Holds::Agents)).await
    }
}
