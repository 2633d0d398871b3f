//! The span exporter: OTLP over HTTP, with failures counted each and logged rarely.
//!
//! The SDK's batch processor has a thread of its own and blocks in it, so the HTTP client is the blocking one (its builder
//! makes it on another thread: inside a runtime it would panic). The SDK and the exporter would log every failed request;
//! the log layer silences the exporter, and this wrapper says it once a minute instead.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry_otlp::{ExporterBuildError, SpanExporter as OtlpExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanExporter};

use crate::{Config, metric};

/// Log lines about an export that goes on failing.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// The batch processor that posts spans to `url`.
pub(crate) fn processor(url: &str, config: &Config) -> Result<BatchSpanProcessor, ExporterBuildError> {
    let exporter = OtlpExporter::builder()
        .with_http()
        .with_endpoint(url)
        .with_timeout(Duration::from_millis(config.otlp_timeout_ms))
        .build()?;
    let queue_spans_max = config.otlp_queue_spans_max as usize;
    let batch = BatchConfigBuilder::default()
        .with_max_queue_size(queue_spans_max)
        .with_max_export_batch_size(queue_spans_max.min(config.otlp_batch_spans_max as usize))
        .with_scheduled_delay(Duration::from_millis(config.otlp_delay_ms))
        .build();
    Ok(BatchSpanProcessor::new(Reported { exporter, url: url.to_owned(), report: Mutex::default() }, batch))
}

/// An exporter whose failures are counted and, rarely, logged.
#[derive(Debug)]
struct Reported<E> {
    exporter: E,
    url: String,
    report: Mutex<Report>,
}

impl<E: SpanExporter> SpanExporter for Reported<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let result = self.exporter.export(batch).await;
        let outcome = if result.is_ok() { "exported" } else { "failed" };
        metrics::counter!(metric::SPANS_TOTAL, "outcome" => outcome).increment(spans);
        let note =
            self.report.lock().unwrap_or_else(PoisonError::into_inner).note(spans, result.is_ok(), Instant::now());
        match (note, result) {
            (Some(Note::Failing { spans_lost }), Err(error)) => {
                tracing::warn!(error = %error, "export spans to {}: failing, {spans_lost} spans lost so far", self.url);
            }
            (Some(Note::Recovered { spans_lost }), _) => {
                tracing::info!("export spans to {}: works again, {spans_lost} spans were lost", self.url);
            }
            _ => {}
        }
        // the failure is dealt with: the SDK would only log it once more
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// What is known of the current series of failures.
#[derive(Debug, Default)]
struct Report {
    spans_lost: u64,
    said_at: Option<Instant>,
}

/// Something worth a log line.
#[derive(Debug, PartialEq, Eq)]
enum Note {
    Failing { spans_lost: u64 },
    Recovered { spans_lost: u64 },
}

impl Report {
    /// Counts one export; a note at the first failure, then once an interval, and at the end of the series.
    fn note(&mut self, spans: u64, succeeded: bool, now: Instant) -> Option<Note> {
        if succeeded {
            let spans_lost = std::mem::take(self).spans_lost;
            return (spans_lost > 0).then_some(Note::Recovered { spans_lost });
        }
        self.spans_lost += spans;
        let due = self.said_at.is_none_or(|said_at| now.duration_since(said_at) >= REPORT_INTERVAL);
        due.then(|| {
            self.said_at = Some(now);
            Note::Failing { spans_lost: self.spans_lost }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_of_failures_is_said_once_a_minute_and_at_its_end() {
        let start = Instant::now();
        let mut report = Report::default();
        let mut at = |seconds, succeeded| report.note(10, succeeded, start + Duration::from_secs(seconds));
        assert_eq!(at(0, true), None);
        assert_eq!(at(1, false), Some(Note::Failing { spans_lost: 10 }));
        assert_eq!(at(2, false), None);
        assert_eq!(at(60, false), None);
        assert_eq!(at(61, false), Some(Note::Failing { spans_lost: 40 }));
        assert_eq!(at(62, true), Some(Note::Recovered { spans_lost: 40 }));
        assert_eq!(at(63, true), None);
        assert_eq!(at(64, false), Some(Note::Failing { spans_lost: 10 }));
    }
}
