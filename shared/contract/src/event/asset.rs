//! `rmm.asset.*`: a device came, changed, moved to another client, or is gone from Tactical.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Data, Field, id_at};

/// What happened to a device. Where two things happened at once, the first of created, moved, updated is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssetChange {
    /// It has an asset from now on: one that was made, or one of AlgaPSA's that was found to be this device.
    Created,
    /// Something that seldom changes is another now.
    Updated,
    /// It is gone from Tactical.
    Missing,
    /// It belongs to another client now.
    Moved,
}

data! {
    /// The data of `rmm.asset.*`: the device as it was at `rev`.
    pub struct AssetChanged {
        /// Whose device.
        pub tenant: Uuid,
        /// Our id of the device, `assets.asset_id`.
        pub asset_id: Uuid,
        /// The integration that it is read through.
        pub integration_id: Uuid,
        /// The device's revision; grows with each of its events.
        pub rev: i64,
        /// `created`, `updated`, `missing` or `moved`.
        pub change: AssetChange,
        /// Tactical's agent.
        pub agent_id: String,
        /// What it is called here.
        pub name: Option<String>,
        /// `workstation` or `server`.
        pub asset_type: Option<String>,
        /// The client that it belongs to here.
        pub client_id: Option<Uuid>,
        /// Tactical's number of the client where it was read last.
        pub external_client_id: Option<String>,
        /// Tactical's name of the site where it was read last.
        pub site: Option<String>,
        /// Its serial number.
        pub serial_number: Option<String>,
        /// Whether it is gone from Tactical.
        pub is_missing: bool,
        /// What is another now, by the names of these fields and of the columns and `system_info` keys of its asset.
        pub changed: Vec<String>,
        /// The client that it belonged to before, where that is another one.
        pub previous_client_id: Option<Uuid>,
        /// This asset is gone: the other one is the same device (an accepted merge).
        pub merged_into: Option<Uuid>,
    }
}

impl Data for AssetChanged {
    const TYPES: &'static [(&'static str, &'static str)] = &[
        ("rmm.asset.created", "a device has an asset from now on: a new one, or one of AlgaPSA's that is this device"),
        (
            "rmm.asset.updated",
            "something that seldom changes is another now, it is there again after it was missing, or an accepted merge \
             has given it another agent; never its status, times, user, addresses or how full its disks are",
        ),
        (
            "rmm.asset.missing",
            "it is gone from Tactical, or an accepted merge has made it another asset (`merged_into`)",
        ),
        ("rmm.asset.moved", "it belongs to another client; what else changed at the same time is in `changed`"),
    ];
    const SUBJECT: &'static str = "assets/<asset_id>";
    const FIELDS: &'static [Field] = Self::DESCRIBED;

    fn event_type(&self) -> &'static str {
        match self.change {
            AssetChange::Created => "rmm.asset.created",
            AssetChange::Updated => "rmm.asset.updated",
            AssetChange::Missing => "rmm.asset.missing",
            AssetChange::Moved => "rmm.asset.moved",
        }
    }

    fn tenant(&self) -> Uuid {
        self.tenant
    }

    fn integration_id(&self) -> Uuid {
        self.integration_id
    }

    fn subject(&self) -> String {
        format!("assets/{}", self.asset_id)
    }

    fn rev(&self) -> Option<i64> {
        Some(self.rev)
    }

    /// With the moment: a device that was forgotten and is read again begins at revision 1 anew.
    fn event_id(&self, at: DateTime<Utc>) -> String {
        let (asset, rev) = (self.asset_id.as_bytes(), self.rev.to_be_bytes());
        id_at(at, &[self.event_type().as_bytes(), self.tenant.as_bytes(), asset, self.agent_id.as_bytes(), &rev])
    }
}
