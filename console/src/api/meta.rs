//! About the API itself: who am I, and what is there.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::call::{Call, Reply};
use crate::openapi;
use crate::problem::Problem;
use crate::route::{NoBody, NoQuery};

/// What the token of the request is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WhoAmI {
    /// The name that the audit has.
    name: String,
    /// The only tenant that it opens; null: every tenant.
    tenant: Option<Uuid>,
    /// What it allows.
    permissions: Vec<String>,
    /// Good until then; null: until it is revoked.
    expires_at: Option<DateTime<Utc>>,
}

/// `GET /api/v1/whoami`.
pub(crate) async fn whoami(call: Call, _: NoQuery, _: NoBody) -> Result<Reply<WhoAmI>, Problem> {
    let token = call.token;
    Ok(Reply::ok(WhoAmI {
        name: token.name,
        tenant: token.tenant,
        permissions: token.permissions.iter().map(ToString::to_string).collect(),
        expires_at: token.expires_at,
    }))
}

/// An OpenAPI document.
#[derive(Debug, Serialize, ToSchema)]
#[schema(value_type = Object)]
pub(crate) struct Document(Value);

/// `GET /api/v1/openapi.json`.
pub(crate) async fn document(_: Call, _: NoQuery, _: NoBody) -> Result<Reply<Document>, Problem> {
    let document = serde_json::to_value(openapi::document()).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(Reply::ok(Document(document)))
}
