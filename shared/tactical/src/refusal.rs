//! What an answer that is no success means: Tactical's five shapes of an error body, and the pages of what stands before it.

use std::time::{Duration, SystemTime};

use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};
use serde_json::Value;
use url::Url;

use crate::error::cut;
use crate::{AuthFault, Error};

/// Of a refusal's body no more is read than this: a page of Django's with a traceback can be large.
pub(crate) const BODY_BYTES_MAX: u64 = 64 << 10;

/// Tactical's own words, held letter for letter.
const UNREACHABLE: &str = "Unable to contact the agent";
const NATS_DOWN: &str = "natsdown";

/// What was asked and what came back, as far as a refusal is read from it.
pub(crate) struct Refusal<'a> {
    pub(crate) endpoint: &'static str,
    pub(crate) url: &'a Url,
    pub(crate) status: u16,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

/// The body, by shape.
enum Shape {
    /// `{"detail": "…"}`
    Detail(String),
    /// `{"field": ["…"]}`
    Fields(String),
    /// `"…"`
    Word(String),
    /// A page, or nothing.
    Page,
    /// Anything else.
    Other(String),
}

impl Refusal<'_> {
    pub(crate) fn into_error(self) -> Error {
        let shape = self.shape();
        let (endpoint, status) = (self.endpoint, self.status);
        match (status, shape) {
            (300..=399, _) => Error::Redirected { endpoint, to: self.target() },
            (401, shape) => Error::Unauthorized(auth_fault(&shape.text())),
            (403, Shape::Detail(_)) => Error::Forbidden { endpoint },
            (404, Shape::Page) if endpoint.starts_with("/beta/") => Error::BetaOff,
            // an id that is shorter than an agent's matches no route
            (404, Shape::Page) if endpoint.contains('{') => {
                Error::NotFound { endpoint, text: "unknown route".to_owned() }
            }
            // Tactical has every route that is asked; only an object of one, or a page of a beta list, can be missing
            (404, _) if !endpoint.contains('{') && !endpoint.starts_with("/beta/") => {
                Error::NoSuchRoute { host: self.host(), endpoint }
            }
            (404, shape) => Error::NotFound { endpoint, text: cut(&shape.text()) },
            (400, Shape::Page) => Error::HostNotAllowed { host: self.host() },
            (400, Shape::Word(word)) if word == UNREACHABLE => Error::AgentAway,
            (400, Shape::Word(word)) if word == NATS_DOWN => Error::NatsDown,
            (400, _) if endpoint == "/v2/login/" || endpoint == "/v2/checkcreds/" => Error::BadCredentials,
            (429, shape) => Error::Throttled { after: self.retry_after().or_else(|| wait_in(&shape.text())) },
            (500.., _) => Error::Server { endpoint, status, after: self.retry_after() },
            (_, Shape::Page) => Error::Blocked { host: self.host(), endpoint, status },
            (_, shape) => Error::BadRequest { endpoint, status, text: cut(&shape.text()) },
        }
    }

    fn host(&self) -> String {
        host(self.url)
    }

    fn shape(&self) -> Shape {
        if is_page(self.headers, self.body) {
            return Shape::Page;
        }
        match serde_json::from_slice(self.body) {
            Ok(Value::String(word)) => Shape::Word(word),
            Ok(Value::Object(fields)) => match fields.get("detail") {
                Some(Value::String(detail)) => Shape::Detail(detail.clone()),
                _ => Shape::Fields(fields.iter().map(|(name, said)| field(name, said)).collect::<Vec<_>>().join("; ")),
            },
            _ => Shape::Other(String::from_utf8_lossy(self.body).into_owned()),
        }
    }

    /// Seconds, or a date (RFC 9110).
    fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(wait_s) = text.parse() {
            return Some(Duration::from_secs(wait_s));
        }
        let at: SystemTime = chrono::DateTime::parse_from_rfc2822(text).ok()?.into();
        Some(at.duration_since(SystemTime::now()).unwrap_or_default())
    }

    /// Scheme and host that a redirect leads to; a path and a query can hold anything and are left out.
    fn target(&self) -> Option<String> {
        let location = self.headers.get(LOCATION)?.to_str().ok()?;
        let target = self.url.join(location).ok()?;
        target.host_str()?;
        let origin = target.origin().ascii_serialization();
        Some(if origin == self.url.origin().ascii_serialization() { cut(target.path()) } else { cut(&origin) })
    }
}

impl Shape {
    fn text(self) -> String {
        match self {
            Self::Detail(text) | Self::Fields(text) | Self::Word(text) | Self::Other(text) => text,
            Self::Page => String::new(),
        }
    }
}

/// Host and port as they are written in errors.
pub(crate) fn host(url: &Url) -> String {
    let name = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"))
}

/// A page, or no body at all.
pub(crate) fn is_page(headers: &HeaderMap, body: &[u8]) -> bool {
    let media = headers.get(CONTENT_TYPE).and_then(|media| media.to_str().ok()).unwrap_or_default();
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    media.trim_start().to_ascii_lowercase().starts_with("text/html") || first.is_none_or(|&first| first == b'<')
}

fn field(name: &str, said: &Value) -> String {
    let words: Vec<&str> = match said {
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        Value::String(word) => vec![word],
        _ => Vec::new(),
    };
    let words = words.join(", ");
    if name == "non_field_errors" { words } else { format!("{name}: {words}") }
}

fn auth_fault(detail: &str) -> AuthFault {
    match detail {
        "Authentication credentials were not provided." => AuthFault::Missing,
        "The token has expired." => AuthFault::Expired,
        "User inactive or deleted." => AuthFault::Inactive,
        _ => AuthFault::Invalid,
    }
}

/// `Request was throttled. Expected available in 59 seconds.`
fn wait_in(text: &str) -> Option<Duration> {
    let (_, wait) = text.split_once("available in ")?;
    let wait_s = wait.split(' ').next()?.parse().ok()?;
    Some(Duration::from_secs(wait_s))
}

#[cfg(test)]
#[path = "refusal_tests.rs"]
mod tests;
