//! I8: a webhook that was taken is one trace, from the request to the SQL statement.

use std::collections::{BTreeMap, BTreeSet};

use crate::otlp::ReceivedSpan;

/// The gateway's span of a webhook.
const REQUEST: &str = "POST /api/webhooks/tacticalrmm";
/// The span of a message's way to the broker.
const PUBLISH: &str = "send muster.work";
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

/// What a kill may have taken along: what its process did up to so long before, or was just about to tell.
const TAKEN_ALONG_NS: (u64, u64) = (5_000_000_000, 200_000_000);

/// Whether no kill can have taken along what is done from now on.
#[must_use]
pub fn is_told_whole(now_ns: u64, kills_ns: &[u64]) -> bool {
    kills_ns.iter().all(|kill| now_ns > kill + TAKEN_ALONG_NS.1)
}

/// The traces of which spans may have gone with a process that was killed at one of these times: something was done then.
#[must_use]
pub fn touched(spans: &[ReceivedSpan], kills_ns: &[u64]) -> BTreeSet<String> {
    let (before, after) = TAKEN_ALONG_NS;
    let is_touched = |span: &&ReceivedSpan| {
        let (began, ended) = span.time_ns;
        kills_ns.iter().any(|kill| began <= kill + after && ended + before >= *kill)
    };
    spans.iter().filter(is_touched).map(|span| span.trace_id.clone()).collect()
}

/// I8: each of these traces has a request, a publish, a message that was processed, and below its batch an SQL statement; and
/// it is one tree: whatever is in it leads to the request by its parents, a processing by way of a publish.
#[must_use]
pub fn broken_traces(spans: &[ReceivedSpan], traces: &[String]) -> Vec<String> {
    let mut of_trace: BTreeMap<&str, Vec<&ReceivedSpan>> = BTreeMap::new();
    for span in spans {
        of_trace.entry(&span.trace_id).or_default().push(span);
    }
    let written = written(spans);
    let broken = traces.iter().filter_map(|trace| {
        let own = of_trace.get(trace.as_str()).map_or(&[][..], Vec::as_slice);
        let mut wrong = lacking(own, &written);
        wrong.extend(astray(own));
        let names: Vec<String> = own.iter().map(|span| format!("{} {}", span.service, span.name)).collect();
        (!wrong.is_empty()).then(|| format!("trace {trace} lacks {}: {names:?}", wrong.join(", ")))
    });
    broken.collect()
}

fn is_processing(span: &ReceivedSpan) -> bool {
    span.name.starts_with("process alert-worker.")
}

/// What of a webhook's way is not there at all.
fn lacking(own: &[&ReceivedSpan], written: &BTreeSet<&str>) -> Vec<String> {
    let is_written = |span: &ReceivedSpan| is_processing(span) && written.contains(span.span_id.as_str());
    let wanted = [
        ("a request", own.iter().any(|span| span.name == REQUEST)),
        ("a publish", own.iter().any(|span| span.name == PUBLISH)),
        ("a processing", own.iter().any(|span| is_processing(span))),
        ("an SQL statement", own.iter().any(|span| is_written(span))),
    ];
    wanted.into_iter().filter(|(_, is_there)| !is_there).map(|(what, _)| what.to_owned()).collect()
}

/// The spans of a trace that do not lead to its request, each with where its parents end.
fn astray(own: &[&ReceivedSpan]) -> Vec<String> {
    let by_id: BTreeMap<&str, &ReceivedSpan> = own.iter().map(|span| (span.span_id.as_str(), *span)).collect();
    let wrong = own.iter().filter_map(|span| {
        let (mut above, mut is_published) = (*span, false);
        // no more steps than spans: a circle leads nowhere
        for _ in own {
            is_published |= above.name == PUBLISH;
            match above.parent_span_id.as_deref() {
                None if above.name != REQUEST => return Some(format!("a parent of {}", above.name)),
                None if is_processing(span) && !is_published => return Some(format!("a publish above {}", span.name)),
                None => return None,
                Some(parent) => match by_id.get(parent) {
                    Some(parent) => above = parent,
                    None => return Some(format!("the parent of {}", above.name)),
                },
            }
        }
        Some(format!("an end above {}", span.name))
    });
    // many hang on the one that is lost
    wrong.collect::<BTreeSet<String>>().into_iter().collect()
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
