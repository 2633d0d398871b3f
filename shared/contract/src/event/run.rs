//! `rmm.sync.*` and `rmm.import.completed`: a run ended; what was there already when Muster first looked is imported.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Data, Field};
use crate::id;

/// Rows that a run has read and written, over all of its parts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are those of the operators' API, which tells what they count")]
pub struct RunCounts {
    pub seen: i64,
    pub created: i64,
    pub updated: i64,
    pub moved: i64,
    pub unchanged: i64,
    pub missing: i64,
    pub unverifiable: i64,
}

data! {
    /// The data of `rmm.sync.*`: a run that has ended.
    pub struct SyncEnded {
        /// Whose run.
        pub tenant: Uuid,
        /// The integration that was read.
        pub integration_id: Uuid,
        /// The run.
        pub run_id: Uuid,
        /// What was read: `clients`, `devices`, `software` or `alerts`.
        pub kind: String,
        /// `completed`; `partial`: some parts failed; `failed`: no part was done.
        pub state: String,
        /// Who asked for it.
        pub requested_by: String,
        /// When it was asked for.
        pub requested_at: DateTime<Utc>,
        /// When a worker first took it.
        pub started_at: Option<DateTime<Utc>>,
        /// Its parts.
        pub parts: i64,
        /// Those of them that are done.
        pub parts_done: i64,
        /// Those of them that failed.
        pub parts_failed: i64,
        /// `seen`, `created`, `updated`, `moved`, `unchanged`, `missing` and `unverifiable` rows of all parts.
        pub counts: RunCounts,
        /// What failed, and why.
        pub error: Option<String>,
    }
}

impl Data for SyncEnded {
    const TYPES: &'static [(&'static str, &'static str)] = &[
        ("rmm.sync.completed", "a run has ended and every part of it is done, also where nothing was new"),
        ("rmm.sync.failed", "a run has ended and a part of it failed, or all (`state` tells which)"),
    ];
    const SUBJECT: &'static str = "runs/<run_id>";
    const FIELDS: &'static [Field] = Self::DESCRIBED;

    fn event_type(&self) -> &'static str {
        if self.state == "completed" { "rmm.sync.completed" } else { "rmm.sync.failed" }
    }

    fn tenant(&self) -> Uuid {
        self.tenant
    }

    fn integration_id(&self) -> Uuid {
        self.integration_id
    }

    fn subject(&self) -> String {
        format!("runs/{}", self.run_id)
    }

    fn rev(&self) -> Option<i64> {
        None
    }

    /// A run ends once.
    fn event_id(&self, _at: DateTime<Utc>) -> String {
        id::of(&[b"rmm.sync", self.tenant.as_bytes(), self.run_id.as_bytes()])
    }
}

data! {
    /// The data of `rmm.import.completed`: what a run found there already.
    pub struct ImportCompleted {
        /// Whose.
        pub tenant: Uuid,
        /// The integration that was read.
        pub integration_id: Uuid,
        /// The run that read it.
        pub run_id: Uuid,
        /// What was imported: `devices`, `software` or `alerts`.
        pub kind: String,
        /// The part of the run: `client:<number>` of devices, else `software`, `software:agents` or `alerts`.
        pub part: String,
        /// What a person calls the part: the client's name.
        pub label: String,
        /// Devices of the client; devices whose first list of software it was; open alerts.
        pub count: i64,
    }
}

impl Data for ImportCompleted {
    const TYPES: &'static [(&'static str, &'static str)] = &[(
        "rmm.import.completed",
        "what was there when it was first read is written; it was not told one by one, so read the tables or the API now",
    )];
    const SUBJECT: &'static str = "runs/<run_id>/parts/<part>";
    const FIELDS: &'static [Field] = Self::DESCRIBED;

    fn event_type(&self) -> &'static str {
        "rmm.import.completed"
    }

    fn tenant(&self) -> Uuid {
        self.tenant
    }

    fn integration_id(&self) -> Uuid {
        self.integration_id
    }

    fn subject(&self) -> String {
        format!("runs/{}/parts/{}", self.run_id, self.part)
    }

    fn rev(&self) -> Option<i64> {
        None
    }

    /// A part of a run ends once.
    fn event_id(&self, _at: DateTime<Utc>) -> String {
        id::of(&[b"rmm.import", self.tenant.as_bytes(), self.run_id.as_bytes(), self.part.as_bytes()])
    }
}
