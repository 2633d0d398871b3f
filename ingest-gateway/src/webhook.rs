//! One webhook from its headers to its answer.
//!
//! The order of the checks is what a stranger may learn: that there is a method, that a tenant is needed, and nothing
//! else. The secret is judged before the body is read, so that nobody without one makes us read anything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use chrono::{DateTime, SubsecRound as _, Utc};
use contract::webhook::{HEADER, PATH};
use contract::{AlertObserved, Meta};
use listener::body::{self, BodyError};
use sha2::{Digest as _, Sha256};
use store::hook::HookState;
use telemetry::{field, metric, trace};
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use crate::answer::Answer;
use crate::config::Limits;
use crate::hooks::{Denied, Hooks, Known};
use crate::keep::{Keep, NotKept};
use crate::parse::{Alert, Parsed, parse};
use crate::publish;

/// What a request needs.
pub(crate) struct Gateway {
    pub(crate) hooks: Arc<Hooks>,
    pub(crate) keep: Arc<Keep>,
    pub(crate) limits: Limits,
}

/// Who posts, once the secret was good.
struct Caller {
    tenant: Uuid,
    known: Known,
    received_at: DateTime<Utc>,
}

/// Answers one request on [`PATH`].
pub(crate) async fn receive(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let begun = Instant::now();
    let span = server_span(request.method(), request.headers());
    let answer = gateway.answer(request).instrument(span.clone()).await;
    let status = answer.status.as_u16();
    span.record(field::HTTP_STATUS, status);
    span.record(field::WEBHOOK_REASON, answer.reason);
    if answer.status.is_server_error() {
        span.record(field::OTEL_STATUS_CODE, "ERROR");
    }
    span.in_scope(|| log(&answer));
    metrics::counter!(metric::WEBHOOK_REQUESTS_TOTAL, "status" => status.to_string()).increment(1);
    metrics::histogram!(metric::WEBHOOK_SECONDS).record(begun.elapsed());
    answer.into_response()
}

fn server_span(method: &Method, headers: &HeaderMap) -> Span {
    let span = tracing::info_span!(
        "POST /api/webhooks/tacticalrmm",
        otel.kind = "server",
        otel.status_code = tracing::field::Empty,
        http.request.method = %method,
        http.route = PATH,
        http.response.status_code = tracing::field::Empty,
        http.request.body.size = tracing::field::Empty,
        tenant.id = tracing::field::Empty,
        integration.id = tracing::field::Empty,
        event.id = tracing::field::Empty,
        webhook.reason = tracing::field::Empty,
    );
    if let Some(parent) = headers.get("traceparent").and_then(|value| value.to_str().ok()) {
        // malformed is as good as none
        trace::set_parent(&span, parent);
    }
    span
}

/// One line for what is not as it should be. A wrong secret is only counted: anybody could fill the disk with it.
fn log(answer: &Answer) {
    let (status, reason) = (answer.status.as_u16(), answer.reason);
    match status {
        500.. => tracing::warn!(http.response.status_code = status, webhook.reason = reason, "webhook not recorded"),
        401 | 404 | 405 => {
            tracing::debug!(http.response.status_code = status, webhook.reason = reason, "webhook refused");
        }
        400.. => tracing::info!(http.response.status_code = status, webhook.reason = reason, "webhook refused"),
        _ => tracing::debug!(http.response.status_code = status, webhook.reason = reason, "webhook answered"),
    }
}

impl Gateway {
    async fn answer(&self, request: Request) -> Answer {
        match self.take(request).await {
            Ok(answer) | Err(answer) => answer,
        }
    }

