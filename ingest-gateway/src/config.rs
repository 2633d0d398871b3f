//! The gateway's flags, their variables, defaults and limits.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::StatusCode;
use clap::Parser;
use telemetry::command::{self, Refused};

/// Turns Tactical's webhooks into messages.
#[derive(Debug, Clone, Parser)]
// the probes are on the webhooks' listener: the workers' flag for them is taken, since all may share one environment,
// but it does nothing here and is not shown
#[command(name = "ingest-gateway", version, about, mut_arg("probe_listen", |arg| arg.hide(true)))]
#[group(skip)]
pub struct Config {
    /// Where webhooks are taken, with /livez and /readyz; port 0 = any free port, named in the log. A socket that systemd
    /// hands over (LISTEN_FDS) is taken instead
    #[arg(long, env = "MUSTER_GATEWAY_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,

    /// Where /metrics is served, with the probes again; absent = on the webhooks' listener. Give it where that one is
    /// public
    #[arg(long, env = "MUSTER_GATEWAY_ADMIN_LISTEN")]
    pub admin_listen: Option<SocketAddr>,

    /// Folder of what must survive a restart while Postgres or RabbitMQ is away: the hooks' digests, the spool
    #[arg(long, env = "MUSTER_GATEWAY_STATE_DIR", default_value = "muster-gateway-state")]
    pub state_dir: PathBuf,

    /// Folder of the spool, of this gateway alone; absent = `spool` in the state directory
    #[arg(long, env = "MUSTER_GATEWAY_SPOOL_DIR")]
    pub spool_dir: Option<PathBuf>,

    /// How much the spool may hold.
    #[command(flatten)]
    pub spool: spool::Config,

    /// Key of the secrets' digests.
    #[command(flatten)]
    pub pepper: store::pepper::Config,

    /// Every limit of the gateway.
    #[command(flatten)]
    pub limits: Limits,

    /// Whether and how it ticks.
    #[command(flatten)]
    pub ticks: Ticks,

    /// Postgres.
    #[command(flatten)]
    pub database: store::Config,

    /// RabbitMQ.
    #[command(flatten)]
    pub broker: broker::Config,

    /// Logs, traces and metrics.
    #[command(flatten)]
    pub telemetry: telemetry::Config,
}

/// The gateway's limits.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Connections at once; the next ones wait in the listener's backlog
    #[arg(id = "gateway_connections_max", long = "connections-max", value_name = "CONNECTIONS_MAX",
          env = "MUSTER_GATEWAY_CONNECTIONS_MAX", default_value_t = 1_024, value_parser = positive::<usize>)]
    pub connections_max: usize,

    /// Longest wait for a request's line and headers, from the opening of the connection or the answer before
    #[arg(long, env = "MUSTER_GATEWAY_HEADER_READ_TIMEOUT_MS", default_value_t = 3_000,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub header_read_timeout_ms: u64,

    /// Longest wait for the next request of a sender whose last one was accepted; above the 60 s after which nginx
    /// closes by itself, since a proxy that sends on a connection just being closed loses the webhook
    #[arg(long, env = "MUSTER_GATEWAY_IDLE_TIMEOUT_MS", default_value_t = 75_000,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub idle_timeout_ms: u64,

    /// Buffer for the line and the headers of a request; a head that does not fit is refused, one slightly larger may still fit
    #[arg(long, env = "MUSTER_GATEWAY_HEADER_BYTES_MAX", default_value_t = 32 * 1024,
          value_parser = header_bytes)]
    pub header_bytes_max: usize,

    /// Longest wait for a whole body
    #[arg(long, env = "MUSTER_GATEWAY_BODY_READ_TIMEOUT_MS", default_value_t = 3_000,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub body_read_timeout_ms: u64,

    /// A body; Tactical's own have a few hundred bytes, a script's whole output may be in one
    #[arg(long, env = "MUSTER_GATEWAY_BODY_BYTES_MAX", default_value_t = 512 * 1024,
          value_parser = positive::<usize>)]
    pub body_bytes_max: usize,

    /// How often the hooks' version is compared
    #[arg(long, env = "MUSTER_GATEWAY_HOOK_RELOAD_MS", default_value_t = 10_000,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub hook_reload_ms: u64,

    /// Longest wait for Postgres before a secret that opens nothing is answered
    #[arg(long, env = "MUSTER_GATEWAY_HOOK_LOOKUP_TIMEOUT_MS", default_value_t = 250,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub hook_lookup_timeout_ms: u64,

    /// Such questions at once, over all tenants; half of the pool
    #[arg(long, env = "MUSTER_GATEWAY_HOOK_LOOKUPS_MAX", default_value_t = 5,
          value_parser = positive::<usize>)]
    pub hook_lookups_max: usize,

    /// How long the answer to such a question holds for its tenant
    #[arg(long, env = "MUSTER_GATEWAY_HOOK_MISS_TTL_MS", default_value_t = 2_000,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub hook_miss_ttl_ms: u64,

    /// Tenants whose answers are remembered; 100 bytes each
    #[arg(long, env = "MUSTER_GATEWAY_HOOK_MISSES_MAX", default_value_t = 10_000,
          value_parser = positive::<usize>)]
    pub hook_misses_max: usize,

    /// How long RabbitMQ may take to confirm a webhook's message before the spool takes it
    #[arg(long, env = "MUSTER_GATEWAY_SPOOL_AFTER_MS", default_value_t = 100,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub spool_after_ms: u64,

    /// Pause before a spooled message that RabbitMQ refused is offered again; at the fifth refusal it is set aside
    #[arg(long, env = "MUSTER_GATEWAY_SPOOL_REFUSAL_PAUSE_MS", default_value_t = 30_000,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub spool_refusal_pause_ms: u64,

    /// What a 503 asks its sender to wait
    #[arg(long, env = "MUSTER_GATEWAY_RETRY_AFTER_S", default_value_t = 5)]
    pub retry_after_s: u64,

    /// Longest wait for open requests when the process is told to stop
    #[arg(long, env = "MUSTER_GATEWAY_DRAIN_TIMEOUT_MS", default_value_t = 10_000)]
    pub drain_timeout_ms: u64,
}

