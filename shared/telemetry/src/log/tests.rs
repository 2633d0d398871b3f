//! What a log line holds, seen through a real subscriber.

use std::io;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tracing::{debug, info, info_span, warn};

use super::*;
use crate::{Config, init, trace};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Where the lines of one test go.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged(format: LogFormat, log_filter: &str, body: impl FnOnce()) -> Vec<String> {
    let sink = Sink::default();
    let writer = sink.clone();
    let config = Config { log_format: format, log_filter: log_filter.parse().unwrap(), ..Config::default() };
    let (dispatch, _guard) = init::build("log-test", &config, BoxMakeWriter::new(move || writer.clone())).unwrap();
    tracing::dispatcher::with_default(&dispatch, body);
    let bytes = sink.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
}

fn json(body: impl FnOnce()) -> Value {
    let lines = logged(LogFormat::Json, "info", body);
    assert_eq!(lines.len(), 1, "{lines:?}");
    serde_json::from_str(&lines[0]).unwrap()
}

#[test]
fn a_line_holds_the_trace_id_in_both_formats() {
    for format in [LogFormat::Text, LogFormat::Json] {
        let lines = logged(format, "info", || {
            let span = info_span!("process");
            assert!(trace::set_parent(&span, PARENT));
            span.in_scope(|| info!("inside"));
            info!(parent: &span, "named parent");
            info!("outside");
        });
        assert!(lines[0].contains("4bf92f3577b34da6a3ce929d0e0e4736"), "{lines:?}");
        assert!(lines[0].contains("span_id") && !lines[0].contains("00f067aa0ba902b7"), "{lines:?}");
        assert!(lines[1].contains("4bf92f3577b34da6a3ce929d0e0e4736"), "{lines:?}");
        assert!(!lines[2].contains("trace_id"), "{lines:?}");
    }
}

#[test]
fn a_json_line_is_one_flat_object() {
    let line = json(|| {
        let _outer =
            info_span!("outer", tenant.id = "t", job.kind = "outer", job.outcome = tracing::field::Empty).entered();
        let inner = info_span!("inner", otel.kind = "consumer", job.kind = "inner").entered();
        tracing::Span::current().record("job.kind", "recorded");
        info!(job.attempt = 3, event.id = %"e", message.redelivered = true, "took {}", 1);
        drop(inner);
    });
    assert_eq!(line["message"], "took 1");
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["service"], "log-test");
    assert_eq!(line["target"], "telemetry::log::tests");
    assert_eq!(line["tenant.id"], "t");
    assert_eq!(line["job.kind"], "recorded", "the innermost span wins");
    assert_eq!(line["job.attempt"], 3);
    assert!(line.get("otel.kind").is_none());
    assert_eq!(line["message.redelivered"], true);
    let timestamp = line["timestamp"].as_str().unwrap();
    assert!(timestamp.len() == 27 && timestamp.ends_with('Z') && timestamp.contains('T'), "{timestamp}");
    assert!(line.as_object().unwrap().values().all(|value| !value.is_object()));
}

#[test]
fn a_warning_keeps_the_fields_of_filtered_spans() {
    let lines = logged(LogFormat::Text, "warn", || {
        let _span = info_span!("process", tenant.id = "t-1").entered();
        info!("not logged");
        warn!("logged");
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("tenant.id=t-1") && lines[0].contains("trace_id="), "{lines:?}");
}

#[test]
fn a_filter_by_target_chooses_events() {
    let lines = logged(LogFormat::Text, "off,telemetry::log=debug", || {
        debug!("wanted");
        warn!(target: "other", "not wanted");
        tracing::trace!("too fine");
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    let silent = logged(LogFormat::Text, "trace", || warn!(target: "opentelemetry-otlp", "a failed export"));
    assert!(silent.is_empty(), "{silent:?}");
}

#[test]
fn a_value_cannot_forge_a_line() {
    for format in [LogFormat::Text, LogFormat::Json] {
        let lines = logged(format, "info", || {
            info!(agent.id = "a\nERROR forged\r\u{2028}\u{1b}[2J", error = ?"x\ny", "one\ntwo");
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(!lines[0].contains('\u{1b}'), "{lines:?}");
    }
}

#[test]
fn a_value_is_cut_at_its_limit() {
    let line = json(|| info!(error = %"é".repeat(fields::VALUE_BYTES_MAX), "long"));
    let text = line["error"].as_str().unwrap();
    assert!(text.len() <= fields::VALUE_BYTES_MAX + 16 && text.ends_with("[cut]"), "{}", text.len());
}

#[test]
fn an_error_is_logged_with_its_chain() {
    #[derive(Debug, thiserror::Error)]
    #[error("read the hooks")]
    struct Outer(#[source] io::Error);
    let error = Outer(io::Error::other("disk is away"));
    let line = json(|| warn!(error = &error as &dyn std::error::Error, "failed"));
    assert_eq!(line["error"], "read the hooks: disk is away");
}

#[test]
fn a_field_cannot_take_the_place_of_what_a_line_says_itself() {
    let line = json(|| info!(level = "fine", trace_id = "mine", "m"));
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["field.level"], "fine");
    assert_eq!(line["field.trace_id"], "mine");
}
