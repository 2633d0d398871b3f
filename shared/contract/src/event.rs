//! Events: what leaves on `muster.events` once a transaction has committed.
//!
//! Delivered at least once, in any order; `rev` tells which of two is newer, and a redelivery has the same id and body.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::id;

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

    /// The event's type, which AMQP's `type` property carries: `rmm.alert.opened`.
    #[must_use]
    pub fn event_type(self) -> String {
        format!("rmm.alert.{}", self.as_str())
    }
}

/// The body of `rmm.alert.*`: the alert as it was at `rev`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertChanged {
    /// Whose alert.
    pub tenant: Uuid,
    /// Our id of the alert, `rmm_alerts.alert_id`.
    pub alert_id: Uuid,
    /// The integration that it came through.
    pub integration_id: Uuid,
    /// The state's revision at which this happened; grows with each change of the alert, not always by one.
    pub rev: i64,
    /// What happened.
    pub transition: Transition,
    /// Tactical's agent.
    pub agent_id: String,
    /// Our asset, where it is known.
    pub asset_id: Option<Uuid>,
    /// `critical`, `moderate`, `minor` or `none`.
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

impl AlertChanged {
    /// The event's stable id: the same (alert, rev, transition) has the same id for ever.
    #[must_use]
    pub fn event_id(&self) -> String {
        let rev = self.rev.to_be_bytes();
        id::of(&[
            b"rmm.alert",
            self.tenant.as_bytes(),
            self.alert_id.as_bytes(),
            &rev,
            self.transition.as_str().as_bytes(),
        ])
    }

    /// The key that it is published with: `rmm.alert.opened.<tenant>`.
    #[must_use]
    pub fn routing_key(&self) -> String {
        format!("{}.{}", self.transition.event_type(), self.tenant)
    }
}
