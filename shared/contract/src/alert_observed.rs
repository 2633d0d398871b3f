//! `alert.observed.v1`: what one webhook of Tactical said about one alert.
//!
//! The gateway has understood the body as far as it can be understood; the worker decides what it means for the rows.
//! Every text is bounded by [`limit`] before it is published, so that no odd value can fail a batch.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::{Exhausted, Lane, Message, Worker};

/// The bounds of the texts, each with its unit in its name.
pub mod limit {
    /// `raw`: bytes of the request body that travel along; the rest is cut and `truncated` is set.
    pub const RAW_BYTES_MAX: usize = 64 * 1024;
    /// `message`: characters.
    pub const MESSAGE_CHARS_MAX: usize = 8 * 1024;
    /// Every other text: characters. The columns that AlgaPSA has are narrower; the worker cuts and keeps the raw bytes.
    pub const FIELD_CHARS_MAX: usize = 512;
}

/// What the webhook says happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// The alert is open.
    Open,
    /// The alert is resolved.
    Resolve,
}

/// A mistake in the template that an operator pasted into Tactical. Reported, never guessed around.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemplateMistake {
    /// `"event":"trigger|resolve"`, pasted verbatim: opens and resolves cannot be told apart.
    VerbatimEvent,
    /// `unresolved`, `not resolved`: says the opposite of a resolve and is taken as such.
    NegatedResolve,
}

impl TemplateMistake {
    /// The word that stands in tables and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VerbatimEvent => "verbatim_event",
            Self::NegatedResolve => "negated_resolve",
        }
    }
}

/// The payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertObserved {
    /// The integration that the webhook's secret belongs to.
    pub integration_id: Uuid,
    /// When the request arrived, on the database's clock.
    pub received_at: DateTime<Utc>,
    /// Open or resolve.
    pub said: Said,
    /// Tactical's 40-letter id of the agent; the only field that a webhook must have.
    pub agent_id: String,
    /// Tactical's number of the alert, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_id: Option<String>,
    /// When the alert was raised, on Tactical's clock, microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_time: Option<DateTime<Utc>>,
    /// `availability`, `check`, `task`, `custom`; or what the template said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_type: Option<String>,
    /// `error`, `warning`, `info`; or what the template said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// The alert's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Tactical's number of the client, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Tactical's number of the site, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site_id: Option<String>,
    /// Tactical's number of the check, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_id: Option<String>,
    /// The device's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The event's word as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// The body was broken and its fields were salvaged: the alert must be read from Tactical before a resolve is final.
    #[serde(default)]
    pub needs_fetch: bool,
    /// What is wrong with the template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_mistake: Option<TemplateMistake>,
    /// The request body as it came, at most [`limit::RAW_BYTES_MAX`] bytes; base64 on the wire, since it may hold anything.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub raw: Vec<u8>,
    /// `raw` was longer than its limit.
    #[serde(default)]
    pub truncated: bool,
}

impl AlertObserved {
    /// What a webhook says that names an agent and nothing else.
    #[must_use]
    pub fn bare(integration_id: Uuid, received_at: DateTime<Utc>, said: Said, agent_id: &str) -> Self {
        Self {
            integration_id,
            received_at,
            said,
            agent_id: agent_id.to_owned(),
            alert_id: None,
            alert_time: None,
            alert_type: None,
            severity: None,
            message: None,
            client_id: None,
            site_id: None,
            check_id: None,
            hostname: None,
            event: None,
            needs_fetch: false,
            template_mistake: None,
            raw: Vec::new(),
            truncated: false,
        }
    }
}

impl Message for AlertObserved {
    const KIND: &'static str = "alert.observed.v1";
    const WORKER: Worker = Worker::Alert;
    const LANE: Lane = Lane::Main;
    const EXHAUSTED: Exhausted = Exhausted::Park;
}

fn to_base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map_err(serde::de::Error::custom)
}
