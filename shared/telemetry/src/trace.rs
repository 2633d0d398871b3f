//! How a trace crosses the broker: W3C `traceparent` out of a span, into a span's parent, or into a link.
//!
//! A value that comes from outside is read strictly and bounded in length; a malformed one is as good as none.

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Version 00 has 55 bytes; a later version may append more, and what is longer than this is not read.
const TRACEPARENT_BYTES_MAX: usize = 256;

/// The `traceparent` of the span that is entered here; None outside of any traced span.
pub fn current_traceparent() -> Option<String> {
    traceparent(&Span::current())
}

/// The `traceparent` of a span; None if it is not traced. Starts the span: [`set_parent`] comes before.
pub fn traceparent(span: &Span) -> Option<String> {
    let context = span.context();
    let span = context.span();
    let span = span.span_context();
    span.is_valid()
        .then(|| format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags().to_u8() & SAMPLED))
}

/// Makes `span` a child of the remote span that `traceparent` names, whatever it was made inside of.
///
/// Call it straight after the span is made: once it is entered, or named as the parent of a log line, it has started.
///
/// False, with nothing changed, if the text is malformed, if the span is not traced, or if it has started already.
pub fn set_parent(span: &Span, traceparent: &str) -> bool {
    parse(traceparent).is_some_and(|parent| span.set_parent(Context::new().with_remote_span_context(parent)).is_ok())
}

/// Links `span` to the remote span that `traceparent` names, as a batch is linked to its messages.
///
/// False, with nothing changed, if the text is malformed. A span keeps its first 2,048 links.
pub fn link(span: &Span, traceparent: &str) -> bool {
    parse(traceparent).map(|linked| span.add_link(linked)).is_some()
}

/// The only flag that version 00 defines.
const SAMPLED: u8 = 1;

/// Reads `version-trace_id-span_id-flags` (<https://www.w3.org/TR/trace-context/#traceparent-header>).
fn parse(text: &str) -> Option<SpanContext> {
    if text.len() > TRACEPARENT_BYTES_MAX {
        return None;
    }
    let mut parts = text.split('-');
    let version = hex(parts.next()?, 2)?;
    let trace_id = TraceId::from_bytes(hex(parts.next()?, 32)?.to_be_bytes());
    let span_id = SpanId::from_bytes(u64::try_from(hex(parts.next()?, 16)?).ok()?.to_be_bytes());
    let flags = u8::try_from(hex(parts.next()?, 2)?).ok()?;
    match (version, parts.next()) {
        // ff is forbidden; 00 ends here; a later version may go on after another dash
        (0xff, _) | (0, Some(_)) => return None,
        _ => {}
    }
    let context = SpanContext::new(trace_id, span_id, TraceFlags::new(flags & SAMPLED), true, TraceState::default());
    context.is_valid().then_some(context)
}

/// Exactly `digits` lower-case hexadecimal digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if text.len() == digits && lower { u128::from_str_radix(text, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, scoped};

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn traced<T>(body: impl FnOnce() -> T) -> T {
        let (dispatch, _guard) = scoped("trace-test", &Config::default()).unwrap();
        tracing::dispatcher::with_default(&dispatch, body)
    }

    #[test]
    fn a_sound_traceparent_is_read() {
        let context = parse(&format!("00-{TRACE}-{SPAN}-01")).unwrap();
        assert_eq!(context.trace_id().to_string(), TRACE);
        assert_eq!(context.span_id().to_string(), SPAN);
        assert!(context.is_remote() && context.is_sampled());
        assert!(!parse(&format!("00-{TRACE}-{SPAN}-00")).unwrap().is_sampled());
        // unknown flags are ignored, a later version may go on
        assert_eq!(parse(&format!("00-{TRACE}-{SPAN}-ff")).unwrap().trace_flags(), TraceFlags::SAMPLED);
        assert!(parse(&format!("01-{TRACE}-{SPAN}-01-what-the-future-brings")).is_some());
    }

    #[test]
    fn a_malformed_traceparent_is_refused() {
        let upper = TRACE.to_uppercase();
        let zeros = "0".repeat(32);
        let malformed = [
            String::new(),
            "-".to_owned(),
            "---".to_owned(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-0g"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{TRACE}-{SPAN}-01 "),
            format!(" 00-{TRACE}-{SPAN}-01"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("0-{TRACE}-{SPAN}-01"),
            format!("0x-{TRACE}-{SPAN}-01"),
            format!("FE-{TRACE}-{SPAN}-01"),
            format!("00-{upper}-{SPAN}-01"),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", &zeros[..16]),
            format!("00-{}-{SPAN}-01", &TRACE[1..]),
            format!("00-{TRACE}0-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", &SPAN[1..]),
            format!("00-+{}-{SPAN}-01", &TRACE[1..]),
            format!("00{TRACE}{SPAN}01"),
            format!("00_{TRACE}_{SPAN}_01"),
            format!("00-{TRACE}-{SPAN}-01\n"),
            format!("00-{}é-{SPAN}-01", &TRACE[2..]),
            format!("01-{TRACE}-{SPAN}-01-{}", "x".repeat(TRACEPARENT_BYTES_MAX)),
        ];
        for text in malformed {
            assert!(parse(&text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn a_child_stays_in_the_remote_trace() {
        traced(|| {
            let span = tracing::info_span!("process");
            assert!(set_parent(&span, &format!("00-{TRACE}-{SPAN}-01")));
            let _entered = span.enter();
            let child = tracing::info_span!("child");
            for text in [current_traceparent().unwrap(), traceparent(&child).unwrap()] {
                assert!(text.starts_with(&format!("00-{TRACE}-")) && text.ends_with("-01"), "{text}");
                assert!(parse(&text).is_some() && !text.contains(SPAN), "{text}");
            }
        });
    }

    #[test]
    fn a_remote_parent_wins_over_the_span_around() {
        traced(|| {
            let _around = tracing::info_span!("consume").entered();
            let span = tracing::info_span!("process");
            assert!(set_parent(&span, &format!("00-{TRACE}-{SPAN}-01")));
            assert!(traceparent(&span).unwrap().contains(TRACE));
            assert!(!current_traceparent().unwrap().contains(TRACE));
        });
    }

    #[test]
    fn a_started_or_untraced_span_keeps_its_parent() {
        let remote = format!("00-{TRACE}-{SPAN}-01");
        traced(|| {
            let span = tracing::info_span!("process");
            span.in_scope(|| {});
            assert!(!set_parent(&span, &remote));
            assert!(!traceparent(&span).unwrap().contains(TRACE));
            assert!(!set_parent(&tracing::trace_span!("not traced"), &remote));
            assert!(!set_parent(&tracing::info_span!("malformed"), "00-1-2-3"));
        });
        tracing::dispatcher::with_default(&tracing::Dispatch::none(), || {
            assert!(!set_parent(&tracing::info_span!("no subscriber"), &remote));
        });
    }

    #[test]
    fn outside_of_a_span_there_is_no_traceparent() {
        assert_eq!(current_traceparent(), None);
        traced(|| assert_eq!(current_traceparent(), None));
    }
}