/// The ticker's settings.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Schedules")]
pub struct Ticks {
    /// Whether this gateway starts what is due by the schedules; of several any may. With false in all of them nothing runs
    /// by itself
    #[arg(long, env = "MUSTER_GATEWAY_TICKS", default_value_t = true, action = clap::ArgAction::Set)]
    pub ticks: bool,

    /// How often it looks for what is due
    #[arg(long, env = "MUSTER_GATEWAY_TICK_PERIOD_MS", default_value_t = 1_000,
          value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pub tick_period_ms: u64,

    /// Schedules that it takes in one transaction
    #[arg(long, env = "MUSTER_GATEWAY_TICK_ROWS_MAX", default_value_t = store::schedule::ROWS_MAX,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub tick_rows_max: u32,
}

impl Config {
    /// Reads the command line and the environment.
    ///
    /// # Errors
    /// One line for stderr, see [`command::read`].
    pub fn read<T: Into<OsString> + Clone>(arguments: impl IntoIterator<Item = T>) -> Result<Self, Refused> {
        command::read(arguments)
    }

    /// Where the spool is.
    #[must_use]
    pub fn spool_folder(&self) -> PathBuf {
        self.spool_dir.clone().unwrap_or_else(|| self.state_dir.join("spool"))
    }
}

impl Limits {
    /// Those that the listener keeps; an accepted sender may idle.
    pub(crate) fn listener(&self) -> listener::Limits {
        listener::Limits {
            connections_max: self.connections_max,
            header_read_timeout: Duration::from_millis(self.header_read_timeout_ms),
            idle_timeout: Duration::from_millis(self.idle_timeout_ms),
            header_bytes_max: self.header_bytes_max,
            drain_timeout: Duration::from_millis(self.drain_timeout_ms),
            is_known: |status| status == StatusCode::ACCEPTED,
        }
    }
}

fn positive<T: std::str::FromStr + PartialOrd + From<u8>>(text: &str) -> Result<T, String> {
    match text.parse() {
        Ok(number) if number >= T::from(1) => Ok(number),
        _ => Err("expected a whole number of at least 1".to_owned()),
    }
}

/// hyper refuses a buffer below 8 KiB.
fn header_bytes(text: &str) -> Result<usize, String> {
    const HEADER_BYTES_MIN: usize = 8 * 1024;
    match text.parse() {
        Ok(bytes) if bytes >= HEADER_BYTES_MIN => Ok(bytes),
        _ => Err(format!("expected a whole number of at least {HEADER_BYTES_MIN}")),
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
