//! What a caller is told when it does not get what it asked for: RFC 9457, with a sentence that says what to do.
//!
//! Two texts: this one, and the cause for the log. The caller's never holds a cause of ours, and the log's never holds what
//! a caller sent: it may be a secret in the wrong place.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
pub(crate) use fault::sentence;
use fault::{Class, Classify as _};
use serde::Serialize;
use utoipa::ToSchema;

/// What a caller is asked to wait while the database is away; it is back in 5 s after a restart.
const RETRY_AFTER_S: u64 = 5;
const SEE_DESCRIPTION: &str = "`GET /api/v1/openapi.json` describes every address.";

type Text = Cow<'static, str>;

/// What all problems of one kind share.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    status: StatusCode,
    /// The last part of its type.
    word: &'static str,
    title: &'static str,
}

impl Kind {
    const fn new(status: StatusCode, word: &'static str, title: &'static str) -> Self {
        Self { status, word, title }
    }
}

const UNAUTHORIZED: Kind = Kind::new(StatusCode::UNAUTHORIZED, "unauthorized", "No valid token");
const FORBIDDEN: Kind = Kind::new(StatusCode::FORBIDDEN, "forbidden", "The token may not do this");
const NOT_FOUND: Kind = Kind::new(StatusCode::NOT_FOUND, "not-found", "Not found");
const METHOD: Kind = Kind::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed");
const NOT_CONNECTED: Kind = Kind::new(StatusCode::CONFLICT, "not-connected", "Tactical is not connected");
const CONFLICT: Kind = Kind::new(StatusCode::CONFLICT, "conflict", "Not possible as things are");
const INVALID: Kind = Kind::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "A value cannot be taken");
const UNREADABLE: Kind = Kind::new(StatusCode::BAD_REQUEST, "unreadable", "The request cannot be read");
const MEDIA_TYPE: Kind = Kind::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", "The body is not sent as JSON");
const TOO_LARGE: Kind = Kind::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large");
const BODY_TIMEOUT: Kind = Kind::new(StatusCode::REQUEST_TIMEOUT, "body-timeout", "The body came too slowly");
const TACTICAL: Kind = Kind::new(StatusCode::BAD_GATEWAY, "tactical", "Tactical did not answer as expected");
const TACTICAL_FORBIDS: Kind =
    Kind::new(StatusCode::FORBIDDEN, "tactical-permissions", "The role in Tactical lacks permissions");
const TOO_SLOW: Kind = Kind::new(StatusCode::GATEWAY_TIMEOUT, "too-slow", "It took too long");
const UNAVAILABLE: Kind = Kind::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not available just now");
const INTERNAL: Kind = Kind::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something went wrong in Muster");

/// A problem.
#[derive(Debug)]
pub(crate) struct Problem {
    kind: &'static Kind,
    detail: Text,
    remedy: Text,
    retry_after_s: Option<u64>,
    allow: Option<String>,
    /// For the log.
    cause: Option<String>,
}

/// A problem as the caller gets it, `application/problem+json`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// Names the kind of problem: `urn:muster:problem:` and a word.
    #[serde(rename = "type")]
    kind: String,
    /// The kind of problem, for people.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What happened this time.
    detail: String,
    /// What to do about it.
    remedy: String,
}

impl Problem {
    fn new(kind: &'static Kind, detail: impl Into<Text>, remedy: impl Into<Text>) -> Self {
        let (detail, remedy) = (detail.into(), remedy.into());
        Self { kind, detail, remedy, retry_after_s: None, allow: None, cause: None }
    }

    /// 401. One kind for all, but whoever holds a token that once was good is told that it was.
    pub(crate) fn unauthorized(detail: &'static str) -> Self {
        let remedy = "Send a valid token as `Authorization: Bearer muster_…`. `muster token add` makes one.";
        Self::new(&UNAUTHORIZED, detail, remedy)
    }

    /// 403.
    pub(crate) fn forbidden(permission: &'static str) -> Self {
        let detail = format!("This needs the permission `{permission}`, which the token does not have.");
        Self::new(&FORBIDDEN, detail, format!("Ask whoever runs Muster for a token with `{permission}`."))
    }

