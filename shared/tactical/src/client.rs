//! One server as one credential sees it: builds requests, sends them through the gate, and sorts what comes back.

use std::error::Error as StdError;
use std::sync::Arc;

use reqwest::header::{ACCEPT, HeaderValue};
use reqwest::redirect::Policy;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument, Span, field};
use url::Url;

use crate::ask::Ask;
use crate::body::{Answer, Exchange, Limits, millis, soonest};
use crate::credential::Header;
use crate::error::cut;
use crate::refusal::host;
use crate::resolver::{ResolveError, Resolver};
use crate::stream::{self, Stream};
use crate::{Config, Credential, Error, Gate, Page, Wait, guard};

/// nginx closes an idle connection after 75 s by default; before that it is ours to close.
const IDLE_MAX: std::time::Duration = std::time::Duration::from_secs(30);

/// Speaks to one Tactical server. Cheap to clone; clones and clients with the same [`Gate`] share connections and limits.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) url: Url,
    http: reqwest::Client,
    credential: Option<Arc<Header>>,
    gate: Gate,
    limits: Limits,
}

impl Client {
    /// A client for the API host at `url`, which is checked ([`guard::check`]); nothing is sent yet.
    ///
    /// # Errors
    /// The URL is not allowed, or the key cannot be sent.
    pub fn new(config: &Config, url: &str, credential: Option<Credential>, gate: Gate) -> Result<Self, Error> {
        let url = guard::check(url, config)?;
        let credential = credential.as_ref().map(Header::new).transpose()?.map(Arc::new);
        let http = gate.http(|| connections(config))?;
        let limits = Limits::new(config);
        Ok(Self { url, http, credential, gate, limits })
    }

    /// A small object.
    pub(crate) async fn object<T: DeserializeOwned>(&self, ask: Ask) -> Result<T, Error> {
        let span = self.span(&ask);
        async { self.open(ask, &span).await?.json().await }.instrument(span.clone()).await
    }

