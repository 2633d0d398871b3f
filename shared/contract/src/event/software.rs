//! `rmm.software.*`: a program of a device came, changed its version, or went.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Data, Field, id_at};

/// What happened to a program of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SoftwareChange {
    /// A version is there that was not, beside others or as the first.
    Installed,
    /// A version took another one's place.
    Updated,
    /// A version is gone.
    Removed,
}

data! {
    /// The data of `rmm.software.*`: one version of one program on one device.
    pub struct SoftwareChanged {
        /// Whose device.
        pub tenant: Uuid,
        /// The device, `assets.asset_id`.
        pub asset_id: Uuid,
        /// The integration that it is read through.
        pub integration_id: Uuid,
        /// The revision of the device's list that shows it; all changes between two lists have the same one.
        pub rev: i64,
        /// `installed`, `updated` or `removed`.
        pub change: SoftwareChange,
        /// Tactical's agent.
        pub agent_id: String,
        /// The program, `software_catalog.software_id`.
        pub software_id: Uuid,
        /// Its name.
        pub name: String,
        /// Who made it; empty where nobody says.
        pub publisher: String,
        /// The version that is there now; of a removal the one that was. Empty where the installer does not tell.
        pub version: String,
        /// Of an update the version before.
        pub previous_version: Option<String>,
    }
}

impl Data for SoftwareChanged {
    const TYPES: &'static [(&'static str, &'static str)] = &[
        ("rmm.software.installed", "a device has a version of a program that it had not; never for its first list"),
        ("rmm.software.updated", "a version took the place of another"),
        ("rmm.software.removed", "a device has a version of a program no more"),
    ];
    const SUBJECT: &'static str = "assets/<asset_id>/software/<software_id>";
    const FIELDS: &'static [Field] = Self::DESCRIBED;

    fn event_type(&self) -> &'static str {
        match self.change {
            SoftwareChange::Installed => "rmm.software.installed",
            SoftwareChange::Updated => "rmm.software.updated",
            SoftwareChange::Removed => "rmm.software.removed",
        }
    }

    fn tenant(&self) -> Uuid {
        self.tenant
    }

    fn integration_id(&self) -> Uuid {
        self.integration_id
    }

    fn subject(&self) -> String {
        format!("assets/{}/software/{}", self.asset_id, self.software_id)
    }

    fn rev(&self) -> Option<i64> {
        Some(self.rev)
    }

    /// Of two versions that go or come between two lists each has its own.
    fn event_id(&self, at: DateTime<Utc>) -> String {
        let (asset, program, rev) = (self.asset_id.as_bytes(), self.software_id.as_bytes(), self.rev.to_be_bytes());
        let (kind, version) = (self.event_type().as_bytes(), self.version.as_bytes());
        id_at(at, &[kind, self.tenant.as_bytes(), asset, program, &rev, version])
    }
}
