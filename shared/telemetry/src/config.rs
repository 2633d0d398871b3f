//! The telemetry flags that every binary shares, with their environment variables, defaults and limits.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tracing_subscriber::filter::{LevelFilter, Targets};

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One line for a person: time, level, target, message, `name=value`.
    #[default]
    Text,
    /// One flat JSON object a line.
    Json,
}

/// What is logged and traced unless told otherwise. lapin reports as an error what `broker` expects, handles and reports
/// itself: a queue that is looked for and missing, a channel that closes while its connection does.
const FILTER: &str = "info,lapin=off";

/// The flags of this crate; `#[command(flatten)]` them into a binary's own.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Telemetry")]
pub struct Config {
    /// How log lines are written to stderr
    #[arg(long, env = "MUSTER_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,

    /// Which events are logged: a level, then `target=level` separated by commas, e.g. `info,broker=debug`
    #[arg(long, env = "MUSTER_LOG", default_value = FILTER, value_parser = parse_filter)]
    pub log_filter: Targets,

    /// Which spans are traced, in the form of the log filter; independent of what is logged
    #[arg(long, env = "MUSTER_TRACE", default_value = FILTER, value_parser = parse_filter)]
    pub trace_filter: Targets,

    /// Base URL of an OTLP collector (HTTP, protobuf), e.g. `http://127.0.0.1:4318`; absent or empty = not exported
    #[arg(long, env = "MUSTER_OTLP_URL", value_parser = parse_otlp_url)]
    pub otlp_url: Option<String>,

    /// Spans kept in memory for the collector; what comes on top is dropped and counted
    #[arg(long, env = "MUSTER_OTLP_QUEUE_SPANS_MAX", default_value_t = QUEUE_SPANS_MAX,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub otlp_queue_spans_max: u32,

    /// Spans in one request to the collector
    #[arg(long, env = "MUSTER_OTLP_BATCH_SPANS_MAX", default_value_t = BATCH_SPANS_MAX,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub otlp_batch_spans_max: u32,

    /// Longest wait of a finished span before it is sent
    #[arg(long, env = "MUSTER_OTLP_DELAY_MS", default_value_t = DELAY_MS,
          value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pub otlp_delay_ms: u64,

    /// Longest wait for one answer of the collector
    #[arg(long, env = "MUSTER_OTLP_TIMEOUT_MS", default_value_t = TIMEOUT_MS,
          value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pub otlp_timeout_ms: u64,

    /// Longest wait at the end of the process for spans that are still to be sent
    #[arg(long, env = "MUSTER_OTLP_SHUTDOWN_TIMEOUT_MS", default_value_t = SHUTDOWN_TIMEOUT_MS,
          value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pub otlp_shutdown_timeout_ms: u64,

    /// Address of a worker's probes and metrics; port 0 = any free port, named in the log
    #[arg(long, env = "MUSTER_PROBE_LISTEN", default_value_t = PROBE_LISTEN)]
    pub probe_listen: SocketAddr,

    /// How long work may exceed its own limit, or no task at all may run, before the process ends itself with exit code 3
    #[arg(long, env = "MUSTER_STUCK_MS_MAX", default_value_t = STUCK_MS_MAX,
          value_parser = clap::value_parser!(u64).range(1_000..=600_000))]
    pub stuck_ms_max: u64,
}

/// A webhook makes about 6 spans and the target is 1,000 webhooks/s: 16,384 bridge 2.7 s of a collector that is away.
const QUEUE_SPANS_MAX: u32 = 16_384;
/// The SDK's own default.
const BATCH_SPANS_MAX: u32 = 512;
/// Short enough that a person who has just sent an alert finds its trace.
const DELAY_MS: u64 = 1_000;
const TIMEOUT_MS: u64 = 5_000;
/// A drain has 30 s in the usual deployments; telemetry takes a tenth of that.
const SHUTDOWN_TIMEOUT_MS: u64 = 3_000;
const PROBE_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Longer than any busy moment of a loaded machine, and short beside the broker's own limit of 30 minutes.
const STUCK_MS_MAX: u64 = 30_000;

