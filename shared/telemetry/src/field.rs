//! The names of all span and log fields, declared once: OpenTelemetry's where they exist, ours dotted by entity elsewhere.
//!
//! In a `tracing` macro a name stands in braces, `info_span!("process", { field::JOB_KIND } = kind)`, or is written out,
//! `info_span!("process", job.kind = kind)`; later values go by `span.record(field::JOB_OUTCOME, "done")`. A test of this
//! crate reads the sources of the workspace and fails on a written-out dotted name that is not declared here.

/// Declares the constants and [`ALL`] from one list, so that neither can forget the other.
macro_rules! fields {
    ($($(#[doc = $doc:literal])+ $name:ident = $value:literal;)+) => {
        $($(#[doc = $doc])+ pub const $name: &str = $value;)+

        /// Every declared name, in the order of this file.
        pub const ALL: &[&str] = &[$($name),+];
    };
}

fields! {
    // OpenTelemetry: messaging
    /// Always `rabbitmq`.
    MESSAGING_SYSTEM = "messaging.system";
    /// Exchange (send) or queue (process).
    MESSAGING_DESTINATION_NAME = "messaging.destination.name";
    /// `send`, `receive`, `process` or `settle`.
    MESSAGING_OPERATION_TYPE = "messaging.operation.type";
    /// What the broker calls it: `publish`, `ack`, `nack`.
    MESSAGING_OPERATION_NAME = "messaging.operation.name";
    /// The AMQP property `message_id`.
    MESSAGING_MESSAGE_ID = "messaging.message.id";
    /// The AMQP property `correlation_id`.
    MESSAGING_CONVERSATION_ID = "messaging.message.conversation_id";
    /// Size of the body in bytes.
    MESSAGING_BODY_SIZE = "messaging.message.body.size";
    /// Messages in one batch.
    MESSAGING_BATCH_COUNT = "messaging.batch.message_count";
    /// Routing key of a publish.
    MESSAGING_ROUTING_KEY = "messaging.rabbitmq.destination.routing_key";
    /// Delivery tag on its channel.
    MESSAGING_DELIVERY_TAG = "messaging.rabbitmq.message.delivery_tag";

    // OpenTelemetry: database, HTTP, network, errors, the exporter's own switches
    /// Always `postgresql`.
    DB_SYSTEM = "db.system.name";
    /// `select`, `insert`, … or the statement's own name.
    DB_OPERATION_NAME = "db.operation.name";
    /// The main table of a statement.
    DB_COLLECTION_NAME = "db.collection.name";
    /// Low-cardinality summary of a statement.
    DB_QUERY_SUMMARY = "db.query.summary";
    /// Name of the database.
    DB_NAMESPACE = "db.namespace";
    /// SQLSTATE of an answer.
    DB_STATUS_CODE = "db.response.status_code";
    /// Rows that came back.
    DB_ROWS = "db.response.returned_rows";
    /// Rows or statements in one batch.
    DB_BATCH_SIZE = "db.operation.batch.size";
    /// `GET`, `POST`, …
    HTTP_METHOD = "http.request.method";
    /// Matched route, never the raw path.
    HTTP_ROUTE = "http.route";
    /// Status of the answer.
    HTTP_STATUS = "http.response.status_code";
    /// Size of a request body in bytes.
    HTTP_REQUEST_SIZE = "http.request.body.size";
    /// Host that is spoken to.
    SERVER_ADDRESS = "server.address";
    /// Port that is spoken to.
    SERVER_PORT = "server.port";
    /// Peer of an accepted connection.
    CLIENT_ADDRESS = "client.address";
    /// Class of an error, low cardinality.
    ERROR_TYPE = "error.type";
    /// Name of the exported span where it is not static.
    OTEL_NAME = "otel.name";
    /// `server`, `client`, `producer`, `consumer` or `internal`.
    OTEL_KIND = "otel.kind";
    /// `OK` or `ERROR`.
    OTEL_STATUS_CODE = "otel.status_code";
    /// Text of an error status.
    OTEL_STATUS_DESCRIPTION = "otel.status_description";
    /// Name of the binary.
    SERVICE_NAME = "service.name";
    /// Version of the binary.
    SERVICE_VERSION = "service.version";

    // ours
    /// UUID of the tenant.
    TENANT_ID = "tenant.id";
    /// UUID of the integration (one connection to one Tactical).
    INTEGRATION_ID = "integration.id";
    /// Tactical's text id of an agent.
    AGENT_ID = "agent.id";
    /// UUID of our alert row.
    ALERT_ID = "alert.id";
    /// Tactical's id of an alert.
    ALERT_EXTERNAL_ID = "alert.external_id";
    /// Revision at which an alert flipped.
    ALERT_REV = "alert.rev";
    /// `opened`, `resolved`, `reopened`, `updated`.
    ALERT_TRANSITION = "alert.transition";
    /// UUID of our asset row.
    ASSET_ID = "asset.id";
    /// UUID that an accepted webhook is answered with.
    EVENT_ID = "event.id";
    /// Kind of a message, e.g. `alert.observed.v1`.
    JOB_KIND = "job.kind";
    /// Attempt of a job, from 1.
    JOB_ATTEMPT = "job.attempt";
    /// `done`, `retried`, `parked`, `failed`, …
    JOB_OUTCOME = "job.outcome";
    /// Class of a failure, as `fault` names it.
    JOB_CLASS = "job.class";
    /// Rung of the retry ladder, in milliseconds.
    JOB_RUNG_MS = "job.rung_ms";
    /// Wait before the next attempt, in milliseconds.
    JOB_RETRY_AFTER_MS = "job.retry_after_ms";
    /// Age of a message when it was taken in hand, in milliseconds.
    MESSAGE_AGE_MS = "message.age_ms";
    /// Deliveries of a message that the broker counted before this one.
    MESSAGE_DELIVERY_COUNT = "message.delivery_count";
    /// Whether the broker delivered the message before.
    MESSAGE_REDELIVERED = "message.redelivered";
    /// Queue that a worker consumes.
    WORKER_QUEUE = "worker.queue";
    /// `main`, `bulk` or `suspect`.
    WORKER_LANE = "worker.lane";
    /// Deliveries in hand.
    WORKER_IN_FLIGHT = "worker.in_flight";
    /// UUID of a run.
    RUN_ID = "run.id";
    /// Fencing number of a run.
    RUN_EPOCH = "run.epoch";
    /// Rows that one pass of the outbox relay took.
    OUTBOX_ROWS = "outbox.rows";
    /// Rows that one round of retention let go.
    RETENTION_ROWS = "retention.rows";
    /// UUID of a parked message.
    PARKED_ID = "parked.id";
    /// Held messages that one batch sent again.
    PARKED_ROWS = "parked.rows";
    /// Pauses in force.
    PAUSES = "pauses";
    /// Whether a webhook was recorded.
    WEBHOOK_RECORDED = "webhook.recorded";
    /// Why a webhook was not recorded or refused, low cardinality.
    WEBHOOK_REASON = "webhook.reason";
    /// Messages in the spool that wait for the broker.
    SPOOL_RECORDS = "spool.records";
    /// Messages in the spool that were set aside.
    SPOOL_SET_ASIDE = "spool.set_aside";
    /// Hooks in memory.
    HOOKS_LOADED = "hooks.loaded";
    /// Which of a process's connections: `publish`, `consume`, a pool's name.
    CONNECTION_NAME = "connection.name";
    /// Wait before the next connection attempt, in milliseconds.
    RECONNECT_DELAY_MS = "reconnect.delay_ms";
    /// Address that a listener is bound to.
    LISTEN_ADDRESS = "listen.address";
    /// Time that something took, in milliseconds.
    ELAPSED_MS = "elapsed_ms";
    /// Chain of an error, outermost first.
    ERROR = "error";
    /// Trace of a log line, 32 hexadecimal digits; written by the log layer.
    TRACE_ID = "trace_id";
    /// Span of a log line, 16 hexadecimal digits; written by the log layer.
    SPAN_ID = "span_id";
}

#[cfg(test)]
#[path = "field_tidy.rs"]
mod tidy;
