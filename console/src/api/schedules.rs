//! Schedules: when each kind of sync runs by itself.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use store::connection;
use store::run::Kind;
use store::schedule::{self, INTERVAL_S_MAX, INTERVAL_S_MIN, Patch, PatchEnd};
use utoipa::ToSchema;

use crate::call::{Call, Reply};
use crate::problem::Problem;
use crate::route::{Json, NoBody, NoQuery};

/// When one kind of sync runs by itself.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Schedule {
    /// clients, devices, software or alerts
    kind: &'static str,
    enabled: bool,
    /// How often, in seconds.
    interval_s: i32,
    /// Nobody has set an interval: `interval_s` is the default.
    is_default: bool,
    /// In seconds; that of devices follows the size of the fleet.
    default_interval_s: i32,
    /// The next run, on the database's clock; null: it is switched off, or the connection is not active.
    next_due_at: Option<DateTime<Utc>>,
    /// The moment that the last run was for.
    last_slot: Option<DateTime<Utc>>,
    /// Its runs fail for a cause that needs a person.
    failing: Option<Failing>,
}

/// Runs of a kind that fail one after the other for the same cause, which only a person can take away.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Failing {
    /// clients, devices, software or alerts
    kind: &'static str,
    cause: String,
    since: DateTime<Utc>,
    /// How many in a row.
    count: i32,
    /// Since when it therefore runs at most once an hour, until one succeeds; null: not yet.
    attention_at: Option<DateTime<Utc>>,
}

/// All schedules of a connection.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Schedules {
    schedules: Vec<Schedule>,
}

/// What is to change about a schedule; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScheduleChange {
    /// How often, in seconds, 60 to 604800 (seven days); null: the default again.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i64>, minimum = 60, maximum = 604_800)]
    interval_s: Option<Option<i64>>,
    /// Whether it runs by itself.
    enabled: Option<bool>,
}

/// Null is a value here: it says the default.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<i64>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl From<schedule::Schedule> for Schedule {
    fn from(found: schedule::Schedule) -> Self {
        let kind = found.kind.as_str();
        Self {
            kind,
            enabled: found.is_enabled,
            interval_s: found.interval_s.unwrap_or(found.default_interval_s),
            is_default: found.interval_s.is_none(),
            default_interval_s: found.default_interval_s,
            next_due_at: found.next_due_at,
            last_slot: found.last_slot,
            failing: found.failing.map(|failing| Failing::of(kind, failing)),
        }
    }
}

impl Failing {
    fn of(kind: &'static str, failing: schedule::Failing) -> Self {
        let schedule::Failing { cause, since, count, attention_at } = failing;
        Self { kind, cause, since, count, attention_at }
    }
}

/// What fails for good, for whoever asks how the connection stands.
pub(super) async fn attention(call: &Call) -> Result<Vec<Failing>, Problem> {
    let schedules = schedule::list(&call.app.store, call.tenant).await?;
    let failing =
        schedules.into_iter().filter_map(|it| it.failing.map(|failing| Failing::of(it.kind.as_str(), failing)));
    Ok(failing.filter(|failing| failing.attention_at.is_some()).collect())
}

/// `GET …/schedules`.
pub(crate) async fn list(call: Call, _: NoQuery, _: NoBody) -> Result<Reply<Schedules>, Problem> {
    connection::find(&call.app.store, call.tenant).await?.ok_or_else(Problem::not_connected)?;
    let schedules = schedule::list(&call.app.store, call.tenant).await?;
    Ok(Reply::ok(Schedules { schedules: schedules.into_iter().map(Schedule::from).collect() }))
}

/// `PATCH …/schedules/{kind}`.
pub(crate) async fn patch(
    call: Call,
    _: NoQuery,
    Json(change): Json<ScheduleChange>,
) -> Result<Reply<Schedule>, Problem> {
    let store = &call.app.store;
    let kind =
        call.path.get("kind").and_then(|word| Kind::parse(word)).ok_or_else(|| Problem::not_found("schedule"))?;
    if change.interval_s.is_none() && change.enabled.is_none() {
        return Err(Problem::invalid("The change changes nothing.", "Send `interval_s`, `enabled` or both."));
    }
    let interval_s = change.interval_s.map(checked).transpose()?;
    let detail = json!({"kind": kind.as_str(), "interval_s": change.interval_s, "enabled": change.enabled,
        "is_interval_given": change.interval_s.is_some()});
    let entry = call.entry("schedule.change", Some(kind.as_str().to_owned()), detail);
    let patch = Patch { interval_s, is_enabled: change.enabled };
    if schedule::patch(store, call.tenant, kind, &patch, &entry).await? == PatchEnd::NotConnected {
        return Err(Problem::not_connected());
    }
    let after = schedule::list(store, call.tenant).await?.into_iter().find(|schedule| schedule.kind == kind);
    after.map(|schedule| Reply::ok(schedule.into())).ok_or_else(Problem::not_connected)
}

/// An interval within its limits.
fn checked(interval_s: Option<i64>) -> Result<Option<i32>, Problem> {
    let Some(given) = interval_s else { return Ok(None) };
    let within = i32::try_from(given).ok().filter(|it| (INTERVAL_S_MIN..=INTERVAL_S_MAX).contains(it));
    within.map(Some).ok_or_else(|| {
        let detail = format!("`interval_s` is {given}, which is no interval of a schedule.");
        let remedy = format!("Send {INTERVAL_S_MIN} to {INTERVAL_S_MAX} seconds (7 days), or null for the default.");
        Problem::invalid(detail, remedy)
    })
}
