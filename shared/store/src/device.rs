//! Devices: what Tactical's agents are here, an asset each, and what a batch of them writes.
//!
//! **Identity.** `muster.agent` says which asset an agent is; a moved agent stays one asset. An asset that AlgaPSA made for the
//! agent is adopted, by its mapping or by `rmm_device_id`. Asset, mapping and identity are written in one transaction, under
//! the connection's lock, so that no two batches make the same asset and none is without its mapping.
//!
//! **Time.** A batch carries `fetched_at`, the database's clock before the request. What was fetched later has been written
//! already where it differed: an older fetch never overwrites. Also not where the later one wrote nothing, since it found all
//! as it was: a refresh looks when the runs have read the device's client.
//!
//! **What is written.** Nothing for a device that is as it was read last: the same digest, client and status, seen less than
//! a minute later. Where only status or last seen moved, three adjacent columns of `assets`. Everything else is compared
//! field by field. A person's change of name, serial number or location stands until Tactical's own value changes.
//!
//! **Gone.** An agent that its client's complete list lacks is a candidate; it is missing once a second list, of all agents,
//! lacks it too. Its asset stays as it is. One that no list of the run should show is asked for alone ([`strays()`]).

mod adopt;
mod batch;
mod bounds;
mod current;
mod decide;
mod digest;
mod event;
mod fields;
mod hidden;
mod missing;
mod strays;
mod write;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::lock::Left;
use crate::run::PartFence;

pub use batch::merge;
pub(crate) use event::{Fate, tell};
pub use hidden::forget_hidden;
pub use missing::{candidates, confirm_missing};
pub(crate) use strays::note as note_strays;
pub use strays::{Strays, mark_strays, strays};

/// What an agent's machine is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum DeviceType {
    /// Its row stands in `workstation_assets`.
    #[default]
    Workstation,
    /// Its row stands in `server_assets`.
    Server,
}

impl DeviceType {
    /// The word in `assets.asset_type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Workstation => "workstation",
            Self::Server => "server",
        }
    }

    /// The type of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Workstation, Self::Server].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Tactical's own status of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// It checks in.
    Online,
    /// It does not.
    Offline,
    /// It has not for longer than its operator allows.
    Overdue,
}

impl Status {
    /// The word in `assets.agent_status`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Overdue => "overdue",
        }
    }

    /// The status of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Online, Self::Offline, Self::Overdue].into_iter().find(|status| status.as_str() == word)
    }
}

/// Which of Tactical's answers a device was read from. A field that an answer has is taken as it is, also when it is absent
/// there; one that it has not is left alone, unless it comes with a value.
///
/// All of them have name, type, site, status, last seen, operating system, agent version, user, boot time, public address,
/// platform, pending reboot, maintenance and description. Addresses, make, processor, graphics and drives: the first two.
/// Serial number and whether patches are pending: the first. Memory, file systems, mesh node and last patches: the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// `GET /agents/`.
    List,
    /// `GET /agents/<id>/`. Always stamped, so that a list fetched earlier does not overwrite it.
    Detail,
    /// `GET /beta/v1/agent/`.
    Beta,
}

/// A file system of a device.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Disk {
    /// `C:`, `/dev/sda1`.
    pub device: String,
    /// `NTFS`.
    pub fstype: Option<String>,
    /// As Tactical writes it: `343.3G`.
    pub total: Option<String>,
    /// As Tactical writes it.
    pub used: Option<String>,
    /// As Tactical writes it.
    pub free: Option<String>,
    /// Of the whole, 0 to 100.
    pub percent: Option<i32>,
}

