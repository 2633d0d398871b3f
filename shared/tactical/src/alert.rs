//! Alerts, and what decides whether an alert calls us: templates and URL actions.

use chrono::{DateTime, Utc};
use reqwest::Method;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use crate::ask::Ask;
use crate::lenient;
use crate::{Client, Error, Stream};

/// Which alerts are listed; a field that is `None` is not sent. `default()` means every alert there ever was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertFilter {
    /// Some(false) leaves out resolved ones; Some(true) filters nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved_filter: Option<bool>,
    /// Some(false) leaves out snoozed ones; Some(true) filters nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snoozed_filter: Option<bool>,
    /// Alerts of the last so many days; 0 gives none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_filter: Option<u32>,
    /// Words of severities; an empty list gives none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity_filter: Option<Vec<String>>,
    /// Primary keys of clients; drops alerts without an agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_filter: Option<Vec<i64>>,
}

/// One alert.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Alert {
    /// Primary key; a failure after a resolve is a new one.
    pub id: i64,
    /// The agent's host name; absent, as the next three, where the alert has no agent.
    #[serde(default, deserialize_with = "lenient::text")]
    pub hostname: Option<String>,
    /// The agent's text id.
    #[serde(default, deserialize_with = "lenient::text")]
    pub agent_id: Option<String>,
    /// The client's name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub client: Option<String>,
    /// The site's name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub site: Option<String>,
    /// When it opened, to the microsecond.
    #[serde(default, deserialize_with = "lenient::time")]
    pub alert_time: Option<DateTime<Utc>>,
    /// `availability`, `check`, `task` or `custom`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub alert_type: Option<String>,
    /// Its text; may be empty.
    #[serde(default, deserialize_with = "lenient::raw")]
    pub message: Option<String>,
    /// `info`, `warning` or `error`; changes in place while it is open.
    #[serde(default, deserialize_with = "lenient::text")]
    pub severity: Option<String>,
    /// Whether a person put it off.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub snoozed: Option<bool>,
    /// Until when.
    #[serde(default, deserialize_with = "lenient::time")]
    pub snooze_until: Option<DateTime<Utc>>,
    /// Whether it is over.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub resolved: Option<bool>,
    /// Since when.
    #[serde(default, deserialize_with = "lenient::time")]
    pub resolved_on: Option<DateTime<Utc>>,
    /// Whether the dashboard leaves it out.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub hidden: Option<bool>,
    /// When the failure action ran; `None` = never.
    #[serde(default, deserialize_with = "lenient::time")]
    pub action_run: Option<DateTime<Utc>>,
    /// A webhook's HTTP status, or 500 where it could not be sent.
    #[serde(default, deserialize_with = "lenient::int")]
    pub action_retcode: Option<i64>,
    /// When the resolved action ran.
    #[serde(default, deserialize_with = "lenient::time")]
    pub resolved_action_run: Option<DateTime<Utc>>,
    /// As `action_retcode`, of the resolved action.
    #[serde(default, deserialize_with = "lenient::int")]
    pub resolved_action_retcode: Option<i64>,
    /// Primary key of the agent.
    #[serde(default, deserialize_with = "lenient::int")]
    pub agent: Option<i64>,
    /// Primary key of the check.
    #[serde(default, deserialize_with = "lenient::int")]
    pub assigned_check: Option<i64>,
    /// Primary key of the task.
    #[serde(default, deserialize_with = "lenient::int")]
    pub assigned_task: Option<i64>,
}

/// The oldest open alerts, and how many are open.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TopAlerts {
    /// Open alerts in all.
    #[serde(default)]
    pub alerts_count: u64,
    /// The oldest of them that are neither snoozed nor hidden.
    pub alerts: Vec<Alert>,
}

/// What a person does to an alert. No webhook is sent for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertChange {
    /// Over; a check that still fails opens a new one on its next run.
    Resolve,
    /// Put off for so many days.
    Snooze {
        /// Days from now.
        days: u32,
    },
    /// No longer put off.
    Unsnooze,
}