impl Default for Config {
    /// The defaults of the flags, without a look at the environment.
    fn default() -> Self {
        let info = parse_filter(FILTER).expect("its own test reads it");
        Self {
            log_format: LogFormat::default(),
            log_filter: info.clone(),
            trace_filter: info,
            otlp_url: None,
            otlp_queue_spans_max: QUEUE_SPANS_MAX,
            otlp_batch_spans_max: BATCH_SPANS_MAX,
            otlp_delay_ms: DELAY_MS,
            otlp_timeout_ms: TIMEOUT_MS,
            otlp_shutdown_timeout_ms: SHUTDOWN_TIMEOUT_MS,
            probe_listen: PROBE_LISTEN,
            stuck_ms_max: STUCK_MS_MAX,
        }
    }
}

impl Config {
    /// Where spans are posted: the collector's URL with `/v1/traces`, or None where nothing is exported.
    pub(crate) fn traces_url(&self) -> Option<String> {
        let base = self.otlp_url.as_deref()?.trim_end_matches('/');
        match base {
            "" => None,
            full if full.ends_with(TRACES_PATH) => Some(full.to_owned()),
            base => Some(format!("{base}{TRACES_PATH}")),
        }
    }

    pub(crate) fn stuck_max(&self) -> Duration {
        Duration::from_millis(self.stuck_ms_max)
    }

    pub(crate) fn shutdown_timeout(&self) -> Duration {
        Duration::from_millis(self.otlp_shutdown_timeout_ms)
    }
}

const TRACES_PATH: &str = "/v1/traces";

/// Reads a filter strictly: a lone word must be a level, since a mistyped one (`inof`) would silently log nothing.
fn parse_filter(text: &str) -> Result<Targets, String> {
    // compose files pass an unset variable as an empty one
    let text = if text.is_empty() { FILTER } else { text };
    for directive in text.split(',') {
        let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level);
        if level.is_empty() || level.parse::<LevelFilter>().is_err() {
            return Err(format!("`{level}` is not a level (off, error, warn, info, debug, trace)"));
        }
    }
    text.parse().map_err(|error| format!("{error}"))
}

fn parse_otlp_url(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    match host {
        _ if text.is_empty() => Ok(String::new()),
        Some(host) if !host.is_empty() && !text.contains(char::is_whitespace) => Ok(text.to_owned()),
        _ => Err("expected http://host:port or https://host:port".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        telemetry: Config,
    }

    fn with_url(url: &str) -> Config {
        Config { otlp_url: Some(url.to_owned()), ..Config::default() }
    }

    #[test]
    fn the_flags_without_arguments_are_the_default() {
        let cli = Cli::try_parse_from(["x"]).unwrap();
        assert_eq!(format!("{:?}", cli.telemetry), format!("{:?}", Config::default()));
    }

    #[test]
    fn the_traces_path_is_appended_once() {
        let full = Some("http://h:4318/v1/traces".to_owned());
        for url in ["http://h:4318", "http://h:4318/", "http://h:4318/v1/traces", "http://h:4318/v1/traces/"] {
            assert_eq!(with_url(url).traces_url(), full, "{url}");
        }
    }

    #[test]
    fn an_empty_value_is_as_good_as_none() {
        let cli = Cli::try_parse_from(["x", "--otlp-url", "", "--log-filter", ""]).unwrap();
        assert_eq!(cli.telemetry.traces_url(), None);
        assert_eq!(cli.telemetry.log_filter.default_level(), Some(LevelFilter::INFO));
        assert_eq!(Config::default().traces_url(), None);
    }

    #[test]
    fn a_bad_flag_is_refused_and_named() {
        let bad = [
            ("--log-filter", "inof"),
            ("--log-filter", "info,broker=loud"),
            ("--trace-filter", "info,"),
            ("--log-format", "xml"),
            ("--otlp-url", "127.0.0.1:4318"),
            ("--otlp-url", "http://"),
            ("--otlp-batch-spans-max", "0"),
            ("--probe-listen", "localhost"),
            ("--stuck-ms-max", "999"),
            ("--stuck-ms-max", "600001"),
        ];
        for (flag, value) in bad {
            let error = Cli::try_parse_from(["x", flag, value]).unwrap_err().to_string();
            assert!(error.contains(flag), "{flag} {value}: {error}");
        }
    }

    #[test]
    fn a_filter_by_target_is_read() {
        let filter = parse_filter("warn,broker=debug").unwrap();
        assert!(filter.would_enable("broker::consume", &tracing::Level::DEBUG));
        assert!(!filter.would_enable("store", &tracing::Level::INFO));
    }
}
