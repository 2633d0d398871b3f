//! `rmm.alert.*`: a change of an alert's visible state.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Data, Field, id_at};

/// A change of an alert's visible state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transition {
    /// The alert exists and is open.
    Opened,
    /// Something that a reader sees changed: severity, message, device, or the opening became known after the resolve.
    Updated,
    /// The alert is resolved.
    Resolved,
    /// A later read of Tactical, or a new incarnation, shows it open after all.
    Reopened,
}

impl Transition {
    /// The last word of the event's type.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Updated => "updated",
            Self::Resolved => "resolved",
            Self::Reopened => "reopened",
        }
    }
}

data! {
    /// The data of `rmm.alert.*`: the alert as it was at `rev`.
    pub struct AlertChanged {
        /// Whose alert.
        pub tenant: Uuid,
        /// Our id of the alert, `rmm_alerts.alert_id`.
        pub alert_id: Uuid,
        /// The integration that it came through.
        pub integration_id: Uuid,
        /// The alert's revision at which this happened; grows with each change of the alert, not always by one.
        pub rev: i64,
        /// `opened`, `updated`, `resolved` or `reopened`.
        pub transition: Transition,
        /// Tactical's agent; empty where the alert has none.
        pub agent_id: String,
        /// Our asset, where it is known.
        pub asset_id: Option<Uuid>,
        /// `critical`, `major`, `moderate`, `minor` or `none`.
        pub severity: String,
        /// `active`, `acknowledged`, `suppressed`, `resolved`.
        pub status: String,
        /// What flapping is counted by.
        pub dedup_key: Option<String>,
        /// How often this dedup key has opened so far.
        pub occurrence_count: i32,
        /// When the alert was raised.
        pub triggered_at: Option<DateTime<Utc>>,
        /// When it was resolved.
        pub resolved_at: Option<DateTime<Utc>>,
    }
}

impl Data for AlertChanged {
    const TYPES: &'static [(&'static str, &'static str)] = &[
        ("rmm.alert.opened", "an alert is there and open"),
        ("rmm.alert.updated", "its severity, message or device changed, or its opening became known after its resolve"),
        ("rmm.alert.resolved", "it is resolved, or was another alert's double"),
        ("rmm.alert.reopened", "a later read of Tactical shows it open after all, or its number was given out again"),
    ];
    const SUBJECT: &'static str = "alerts/<alert_id>";
    const FIELDS: &'static [Field] = Self::DESCRIBED;

    fn event_type(&self) -> &'static str {
        match self.transition {
            Transition::Opened => "rmm.alert.opened",
            Transition::Updated => "rmm.alert.updated",
            Transition::Resolved => "rmm.alert.resolved",
            Transition::Reopened => "rmm.alert.reopened",
        }
    }

    fn tenant(&self) -> Uuid {
        self.tenant
    }

    fn integration_id(&self) -> Uuid {
        self.integration_id
    }

    fn subject(&self) -> String {
        format!("alerts/{}", self.alert_id)
    }

    fn rev(&self) -> Option<i64> {
        Some(self.rev)
    }

    /// The time tells what was before a removal from what came after it: the revision begins anew then, and the alert stays.
    fn event_id(&self, at: DateTime<Utc>) -> String {
        let (alert, rev) = (self.alert_id.as_bytes(), self.rev.to_be_bytes());
        id_at(at, &[self.event_type().as_bytes(), self.tenant.as_bytes(), alert, &rev])
    }
}
