//! The one error of this crate: its variants are what a caller, or a person, can do something about.

use std::time::Duration;

use fault::{Class, Classify};

use crate::guard::UrlError;

/// Of a text that the server sent, so many characters stand in an error.
pub(crate) const TEXT_CHARS_MAX: usize = 300;
/// How Tactical's words begin and end where an object is not there: `No Agent matches the given query.`
const NO_SUCH: (&str, &str) = ("No ", " matches the given query");

/// Which of Tactical's four meanings a 401 has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthFault {
    /// No key arrived (or a header that Tactical ignores).
    Missing,
    /// An unknown key; also every session that ended.
    Invalid,
    /// The key's date has passed.
    Expired,
    /// The key's user is switched off or gone.
    Inactive,
}

/// Which wait was too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// For a connection.
    Connect,
    /// For the first or the next byte.
    Read,
    /// For the whole answer.
    Total,
}

/// Why Tactical did not answer what was asked. Never holds a key, a password or a user's part of a URL; words of the
/// server are cut to 300 characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL is not one that may be spoken to.
    #[error("cannot use the URL: {0}")]
    BadUrl(#[from] UrlError),
    /// The key or token holds characters that no header can carry.
    #[error("cannot use the key: it holds characters that no key has")]
    UnusableKey,
    /// The host name has no address.
    #[error("cannot resolve {host}")]
    NotResolved {
        /// The name that was looked up.
        host: String,
    },
    /// The host name leads to addresses that are not public and not the operator's.
    #[error("cannot connect to {host}: none of its addresses is public")]
    AddressRefused {
        /// The name that was looked up.
        host: String,
    },
    /// Nobody listens there, or no way leads there.
    #[error("cannot connect to {host}: {reason}")]
    Refused {
        /// The host that was spoken to.
        host: String,
        /// What the system said.
        reason: String,
    },
    /// Somebody listens there, and what came is no HTTP, or nothing before the connection broke.
    #[error("no HTTP answer from {host}: {reason}")]
    NoHttp {
        /// The host that was spoken to.
        host: String,
        /// What the HTTP library said.
        reason: String,
    },
    /// The certificate is not trusted, or there is no TLS.
    #[error("cannot connect to {host} by TLS: {reason}")]
    Tls {
        /// The host that was spoken to.
        host: String,
        /// What the TLS library said.
        reason: String,
    },
    /// No answer in time.
    #[error("no answer to {endpoint}: {} wait was over {after_ms} ms", match .wait {
        Wait::Connect => "the connection's", Wait::Read => "a byte's", Wait::Total => "the whole",
    })]
    Timeout {
        /// What was asked.
        endpoint: &'static str,
        /// Which of the three.
        wait: Wait,
        /// The limit.
        after_ms: u64,
    },
    /// A page where data was expected: the dashboard's host, or a proxy that has nothing else to show.
    #[error("{host} answers with a web page where data was expected")]
    WrongHost {
        /// The host that was spoken to.
        host: String,
    },
    /// Tactical does not know itself by this name (`ALLOWED_HOSTS`).
    #[error("{host} does not accept this host name")]
    HostNotAllowed {
        /// The host that was spoken to.
        host: String,
    },
    /// The route is unknown: no Tactical API, or another version.
    #[error("{host} answers, but not like Tactical: it does not know {endpoint}")]
    NoSuchRoute {
        /// The host that was spoken to.
        host: String,
        /// What was asked.
        endpoint: &'static str,
    },
    /// 401.
    #[error("{}", match .0 {
        AuthFault::Missing => "the server saw no key",
        AuthFault::Invalid => "the server does not know the key or session",
        AuthFault::Expired => "the key has expired",
        AuthFault::Inactive => "the key's user is inactive or deleted",
    })]
    Unauthorized(AuthFault),
    /// 403 by Tactical: the role lacks a permission, or does not see this client.
    #[error("the role may not ask {endpoint}")]
    Forbidden {
        /// What was asked.
        endpoint: &'static str,
    },
    /// A page with 4xx: something in front of Tactical refuses.
    #[error("something in front of {host} refuses {endpoint} with status {status}")]
    Blocked {
        /// The host that was spoken to.
        host: String,
        /// What was asked.
        endpoint: &'static str,
        /// What was answered.
        status: u16,
    },
    /// The object is not there (or this page of a list).
    #[error("nothing found at {endpoint}: {text}")]
    NotFound {
        /// What was asked.
        endpoint: &'static str,
        /// Tactical's words.
        text: String,
    },
    /// The beta API is switched off.
    #[error("the beta API is off")]
    BetaOff,
    /// Tactical does not take the request: 4xx with a reason.
    #[error("{endpoint} refused with status {status}: {text}")]
    BadRequest {
        /// What was asked.
        endpoint: &'static str,
        /// 400, 405, 415 …
        status: u16,
        /// Tactical's words.
        text: String,
    },
    /// Wrong name, password or code, or a user that may not log in; Tactical does not say which.
    #[error("the login is refused")]
    BadCredentials,
    /// Too many requests.
    #[error("the server asks to wait")]
    Throttled {
        /// For how long, where it says so.
        after: Option<Duration>,
    },
    /// 5xx.
    #[error("{endpoint} failed with status {status}")]
    Server {
        /// What was asked.
        endpoint: &'static str,
        /// 500, 502 …
        status: u16,
        /// `Retry-After`, where it was sent.
        after: Option<Duration>,
    },
    /// 3xx; never followed.
    #[error("{endpoint} leads to {}", .to.as_deref().unwrap_or("somewhere else"))]
    Redirected {
        /// What was asked.
        endpoint: &'static str,
        /// Scheme and host that it leads to, where they can be read.
        to: Option<String>,
    },
    /// More bytes than are read.
    #[error("{endpoint} answers with more than {bytes_max} bytes {}", if *.is_item { "in one item" } else { "in all" })]
    TooLarge {
        /// What was asked.
        endpoint: &'static str,
        /// The limit.
        bytes_max: u64,
        /// Whether one item of a list is meant.
        is_item: bool,
    },
    /// The answer ended before its end.
    #[error("the answer of {endpoint} is cut off")]
    Truncated {
        /// What was asked.
        endpoint: &'static str,
    },
    /// The answer is not what this endpoint answers with.
    #[error("the answer of {endpoint} cannot be read: {reason}")]
    Unreadable {
        /// What was asked.
        endpoint: &'static str,
        /// What the parser said.
        reason: String,
    },
    /// The agent is not connected.
    #[error("the agent cannot be reached")]
    AgentAway,
    /// The agent did not answer in time: it is away, or the script runs longer than it may. It may have run.
    #[error("the agent did not answer in time")]
    AgentTimeout,
    /// Tactical's own message bus is down.
    #[error("the server cannot reach its agents: its message bus is down")]
    NatsDown,
    /// Several failures in a row, or a wish to wait: nothing is asked for a while.
    #[error("not asked: the server failed or asked to wait, next try in {} s", .after.as_secs())]
    BreakerOpen {
        /// When to try again.
        after: Duration,
    },
    /// The requests before this one did not end in time.
    #[error("not asked: two requests to this server are still under way")]
    Busy,
}

