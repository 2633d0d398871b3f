//! The beta API: paged, with client and site filters and disks in the list, off by default, blind to role scoping.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::ask::{Ask, Holds};
use crate::lenient;
use crate::{AgentFilter, Client, Disk, Error, Monitoring, Organization, Page, Platform, Site, Status};

/// Tactical clamps larger pages to it without a word; with WMI data a page of it is 154 MB, so ask for 200.
pub const PAGE_SIZE_MAX: u16 = 1_000;

/// A page of agents.
pub type BetaPage = Page<BetaAgent>;

/// One row of `GET /beta/v1/agent/`: no status, no addresses but the public one, no make; the site by its key.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct BetaAgent {
    /// Primary key, which the beta detail wants.
    pub id: i64,
    /// Forty letters; survives renames, not a reinstallation.
    pub agent_id: String,
    /// Not unique.
    #[serde(default, deserialize_with = "lenient::text")]
    pub hostname: Option<String>,
    /// Primary key of the site.
    #[serde(default, deserialize_with = "lenient::int")]
    pub site: Option<i64>,
    /// What it is watched as.
    #[serde(default, deserialize_with = "lenient::word")]
    pub monitoring_type: Option<Monitoring>,
    /// A person's words.
    #[serde(default, deserialize_with = "lenient::raw")]
    pub description: Option<String>,
    /// Whether it waits for a restart.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub needs_reboot: Option<bool>,
    /// Last check-in; never seen is `None`.
    #[serde(default, deserialize_with = "lenient::time")]
    pub last_seen: Option<DateTime<Utc>>,
    /// Last start of the machine.
    #[serde(default, deserialize_with = "lenient::epoch")]
    pub boot_time: Option<DateTime<Utc>>,
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
    /// The machine's serial number, dug out of its WMI data.
    #[serde(default, rename = "wmi_detail", deserialize_with = "crate::wmi::serial_number")]
    pub serial_number: Option<String>,
    /// When updates were installed last.
    #[serde(default, deserialize_with = "lenient::time")]
    pub patches_last_installed: Option<DateTime<Utc>>,
    /// The agent's time zone, by its IANA name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub time_zone: Option<String>,
    /// Unseen for so long it is offline, in minutes: with `last_seen` it gives the status that the row lacks.
    #[serde(default, rename = "offline_time", deserialize_with = "lenient::int")]
    pub offline_time_min: Option<i64>,
    /// Unseen for so long it is overdue, in minutes.
    #[serde(default, rename = "overdue_time", deserialize_with = "lenient::int")]
    pub overdue_time_min: Option<i64>,
    /// MeshCentral's id of the device, 96 hexadecimal digits.
    #[serde(default, deserialize_with = "lenient::text")]
    pub mesh_node_id: Option<String>,
    /// Primary key of the alert template.
    #[serde(default, deserialize_with = "lenient::int")]
    pub alert_template: Option<i64>,
    /// Primary key of a policy.
    #[serde(default, deserialize_with = "lenient::int")]
    pub policy: Option<i64>,
    /// When the agent was installed.
    #[serde(default, deserialize_with = "lenient::time")]
    pub created_time: Option<DateTime<Utc>>,
}

/// `GET /beta/v1/agent/<integer pk>/`, as far as it says what the list does not; it lacks the key it was asked by.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct BetaDetail {
    /// Forty letters; survives renames, not a reinstallation.
    pub agent_id: String,
    /// Not unique.
    #[serde(default, deserialize_with = "lenient::text")]
    pub hostname: Option<String>,
    /// Tactical's judgement at the moment of the answer.
    #[serde(default, deserialize_with = "lenient::word")]
    pub status: Option<Status>,
    /// Last check-in; never seen is `None`.
    #[serde(default, deserialize_with = "lenient::time")]
    pub last_seen: Option<DateTime<Utc>>,
    /// Own addresses, without prefix lengths.
    #[serde(default, deserialize_with = "lenient::addresses")]
    pub local_ips: Vec<IpAddr>,
    /// Manufacturer and model in one.
    #[serde(default, deserialize_with = "lenient::known")]
    pub make_model: Option<String>,
    /// The machine's serial number.
    #[serde(default, deserialize_with = "lenient::known")]
    pub serial_number: Option<String>,
    /// One a processor.
    #[serde(default, deserialize_with = "lenient::known_list")]
    pub cpu_model: Vec<String>,
    /// Name and size of each disk in one.
    #[serde(default, deserialize_with = "lenient::known_list")]
    pub physical_disks: Vec<String>,
}

impl Client {
    /// `GET /beta/v1/agent/`: one page (from 1) of the agents that the filter lets through. Needs `can_list_agents`, shows
    /// every client to every role; an unknown client has no agents.
    ///
    /// # Errors
    /// [`Error::BetaOff`]; [`Error::NotFound`] beyond the last page; an unknown site is refused.
    pub async fn beta_agents(&self, filter: &AgentFilter, page: u32, page_size: u16) -> Result<BetaPage, Error> {
        let ask = Ask::get("/beta/v1/agent/", &[])
            .query("client_id", filter.client)
            .query("site", filter.site)
            .query("monitoring_type", filter.monitoring_type.map(Monitoring::as_str))
            .query("page", Some(page))
            .query("page_size", Some(page_size.clamp(1, PAGE_SIZE_MAX)))
            .holds(Holds::Agents);
        self.page(ask).await
    }

    /// Whether the beta API is there for this role: one agent is asked for.
    ///
    /// # Errors
    /// [`Error::BetaOff`] where the server has it switched off.
    pub async fn beta_probe(&self) -> Result<(), Error> {
        let ask = Ask::get("/beta/v1/agent/", &[]).query("page", Some(1)).query("page_size", Some(1));
        self.page::<BetaAgent>(ask.holds(Holds::Agents)).await.map(drop)
    }

    /// `GET /beta/v1/agent/<integer pk>/`: by the key of the list, not by the text id.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is gone, and as [`Client::beta_probe`].
    pub async fn beta_agent(&self, id: i64) -> Result<BetaDetail, Error> {
        self.object(Ask::get("/beta/v1/agent/{agent}/", &[&id.to_string()]).holds(Holds::Agents)).await
    }

    /// `GET /beta/v1/client/`: all clients, in one list.
    ///
    /// # Errors
    /// As [`Client::beta_probe`].
    pub async fn beta_clients(&self) -> Result<Vec<Organization>, Error> {
        self.list(Ask::get("/beta/v1/client/", &[]).holds(Holds::Clients)).await
    }

    /// `GET /beta/v1/client/<id>/`: the one place where the beta API keeps to the role's clients.
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::NotFound`], and as [`Client::beta_probe`].
    pub async fn beta_client(&self, id: i64) -> Result<Organization, Error> {
        self.object(Ask::get("/beta/v1/client/{client}/", &[&id.to_string()])).await
    }

    /// `GET /beta/v1/site/`: one page (from 1) of all sites; there is no filter by client.
    ///
    /// # Errors
    /// As [`Client::beta_agents`].
    pub async fn beta_sites(&self, page: u32, page_size: u16) -> Result<Page<Site>, Error> {
        let ask = Ask::get("/beta/v1/site/", &[])
            .query("page", Some(page))
            .query("page_size", Some(page_size.clamp(1, PAGE_SIZE_MAX)));
        self.page(ask).await
    }

    /// `GET /beta/v1/site/<id>/`.
    ///
    /// # Errors
    /// As [`Client::beta_client`].
    pub async fn beta_site(&self, id: i64) -> Result<Site, Error> {
        self.object(Ask::get("/beta/v1/site/{site}/", &[&id.to_string()])).await
    }
}
