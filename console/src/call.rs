//! One request, once it is known who asks and that it may: what a handler gets, and what it gives back.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use store::audit::Entry;
use store::token::Token;
use uuid::Uuid;

use crate::app::App;
use crate::problem::Problem;

/// Who asks for what.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) app: Arc<App>,
    pub(crate) token: Token,
    /// What stands in the braces of the route's path.
    pub(crate) path: BTreeMap<String, String>,
    /// The tenant in the path, which exists and which the token is for; nil where the path has none.
    pub(crate) tenant: Uuid,
}

impl Call {
    /// An id of the path. What is no id is as unknown as one that nothing has.
    pub(crate) fn id(&self, name: &str, what: &str) -> Result<Uuid, Problem> {
        let text = self.path.get(name).map(String::as_str).unwrap_or_default();
        Uuid::parse_str(text).map_err(|_| Problem::not_found(what))
    }

    /// The tenant that a route without one in its path is about: the token's own, where it has one, else the one that was
    /// asked for, which may be none.
    pub(crate) fn only_tenant(&self, asked: Option<Uuid>) -> Result<Option<Uuid>, Problem> {
        match (self.token.tenant, asked) {
            (Some(own), Some(asked)) if own != asked => Err(Problem::no_tenant()),
            (own, asked) => Ok(own.or(asked)),
        }
    }

    /// What the audit will say: the token's name did it.
    pub(crate) fn entry(&self, action: &'static str, subject: Option<String>, detail: Value) -> Entry {
        Entry { tenant: Some(self.tenant), actor: self.token.name.clone(), action, subject, detail }
    }
}

/// An answer: 200 or 202 with JSON.
#[derive(Debug)]
pub(crate) struct Reply<T> {
    value: T,
    /// 202: where to look how it goes.
    location: Option<String>,
}

impl<T> Reply<T> {
    /// 200.
    pub(crate) fn ok(value: T) -> Self {
        Self { value, location: None }
    }

    /// 202: it is under way, and can be watched there.
    pub(crate) fn accepted(value: T, location: String) -> Self {
        Self { value, location: Some(location) }
    }
}

impl<T: Serialize> IntoResponse for Reply<T> {
    fn into_response(self) -> Response {
        let text = match serde_json::to_string(&self.value) {
            Ok(text) => text,
            Err(error) => return Problem::internal(format!("write an answer: {error}")).into_response(),
        };
        let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        let Some(location) = self.location else { return (content_type, text).into_response() };
        let mut response = (StatusCode::ACCEPTED, content_type, text).into_response();
        let location = HeaderValue::from_str(&location).expect("a path of ours is ASCII");
        response.headers_mut().insert(header::LOCATION, location);
        response
    }
}
