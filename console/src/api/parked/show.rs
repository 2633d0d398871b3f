//! One parked message as it came, with the secrets taken out.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use store::parked::{self, Whole};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{redactor, trace_id};
use crate::call::{Call, Reply};
use crate::problem::Problem;
use crate::redact::Redactor;
use crate::route::{NoBody, NoQuery};

/// A parked message. What looks like a secret stands as `[redacted]`; the bytes in the table are untouched.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WholeMessage {
    parked_id: i64,
    /// Null: its envelope does not say.
    tenant: Option<Uuid>,
    kind: Option<String>,
    message_id: Option<String>,
    /// parked: it failed; held: its tenant or kind is paused
    state: String,
    /// What kind of failure it was.
    class: String,
    /// The error with its causes.
    reason: String,
    /// Attempts that it has burnt.
    attempt: i32,
    /// Name and version of the program that gave it up.
    worker_version: String,
    exchange: String,
    routing_key: String,
    /// The queue that it was in.
    queue: Option<String>,
    /// Its trace, for Jaeger and the like.
    trace_id: Option<String>,
    first_published_at: Option<DateTime<Utc>>,
    parked_at: DateTime<Utc>,
    /// Every header as text.
    #[schema(value_type = Object)]
    headers: Value,
    body_bytes: usize,
    /// The payload where it is JSON; a webhook's body in it (`raw`) is shown as text.
    #[schema(value_type = Object)]
    body: Value,
    /// The payload where it is no JSON; what is no UTF-8 in it is replaced.
    body_text: Option<String>,
}

/// `GET /api/v1/parked/{parked}`.
pub(crate) async fn one(call: Call, _: NoQuery, _: NoBody) -> Result<Reply<WholeMessage>, Problem> {
    let text = call.path.get("parked").map(String::as_str).unwrap_or_default();
    let parked_id: i64 = text.parse().map_err(|_| Problem::not_found(WHAT))?;
    let tenant = call.only_tenant(None)?;
    let row = parked::find(&call.app.store, tenant, parked_id).await?.ok_or_else(|| Problem::not_found(WHAT))?;
    let redactor = redactor(&call, row.tenant).await?;
    Ok(Reply::ok(shown(row, &redactor)))
}

const WHAT: &str = "parked message";

fn shown(row: Whole, redactor: &Redactor) -> WholeMessage {
    let body = serde_json::from_slice::<Value>(&row.body).ok();
    let body_text = body.is_none().then(|| redactor.text(&String::from_utf8_lossy(&row.body)));
    WholeMessage {
        parked_id: row.parked_id,
        tenant: row.tenant,
        kind: row.kind,
        message_id: row.message_id,
        state: row.state,
        class: row.class,
        reason: redactor.text(&row.reason),
        attempt: row.attempt,
        worker_version: row.worker_version,
        exchange: row.exchange,
        routing_key: row.routing_key,
        queue: row.queue,
        trace_id: trace_id(row.traceparent.as_deref()),
        first_published_at: row.first_published_at,
        parked_at: row.parked_at,
        headers: redactor.json(row.headers),
        body_bytes: row.body.len(),
        body: body.map_or(Value::Null, |body| redactor.json(body)),
        body_text,
    }
}
