//! I8: a webhook that was taken is one trace, from the request to the SQL statement.

use std::collections::{BTreeMap, BTreeSet};

use crate::otlp::ReceivedSpan;

/// The gateway's span of a webhook.
const REQUEST: &str = "POST /api/webhooks/tacticalrmm";
/// The span of a batch's work, which leads to its messages by its parent and its links.
const FLUSH: &str = "flush alert.observed.v1";
/// What every batch writes.
const STATEMENT: &str = "INSERT rmm_alerts";

/// The traces of webhooks that were answered 202, by the end of their requests in nanoseconds since 1970.
#[must_use]
pub fn accepted(spans: &[ReceivedSpan]) -> Vec<(u64, String)> {
    let is_taken = |span: &&ReceivedSpan| {
        span.name == REQUEST && span.attributes.get("http.response.status_code").map(String::as_str) == Some("202")
    };
    spans.iter().filter(is_taken).map(|span| (span.time_ns.1, span.trace_id.clone())).collect()
}

/// I8: each of these traces has a request, a publish, a message that was processed, and below its batch an SQL statement.
#[must_use]
pub fn broken_traces(spans: &[ReceivedSpan], traces: &[String]) -> Vec<String> {
    let mut of_trace: BTreeMap<&str, Vec<&ReceivedSpan>> = BTreeMap::new();
    for span in spans {
        of_trace.entry(&span.trace_id).or_default().push(span);
    }
    let written = written(spans);
    let broken = traces.iter().filter_map(|trace| {
        let own = of_trace.get(trace.as_str()).map_or(&[][..], Vec::as_slice);
        let processed = |span: &&ReceivedSpan| span.name.starts_with("process alert-worker.");
        let lacking: Vec<&str> = [
            ("a request", own.iter().any(|span| span.name == REQUEST)),
            ("a publish", own.iter().any(|span| span.name == "send muster.work")),
            ("a processing", own.iter().any(processed)),
            ("an SQL statement", own.iter().any(|span| processed(span) && written.contains(span.span_id.as_str()))),
        ]
        .into_iter()
        .filter_map(|(what, is_there)| (!is_there).then_some(what))
        .collect();
        let names: Vec<String> = own.iter().map(|span| format!("{} {}", span.service, span.name)).collect();
        (!lacking.is_empty()).then(|| format!("trace {trace} lacks {}: {names:?}", lacking.join(", ")))
    });
    broken.collect()
}

/// The spans of messages whose batch has written something.
fn written(spans: &[ReceivedSpan]) -> BTreeSet<&str> {
    let parent: BTreeMap<&str, &str> =
        spans.iter().filter_map(|span| Some((span.span_id.as_str(), span.parent_span_id.as_deref()?))).collect();
    let mut flushed = BTreeSet::new();
    for statement in spans.iter().filter(|span| span.name == STATEMENT) {
        let mut above = statement.span_id.as_str();
        while let Some(next) = parent.get(above) {
            flushed.insert(*next);
            above = next;
        }
    }
    let mut written = BTreeSet::new();
    for flush in spans.iter().filter(|span| span.name == FLUSH && flushed.contains(span.span_id.as_str())) {
        written.extend(flush.parent_span_id.as_deref());
        written.extend(flush.links.iter().map(|link| link.span_id.as_str()));
    }
    written
}
