//! Alerts as the operators' API shows them.

use chrono::{DateTime, Utc};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgTypeInfo, PgValueRef, Postgres};
use uuid::Uuid;

use crate::hook::PROVIDER;
use crate::{Error, Store};

/// Which alerts; an absent filter lets all through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// active, acknowledged, suppressed, resolved or `auto_resolved`.
    pub status: Option<String>,
    /// critical, major, moderate, minor or none.
    pub severity: Option<String>,
    /// The device.
    pub asset_id: Option<Uuid>,
    /// The device by Tactical's agent.
    pub agent_id: Option<String>,
}

/// The place of an alert in the list: the newest come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlertKey {
    /// When it was triggered.
    pub triggered_at: DateTime<Utc>,
    /// Which, of those triggered at once.
    pub alert_id: Uuid,
}

/// An alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// The alert.
    pub alert_id: Uuid,
    /// Tactical's number of it, or a name made of what is known.
    pub external_alert_id: String,
    /// Tactical's agent.
    pub agent_id: Option<String>,
    /// The device, once it is known.
    pub asset_id: Option<Uuid>,
    /// The device's name as an asset.
    pub asset_name: Option<String>,
    /// The device's name as the alert has it.
    pub device_name: Option<String>,
    /// critical, major, moderate, minor or none.
    pub severity: String,
    /// active, acknowledged, suppressed, resolved or `auto_resolved`.
    pub status: String,
    /// availability, check, task or custom.
    pub source_type: Option<String>,
    /// What kind of check.
    pub alert_class: Option<String>,
    /// What Tactical says.
    pub message: Option<String>,
    /// A person put it off in Tactical, as far as a poll has told.
    pub is_snoozed: bool,
    /// When that ends, where it does.
    pub snoozed_until: Option<DateTime<Utc>>,
    /// A person hid it in Tactical's dashboard, as far as a poll has told.
    pub is_hidden: bool,
    /// When it was triggered.
    pub triggered_at: DateTime<Utc>,
    /// When it was resolved.
    pub resolved_at: Option<DateTime<Utc>>,
    /// When a person acknowledged it.
    pub acknowledged_at: Option<DateTime<Utc>>,
    /// Equal for alerts of the same cause.
    pub dedup_key: Option<String>,
    /// How often that cause came.
    pub occurrence_count: i32,
    /// When it came last.
    pub last_occurrence_at: Option<DateTime<Utc>>,
    /// When the row was changed last.
    pub updated_at: DateTime<Utc>,
}

/// A time that somebody else may have written: none where it is no time.
struct Loose(Option<DateTime<Utc>>);

impl sqlx::Type<Postgres> for Loose {
    fn type_info() -> PgTypeInfo {
        <str as sqlx::Type<Postgres>>::type_info()
    }
}

impl<'r> sqlx::Decode<'r, Postgres> for Loose {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        <&str as sqlx::Decode<Postgres>>::decode(value).map(|text| Self(text.parse().ok()))
    }
}

impl From<Loose> for Option<DateTime<Utc>> {
    fn from(loose: Loose) -> Self {
        loose.0
    }
}

/// One page of a tenant's alerts, the newest first: at most `rows_max`, those after `after`.
///
/// # Errors
/// What the database said.
pub async fn alerts(
    store: &Store,
    tenant: Uuid,
    filter: &AlertFilter,
    after: Option<AlertKey>,
    rows_max: u16,
) -> Result<Vec<Alert>, Error> {
    let rows = sqlx::query_file_as!(
        Alert,
        "sql/view/alerts.sql",
        tenant,
        PROVIDER,
        after.map(|key| key.triggered_at),
        after.map(|key| key.alert_id),
        filter.status.as_deref(),
        filter.severity.as_deref(),
        filter.asset_id,
        filter.agent_id.as_deref(),
        i64::from(rows_max)
    );
    store.run(format!("list the alerts of tenant {tenant}"), rows.fetch_all(store.pool())).await
}
