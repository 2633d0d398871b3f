//! Puts logs, traces and metrics together, once for the process, and takes them down at its end.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::Dispatch;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::log::LogLayer;
use crate::prometheus::{self, AlreadyInstalled};
use crate::{Config, MetricsHandle, export, field, log, metric};

/// A flush links its messages and a batch has up to 2,000 of them; the SDK would keep 128.
const LINKS_MAX: u32 = 2_048;
/// What the exporter itself runs on, by the beginning of the target: traced, every export would make spans to export.
const NEVER_TRACED: [&str; 5] = ["opentelemetry", "hyper", "reqwest", "h2", "rustls"];

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The exporter could not be built: the URL is malformed or the TLS roots are unreadable.
    #[error("build the span exporter for {url} (--otlp-url, MUSTER_OTLP_URL)")]
    Exporter {
        /// Where spans should have gone.
        url: String,
        /// What the exporter says.
        source: ExporterBuildError,
    },
    /// Another metrics recorder is installed.
    #[error(transparent)]
    Metrics(#[from] AlreadyInstalled),
    /// Another subscriber is installed.
    #[error("install the log and trace subscriber")]
    Subscriber(#[from] TryInitError),
}

/// What keeps telemetry going; [`shutdown`](Guard::shutdown) is the last thing a process does with it.
#[must_use = "dropped at once, the last spans may be lost"]
#[derive(Debug)]
pub struct Guard {
    provider: SdkTracerProvider,
    metrics: MetricsHandle,
    shutdown_timeout: Duration,
    /// False for the guard of a second [`init`]: the first one takes telemetry down.
    owner: bool,
}

impl Guard {
    /// The process's metrics, for [`probe`](crate::probe).
    pub fn metrics(&self) -> MetricsHandle {
        self.metrics.clone()
    }

    /// Sends the spans that are finished and still in memory. Blocks its thread for 5 s at most.
    pub fn flush(&self) {
        if let Err(error) = self.provider.force_flush() {
            tracing::warn!(error = %error, "flush spans failed");
        }
    }

    /// Sends what is left and stops the exporter. Blocks its thread for `--otlp-shutdown-timeout-ms` at most; what has not been
    /// sent by then is lost, with a line in the log.
    pub fn shutdown(self) {
        if !self.owner {
            return self.flush();
        }
        if let Err(error) = self.provider.shutdown_with_timeout(self.shutdown_timeout) {
            tracing::warn!(error = %error, "send the last spans failed");
        }
    }
}

/// Sets up logs on stderr, traces and metrics for the whole process; `service_name` is the name of the binary.
///
/// A second call in one process changes nothing: it answers a guard on what the first one installed, and says so in the
/// log. Without an OTLP URL spans still have ids, which cross the broker and stand in the logs; they are not exported.
///
/// # Errors
/// The exporter cannot be built, or a subscriber or recorder that is not ours is installed already.
pub fn init(service_name: &'static str, config: &Config) -> Result<Guard, InitError> {
    static INSTALLED: Mutex<Option<SdkTracerProvider>> = Mutex::new(None);
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(provider) = &*installed {
        tracing::warn!("telemetry is set up already: the configuration of {service_name} is not used");
        let metrics = prometheus::install()?;
        return Ok(Guard {
            provider: provider.clone(),
            metrics,
            shutdown_timeout: config.shutdown_timeout(),
            owner: false,
        });
    }
    let (dispatch, guard) = scoped(service_name, config)?;
    dispatch.try_init()?;
    *installed = Some(guard.provider.clone());
    metrics::gauge!(metric::BUILD_INFO, "service" => service_name, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(guard)
}

/// Like [`init`], with logs and traces only where the answered dispatch is entered (`tracing::dispatcher::with_default`); for
/// tests that must not share them. Metrics are the process's all the same.
///
/// # Errors
/// As [`init`].
pub fn scoped(service_name: &'static str, config: &Config) -> Result<(Dispatch, Guard), InitError> {
    build(service_name, config, BoxMakeWriter::new(std::io::stderr))
}

/// [`scoped`], with log lines written to `writer`.
pub(crate) fn build(
    service_name: &'static str,
    config: &Config,
    writer: BoxMakeWriter,
) -> Result<(Dispatch, Guard), InitError> {
    let metrics = prometheus::install()?;
    let provider = provider(service_name, config)?;
    let traces = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("muster"))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(traced(&config.trace_filter));
    let logs = LogLayer::new(service_name, config.log_format, writer).with_filter(log::filter(&config.log_filter));
    // filters stand on the layers: one on the registry would take spans from the traces that only the log does not want
    let dispatch = Dispatch::new(Registry::default().with(traces).with(logs));
    let guard = Guard { provider, metrics, shutdown_timeout: config.shutdown_timeout(), owner: true };
    Ok((dispatch, guard))
}

fn provider(service_name: &'static str, config: &Config) -> Result<SdkTracerProvider, InitError> {
    let resource = Resource::builder()
        .with_service_name(service_name)
        .with_attribute(KeyValue::new(field::SERVICE_VERSION, env!("CARGO_PKG_VERSION")))
        .build();
    let builder = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)))
        .with_max_links_per_span(LINKS_MAX);
    let Some(url) = config.traces_url() else { return Ok(builder.build()) };
    let processor = export::processor(&url, config).map_err(|source| InitError::Exporter { url, source })?;
    Ok(builder.with_span_processor(processor).build())
}

