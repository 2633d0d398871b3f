//! One fact about one alert: who said what, when, about which alert.

use chrono::{DateTime, Datelike, SecondsFormat, SubsecRound, Utc};
use contract::id;
use uuid::Uuid;

use super::bound;
use crate::agent;

/// What a fact says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Said {
    /// A webhook: the alert is open.
    Open,
    /// A webhook or a person at the console: the alert is resolved.
    Resolve,
    /// A poll's answer showed it open.
    PolledOpen,
    /// A poll's answer showed it as resolved: it opened and closed while nobody looked.
    PolledClosed,
    /// A poll's answer lacked it, and the reconciliation has made sure that this means resolved.
    Absent,
}

impl Said {
    fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resolve => "resolve",
            Self::PolledOpen => "polled_open",
            Self::PolledClosed => "polled_closed",
            Self::Absent => "absent",
        }
    }
}

/// AlgaPSA's words for how bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// Tactical's `error`.
    Critical,
    /// AlgaPSA's own; Tactical has no such.
    Major,
    /// Tactical's `warning`.
    Moderate,
    /// Tactical's `info`.
    Minor,
    /// Any other word.
    None,
}

impl Severity {
    /// The one map of severities, for webhook and poll: Tactical's words and AlgaPSA's own, in any case.
    #[must_use]
    pub fn of(word: &str) -> Self {
        match word.trim().to_ascii_lowercase().as_str() {
            "error" | "critical" => Self::Critical,
            "major" => Self::Major,
            "warning" | "moderate" => Self::Moderate,
            "info" | "minor" => Self::Minor,
            _ => Self::None,
        }
    }

    /// The word in `rmm_alerts.severity`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Major => "major",
            Self::Moderate => "moderate",
            Self::Minor => "minor",
            Self::None => "none",
        }
    }
}

/// What a fact says about the alert beside its state. What it does not say is `None` and hides nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Details {
    /// How bad.
    pub severity: Option<Severity>,
    /// The alert's text.
    pub message: Option<String>,
    /// `availability`, `check`, `task`, `custom`, or what the template said.
    pub alert_type: Option<String>,
    /// Tactical's number of the check, as text.
    pub check_id: Option<String>,
    /// The device's name.
    pub host_name: Option<String>,
    /// Tactical's number of the client, as text.
    pub client_id: Option<String>,
    /// Tactical's number of the site, as text.
    pub site_id: Option<String>,
    /// Whether a person put it off, in Tactical.
    pub snooze: Option<Snooze>,
    /// Whether Tactical's dashboard leaves it out.
    pub hidden: Option<bool>,
}

/// Whether an alert is put off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Snooze {
    /// It is not.
    Off,
    /// It is, without an end.
    On,
    /// It is, until then.
    Until(DateTime<Utc>),
}

impl Snooze {
    /// As it stands among the details: `off`, `on`, or the time.
    pub(crate) fn text(self) -> String {
        match self {
            Self::Off => "off".to_owned(),
            Self::On => "on".to_owned(),
            Self::Until(until) => until.to_rfc3339_opts(SecondsFormat::Micros, true),
        }
    }
}

/// Why the bytes of a request are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Odd {
    /// A value was longer than its column, or held what a text cannot hold.
    Cut,
    /// The body was broken and its fields were salvaged.
    Salvaged,
    /// The body was longer than what travels.
    Truncated,
    /// It names neither an alert nor a time.
    Hint,
    /// `"event":"trigger|resolve"`, pasted verbatim.
    VerbatimEvent,
    /// `unresolved` or `not resolved`.
    NegatedResolve,
    /// A severity that no map knows.
    UnknownSeverity,
}

impl Odd {
    /// The word in tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::Salvaged => "salvaged",
            Self::Truncated => "truncated",
            Self::Hint => "hint",
            Self::VerbatimEvent => "verbatim_event",
            Self::NegatedResolve => "negated_resolve",
            Self::UnknownSeverity => "unknown_severity",
        }
    }

    /// Whether an operator has a template to mend: counted in `muster.webhook_finding`.
    #[must_use]
    pub fn is_finding(self) -> bool {
        matches!(self, Self::VerbatimEvent | Self::NegatedResolve | Self::Salvaged | Self::Hint)
    }
}

/// One fact. Two facts with equal values are one fact, however often they arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Whose.
    pub tenant: Uuid,
    /// Through which connection.
    pub integration_id: Uuid,
    /// What it says.
    pub said: Said,
    /// When, on the database's clock: a webhook's `received_at`, a poll's fetch start. Whole microseconds count.
    pub at: DateTime<Utc>,
    /// Tactical's agent; empty where the alert has none.
    pub agent_id: String,
    /// Tactical's number of the alert, as text.
    pub number: Option<String>,
    /// When the alert was raised, on Tactical's clock. Whole microseconds count.
    pub alert_time: Option<DateTime<Utc>>,
    /// The body was salvaged: a resolve is not final, and the alert is to be read from Tactical.
    pub needs_fetch: bool,
    /// The rest.
    pub details: Details,
    /// Why `raw` is kept; empty where it is not. No part of the fact's identity.
    pub odd: Vec<Odd>,
    /// The request as it came; kept where it is odd. No part of the fact's identity.
    pub raw: Vec<u8>,
    /// The trace that brought it, which the events that it causes carry on. No part of the fact's identity.
    pub traceparent: Option<String>,
}

/// What the names of a replaced server's alerts begin with; then its epoch, a bar, and the name that the alert had.
pub(crate) const REPLACED: &str = "was:";