    /// A list, item by item.
    pub(crate) async fn stream<T: DeserializeOwned + Send + 'static>(&self, ask: Ask) -> Result<Stream<T>, Error> {
        let span = self.span(&ask);
        async { Stream::new(self.open(ask, &span).await?) }.instrument(span.clone()).await
    }

    /// A list that is held as a whole, and bounded by that.
    pub(crate) async fn list<T: DeserializeOwned + Send + 'static>(&self, ask: Ask) -> Result<Vec<T>, Error> {
        let span = self.span(&ask);
        let open = async {
            let mut answer = self.open(ask, &span).await?;
            answer.limits.body_bytes_max = answer.limits.list_bytes_max;
            Stream::new(answer)
        };
        open.instrument(span.clone()).await?.collect().await
    }

    /// A page of a list, each item of it bounded.
    pub(crate) async fn page<T: DeserializeOwned + Send + 'static>(&self, ask: Ask) -> Result<Page<T>, Error> {
        let span = self.span(&ask);
        async { stream::page(self.open(ask, &span).await?).await }.instrument(span.clone()).await
    }

    /// A large object.
    pub(crate) async fn large<T: DeserializeOwned + Send + 'static>(&self, ask: Ask) -> Result<T, Error> {
        let span = self.span(&ask);
        async { stream::large(self.open(ask, &span).await?).await }.instrument(span.clone()).await
    }

    /// An answer without content.
    pub(crate) async fn nothing(&self, ask: Ask) -> Result<(), Error> {
        let span = self.span(&ask);
        async { self.open(ask, &span).await?.nothing().await }.instrument(span.clone()).await
    }

    fn span(&self, ask: &Ask) -> Span {
        tracing::info_span!(
            "tactical",
            otel.kind = "client",
            otel.name = format!("{} {}", ask.method, ask.endpoint),
            http.request.method = %ask.method,
            http.route = ask.endpoint,
            server.address = self.url.host_str(),
            http.response.status_code = field::Empty,
            error.type = field::Empty,
            otel.status_code = field::Empty,
        )
    }

    /// Sends a request and reads the head of its answer; anything but a 2xx becomes its error.
    async fn open(&self, ask: Ask, span: &Span) -> Result<Answer, Error> {
        let limits = self.limits.of(ask.holds);
        let limits = Limits {
            read_timeout: limits.read_timeout + ask.thinks,
            total_timeout: ask.time_max.map_or(limits.total_timeout, |max| max.min(limits.total_timeout)),
            ..limits
        };
        let pass = self.gate.enter(ask.lane, limits.total_timeout).await?;
        let started = Instant::now();
        let deadline = started + limits.total_timeout;
        let mut exchange =
            Exchange { endpoint: ask.endpoint, started, span: span.clone(), status: None, pass: Some(pass) };
        let response = match self.send(&ask, &limits, deadline).await {
            Ok(response) => response,
            Err(error) => {
                exchange.finish(Some(&error));
                return Err(error);
            }
        };
        let status = response.status();
        exchange.status = Some(status.as_u16());
        span.record("http.response.status_code", status.as_u16());
        let answer = Answer { response, exchange, url: self.url.clone(), limits, deadline, bytes: 0 };
        if status.is_success() { Ok(answer) } else { Err(answer.refuse().await) }
    }

    async fn send(&self, ask: &Ask, limits: &Limits, deadline: Instant) -> Result<reqwest::Response, Error> {
        let mut request = self.http.request(ask.method.clone(), ask.url(&self.url));
        request = request.header(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(header) = &self.credential {
            request = request.header(&header.name, &header.value);
        }
        if let Some(body) = &ask.body {
            request = request.json(body);
        }
        let (until, wait, after) = soonest(deadline, limits.read_timeout, limits.total_timeout);
        let endpoint = ask.endpoint;
        match timeout_at(until, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(self.unsent(endpoint, &error)),
            Err(_) => Err(Error::Timeout { endpoint, wait, after_ms: millis(after) }),
        }
    }

    /// Why no answer came: found in the chain of causes, since the outer errors only say that it failed.
    fn unsent(&self, endpoint: &'static str, error: &reqwest::Error) -> Error {
        let host = host(&self.url);
        let mut innermost = String::new();
        let mut next: Option<&(dyn StdError + 'static)> = Some(error);
        while let Some(cause) = next {
            match cause.downcast_ref::<ResolveError>() {
                Some(ResolveError::NotFound(_)) => return Error::NotResolved { host },
                Some(ResolveError::Refused) => return Error::AddressRefused { host },
                None => {}
            }
            if let Some(reason) = tls_fault(cause) {
                return Error::Tls { host, reason: cut(&reason) };
            }
            innermost = cause.to_string();
            next = cause.source();
        }
        if error.is_timeout() {
            let after_ms = millis(self.limits.connect_timeout);
            return Error::Timeout { endpoint, wait: Wait::Connect, after_ms };
        }
        let reason = cut(&innermost);
        if error.is_connect() { Error::Refused { host, reason } } else { Error::NoHttp { host, reason } }
    }
}

/// What the TLS library said, if the cause is its own; it often stands inside an I/O error.
fn tls_fault(cause: &(dyn StdError + 'static)) -> Option<String> {
    if let Some(fault) = cause.downcast_ref::<rustls::Error>() {
        return Some(fault.to_string());
    }
    let inner = cause.downcast_ref::<std::io::Error>()?.get_ref()?;
    let fault: &(dyn StdError + 'static) = inner;
    tls_fault(fault)
}

/// Connections that reach permitted addresses only: no redirects, no proxy, the guarded resolver.
fn connections(config: &Config) -> Result<reqwest::Client, Error> {
    reqwest::Client::builder()
        .user_agent(concat!("muster/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .referer(false)
        .no_proxy()
        .https_only(!config.allow_http)
        .dns_resolver(Arc::new(Resolver { allowed: config.allow_networks.clone() }))
        .connect_timeout(config.connect_timeout())
        .pool_idle_timeout(IDLE_MAX)
        .tcp_nodelay(true)
        .build()
        // the system's certificates cannot be read: nothing about this server
        .map_err(|error| Error::Tls { host: "any host".to_owned(), reason: cut(&fault::chain(&error)) })
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
