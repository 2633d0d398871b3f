//! Alerts.

mod act;

pub(crate) use act::{acknowledge, resolve};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use store::view::{self, AlertFilter, AlertKey};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::call::{Call, Reply};
use crate::cursor;
use crate::problem::Problem;
use crate::route::NoBody;

/// Where an alert stands.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AlertStatus {
    Active,
    Acknowledged,
    Suppressed,
    Resolved,
    AutoResolved,
}

impl AlertStatus {
    fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Acknowledged => "acknowledged",
            Self::Suppressed => "suppressed",
            Self::Resolved => "resolved",
            Self::AutoResolved => "auto_resolved",
        }
    }
}

/// How bad an alert is.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Severity {
    Critical,
    Major,
    Moderate,
    Minor,
    None,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Major => "major",
            Self::Moderate => "moderate",
            Self::Minor => "minor",
            Self::None => "none",
        }
    }
}

/// Which alerts.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct AlertsQuery {
    /// Only those that stand so.
    #[param(inline)]
    status: Option<AlertStatus>,
    /// Only those that are so bad.
    #[param(inline)]
    severity: Option<Severity>,
    /// Only those of this device.
    asset: Option<Uuid>,
    /// Only those of this agent of Tactical.
    agent: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows of the page, 1 to 500; 100 where absent.
    limit: Option<u16>,
}

/// An alert.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Alert {
    alert_id: Uuid,
    /// Tactical's number of it, or a name made of what is known.
    external_alert_id: String,
    /// Tactical's id of the agent.
    agent_id: Option<String>,
    /// The device, once it is known.
    asset_id: Option<Uuid>,
    asset_name: Option<String>,
    /// The device's name as the alert has it.
    device_name: Option<String>,
    /// critical, major, moderate, minor or none
    severity: String,
    /// active, acknowledged, suppressed, resolved or `auto_resolved`
    status: String,
    /// availability, check, task or custom
    source_type: Option<String>,
    /// What kind of check.
    alert_class: Option<String>,
    message: Option<String>,
    /// A person put it off in Tactical.
    is_snoozed: bool,
    /// When that ends, where it does.
    snoozed_until: Option<DateTime<Utc>>,
    /// A person hid it in Tactical's dashboard.
    is_hidden: bool,
    triggered_at: DateTime<Utc>,
    resolved_at: Option<DateTime<Utc>>,
    acknowledged_at: Option<DateTime<Utc>>,
    /// Equal for alerts of the same cause.
    dedup_key: Option<String>,
    /// How often that cause came.
    occurrence_count: i32,
    last_occurrence_at: Option<DateTime<Utc>>,
    updated_at: DateTime<Utc>,
}

impl From<view::Alert> for Alert {
    fn from(alert: view::Alert) -> Self {
        Self {
            alert_id: alert.alert_id,
            external_alert_id: alert.external_alert_id,
            agent_id: alert.agent_id,
            asset_id: alert.asset_id,
            asset_name: alert.asset_name,
            device_name: alert.device_name,
            severity: alert.severity,
            status: alert.status,
            source_type: alert.source_type,
            alert_class: alert.alert_class,
            message: alert.message,
            is_snoozed: alert.is_snoozed,
            snoozed_until: alert.snoozed_until,
            is_hidden: alert.is_hidden,
            triggered_at: alert.triggered_at,
            resolved_at: alert.resolved_at,
            acknowledged_at: alert.acknowledged_at,
            dedup_key: alert.dedup_key,
            occurrence_count: alert.occurrence_count,
            last_occurrence_at: alert.last_occurrence_at,
            updated_at: alert.updated_at,
        }
    }
}

/// Alerts, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Alerts {
    alerts: Vec<Alert>,
    /// `cursor` of the next page; null: this is the last.
    next_cursor: Option<String>,
}

/// `GET …/alerts`, the newest first.
pub(crate) async fn list(call: Call, query: AlertsQuery, _: NoBody) -> Result<Reply<Alerts>, Problem> {
    let limit = cursor::limit(query.limit)?;
    let after = query.cursor.as_deref().map(cursor::to_alert).transpose()?;
    let filter = AlertFilter {
        status: query.status.map(|status| status.as_str().to_owned()),
        severity: query.severity.map(|severity| severity.as_str().to_owned()),
        asset_id: query.asset,
        agent_id: query.agent,
    };
    let rows = view::alerts(&call.app.store, call.tenant, &filter, after, limit + 1).await?;
    let cursor =
        |row: &view::Alert| cursor::of_alert(AlertKey { triggered_at: row.triggered_at, alert_id: row.alert_id });
    let (rows, next_cursor) = cursor::page(rows, limit, cursor);
    Ok(Reply::ok(Alerts { alerts: rows.into_iter().map(Alert::from).collect(), next_cursor }))
}