/// How an alert is named: what `muster.alert_key.key` holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Key {
    /// Tactical's number.
    Number(String),
    /// Agent and `alert_time`.
    Place(String),
    /// Agent, type and check, where the connection has no API to ask.
    Device(String),
}

impl Key {
    /// The key's text; also the alert's external id where it has no number.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Number(number) => format!("id:{number}"),
            Self::Place(text) | Self::Device(text) => text.clone(),
        }
    }
}

impl Fact {
    /// Makes every value fit its column; idempotent. True when something was lost: then keep the raw bytes.
    pub fn bound(&mut self) -> bool {
        self.at = self.at.trunc_subsecs(6);
        let had_time = self.alert_time.is_some();
        self.alert_time =
            self.alert_time.map(|time| time.trunc_subsecs(6)).filter(|time| (1970..=9999).contains(&time.year()));
        let mut lost = had_time && self.alert_time.is_none();
        lost |= bound_identifier(&mut self.agent_id, agent::AGENT_ID_CHARS_MAX);
        if let Some(number) = &mut self.number {
            lost |= bound_identifier(number, bound::EXTERNAL_ID_CHARS_MAX);
        }
        let details = &mut self.details;
        for (text, chars_max) in [
            (&mut details.message, bound::MESSAGE_CHARS_MAX),
            (&mut details.alert_type, bound::ALERT_TYPE_CHARS_MAX),
            (&mut details.check_id, bound::FIELD_CHARS_MAX),
            (&mut details.host_name, bound::FIELD_CHARS_MAX),
            (&mut details.client_id, bound::FIELD_CHARS_MAX),
            (&mut details.site_id, bound::FIELD_CHARS_MAX),
        ] {
            if let Some(text) = text {
                lost |= bound::cut(text, chars_max);
            }
        }
        self.raw.truncate(bound::RAW_BYTES_MAX);
        self.number = self.number.take().filter(|number| !number.is_empty());
        lost
    }

    /// Whether it came by a webhook; what a poll tells has just been read.
    pub(crate) fn is_webhook(&self) -> bool {
        matches!(self.said, Said::Open | Said::Resolve)
    }

    /// The names that this fact gives its alert; both name the same one. Empty for a hint.
    ///
    /// `has_api`: the connection can be asked. Where it cannot, agent, type and check must do.
    pub(crate) fn keys(&self, has_api: bool) -> Vec<Key> {
        let mut keys: Vec<Key> = self.number.iter().map(|number| Key::Number(unmistakable(number))).collect();
        if let (Some(time), false) = (self.alert_time, self.agent_id.is_empty()) {
            let text = format!("at:{}|{}", part(&self.agent_id), time.timestamp_micros());
            keys.push(Key::Place(bound::identifier(&text, bound::EXTERNAL_ID_CHARS_MAX)));
        }
        if keys.is_empty() && !has_api {
            let word = |text: &Option<String>| part(text.as_deref().unwrap_or_default());
            let (alert_type, check) = (word(&self.details.alert_type), word(&self.details.check_id));
            let text = format!("dev:{}|{alert_type}|{check}", part(&self.agent_id));
            keys.push(Key::Device(bound::identifier(&text, bound::EXTERNAL_ID_CHARS_MAX)));
        }
        keys
    }

    /// Eight bytes that tell this fact from every other about the same alert.
    pub(crate) fn digest(&self) -> u64 {
        let text = |text: &Option<String>| text.as_ref().map(|text| format!("+{text}")).unwrap_or_default();
        let time = self.alert_time.map(|time| time.timestamp_micros().to_string());
        let severity = self.details.severity.map(|severity| severity.as_str().to_owned());
        let mut parts = vec![
            self.said.as_str().to_owned(),
            self.at.timestamp_micros().to_string(),
            self.needs_fetch.to_string(),
            self.agent_id.clone(),
            text(&self.number),
            text(&time),
            text(&severity),
            text(&self.details.message),
            text(&self.details.alert_type),
            text(&self.details.check_id),
            text(&self.details.host_name),
            text(&self.details.client_id),
            text(&self.details.site_id),
        ];
        // younger than the others: a fact that does not say them keeps the digest that it had
        parts.extend(self.details.snooze.map(|snooze| format!("snooze {}", snooze.text())));
        parts.extend(self.details.hidden.map(|hidden| format!("hidden {hidden}")));
        let parts: Vec<&[u8]> = parts.iter().map(String::as_bytes).collect();
        u64::from_str_radix(&id::of(&parts)[..16], 16).expect("an id is hexadecimal digits")
    }
}

/// Tactical's number of an alert of that external id, by which it can be asked for; `None`: it is a name of ours, or of a
/// server that was replaced.
#[must_use]
pub fn number(external_alert_id: &str) -> Option<i64> {
    let number: i64 = external_alert_id.parse().ok()?;
    (number > 0 && number.to_string() == external_alert_id).then_some(number)
}

/// A number that looks like one of our own names is told apart from it: both stand in the same column. Tactical's numbers
/// are digits and stay as they are.
fn unmistakable(number: &str) -> String {
    if ["at:", "dev:", "id:", REPLACED].iter().any(|name| number.starts_with(name)) {
        return bound::identifier(&format!("id:{number}"), bound::EXTERNAL_ID_CHARS_MAX);
    }
    number.to_owned()
}

/// A text as a part of a name, so that the border between two parts cannot be in one of them.
fn part(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|")
}

fn bound_identifier(text: &mut String, chars_max: usize) -> bool {
    let fitting = bound::identifier(text, chars_max);
    let lost = fitting != *text;
    *text = fitting;
    lost
}
