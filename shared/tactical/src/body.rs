//! An answer under way: its bytes under the three timeouts and the limits, and the exchange's place in gate and metrics.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Response;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};
use tracing::Span;
use url::Url;

use crate::ask::Holds;
use crate::error::cut;
use crate::gate::Pass;
use crate::refusal::{self, Refusal, host};
use crate::{Config, Error, Wait};

/// The limits that an answer is read under.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) connect_timeout: Duration,
    pub(crate) read_timeout: Duration,
    pub(crate) total_timeout: Duration,
    pub(crate) body_bytes_max: u64,
    pub(crate) list_bytes_max: u64,
    pub(crate) page_bytes_max: u64,
    pub(crate) small_body_bytes_max: u64,
    pub(crate) agent_row_bytes_max: u64,
    pub(crate) agent_bytes_max: u64,
    pub(crate) client_bytes_max: u64,
    pub(crate) item_bytes_max: u64,
}

impl Limits {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            connect_timeout: config.connect_timeout(),
            read_timeout: config.read_timeout(),
            total_timeout: config.total_timeout(),
            body_bytes_max: config.body_bytes_max,
            list_bytes_max: config.list_bytes_max,
            page_bytes_max: config.page_bytes_max,
            small_body_bytes_max: config.small_body_bytes_max,
            agent_row_bytes_max: config.agent_row_bytes_max,
            agent_bytes_max: config.agent_bytes_max,
            client_bytes_max: config.client_bytes_max,
            item_bytes_max: config.item_bytes_max,
        }
    }

    /// Those of an answer that holds such things: each of them is as long, in a list or alone.
    pub(crate) fn of(self, holds: Holds) -> Self {
        let bytes_max = match holds {
            Holds::Others => return self,
            Holds::AgentRows => self.agent_row_bytes_max,
            Holds::Agents => self.agent_bytes_max,
            Holds::Clients => self.client_bytes_max,
        };
        Self { item_bytes_max: bytes_max, small_body_bytes_max: bytes_max, ..self }
    }
}

/// One request from its start to the end of its answer: counted once, however it ends.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) endpoint: &'static str,
    pub(crate) started: Instant,
    pub(crate) span: Span,
    pub(crate) status: Option<u16>,
    pub(crate) pass: Option<Pass>,
}

impl Exchange {
    /// Tells gate, metrics and span how it ended.
    pub(crate) fn finish(mut self, error: Option<&Error>) {
        if let Some(pass) = self.pass.take() {
            pass.settle(error);
        }
        if let Some(error) = error {
            self.span.record("error.type", error.word());
            self.span.record("otel.status_code", "ERROR");
        }
        self.count(error);
    }

    fn count(&self, error: Option<&Error>) {
        // an answer's own number says most; where there is none, or its body broke, the fault's word does
        let status = match (self.status, error) {
            (Some(status), None) => status.to_string(),
            (Some(status), Some(_)) if !(200..300).contains(&status) => status.to_string(),
            (_, Some(error)) => error.word().to_owned(),
            (None, None) => "cancelled".to_owned(),
        };
        metrics::histogram!("muster_tactical_request_seconds", "endpoint" => self.endpoint, "status" => status)
            .record(self.started.elapsed());
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // `finish` took the pass; one that is still here belongs to a request that somebody gave up
        if self.pass.is_some() {
            self.status = None;
            self.count(None);
        }
    }
}

/// An answer whose head has come, and whose body is read from it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response,
    pub(crate) exchange: Exchange,
    pub(crate) url: Url,
    pub(crate) limits: Limits,
    pub(crate) deadline: Instant,
    pub(crate) bytes: u64,
}

impl Answer {
    pub(crate) fn endpoint(&self) -> &'static str {
        self.exchange.endpoint
    }

    /// The next bytes; `None` at the end.
    pub(crate) async fn chunk(&mut self, bytes_max: u64) -> Result<Option<Bytes>, Error> {
        let endpoint = self.endpoint();
        let (until, wait, after) = soonest(self.deadline, self.limits.read_timeout, self.limits.total_timeout);
        let chunk = timeout_at(until, self.response.chunk()).await;
        let chunk = chunk.map_err(|_| Error::Timeout { endpoint, wait, after_ms: millis(after) })?;
        // whatever breaks a body leaves it without its end
        let Some(chunk) = chunk.map_err(|_| Error::Truncated { endpoint })? else { return Ok(None) };
        self.bytes += chunk.len() as u64;
        if self.bytes > bytes_max {
            return Err(Error::TooLarge { endpoint, bytes_max, is_item: false });
        }
        Ok(Some(chunk))
    }

    async fn whole(&mut self, bytes_max: u64) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk(bytes_max).await? {
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Whether its head says that this is a page and no data.
    pub(crate) fn is_page(&self) -> bool {
        // a body that is not read yet counts as data
        refusal::is_page(self.response.headers(), b"{")
    }

    /// The refusal that a status other than 2xx stands for.
    pub(crate) async fn refuse(mut self) -> Error {
        // what does not come in time, or is too much, says nothing more
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = self.chunk(refusal::BODY_BYTES_MAX).await {
            body.extend_from_slice(&chunk);
        }
        let error = Refusal {
            endpoint: self.endpoint(),
            url: &self.url,
            status: self.response.status().as_u16(),
            headers: self.response.headers(),
            body: &body,
        }
        .into_error();
        self.exchange.finish(Some(&error));
        error
    }

    /// A small answer as JSON.
    pub(crate) async fn json<T: DeserializeOwned>(mut self) -> Result<T, Error> {
        let result = self.read_json().await;
        self.exchange.finish(result.as_ref().err());
        result
    }

    async fn read_json<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        if self.is_page() {
            return Err(Error::WrongHost { host: host(&self.url) });
        }
        let body = self.whole(self.limits.small_body_bytes_max).await?;
        serde_json::from_slice(&body).map_err(|error| unreadable(self.endpoint(), &self.url, &error, body.first()))
    }

    /// An answer whose body says nothing (204).
    pub(crate) async fn nothing(mut self) -> Result<(), Error> {
        let result = self.whole(self.limits.small_body_bytes_max).await.map(drop);
        self.exchange.finish(result.as_ref().err());
        result
    }
}

/// What a parser's error means; `first` is the body's first byte.
pub(crate) fn unreadable(endpoint: &'static str, url: &Url, error: &serde_json::Error, first: Option<&u8>) -> Error {
    if first == Some(&b'<') {
        return Error::WrongHost { host: host(url) };
    }
    if error.is_eof() {
        return Error::Truncated { endpoint };
    }
    Error::Unreadable { endpoint, reason: cut(&error.to_string()) }
}

/// The sooner end of silence and of the whole: when, which, and after how long.
pub(crate) fn soonest(deadline: Instant, read: Duration, total: Duration) -> (Instant, Wait, Duration) {
    let silent = Instant::now() + read;
    if silent < deadline { (silent, Wait::Read, read) } else { (deadline, Wait::Total, total) }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