/// When to look again at a server whose two places are taken.
const BUSY_RETRY: Duration = Duration::from_secs(5);

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Self::BreakerOpen { after } => Class::Retryable { after: Some(*after) },
            Self::Busy => Class::Retryable { after: Some(BUSY_RETRY) },
            Self::Throttled { after } | Self::Server { after, .. } => Class::Retryable { after: *after },
            Self::NotResolved { .. }
            | Self::Refused { .. }
            | Self::NoHttp { .. }
            | Self::Timeout { .. }
            // a proxy's page while Tactical is being updated looks like the dashboard's
            | Self::WrongHost { .. }
            | Self::Truncated { .. }
            | Self::AgentAway
            | Self::NatsDown => Class::RETRY,
            Self::BadUrl(_)
            | Self::UnusableKey
            | Self::AddressRefused { .. }
            | Self::Tls { .. }
            | Self::HostNotAllowed { .. }
            | Self::NoSuchRoute { .. }
            | Self::Unauthorized(_)
            | Self::Forbidden { .. }
            | Self::Blocked { .. }
            | Self::BetaOff
            | Self::BadCredentials
            | Self::Redirected { .. } => Class::NeedsAttention,
            // a script that may have run must not run twice by itself
            Self::AgentTimeout
            | Self::NotFound { .. }
            | Self::BadRequest { .. }
            | Self::TooLarge { .. }
            | Self::Unreadable { .. } => Class::Permanent,
        }
    }
}

