//! What a route is: method, path, permission, handler and description in one row.
//!
//! Types of query, body and answer come from the handler itself, so that neither the router nor the description can say
//! something else than what is done.

use std::future::Future;
use std::pin::Pin;

use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use store::token::Permission;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{IntoParams, ToSchema};

use crate::call::{Call, Reply};
use crate::complaint::{self, parse};
use crate::problem::Problem;

/// The methods that routes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "HTTP's own words")]
pub enum Method {
    Get,
    Put,
    Post,
    Patch,
}

impl Method {
    /// As HTTP writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Patch => "PATCH",
        }
    }
}

/// What a token needs for a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// To be good.
    AnyToken,
    /// This permission, for the tenant in the path.
    Permission(Permission),
    /// This permission, with a token of every tenant: it is about what all of them share.
    EveryTenant(Permission),
}

/// Schemas by name, as they are found.
pub(crate) type Schemas = Vec<(String, RefOr<Schema>)>;
type Outcome = Pin<Box<dyn Future<Output = Result<Response, Problem>> + Send>>;
type Handler = Box<dyn Fn(Call, &Uri, Bytes) -> Outcome + Send + Sync>;

/// One row of the table.
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Its path, with names in braces.
    pub path: &'static str,
    /// Who may.
    pub needs: Needs,
    /// Its name in descriptions, metrics and generated clients.
    pub operation: &'static str,
    /// What it does, in one sentence.
    pub summary: &'static str,
    pub(crate) handler: Handler,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) body: fn(&mut Schemas) -> Option<BodyDoc>,
    pub(crate) answer: fn(&mut Schemas) -> RefOr<Schema>,
    /// 202 instead of 200.
    pub(crate) is_accepted: bool,
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Route")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("needs", &self.needs)
            .field("operation", &self.operation)
            .finish_non_exhaustive()
    }
}

/// A body in the description.
pub(crate) struct BodyDoc {
    pub(crate) schema: RefOr<Schema>,
    pub(crate) is_required: bool,
}

/// A query in the address; unknown parameters are refused.
pub(crate) trait Query: DeserializeOwned + IntoParams + Send + 'static {}
impl<T: DeserializeOwned + IntoParams + Send + 'static> Query for T {}

/// No query.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoQuery {}

impl IntoParams for NoQuery {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        Vec::new()
    }
}

/// What a request carries.
pub(crate) trait Body: Sized + Send + 'static {
    fn read(body: &[u8]) -> Result<Self, Problem>;
    fn document(schemas: &mut Schemas) -> Option<BodyDoc>;
}

/// Nothing, or an object without anything in it: what would be ignored is refused.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoBody {}

impl Body for NoBody {
    fn read(body: &[u8]) -> Result<Self, Problem> {
        if body.trim_ascii().is_empty() { Ok(Self::default()) } else { parse(body) }
    }

    fn document(_: &mut Schemas) -> Option<BodyDoc> {
        None
    }
}

/// JSON.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned + ToSchema + Send + 'static> Body for Json<T> {
    fn read(body: &[u8]) -> Result<Self, Problem> {
        parse(body).map(Self)
    }

    fn document(schemas: &mut Schemas) -> Option<BodyDoc> {
        Some(BodyDoc { schema: schema_of::<T>(schemas), is_required: true })
    }
}

/// JSON, or nothing, which stands for the default.
#[derive(Debug)]
pub(crate) struct OptionalJson<T>(pub(crate) T);

impl<T: DeserializeOwned + ToSchema + Default + Send + 'static> Body for OptionalJson<T> {
    fn read(body: &[u8]) -> Result<Self, Problem> {
        if body.trim_ascii().is_empty() { Ok(Self(T::default())) } else { parse(body).map(Self) }
    }

    fn document(schemas: &mut Schemas) -> Option<BodyDoc> {
        Some(BodyDoc { schema: schema_of::<T>(schemas), is_required: false })
    }
}

/// Notes a type's schema and all that it is made of, and answers a reference to it.
pub(crate) fn schema_of<T: ToSchema>(schemas: &mut Schemas) -> RefOr<Schema> {
    T::schemas(schemas);
    let name = T::name().into_owned();
    schemas.push((name.clone(), T::schema()));
    Ref::from_schema_name(name).into()
}

impl Route {
    /// A row whose types are its handler's.
    pub(crate) fn new<Q: Query, B: Body, A, F>(
        method: Method,
        path: &'static str,
        needs: Needs,
        (operation, summary): (&'static str, &'static str),
        handler: fn(Call, Q, B) -> F,
    ) -> Self
    where
        A: Serialize + ToSchema + 'static,
        F: Future<Output = Result<Reply<A>, Problem>> + Send + 'static,
    {
        let boxed = move |call: Call, uri: &Uri, body: Bytes| -> Outcome {
            let read = read_query::<Q>(uri).and_then(|query| Ok((query, B::read(&body)?)));
            match read {
                Err(problem) => Box::pin(std::future::ready(Err(problem))),
                Ok((query, body)) => {
                    let answering = handler(call, query, body);
                    Box::pin(async move { answering.await.map(|reply| reply.into_response()) })
                }
            }
        };
        Self {
            method,
            path,
            needs,
            operation,
            summary,
            handler: Box::new(boxed),
            parameters: Q::into_params(|| Some(ParameterIn::Query)),
            body: B::document,
            answer: schema_of::<A>,
            is_accepted: false,
        }
    }

    /// It starts work and answers 202.
    pub(crate) fn accepted(mut self) -> Self {
        self.is_accepted = true;
        self
    }

    /// The permission that it needs, if it needs one.
    #[must_use]
    pub fn permission(&self) -> Option<Permission> {
        match self.needs {
            Needs::AnyToken => None,
            Needs::Permission(permission) | Needs::EveryTenant(permission) => Some(permission),
        }
    }

    /// Whether a token of a single tenant is not enough.
    #[must_use]
    pub fn is_of_every_tenant(&self) -> bool {
        matches!(self.needs, Needs::EveryTenant(_))
    }

    /// What a good answer's status is.
    pub(crate) fn status(&self) -> StatusCode {
        if self.is_accepted { StatusCode::ACCEPTED } else { StatusCode::OK }
    }

    /// The heading that it stands under in the description: the first word of its path that is no id, below the tenant.
    pub(crate) fn tag(&self) -> &'static str {
        let below = match self.path.rsplit_once("{tenant}/") {
            Some((_, below)) => below,
            None if self.permission().is_some() => self.path.trim_start_matches("/api/v1/"),
            None => "about",
        };
        below.split('/').next().unwrap_or(below)
    }

    /// The names in the braces of its path.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }
}

fn read_query<Q: Query>(uri: &Uri) -> Result<Q, Problem> {
    let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    if let Some((name, _)) = pairs.into_iter().find(|(name, value)| name.contains('\0') || value.contains('\0')) {
        return Err(complaint::nul(&name));
    }
    let query = axum::extract::Query::<Q>::try_from_uri(uri);
    query.map(|query| query.0).map_err(|rejection| {
        let text = rejection.body_text();
        let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
        let known = Q::into_params(|| Some(ParameterIn::Query));
        let named = text.split_once(": ").filter(|(name, _)| known.iter().any(|parameter| parameter.name == *name));
        // the name of an unknown one stands before it, too
        let (name, text) = named.unwrap_or(("", text.find("unknown field").map_or(text, |at| &text[at..])));
        complaint::of("The address", name, text)
    })
}
