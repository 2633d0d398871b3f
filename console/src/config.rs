//! The console's flags, their variables, defaults and limits.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use store::hook::{GRACE_S, GRACE_S_MAX};
use telemetry::command::{self, Refused};
use url::Url;

/// The operators' API of Muster.
#[derive(Debug, Clone, Parser)]
#[command(name = "console", version, about)]
#[group(skip)]
pub struct Config {
    /// Where the API is served, with /livez and /readyz; port 0 = any free port, named in the log
    #[arg(long, env = "MUSTER_CONSOLE_LISTEN", default_value = "127.0.0.1:8081")]
    pub listen: SocketAddr,

    /// Where Tactical reaches the ingest gateway, e.g. `https://hooks.example.com`; shown as a tenant's webhook
    #[arg(long, env = "MUSTER_GATEWAY_URL", value_parser = gateway_url)]
    pub public_gateway_url: Url,

    /// How long a webhook's old secret stays good after a rotation
    #[arg(long, env = "MUSTER_WEBHOOK_GRACE_S", default_value_t = GRACE_S,
          value_parser = clap::value_parser!(u64).range(0..=GRACE_S_MAX))]
    pub webhook_grace_s: u64,

    /// Key of the webhook secrets' digests.
    #[command(flatten)]
    pub pepper: store::pepper::Config,

    /// The key of the tenants' secrets.
    #[command(flatten)]
    pub vault: vault::Config,

    /// Every limit of the console.
    #[command(flatten)]
    pub limits: Limits,

    /// What may be asked of Tactical.
    #[command(flatten)]
    pub tactical: tactical::Config,

    /// Postgres.
    #[command(flatten)]
    pub database: store::Config,

    /// Logs, traces and metrics.
    #[command(flatten)]
    pub telemetry: telemetry::Config,
}

/// The console's limits.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Connections at once; the next ones wait in the listener's backlog
    #[arg(id = "console_connections_max", long = "connections-max", value_name = "CONNECTIONS_MAX",
          env = "MUSTER_CONSOLE_CONNECTIONS_MAX", default_value_t = 256,
          value_parser = clap::value_parser!(u16).range(1..))]
    pub connections_max: u16,

    /// Longest wait for a request's line and headers
    #[arg(id = "console_header_read_timeout_ms", long = "header-read-timeout-ms", value_name = "HEADER_READ_TIMEOUT_MS",
          env = "MUSTER_CONSOLE_HEADER_READ_TIMEOUT_MS", default_value_t = 5_000,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub header_read_timeout_ms: u64,

    /// Longest wait for the next request of a caller that was served; above the 60 s after which nginx closes by itself
    #[arg(id = "console_idle_timeout_ms", long = "idle-timeout-ms", value_name = "IDLE_TIMEOUT_MS",
          env = "MUSTER_CONSOLE_IDLE_TIMEOUT_MS", default_value_t = 75_000,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub idle_timeout_ms: u64,

    /// Longest wait for a whole body
    #[arg(id = "console_body_read_timeout_ms", long = "body-read-timeout-ms", value_name = "BODY_READ_TIMEOUT_MS",
          env = "MUSTER_CONSOLE_BODY_READ_TIMEOUT_MS", default_value_t = 10_000,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub body_read_timeout_ms: u64,

    /// A body; the mappings of 5,000 organisations fit
    #[arg(id = "console_body_bytes_max", long = "body-bytes-max", value_name = "BODY_BYTES_MAX",
          env = "MUSTER_CONSOLE_BODY_BYTES_MAX", default_value_t = 1024 * 1024,
          value_parser = body_bytes)]
    pub body_bytes_max: usize,

    /// Longest work for one request; a test of the connection and the coverage ask Tactical, which may think for minutes
    #[arg(id = "console_request_timeout_ms", long = "request-timeout-ms", value_name = "REQUEST_TIMEOUT_MS",
          env = "MUSTER_CONSOLE_REQUEST_TIMEOUT_MS", default_value_t = 300_000,
          value_parser = clap::value_parser!(u64).range(100..))]
    pub request_timeout_ms: u64,

    /// Longest wait for open requests when the process is told to stop
    #[arg(
        id = "console_drain_timeout_ms",
        long = "drain-timeout-ms",
        value_name = "DRAIN_TIMEOUT_MS",
        env = "MUSTER_CONSOLE_DRAIN_TIMEOUT_MS",
        default_value_t = 10_000
    )]
    pub drain_timeout_ms: u64,
}

/// Buffer for a request's line and headers; a token, a trace and a proxy's headers need a tenth of it.
const HEADER_BYTES_MAX: usize = 32 * 1024;

impl Config {
    /// Reads the command line and the environment.
    ///
    /// # Errors
    /// One line for stderr, see [`command::read`].
    pub fn read<T: Into<OsString> + Clone>(arguments: impl IntoIterator<Item = T>) -> Result<Self, Refused> {
        command::read(arguments)
    }

    /// What only shows to be wrong when it is read.
    ///
    /// # Errors
    /// One line for stderr.
    pub fn check(&self) -> Result<(), String> {
        self.pepper.read()?;
        vault::Vault::open(&self.vault).map(drop).map_err(|error| fault::chain(&error))
    }
}

impl Limits {
    pub(crate) fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    pub(crate) fn body_read_timeout(&self) -> Duration {
        Duration::from_millis(self.body_read_timeout_ms)
    }

    /// Those that the listener keeps; a caller that was served may idle.
    pub(crate) fn listener(&self) -> listener::Limits {
        listener::Limits {
            connections_max: self.connections_max.into(),
            header_read_timeout: Duration::from_millis(self.header_read_timeout_ms),
            idle_timeout: Duration::from_millis(self.idle_timeout_ms),
            header_bytes_max: HEADER_BYTES_MAX,
            drain_timeout: Duration::from_millis(self.drain_timeout_ms),
            is_known: |status| status.is_success(),
        }
    }
}

fn gateway_url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|_| "expected a URL such as https://hooks.example.com".to_owned())?;
    if !["http", "https"].contains(&url.scheme()) || url.query().is_some() || url.fragment().is_some() {
        return Err("expected a URL of http or https without query".to_owned());
    }
    Ok(url)
}

fn body_bytes(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|bytes| *bytes >= 1).ok_or_else(|| "expected a whole number of at least 1".to_owned())
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
