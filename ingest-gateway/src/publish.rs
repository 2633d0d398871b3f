//! Handing a message to the broker, behind a trait so that the HTTP tests need none.

use broker::{Outgoing, PublishError, Publisher};
use contract::{AlertObserved, Message as _, Meta, envelope, topology};
use futures_util::future::BoxFuture;
use spool::Record;
use telemetry::{field, trace};
use tracing::Span;

/// Where messages go.
pub trait Publish: Send + Sync + 'static {
    /// Publishes; `Ok` means that it is on the broker's disks.
    fn publish(&self, record: Record) -> BoxFuture<'static, Result<(), PublishError>>;
    /// Whether a publish has a chance now.
    fn is_ready(&self) -> bool;
}

impl Publish for Publisher {
    fn publish(&self, record: Record) -> BoxFuture<'static, Result<(), PublishError>> {
        let publisher = self.clone();
        Box::pin(async move {
            let Record { exchange, routing_key, meta, body } = record;
            Publisher::publish(&publisher, Outgoing::raw(&exchange, &routing_key, &meta, body.into())?).await
        })
    }

    fn is_ready(&self) -> bool {
        Publisher::is_ready(self)
    }
}

/// The first copy of an alert's message, and the span of its publish, whose context it carries on.
pub(crate) fn record(mut meta: Meta, alert: &AlertObserved) -> (Span, Record) {
    let span = tracing::info_span!(
        "send muster.work",
        otel.kind = "producer",
        otel.status_code = tracing::field::Empty,
        messaging.system = "rabbitmq",
        messaging.operation.type = "send",
        messaging.destination.name = topology::WORK,
        messaging.message.id = meta.message_id,
        job.kind = AlertObserved::KIND,
        tenant.id = %meta.tenant,
    );
    meta.traceparent = trace::traceparent(&span);
    let record = Record {
        exchange: topology::WORK.to_owned(),
        routing_key: envelope::routing_key::<AlertObserved>(),
        meta,
        body: serde_json::to_vec(alert).expect("texts, numbers and times are JSON"),
    };
    (span, record)
}

/// Notes in the span of a publish that nobody has the message.
pub(crate) fn note_failure() {
    Span::current().record(field::OTEL_STATUS_CODE, "ERROR");
}
