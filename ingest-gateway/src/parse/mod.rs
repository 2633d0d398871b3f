//! Understands the body of one webhook as far as it can be understood: pure, no I/O, never panics, linear time.
//!
//! Tactical fills the operator's template without escaping and sends what is then no longer JSON as one JSON *string*.
//! What Muster refuses is lost for ever, since Tactical sends once; so everything that names an agent is accepted, and
//! what could not be read exactly is marked [`Alert::needs_fetch`].
//!
//! The file is `parse/mod.rs` because the fuzz target includes it by path, without the rest of the gateway.

mod event;
mod field;
mod json;
mod salvage;
mod test_run;
mod time;

use chrono::{DateTime, Utc};
use contract::alert_observed::{AlertObserved, Said, TemplateMistake, limit};
use uuid::Uuid;

use field::{Fields, Key};
use json::Document;

/// How many JSON strings may be wrapped round each other; Tactical makes one, a relay in between may add another.
const STRINGS_MAX: usize = 4;

/// What an accepted body is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// It speaks of an alert.
    Alert(Box<Alert>),
    /// Tactical's *test run* of the template: the alert's values are the agent's host name, its id the agent's number.
    Test,
}

/// What one webhook says, each text within the bounds of [`limit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Open or resolve.
    pub said: Said,
    /// Tactical's id of the agent, never empty.
    pub agent_id: String,
    /// Tactical's number of the alert, as text.
    pub alert_id: Option<String>,
    /// When the alert was raised, whole microseconds.
    pub alert_time: Option<DateTime<Utc>>,
    /// `alert_type`, or `type` where that is absent.
    pub alert_type: Option<String>,
    /// As it came.
    pub severity: Option<String>,
    /// The alert's text.
    pub message: Option<String>,
    /// As text.
    pub client_id: Option<String>,
    /// As text.
    pub site_id: Option<String>,
    /// As text.
    pub check_id: Option<String>,
    /// `hostname`, or `agent_hostname` where that is absent.
    pub hostname: Option<String>,
    /// The event's word as it came.
    pub event: Option<String>,
    /// The fields were salvaged from a broken text.
    pub needs_fetch: bool,
    /// What is wrong with the template.
    pub template_mistake: Option<TemplateMistake>,
}

/// Why a body is refused; [`Rejected::text`] tells the operator, who reads it in Tactical's alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected {
    /// No body, or only blanks.
    Empty,
    /// Neither JSON nor anything that names an agent.
    Unreadable,
    /// JSON, but an array, a number or a word.
    NotAnObject,
    /// An object without an agent.
    NoAgentId,
}

impl Rejected {
    /// What is wrong and what to do about it, one line.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Empty => "the body is empty: paste Muster's template into the URL action's body",
            Self::Unreadable => {
                "the body is not JSON and no agent_id can be found in it: \
                 paste Muster's template into the URL action's body"
            }
            Self::NotAnObject => "the body is not a JSON object: paste Muster's template into the URL action's body",
            Self::NoAgentId => {
                "the body has no agent_id: add \"agent_id\":\"{{agent.agent_id}}\" to the URL action's body"
            }
        }
    }

    /// One word for metrics and logs.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Empty => "empty_body",
            Self::Unreadable => "unreadable_body",
            Self::NotAnObject => "not_an_object",
            Self::NoAgentId => "no_agent_id",
        }
    }
}

/// Understands one body, or says why it is refused.
///
/// # Errors
/// [`Rejected`], for the 400.
pub fn parse(body: &[u8]) -> Result<Parsed, Rejected> {
    let text = String::from_utf8_lossy(body);
    let (fields, needs_fetch) = read(text.trim_start_matches('\u{feff}').trim())?;
    if fields.get(Key::AgentId).is_none() {
        return Err(Rejected::NoAgentId);
    }
    if test_run::is_test(&fields) {
        return Ok(Parsed::Test);
    }
    Ok(Parsed::Alert(Box::new(Alert::of(fields, needs_fetch))))
}

/// The members of the object that the text is or wraps, and whether they were salvaged.
fn read(text: &str) -> Result<(Fields, bool), Rejected> {
    let mut unwrapped;
    let mut text = text;
    for _ in 0..STRINGS_MAX {
        if text.is_empty() {
            return Err(Rejected::Empty);
        }
        match json::read(text) {
            Ok(Document::Object(fields)) => return Ok((*fields, false)),
            Ok(Document::Text(inner)) => {
                unwrapped = inner;
                text = unwrapped.trim();
            }
            Ok(Document::Other) => return Err(Rejected::NotAnObject),
            Err(json::Broken) => break,
        }
    }
    let fields = salvage::salvage(text);
    if fields.get(Key::AgentId).is_some() { Ok((fields, true)) } else { Err(Rejected::Unreadable) }
}

impl Alert {
    fn of(mut fields: Fields, needs_fetch: bool) -> Self {
        let word = event::read(fields.get(Key::Event));
        let time = fields.get(Key::AlertTime).and_then(time::read);
        Self {
            said: word.said,
            template_mistake: word.mistake,
            agent_id: fields.take(Key::AgentId).unwrap_or_default(),
            alert_id: fields.take(Key::AlertId),
            alert_time: time,
            alert_type: fields.take(Key::AlertType).or_else(|| fields.take(Key::Type)),
            severity: fields.take(Key::Severity),
            message: fields.take(Key::Message),
            client_id: fields.take(Key::ClientId),
            site_id: fields.take(Key::SiteId),
            check_id: fields.take(Key::CheckId),
            hostname: fields.take(Key::Hostname).or_else(|| fields.take(Key::AgentHostname)),
            event: fields.take(Key::Event),
            needs_fetch,
        }
    }

    /// The message to publish: this alert with where and when it came, and the body itself cut to its limit.
    #[must_use]
    pub fn into_message(self, integration_id: Uuid, received_at: DateTime<Utc>, body: &[u8]) -> AlertObserved {
        AlertObserved {
            integration_id,
            received_at,
            said: self.said,
            agent_id: self.agent_id,
            alert_id: self.alert_id,
            alert_time: self.alert_time,
            alert_type: self.alert_type,
            severity: self.severity,
            message: self.message,
            client_id: self.client_id,
            site_id: self.site_id,
            check_id: self.check_id,
            hostname: self.hostname,
            event: self.event,
            needs_fetch: self.needs_fetch,
            template_mistake: self.template_mistake,
            raw: body[..body.len().min(limit::RAW_BYTES_MAX)].to_vec(),
            truncated: body.len() > limit::RAW_BYTES_MAX,
        }
    }
}
