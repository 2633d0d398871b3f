//! The spans of a message: its parent is the span that published it, so that gateway, queue, worker and Postgres are one
//! waterfall.

use broker::Delivery;
use contract::Meta;
use contract::topology::Lane;
use telemetry::{field, trace};
use tracing::{Span, field::Empty, info_span};

/// The span of one message's processing; a child of its publish.
pub(crate) fn process(queue: &str, lane: Lane, meta: &Meta) -> Span {
    let span = info_span!(
        "process",
        { field::OTEL_NAME } = format!("process {queue}"),
        { field::OTEL_KIND } = "consumer",
        { field::MESSAGING_SYSTEM } = "rabbitmq",
        { field::MESSAGING_OPERATION_TYPE } = "process",
        { field::MESSAGING_DESTINATION_NAME } = queue,
        { field::MESSAGING_MESSAGE_ID } = meta.message_id,
        { field::WORKER_LANE } = lane.as_str(),
        { field::TENANT_ID } = %meta.tenant,
        { field::JOB_KIND } = meta.kind,
        { field::JOB_ATTEMPT } = meta.attempt.saturating_add(1),
        { field::JOB_OUTCOME } = Empty,
    );
    if let Some(traceparent) = &meta.traceparent {
        trace::set_parent(&span, traceparent);
    }
    span
}

/// The span of a delivery that is not run; within its trace where the envelope says which.
pub(crate) fn refused(lane: Lane, delivery: &Delivery) -> Span {
    match &delivery.meta {
        Ok(meta) => process(&delivery.queue, lane, meta),
        Err(_) => Span::none(),
    }
}

/// The span of one event's way from the outbox to the broker, within the trace of the message that caused it.
pub(crate) fn send(exchange: &str, kind: &str, traceparent: Option<&str>) -> Span {
    let span = info_span!(
        "send",
        { field::OTEL_NAME } = format!("send {exchange}"),
        { field::OTEL_KIND } = "producer",
        { field::MESSAGING_SYSTEM } = "rabbitmq",
        { field::MESSAGING_OPERATION_TYPE } = "send",
        { field::MESSAGING_DESTINATION_NAME } = exchange,
        { field::JOB_KIND } = kind,
    );
    if let Some(traceparent) = traceparent {
        trace::set_parent(&span, traceparent);
    }
    span
}

/// The span of a whole batch's work: a child of its first message's span, linked to the others.
pub(crate) fn flush(kind: &str, messages: &[&Span]) -> Span {
    let parent = messages.first().and_then(|span| span.id());
    let span = info_span!(
        parent: parent,
        "flush",
        { field::OTEL_NAME } = format!("flush {kind}"),
        { field::JOB_KIND } = kind,
        { field::MESSAGING_BATCH_COUNT } = messages.len(),
    );
    for message in messages.iter().skip(1) {
        if let Some(traceparent) = trace::traceparent(message) {
            trace::link(&span, &traceparent);
        }
    }
    span
}
