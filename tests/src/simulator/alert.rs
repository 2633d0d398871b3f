//! An alert as Tactical stores it, and its row in the API.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::clock::iso;

/// `info`, `warning` or `error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Calls nobody unless told to.
    Info,
    /// Calls by default.
    Warning,
    /// Always calls.
    Error,
}

impl Severity {
    /// Tactical's word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What an alert is about. At most one alert per agent and source is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The agent is overdue.
    Availability,
    /// A check, by its id.
    Check(i64),
    /// A scheduled task, by its id.
    Task(i64),
    /// Made through the API.
    Custom,
}

impl Source {
    /// Tactical's `alert_type`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Availability => "availability",
            Self::Check(_) => "check",
            Self::Task(_) => "task",
            Self::Custom => "custom",
        }
    }
}

/// Who resolved an alert; only the agent itself causes a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResolvedBy {
    /// The check or task passed, or the agent came back.
    Agent,
    /// `PUT /alerts/<id>/`.
    Hand,
    /// `POST /alerts/bulk/`.
    Bulk,
    /// It was so when the simulation started.
    Past,
}

/// The outcome of a URL action as Tactical stores it in the alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ActionRun {
    pub(super) run: DateTime<Utc>,
    pub(super) stdout: String,
    pub(super) retcode: i64,
    pub(super) seconds: String,
}

/// One alert.
#[derive(Debug, Clone)]
pub(super) struct Alert {
    pub(super) id: i64,
    pub(super) agent: Option<i64>,
    pub(super) source: Source,
    pub(super) severity: Severity,
    pub(super) message: Option<String>,
    pub(super) alert_time: DateTime<Utc>,
    pub(super) snooze_until: Option<DateTime<Utc>>,
    pub(super) snoozed: bool,
    pub(super) resolved_on: Option<DateTime<Utc>>,
    pub(super) resolved_by: Option<ResolvedBy>,
    pub(super) hidden: bool,
    /// A failure hook was sent or is on its way: Tactical sends no second one.
    pub(super) failure_sent: bool,
    pub(super) action: Option<ActionRun>,
    pub(super) resolved_action: Option<ActionRun>,
    /// Where the row lies in the table: an updated row moves to the end, and lists are in this order.
    pub(super) touched: u64,
}

impl Alert {
    /// A fresh open alert.
    pub(super) fn new(
        id: i64,
        agent: Option<i64>,
        source: Source,
        severity: Severity,
        alert_time: DateTime<Utc>,
    ) -> Self {
        Self {
            id,
            agent,
            source,
            severity,
            message: None,
            alert_time,
            snooze_until: None,
            snoozed: false,
            resolved_on: None,
            resolved_by: None,
            hidden: false,
            failure_sent: false,
            action: None,
            resolved_action: None,
            touched: 0,
        }
    }

    pub(super) fn resolved(&self) -> bool {
        self.resolved_on.is_some()
    }

    /// The row of the API; `place` is `(hostname, agent_id, client, site)`, whose keys are absent without an agent.
    pub(super) fn row(&self, place: Option<(&str, &str, &str, &str)>) -> Value {
        let mut row = Map::new();
        let mut put = |key: &str, value: Value| row.insert(key.to_owned(), value);
        put("id", json!(self.id));
        if let Some((hostname, agent_id, client, site)) = place {
            put("hostname", json!(hostname));
            put("agent_id", json!(agent_id));
            put("client", json!(client));
            put("site", json!(site));
        }
        put("alert_time", json!(iso(self.alert_time)));
        put("alert_type", json!(self.source.name()));
        put("message", json!(self.message));
        put("snoozed", json!(self.snoozed));
        put("snooze_until", json!(self.snooze_until.map(iso)));
        put("resolved", json!(self.resolved()));
        put("resolved_on", json!(self.resolved_on.map(iso)));
        put("severity", json!(self.severity.name()));
        for never in ["email_sent", "resolved_email_sent", "sms_sent", "resolved_sms_sent"] {
            put(never, Value::Null);
        }
        put("hidden", json!(self.hidden));
        for (prefix, action) in [("action", &self.action), ("resolved_action", &self.resolved_action)] {
            put(&format!("{prefix}_run"), json!(action.as_ref().map(|action| iso(action.run))));
            put(&format!("{prefix}_stdout"), json!(action.as_ref().map(|action| action.stdout.as_str())));
            put(&format!("{prefix}_stderr"), json!(action.as_ref().map(|_| "")));
            put(&format!("{prefix}_retcode"), json!(action.as_ref().map(|action| action.retcode)));
            put(&format!("{prefix}_execution_time"), json!(action.as_ref().map(|action| action.seconds.as_str())));
        }
        put("agent", json!(self.agent));
        let (check, task) = match self.source {
            Source::Check(id) => (Some(id), None),
            Source::Task(id) => (None, Some(id)),
            Source::Availability | Source::Custom => (None, None),
        };
        put("assigned_check", json!(check));
        put("assigned_task", json!(task));
        Value::Object(row)
    }
}