impl Error {
    /// Whether Tactical itself has said that there is no such object: no such agent, no such alert. A page of a proxy says
    /// nothing of the kind, nor does an id that is not even asked for.
    #[must_use]
    pub fn is_no_such_object(&self) -> bool {
        matches!(self, Self::NotFound { text, .. } if text.starts_with(NO_SUCH.0) && text.ends_with(NO_SUCH.1))
    }

    /// One word for metrics and the connection test's outcome.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::BadUrl(_) => "bad_url",
            Self::UnusableKey => "unusable_key",
            Self::NotResolved { .. } => "not_resolved",
            Self::AddressRefused { .. } => "address_refused",
            Self::Refused { .. } => "refused",
            Self::NoHttp { .. } => "no_http",
            Self::Tls { .. } => "tls",
            Self::Timeout { .. } => "timeout",
            Self::WrongHost { .. } => "wrong_host",
            Self::HostNotAllowed { .. } => "host_not_allowed",
            Self::NoSuchRoute { .. } => "no_such_route",
            Self::Unauthorized(AuthFault::Missing) => "key_missing",
            Self::Unauthorized(AuthFault::Invalid) => "key_invalid",
            Self::Unauthorized(AuthFault::Expired) => "key_expired",
            Self::Unauthorized(AuthFault::Inactive) => "user_inactive",
            Self::Forbidden { .. } => "forbidden",
            Self::Blocked { .. } => "blocked",
            Self::NotFound { .. } => "not_found",
            Self::BetaOff => "beta_off",
            Self::BadRequest { .. } => "bad_request",
            Self::BadCredentials => "bad_credentials",
            Self::Throttled { .. } => "throttled",
            Self::Server { .. } => "server_error",
            Self::Redirected { .. } => "redirected",
            Self::TooLarge { .. } => "too_large",
            Self::Truncated { .. } => "truncated",
            Self::Unreadable { .. } => "unreadable",
            Self::AgentAway => "agent_away",
            Self::AgentTimeout => "agent_timeout",
            Self::NatsDown => "nats_down",
            Self::BreakerOpen { .. } => "breaker_open",
            Self::Busy => "busy",
        }
    }

    /// Whether it says that the server is unwell, which the breaker counts.
    pub(crate) fn is_server_fault(&self) -> bool {
        matches!(
            self,
            Self::NotResolved { .. }
                | Self::Refused { .. }
                | Self::NoHttp { .. }
                | Self::Tls { .. }
                | Self::Timeout { .. }
                | Self::Server { .. }
                | Self::Truncated { .. }
        )
    }
}

/// The beginning of a text of the server's, without its control characters and its full stop: it becomes part of an error,
/// which has none.
pub(crate) fn cut(text: &str) -> String {
    let kept: String = text.chars().take(TEXT_CHARS_MAX).collect();
    kept.replace(|c: char| c.is_control(), " ").trim().trim_end_matches('.').to_owned()
}
