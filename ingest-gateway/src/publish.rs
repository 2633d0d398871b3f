//! Handing an observed alert to the broker, behind a trait so that the HTTP tests need none.

use broker::{Outgoing, PublishError, Publisher};
use contract::{AlertObserved, Message as _, Meta, topology};
use futures_util::future::BoxFuture;
use telemetry::{field, trace};
use tracing::Instrument as _;

/// Where alerts go.
pub trait Publish: Send + Sync + 'static {
    /// Publishes; `Ok` means that it is on the broker's disks.
    fn publish(&self, meta: Meta, alert: AlertObserved) -> BoxFuture<'static, Result<(), PublishError>>;
    /// Whether a publish has a chance now.
    fn is_ready(&self) -> bool;
}

impl Publish for Publisher {
    fn publish(&self, meta: Meta, alert: AlertObserved) -> BoxFuture<'static, Result<(), PublishError>> {
        let publisher = self.clone();
        Box::pin(async move { Publisher::publish(&publisher, Outgoing::message(&meta, &alert)?).await })
    }

    fn is_ready(&self) -> bool {
        Publisher::is_ready(self)
    }
}

/// Publishes within a span of its own, whose context the message carries on.
pub(crate) fn traced(
    publisher: &dyn Publish,
    mut meta: Meta,
    alert: AlertObserved,
) -> impl Future<Output = Result<(), PublishError>> + use<> {
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
    let publishing = publisher.publish(meta, alert);
    async move {
        let outcome = publishing.await;
        if outcome.is_err() {
            tracing::Span::current().record(field::OTEL_STATUS_CODE, "ERROR");
        }
        outcome
    }
    .instrument(span)
}