fn traced(trace_filter: &Targets) -> Targets {
    NEVER_TRACED.into_iter().fold(trace_filter.clone(), |filter, target| filter.with_target(target, LevelFilter::OFF))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::trace::current_traceparent;

    #[test]
    fn a_second_init_shares_what_the_first_installed() {
        let first = init("first", &Config::default()).unwrap();
        let second = init("second", &Config::default()).unwrap();
        assert!(first.owner && !second.owner);
        second.shutdown();
        tracing::info_span!("after").in_scope(|| assert!(current_traceparent().is_some()));
        assert!(first.metrics().render().contains(r#"muster_build_info{service="first""#));
        first.shutdown();
    }

    #[test]
    fn without_a_collector_spans_have_ids_all_the_same() {
        let (dispatch, guard) = scoped("x", &Config::default()).unwrap();
        tracing::dispatcher::with_default(&dispatch, || {
            tracing::info_span!("a").in_scope(|| assert!(current_traceparent().unwrap().ends_with("-01")));
        });
        guard.shutdown();
    }

    /// A collector that accepts and never answers.
    fn silent_collector() -> (std::net::TcpListener, Config) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let otlp_url = Some(format!("http://{}", listener.local_addr().unwrap()));
        (listener, Config { otlp_url, otlp_shutdown_timeout_ms: 200, ..Config::default() })
    }

    #[test]
    fn shutdown_is_bounded_where_the_collector_hangs() {
        let (_listener, config) = silent_collector();
        let (dispatch, guard) = scoped("x", &config).unwrap();
        tracing::dispatcher::with_default(&dispatch, || tracing::info_span!("a").in_scope(|| {}));
        let start = Instant::now();
        guard.shutdown();
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }

    #[test]
    fn a_failed_export_is_counted() {
        let refused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = Config { otlp_url: Some(format!("http://{refused}")), ..Config::default() };
        let (dispatch, guard) = scoped("x", &config).unwrap();
        tracing::dispatcher::with_default(&dispatch, || tracing::info_span!("a").in_scope(|| {}));
        guard.flush();
        assert!(guard.metrics().render().contains(r#"muster_spans_total{outcome="failed"} "#));
        guard.shutdown();
    }

    #[test]
    fn a_collector_may_speak_tls() {
        let config = Config { otlp_url: Some("https://127.0.0.1:9".to_owned()), ..Config::default() };
        scoped("x", &config).unwrap().1.shutdown();
    }

    #[test]
    fn a_malformed_collector_is_an_error_that_names_the_flag() {
        let config = Config { otlp_url: Some("http://[".to_owned()), ..Config::default() };
        let error = scoped("x", &config).unwrap_err();
        assert!(error.to_string().contains("http://[/v1/traces (--otlp-url, MUSTER_OTLP_URL)"), "{error}");
    }

    #[test]
    fn the_exporters_own_crates_are_never_traced() {
        let filter = traced(&"trace".parse().unwrap());
        assert!(!filter.would_enable("hyper_util::client", &tracing::Level::ERROR));
        assert!(filter.would_enable("broker", &tracing::Level::TRACE));
    }
}
