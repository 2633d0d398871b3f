//! The way of a request: its token, its tenant, its permission, its body, its handler; in this order for every route.
//!
//! The order is what a stranger may learn. Without a good token nothing; with one of a tenant nothing about another: a
//! foreign tenant, an unknown one and an unknown address below either are answered alike, whatever the token may do.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{FromRequestParts as _, MatchedPath, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodFilter, on};
use futures_util::FutureExt as _;
use listener::body::{self, BodyError};
use store::token::{self, Judged, Token};
use telemetry::{field, metric, trace};
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use crate::app::App;
use crate::call::Call;
use crate::problem::Problem;
use crate::route::{Method, Route};
use crate::table::TABLE;

/// Every route of the table, and nothing else.
pub fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for route in TABLE.iter() {
        let app = Arc::clone(&app);
        let dispatch = move |request: Request| dispatch(route, Arc::clone(&app), request);
        router = router.route(route.path, on(filter(route.method), dispatch));
    }
    router
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(async || guarded(Problem::no_route().into_response()))
}

fn filter(method: Method) -> MethodFilter {
    match method {
        Method::Get => MethodFilter::GET,
        Method::Put => MethodFilter::PUT,
        Method::Post => MethodFilter::POST,
        Method::Patch => MethodFilter::PATCH,
    }
}

async fn method_not_allowed(path: MatchedPath) -> Response {
    let methods = TABLE.iter().filter(|route| route.path == path.as_str()).map(|route| route.method.as_str());
    let allow = methods.collect::<Vec<_>>().join(", ");
    guarded(Problem::method_not_allowed(allow).into_response())
}

/// Answers one request.
async fn dispatch(route: &'static Route, app: Arc<App>, request: Request) -> Response {
    let begun = Instant::now();
    let span = server_span(route, request.headers());
    let outcome = limited(route, app, request).instrument(span.clone()).await;
    let response = outcome.unwrap_or_else(|problem| {
        span.in_scope(|| log(route, &problem));
        problem.into_response()
    });
    let status = response.status();
    span.record(field::HTTP_STATUS, status.as_u16());
    if status.is_server_error() {
        span.record(field::OTEL_STATUS_CODE, "ERROR");
    }
    let status = status.as_u16().to_string();
    metrics::counter!(metric::CONSOLE_REQUESTS_TOTAL, "operation" => route.operation, "status" => status).increment(1);
    metrics::histogram!(metric::CONSOLE_SECONDS, "operation" => route.operation).record(begun.elapsed());
    guarded(response)
}

fn server_span(route: &Route, headers: &HeaderMap) -> Span {
    let span = tracing::info_span!(
        "console request",
        otel.name = format!("{} {}", route.method.as_str(), route.path),
        otel.kind = "server",
        otel.status_code = tracing::field::Empty,
        http.request.method = route.method.as_str(),
        http.route = route.path,
        http.response.status_code = tracing::field::Empty,
        tenant.id = tracing::field::Empty,
    );
    if let Some(parent) = headers.get("traceparent").and_then(|value| value.to_str().ok()) {
        // malformed is as good as none
        trace::set_parent(&span, parent);
    }
    span
}

/// One line for what is not as it should be; strangers could fill the disk with the rest.
fn log(route: &Route, problem: &Problem) {
    let status = problem.status().as_u16();
    let cause = problem.cause();
    match status {
        500 => tracing::error!(http.response.status_code = status, error = cause, "{} failed", route.operation),
        501.. => {
            tracing::warn!(
                http.response.status_code = status,
                error = cause,
                "{}: {}",
                route.operation,
                problem.word()
            );
        }
        _ => tracing::debug!(http.response.status_code = status, "{}: {}", route.operation, problem.word()),
    }
}

/// Within the time that a request has, and with a panic as a failure of this request only.
async fn limited(route: &'static Route, app: Arc<App>, request: Request) -> Result<Response, Problem> {
    let limit = app.limits.request_timeout();
    let answering = AssertUnwindSafe(answer(route, app, request)).catch_unwind();
    match tokio::time::timeout(limit, answering).await {
        Ok(Ok(outcome)) => outcome,
        // the panic hook has logged it
        Ok(Err(_)) => Err(Problem::internal("the handler panicked")),
        Err(_) => Err(Problem::too_slow()),
    }
}

async fn answer(route: &'static Route, app: Arc<App>, request: Request) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let token = authenticate(&app, &parts.headers).await?;
    let path = RawPathParams::from_request_parts(&mut parts, &()).await.map_err(|_| Problem::no_route())?;
    let path = path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let mut call = Call { app, token, path, tenant: Uuid::nil() };
    authorize(route, &mut call).await?;
    let bytes_max = call.app.limits.body_bytes_max;
    let body = body::read(&parts.headers, body, bytes_max, call.app.limits.body_read_timeout()).await;
    let body = body.map_err(|error| match error {
        BodyError::TooLarge => Problem::too_large(bytes_max),
        BodyError::TimedOut => Problem::body_timeout(),
        BodyError::Broken => Problem::unreadable("The body broke off."),
    })?;
    if !body.trim_ascii().is_empty() && !is_json(&parts.headers) {
        return Err(Problem::media_type());
    }
    let Parts { uri, .. } = parts;
    (route.handler)(call, &uri, body).await
}

/// Whether a body is said to be JSON. One of which nothing is said is taken for it: it is read as nothing else.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return true };
    let Ok(text) = value.to_str() else { return false };
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Whose token it is.
async fn authenticate(app: &App, headers: &HeaderMap) -> Result<Token, Problem> {
    let value = headers.get(header::AUTHORIZATION).ok_or(Problem::unauthorized("The request carries no token."))?;
    let text = value.to_str().ok().and_then(bearer).ok_or(Problem::unauthorized("This is no bearer token."))?;
    match token::judge(&app.store, text).await? {
        Judged::Good(token) => Ok(token),
        Judged::Expired(_) => Err(Problem::unauthorized("The token has expired.")),
        Judged::Revoked => Err(Problem::unauthorized("The token has been revoked.")),
        Judged::Unknown => Err(Problem::unauthorized("The token is not known.")),
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// Whether the token may do this to the tenant of the path; the tenant is then the call's.
async fn authorize(route: &Route, call: &mut Call) -> Result<(), Problem> {
    let named = call.path.get("tenant").map(|text| Uuid::parse_str(text).map_err(|_| Problem::no_tenant()));
    let named = named.transpose()?;
    if let (Some(named), Some(own)) = (named, call.token.tenant)
        && named != own
    {
        return Err(Problem::no_tenant());
    }
    if let Some(permission) = route.permission()
        && !call.token.permissions.contains(&permission)
    {
        return Err(Problem::forbidden(permission.as_str()));
    }
    if route.is_of_every_tenant() && call.token.tenant.is_some() {
        return Err(Problem::only_one_tenant());
    }
    if let Some(named) = named {
        Span::current().record(field::TENANT_ID, tracing::field::display(named));
        if !store::view::tenant_exists(&call.app.store, named).await? {
            return Err(Problem::no_tenant());
        }
        call.tenant = named;
    }
    Ok(())
}

/// What a browser or a proxy must not do with any answer.
fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