/// A device as an answer told of it: sentinels are gone, what is unknown is `None`. Too long texts, NUL and impossible times
/// are bounded here, never refused.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Device {
    /// Tactical's id, at most 255 characters without NUL; a device with another one is left out.
    pub agent_id: String,
    /// The host name.
    pub name: String,
    /// What it is.
    pub kind: DeviceType,
    /// The site's name.
    pub site: Option<String>,
    /// Tactical's number of the site.
    pub site_id: Option<i64>,
    /// `None`: the answer does not tell.
    pub status: Option<Status>,
    /// `None`: never.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// The machine's.
    pub serial_number: Option<String>,
    /// `Windows`, `Linux`, `macOS`.
    pub os_type: Option<String>,
    /// `Windows 11 Pro`, `Debian`.
    pub os_name: Option<String>,
    /// `23H2`, `12`.
    pub os_version: Option<String>,
    /// `22631.3593`.
    pub os_build: Option<String>,
    /// Tactical's agent.
    pub agent_version: Option<String>,
    /// Who is logged in.
    pub current_user: Option<String>,
    /// When it was started.
    pub last_boot_at: Option<DateTime<Utc>>,
    /// The first address inside.
    pub lan_ip: Option<String>,
    /// All addresses inside, as Tactical writes them.
    pub local_ips: Vec<String>,
    /// The address outside.
    pub wan_ip: Option<String>,
    /// Maker and model.
    pub make_model: Option<String>,
    /// Processor.
    pub cpu_model: Option<String>,
    /// Memory, in whole GB.
    pub ram_gb: Option<i32>,
    /// File systems.
    pub disks: Vec<Disk>,
    /// Drives, as Tactical writes them.
    pub physical_disks: Vec<String>,
    /// Graphics.
    pub graphics: Option<String>,
    /// MeshCentral's id.
    pub mesh_node_id: Option<String>,
    /// `windows`, `linux`, `darwin`.
    pub platform: Option<String>,
    /// `amd64`.
    pub architecture: Option<String>,
    /// Whether it waits for a restart.
    pub needs_reboot: Option<bool>,
    /// Whether patches wait. `false` is written as none pending; Tactical does not say how many.
    pub has_patches_pending: Option<bool>,
    /// When patches were installed last.
    pub patches_last_installed_at: Option<DateTime<Utc>>,
    /// Whether its operator has silenced it.
    pub is_in_maintenance: Option<bool>,
    /// What its operator wrote about it.
    pub description: Option<String>,
}

impl Device {
    /// Every text of its own that a source may lack, in the order in which the digest takes them: what is hashed is also what
    /// is weighed.
    #[must_use]
    pub fn texts(&self) -> [&Option<String>; 17] {
        [
            &self.site,
            &self.serial_number,
            &self.os_type,
            &self.os_name,
            &self.os_version,
            &self.os_build,
            &self.agent_version,
            &self.current_user,
            &self.lan_ip,
            &self.wan_ip,
            &self.make_model,
            &self.cpu_model,
            &self.graphics,
            &self.mesh_node_id,
            &self.platform,
            &self.architecture,
            &self.description,
        ]
    }
}

/// Devices of one client from one answer. About 1,000, each once; of two with the same id the later counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Whose.
    pub tenant: Uuid,
    /// Which connection.
    pub integration_id: Uuid,
    /// Tactical's number of the client.
    pub external_client_id: String,
    /// The database's clock before the request.
    pub fetched_at: DateTime<Utc>,
    /// [`crate::connection::Connection::server_epoch`] of the settings that were asked with.
    pub server_epoch: i64,
    /// Which answer.
    pub source: Source,
    /// The part of a run that it belongs to; `None`: a refresh.
    pub fence: Option<PartFence>,
    /// The devices.
    pub devices: Vec<Device>,
}

/// What a batch has written, in devices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Merged {
    /// Assets made, or adopted from AlgaPSA.
    pub created: usize,
    /// Assets of which something that seldom changes was written; those made are not among them.
    pub updated: usize,
    /// Assets of which only status and times were written.
    pub seen_again: usize,
    /// Those of the updated that came from another client.
    pub moved: usize,
    /// Devices of which nothing was written, since nothing was new.
    pub unchanged: usize,
    /// Devices of which nothing was written, since something fetched later stands there.
    pub older: usize,
    /// Devices without a usable id.
    pub odd: usize,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is written.
    Merged(Merged),
    /// The run was taken over, or the part begun anew: nothing was written, stop.
    Fenced,
    /// Nothing was written, for this reason.
    Left(Left),
}