    /// `Err` and `Ok` are both answers; `Err` is one that ends the checks.
    async fn take(&self, request: Request) -> Result<Answer, Answer> {
        let (parts, body) = request.into_parts();
        if ![Method::POST, Method::PUT, Method::PATCH].contains(&parts.method) {
            return Err(Answer::method_not_allowed());
        }
        let tenant = tenant(&parts.uri).ok_or_else(Answer::no_tenant)?;
        Span::current().record(field::TENANT_ID, tracing::field::display(tenant));
        let received_at = self.hooks.database_now();
        let known = self.authenticate(tenant, &parts.headers).await?;
        Span::current().record(field::INTEGRATION_ID, tracing::field::display(known.integration_id));
        let body = self.read(&parts.headers, body).await?;
        Span::current().record(field::HTTP_REQUEST_SIZE, body.len());
        match known.state {
            HookState::Active => {}
            HookState::Suspended => return Err(Answer::not_recorded("tenant_suspended")),
            HookState::Inactive => return Err(Answer::not_recorded("connection_inactive")),
        }
        match parse(&body).map_err(Answer::rejected)? {
            Parsed::Test => Ok(Answer::not_recorded("test")),
            Parsed::Alert(alert) => self.publish(&Caller { tenant, known, received_at }, *alert, &body).await,
        }
    }

    async fn authenticate(&self, tenant: Uuid, headers: &HeaderMap) -> Result<Known, Answer> {
        let secret = headers.get(HEADER).map(|value| String::from_utf8_lossy(value.as_bytes()));
        self.hooks.authenticate(tenant, secret.as_deref()).await.map_err(|denied| match denied {
            Denied::NothingLoaded => self.unavailable("no_hooks"),
            Denied::CannotAsk => self.unavailable("hook_unknown"),
            Denied::Refused => Answer::unauthorized(),
        })
    }

    async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, Answer> {
        let bytes_max = self.limits.body_bytes_max;
        let limit = Duration::from_millis(self.limits.body_read_timeout_ms);
        body::read(headers, body, bytes_max, limit).await.map_err(|error| match error {
            BodyError::TooLarge => Answer::too_large(bytes_max),
            BodyError::Broken => Answer::body_broken(),
            BodyError::TimedOut => Answer::body_timeout(),
        })
    }

    async fn publish(&self, caller: &Caller, alert: Alert, body: &[u8]) -> Result<Answer, Answer> {
        let meta = meta(caller, body);
        let event_id = meta.message_id.clone();
        Span::current().record(field::EVENT_ID, event_id.as_str());
        let (mistake, is_salvaged) = (alert.template_mistake, alert.needs_fetch);
        let message = alert.into_message(caller.known.integration_id, caller.received_at, body);
        let (span, record) = publish::record(meta, &message);
        let keep = Arc::clone(&self.keep);
        let keeping = async move { keep.keep(record).await.inspect_err(|_| publish::note_failure()) };
        // a task of its own: it came, so it is recorded even if its sender hangs up now
        match self.keep.publishing.spawn(keeping.instrument(span)).await {
            Ok(Ok(())) => Ok(Answer::accepted(&event_id, mistake, is_salvaged)),
            Ok(Err(NotKept(reason))) => Err(self.unavailable(reason)),
            // a panic, which has been logged as one
            Err(_) => Err(self.unavailable("publish_panicked")),
        }
    }

    fn unavailable(&self, reason: &'static str) -> Answer {
        Answer::unavailable(reason, self.limits.retry_after_s)
    }
}

/// Every request is a fact of its own, so its time and its bytes are what tells it from the others.
fn meta(caller: &Caller, body: &[u8]) -> Meta {
    let integration_id = caller.known.integration_id;
    let micros = caller.received_at.timestamp_micros().to_be_bytes();
    let hash = Sha256::digest(body);
    let identity: [&[u8]; 3] = [integration_id.as_bytes(), &micros, &hash];
    Meta::first::<AlertObserved>(caller.tenant, &identity, caller.received_at.trunc_subsecs(3), None)
}

/// The tenant that the address names.
fn tenant(uri: &Uri) -> Option<Uuid> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).ok()?;
    pairs.iter().find(|(name, _)| name == "tenant").and_then(|(_, value)| Uuid::parse_str(value.trim()).ok())
}
