//! The log layer: one event becomes one line on stderr that carries its trace, its span and the fields of all its spans.
//!
//! It is written here because the stock formats know neither the trace id nor flat span fields. Two rules:
//! the log filter chooses events only, so that a warning keeps its `tenant.id` even where `info` is filtered out; and no
//! value can forge a line or be longer than [`VALUE_BYTES_MAX`].

mod fields;
mod line;

use std::io::Write;
use std::sync::OnceLock;

use opentelemetry::Context as OtelContext;
use opentelemetry::trace::TraceContextExt;
use tracing::dispatcher::WeakDispatch;
use tracing::field::Visit;
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::{FilterFn, LevelFilter, Targets, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::LogFormat;
use fields::Fields;
use line::Line;

/// The exporter logs every failed request under this target; `export` says it once a minute instead.
const SILENCED: &str = "opentelemetry-otlp";

/// Which events are logged (the filter of the configuration), and of which spans the fields are kept (info and above too).
pub(crate) fn filter(log_filter: &Targets) -> FilterFn<impl Fn(&Metadata<'_>) -> bool + use<>> {
    let events = log_filter.clone().with_target(SILENCED, LevelFilter::OFF);
    let level_max = events.clone().into_iter().map(|(_, level)| level).chain(events.default_level()).max();
    let hint = level_max.unwrap_or(LevelFilter::OFF).max(LevelFilter::INFO);
    filter_fn(move |metadata| {
        let wanted = events.would_enable(metadata.target(), metadata.level());
        wanted || (metadata.is_span() && *metadata.level() <= Level::INFO)
    })
    .with_max_level_hint(hint)
}

/// Writes events as lines in one of the two formats.
pub(crate) struct LogLayer {
    service: &'static str,
    format: LogFormat,
    writer: BoxMakeWriter,
    /// Set when the layer is installed: an event with an explicit parent finds that span's trace by it.
    dispatch: OnceLock<WeakDispatch>,
}

impl LogLayer {
    pub(crate) fn new(service: &'static str, format: LogFormat, writer: BoxMakeWriter) -> Self {
        Self { service, format, writer, dispatch: OnceLock::new() }
    }

    /// Trace and span id of an event, as they are exported.
    fn trace_of(&self, event: &Event<'_>) -> Option<(String, String)> {
        let context = match event.parent() {
            Some(parent) => {
                let dispatch = self.dispatch.get()?.upgrade()?;
                tracing_opentelemetry::get_otel_context(parent, &dispatch)?
            }
            // the span that is entered here is the current one of OpenTelemetry too
            None => OtelContext::current(),
        };
        let span = context.span();
        let span = span.span_context();
        span.is_valid().then(|| (span.trace_id().to_string(), span.span_id().to_string()))
    }
}

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for LogLayer {
    fn on_register_dispatch(&self, subscriber: &Dispatch) {
        // a second registration would be the same subscriber: a layer belongs to one
        let _ = self.dispatch.set(subscriber.downgrade());
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let span = context.span(id).expect("a span that has just been made is in the registry");
        span.extensions_mut().replace(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).expect("a span that is recorded to is in the registry");
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields as &mut dyn Visit);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.inherit(outer);
            }
        }
        let line = Line::new(self.service, event.metadata(), fields, self.trace_of(event)).write(self.format);
        // a log that cannot be written has nowhere left to say so
        let _ = self.writer.make_writer_for(event.metadata()).write_all(line.as_bytes());
    }
}

#[cfg(test)]
mod tests;