    /// 403: it is about what all tenants share.
    pub(crate) fn only_one_tenant() -> Self {
        let detail = "This is about all tenants, and the token is for one.";
        Self::new(&FORBIDDEN, detail, "Ask whoever runs Muster for a token that was made with `--operator-wide`.")
    }

    /// 404: no such tenant, or another's. One answer for both.
    pub(crate) fn no_tenant() -> Self {
        let remedy = "Check the tenant's id in the address; `GET /api/v1/whoami` says which tenant the token is for.";
        Self::new(&NOT_FOUND, "There is no such tenant, or the token is not for it.", remedy)
    }

    /// 404: the tenant has no such thing.
    pub(crate) fn not_found(what: &str) -> Self {
        let remedy = "Check the id in the address; the list above it names those that exist.";
        Self::new(&NOT_FOUND, format!("This tenant has no such {what}."), remedy)
    }

    /// 404: the address is none of ours.
    pub(crate) fn no_route() -> Self {
        Self::new(&NOT_FOUND, "There is nothing at this address.", SEE_DESCRIPTION)
    }

    /// 405.
    pub(crate) fn method_not_allowed(allow: String) -> Self {
        let mut problem = Self::new(&METHOD, format!("This address takes {allow} only."), SEE_DESCRIPTION);
        problem.allow = Some(allow);
        problem
    }

    /// 409: the tenant has no connection to Tactical yet.
    pub(crate) fn not_connected() -> Self {
        let remedy = "Save the server's address and its credentials first, then test the connection.";
        Self::new(&NOT_CONNECTED, "This tenant has no connection to a Tactical server.", remedy)
    }

    /// 409: as things are, this cannot be done.
    pub(crate) fn conflict(detail: impl Into<Text>, remedy: impl Into<Text>) -> Self {
        Self::new(&CONFLICT, detail, remedy)
    }

    /// 422: a value cannot be taken.
    pub(crate) fn invalid(detail: impl Into<Text>, remedy: impl Into<Text>) -> Self {
        Self::new(&INVALID, detail, remedy)
    }

    /// 400: the request cannot be read.
    pub(crate) fn unreadable(detail: impl Into<Text>) -> Self {
        let remedy = "Correct the request; `GET /api/v1/openapi.json` describes what is taken here.";
        Self::new(&UNREADABLE, detail, remedy)
    }

    /// 415.
    pub(crate) fn media_type() -> Self {
        let detail = "A body is JSON here, and this one's `Content-Type` says something else.";
        Self::new(&MEDIA_TYPE, detail, "Send `Content-Type: application/json`.")
    }

    /// 413.
    pub(crate) fn too_large(bytes_max: usize) -> Self {
        Self::new(&TOO_LARGE, format!("A body has at most {bytes_max} bytes."), "Send it in smaller parts.")
    }

    /// 408.
    pub(crate) fn body_timeout() -> Self {
        Self::new(&BODY_TIMEOUT, "The body did not come in time.", "Try again.")
    }

    /// 502: what is asked of Tactical, Tactical did not answer well.
    pub(crate) fn tactical(detail: impl Into<Text>, remedy: impl Into<Text>) -> Self {
        Self::new(&TACTICAL, detail, remedy)
    }

    /// 403 of Tactical's: the role of the connection's user lacks these permissions.
    pub(crate) fn tactical_forbids(what: &str, names: &[&str]) -> Self {
        let detail = format!("The user's role in Tactical lacks permissions that {what} needs: {}.", names.join(", "));
        let remedy = "In Tactical, Settings, Permissions Manager, give the role these permissions, wait ten minutes \
            (Tactical keeps roles that long), and ask again.";
        Self::new(&TACTICAL_FORBIDS, detail, remedy)
    }

    /// 504: it took too long.
    pub(crate) fn too_slow() -> Self {
        let remedy = "Try again later; where it happens again, Tactical or the database is overloaded.";
        Self::new(&TOO_SLOW, "The answer was not ready in time, and was given up.", remedy)
    }

