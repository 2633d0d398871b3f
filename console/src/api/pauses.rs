//! Pauses: a tenant's or a kind's messages wait, and nothing of them is lost.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::audit::Entry;
use store::pause::{self, Scope};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::call::{Call, Reply};
use crate::problem::Problem;
use crate::route::{Json, NoBody, NoQuery};

/// Which pauses.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct PausesQuery {
    /// Only those that concern this tenant, and of them only its messages.
    tenant: Option<Uuid>,
}

/// A pause in force.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Pause {
    /// Whose messages wait; null: every tenant's.
    tenant: Option<Uuid>,
    /// Messages of which kind; null: of every kind.
    kind: Option<String>,
    /// person: somebody paused it; parks: too many messages of the kind were parked within a minute
    cause: String,
    paused_by: String,
    paused_at: DateTime<Utc>,
    /// Messages that wait for its end.
    held: i64,
}

impl From<pause::Shown> for Pause {
    fn from(shown: pause::Shown) -> Self {
        Self {
            tenant: shown.tenant,
            kind: shown.kind,
            cause: shown.cause,
            paused_by: shown.paused_by,
            paused_at: shown.paused_at,
            held: shown.held,
        }
    }
}

/// The pauses in force, the oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Pauses {
    pauses: Vec<Pause>,
}

/// `GET /api/v1/pauses`.
pub(crate) async fn list(call: Call, query: PausesQuery, _: NoBody) -> Result<Reply<Pauses>, Problem> {
    let tenant = call.only_tenant(query.tenant)?;
    let pauses = pause::list(&call.app.store, tenant).await?;
    Ok(Reply::ok(Pauses { pauses: pauses.into_iter().map(Pause::from).collect() }))
}

/// What is paused or resumed: a tenant, a kind, or a kind of a tenant. The token of a tenant means that tenant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PauseScope {
    tenant: Option<Uuid>,
    kind: Option<String>,
}

/// What is paused now, or no longer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PauseChange {
    tenant: Option<Uuid>,
    kind: Option<String>,
    /// Whether this request changed it.
    is_new: bool,
}

impl PauseScope {
    async fn read(self, call: &Call) -> Result<Scope, Problem> {
        let scope = Scope { tenant: call.only_tenant(self.tenant)?, kind: self.kind };
        if scope.tenant.is_none() && scope.kind.is_none() {
            let remedy = "Name a tenant, a kind, or both.";
            return Err(Problem::invalid("Neither a tenant nor a kind was named.", remedy));
        }
        if let Some(tenant) = scope.tenant
            && !store::view::tenant_exists(&call.app.store, tenant).await?
        {
            return Err(Problem::no_tenant());
        }
        Ok(scope)
    }
}

/// `POST /api/v1/pauses/pause`.
pub(crate) async fn pause(
    call: Call,
    _: NoQuery,
    Json(asked): Json<PauseScope>,
) -> Result<Reply<PauseChange>, Problem> {
    let scope = asked.read(&call).await?;
    if scope.kind.as_deref().is_some_and(|kind| contract::find_kind(kind).is_none()) {
        let known: Vec<&str> = contract::KINDS.iter().map(|kind| kind.name).collect();
        return Err(Problem::invalid("`kind` is no kind of message.", format!("There are {}.", known.join(", "))));
    }
    let is_new = pause::pause(&call.app.store, &scope, &entry(&call, "pause", &scope)).await?;
    Ok(Reply::ok(PauseChange { tenant: scope.tenant, kind: scope.kind, is_new }))
}

/// `POST /api/v1/pauses/resume`. Exactly this pause ends; workers send what it held and no other pause holds.
pub(crate) async fn resume(
    call: Call,
    _: NoQuery,
    Json(asked): Json<PauseScope>,
) -> Result<Reply<PauseChange>, Problem> {
    let scope = asked.read(&call).await?;
    let is_new = pause::resume(&call.app.store, &scope, &entry(&call, "resume", &scope)).await?;
    Ok(Reply::ok(PauseChange { tenant: scope.tenant, kind: scope.kind, is_new }))
}

fn entry(call: &Call, action: &'static str, scope: &Scope) -> Entry {
    let (actor, subject) = (call.token.name.clone(), scope.kind.clone());
    Entry { tenant: scope.tenant, actor, action, subject, detail: json!({}) }
}