/// An alert template, as far as it says who is called.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AlertTemplate {
    /// Primary key.
    pub id: i64,
    /// What an agent's row names.
    #[serde(default, deserialize_with = "lenient::text")]
    pub name: Option<String>,
    /// Whether it does anything.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub is_active: Option<bool>,
    /// Whether it applies where no policy, site or client names one.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub default_template: Option<bool>,
    /// `rest` where the failure action is a URL action.
    #[serde(default, deserialize_with = "lenient::text")]
    pub action_type: Option<String>,
    /// Primary key of the failure URL action.
    #[serde(default, deserialize_with = "lenient::int")]
    pub action_rest: Option<i64>,
    /// `rest` where the resolved action is a URL action.
    #[serde(default, deserialize_with = "lenient::text")]
    pub resolved_action_type: Option<String>,
    /// Primary key of the resolved URL action.
    #[serde(default, deserialize_with = "lenient::int")]
    pub resolved_action_rest: Option<i64>,
    /// Whether availability alerts run the actions.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub agent_script_actions: Option<bool>,
    /// Whether checks' alerts run the actions.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub check_script_actions: Option<bool>,
    /// Whether tasks' alerts run the actions.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub task_script_actions: Option<bool>,
    /// Whether workstations are left out.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub exclude_workstations: Option<bool>,
    /// Whether servers are left out.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub exclude_servers: Option<bool>,
    /// Primary keys of clients that are left out.
    #[serde(default, deserialize_with = "lenient::ints")]
    pub excluded_clients: Vec<i64>,
    /// Primary keys of sites that are left out.
    #[serde(default, deserialize_with = "lenient::ints")]
    pub excluded_sites: Vec<i64>,
    /// Primary keys of agents that are left out.
    #[serde(default, deserialize_with = "lenient::ints")]
    pub excluded_agents: Vec<i64>,
}

/// A URL action. Its headers hold secrets in clear.
#[derive(Debug, Clone, Deserialize)]
pub struct UrlAction {
    /// Primary key.
    pub id: i64,
    /// Not unique.
    #[serde(default, deserialize_with = "lenient::text")]
    pub name: Option<String>,
    /// The URL, a template.
    #[serde(default, deserialize_with = "lenient::text")]
    pub pattern: Option<String>,
    /// `rest` or `web`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub action_type: Option<String>,
    /// `get`, `post`, `put`, `patch` or `delete`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub rest_method: Option<String>,
    /// The body, a template.
    #[serde(default, deserialize_with = "lenient::raw")]
    pub rest_body: Option<String>,
    /// A JSON object of strings as text, a template.
    #[serde(default, deserialize_with = "secret")]
    pub rest_headers: Option<SecretString>,
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    Ok(lenient::raw(deserializer)?.map(SecretString::from))
}

impl Client {
    /// `PATCH /alerts/`: alerts, in no order, hidden ones included; no pages. Needs `can_list_alerts`.
    ///
    /// # Errors
    /// Tactical's refusal, or why there is no answer; the stream has its own.
    pub async fn alerts(&self, filter: &AlertFilter) -> Result<Stream<Alert>, Error> {
        let body = serde_json::to_value(filter).expect("a filter is plain data");
        self.stream(Ask::new(Method::PATCH, "/alerts/", &[]).body(body)).await
    }

    /// `PATCH /alerts/ {"top": n}`: the oldest open alerts. Needs `can_list_alerts`.
    ///
    /// # Errors
    /// As [`Client::alerts`].
    pub async fn top_alerts(&self, top: u32) -> Result<TopAlerts, Error> {
        self.large(Ask::new(Method::PATCH, "/alerts/", &[]).body(json!({"top": top}))).await
    }

    /// `GET /alerts/<id>/`.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is gone: deleted, pruned, or its agent, check or task is.
    pub async fn alert(&self, id: i64) -> Result<Alert, Error> {
        self.object(Ask::get("/alerts/{alert}/", &[&id.to_string()])).await
    }

    /// `PUT /alerts/<id>/`: may be repeated. Needs `can_manage_alerts`.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is gone.
    pub async fn change_alert(&self, id: i64, change: AlertChange) -> Result<(), Error> {
        let body = match change {
            AlertChange::Resolve => json!({"type": "resolve"}),
            AlertChange::Snooze { days } => json!({"type": "snooze", "snooze_days": days}),
            AlertChange::Unsnooze => json!({"type": "unsnooze"}),
        };
        let ask = Ask::new(Method::PUT, "/alerts/{alert}/", &[&id.to_string()]);
        self.object::<String>(ask.body(body)).await.map(drop)
    }

    /// `GET /alerts/templates/`. Needs `can_list_alerttemplates`.
    ///
    /// # Errors
    /// As [`Client::alerts`].
    pub async fn alert_templates(&self) -> Result<Vec<AlertTemplate>, Error> {
        self.list(Ask::get("/alerts/templates/", &[])).await
    }

    /// `GET /core/urlaction/`. Needs `can_run_urlactions`.
    ///
    /// # Errors
    /// As [`Client::alerts`].
    pub async fn url_actions(&self) -> Result<Vec<UrlAction>, Error> {
        self.list(Ask::get("/core/urlaction/", &[])).await
    }
}