    /// 503: what is needed is away.
    pub(crate) fn unavailable() -> Self {
        let detail = "Muster cannot reach its database, or is too busy.";
        Self::new(&UNAVAILABLE, detail, "Try again in a moment. Nothing was changed.").retry_after(RETRY_AFTER_S)
    }

    /// 500.
    pub(crate) fn internal(cause: impl Into<String>) -> Self {
        let remedy =
            "Try again. If it fails again, give whoever runs Muster the time of this request: the log has the cause.";
        Self::new(&INTERNAL, "The request was sound, but Muster failed on it.", remedy).because(cause)
    }

    /// What the log will say.
    pub(crate) fn because(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Asks the caller to wait.
    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// What the log says: the cause, or what the caller is told where that is all.
    pub(crate) fn cause(&self) -> &str {
        self.cause.as_deref().unwrap_or(&self.detail)
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.kind.status
    }

    /// One of few words.
    pub(crate) fn word(&self) -> &'static str {
        self.kind.word
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        let chain = error.chain();
        if let store::Error::Refused { reason, .. } = &error {
            let remedy = "Correct what the sentence says, or look at the present state again.";
            return Self::conflict(sentence(reason), remedy).because(chain);
        }
        match error.class() {
            Class::Outage | Class::Contention => Self::unavailable().because(chain),
            Class::Permanent => Self::invalid(
                "The database does not take these values together.",
                "Check the ids and the lengths of what was sent.",
            )
            .because(chain),
            Class::Retryable { .. } | Class::NeedsAttention => Self::internal(chain),
        }
    }
}

impl From<connection::Error> for Problem {
    fn from(error: connection::Error) -> Self {
        use connection::Error as Of;
        let text = sentence(&error.to_string());
        match error {
            Of::Store(error) => error.into(),
            Of::NoSuchConnection { .. } => Self::not_connected(),
            Of::Tactical(error) => {
                let problem = Self::tactical(sentence(&error.to_string()), error.remedy());
                match error.class() {
                    Class::Retryable { after: Some(after) } => problem.retry_after(after.as_secs().max(1)),
                    _ => problem,
                }
            }
            Of::LoginLater { after } => {
                let remedy = "Try again after that time; each try before would make the wait longer.";
                Self::conflict(text, remedy).retry_after(after.as_secs().max(1))
            }
            Of::Vault(error) => {
                let remedy =
                    "Enter the secret again, or have whoever runs Muster give it the key that it was sealed with.";
                Self::conflict("A secret of this connection cannot be opened.", remedy).because(fault::chain(&error))
            }
            Of::Suspended => Self::conflict(text, "Ask whoever runs Muster to end the suspension."),
            Of::WrongKey { .. } => Self::internal(text),
            _ => Self::conflict(
                text,
                "Save the connection's settings, then test it; a code is asked for where one is needed.",
            ),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = ProblemBody {
            kind: format!("urn:muster:problem:{}", self.kind.word),
            title: self.kind.title.to_owned(),
            status: self.kind.status.as_u16(),
            detail: self.detail.into_owned(),
            remedy: self.remedy.into_owned(),
        };
        let text = serde_json::to_string(&body).expect("texts and a number are JSON");
        let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))];
        let mut response = (self.kind.status, content_type, text).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some(allow) = self.allow.and_then(|allow| HeaderValue::from_str(&allow).ok()) {
            headers.insert(header::ALLOW, allow);
        }
        if *self.kind == UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_of_ours_is_told_without_its_cause() {
        let error = store::Error::NoAnswer { what: "canary".into(), after_ms: 1 };
        let problem = Problem::from(error);
        assert_eq!((problem.status(), problem.retry_after_s), (StatusCode::SERVICE_UNAVAILABLE, Some(5)));
        assert!(problem.cause.as_deref().is_some_and(|cause| cause.contains("canary")));
        assert!(!format!("{}{}", problem.detail, problem.remedy).contains("canary"));
    }
}
