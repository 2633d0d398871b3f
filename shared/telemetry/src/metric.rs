//! The names, labels, units and help texts of all Prometheus metrics, declared once.
//!
//! Use them as `metrics::counter!(metric::PROCESSED_TOTAL, "kind" => kind, "outcome" => outcome).increment(1)`. Labels have
//! few values each: kinds, outcomes, classes, queues; never a tenant, an agent or an id. A queue's depth is absent on
//! purpose: a process cannot know it without peeking, the broker's own exporter does; [`MESSAGE_AGE_SECONDS`] says what
//! matters of it.

use metrics::Unit;

/// What a metric is, for its description and for the test of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Only grows; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Distribution over fixed buckets; its name ends in `_seconds` or `_size`.
    Histogram,
}

/// One metric as declared.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Name in the exposition.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: Type,
    /// Label names, in the order in which they are usually given.
    pub labels: &'static [&'static str],
    /// Unit of its values.
    pub unit: Unit,
    /// Help text.
    pub help: &'static str,
}

/// Declares the constants and [`ALL`] from one list, so that neither can forget the other.
macro_rules! metrics {
    ($(#[doc = $help:literal] $constant:ident = $name:literal $kind:ident($($label:literal),*) $unit:ident;)+) => {
        $(
            #[doc = $help]
            #[doc = concat!("\n\n`", $name, "`, ", stringify!($kind), " in ", stringify!($unit), $("; label `", $label, "`",)* ".")]
            pub const $constant: &str = $name;
        )+

        /// Every declared metric, in the order of this file.
        pub const ALL: &[Metric] = &[$(Metric {
            name: $name, kind: Type::$kind, labels: &[$($label),*], unit: Unit::$unit, help: $help.trim_ascii(),
        }),+];
    };
}

metrics! {
    /// Webhooks answered, by HTTP status.
    WEBHOOK_REQUESTS_TOTAL = "muster_webhook_requests_total" Counter("status") Count;
    /// Time from a webhook's headers to its answer.
    WEBHOOK_SECONDS = "muster_webhook_seconds" Histogram() Seconds;
    /// Requests to the operators' API answered, by route and HTTP status.
    CONSOLE_REQUESTS_TOTAL = "muster_console_requests_total" Counter("operation", "status") Count;
    /// Time that a request to the operators' API took, questions to Tactical included.
    CONSOLE_SECONDS = "muster_console_seconds" Histogram("operation") Seconds;
    /// Hooks that the gateway holds in memory.
    HOOKS_LOADED = "muster_hooks_loaded" Gauge() Count;
    /// Slots of schedules taken, by what became of them: started, open, resent, superseded or left.
    TICKS_TOTAL = "muster_ticks_total" Counter("kind", "outcome") Count;
    /// Time from the moment when a schedule was due until a gateway took it.
    TICK_LATENESS_SECONDS = "muster_tick_lateness_seconds" Histogram("kind") Seconds;
    /// Webhooks that the broker did not take in time, by what the spool did: kept, full or failed.
    SPOOLED_TOTAL = "muster_spooled_total" Counter("outcome") Count;
    /// Spooled messages offered to the broker, by what became of them: confirmed, refused or set_aside.
    SPOOL_DRAINED_TOTAL = "muster_spool_drained_total" Counter("outcome") Count;
    /// 1 while webhooks go to the spool because the broker is away or does not confirm, else 0.
    SPOOLING = "muster_spooling" Gauge() Count;
    /// Messages in the spool that wait for the broker.
    SPOOL_RECORDS = "muster_spool_records" Gauge() Count;
    /// Messages in the spool that the broker refused and a person must see.
    SPOOL_SET_ASIDE = "muster_spool_set_aside" Gauge() Count;
    /// Bytes of all messages in the spool.
    SPOOL_BYTES = "muster_spool_bytes" Gauge() Bytes;
    /// Age of the oldest message that waits in the spool.
    SPOOL_OLDEST_AGE_SECONDS = "muster_spool_oldest_age_seconds" Gauge() Seconds;
    /// Damaged stores of the spool that are being emptied or are kept for a person.
    SPOOL_BROKEN = "muster_spool_broken" Gauge() Count;
    /// 1 while the spool takes nothing: quota or disk used up, or the disk failed; else 0.
    SPOOL_REFUSING = "muster_spool_refusing" Gauge() Count;
    /// Messages handed to the broker, by how it answered: confirmed, refused, timeout or lost.
    PUBLISHED_TOTAL = "muster_published_total" Counter("outcome") Count;
    /// Time from a publish to its confirm.
    PUBLISH_SECONDS = "muster_publish_seconds" Histogram() Seconds;
    /// Deliveries that came, by queue.
    DELIVERED_TOTAL = "muster_delivered_total" Counter("queue") Count;
    /// Deliveries that the broker had delivered before.
    REDELIVERED_TOTAL = "muster_redelivered_total" Counter("queue") Count;
    /// Deliveries that came and are not settled yet: in hand, or waiting in the process for their turn.
    UNSETTLED = "muster_unsettled" Gauge("queue") Count;
    /// Messages settled, by what became of them.
    PROCESSED_TOTAL = "muster_processed_total" Counter("kind", "outcome") Count;
    /// Attempts burnt, by the class of the failure.
    ATTEMPTS_TOTAL = "muster_attempts_total" Counter("kind", "class") Count;
    /// Age of a message when it is taken in hand: now minus the time of its first publish.
    MESSAGE_AGE_SECONDS = "muster_message_age_seconds" Histogram("kind") Seconds;
    /// Messages in one batch of a job.
    BATCH_SIZE = "muster_batch_size" Histogram("kind") Count;
    /// Time that a job took for one batch, commit included.
    JOB_SECONDS = "muster_job_seconds" Histogram("kind") Seconds;
    /// Rows of the outbox that were published and deleted.
    RELAY_PUBLISHED_TOTAL = "muster_relay_published_total" Counter() Count;
    /// Age of an outbox row when its publish was confirmed.
    RELAY_LAG_SECONDS = "muster_relay_lag_seconds" Histogram() Seconds;
    /// Rows that were too old to be kept, by table; those of the outbox were parked.
    RETENTION_ROWS_TOTAL = "muster_retention_rows_total" Counter("table") Count;
    /// Messages parked for a person, by the class of the failure.
    PARKED_TOTAL = "muster_parked_total" Counter("kind", "class") Count;
    /// Kinds that were paused because too many of their messages were parked within a minute.
    KINDS_STOPPED_TOTAL = "muster_kinds_stopped_total" Counter("kind") Count;
    /// 1 while a kind is paused for every tenant, else 0.
    KIND_PAUSED = "muster_kind_paused" Gauge("kind") Count;
    /// 1 while the connection to a server stands, else 0.
    CONNECTION_UP = "muster_connection_up" Gauge("server") Count;
    /// Connections that were lost and had to be rebuilt.
    RECONNECTS_TOTAL = "muster_reconnects_total" Counter("server") Count;
    /// Time of a request to Tactical to the end of its answer, by route and by HTTP status or by what went wrong.
    TACTICAL_REQUEST_SECONDS = "muster_tactical_request_seconds" Histogram("endpoint", "status") Seconds;
    /// Spans handed to the collector, by outcome: exported or failed.
    SPANS_TOTAL = "muster_spans_total" Counter("outcome") Count;
    /// Always 1: which binary in which version this is.
    BUILD_INFO = "muster_build_info" Gauge("service", "version") Count;
}

/// Tells the installed recorder the unit and the help text of every metric.
pub(crate) fn describe() {
    for metric in ALL {
        match metric.kind {
            Type::Counter => metrics::describe_counter!(metric.name, metric.unit, metric.help),
            Type::Gauge => metrics::describe_gauge!(metric.name, metric.unit, metric.help),
            Type::Histogram => metrics::describe_histogram!(metric.name, metric.unit, metric.help),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_the_metric_is() {
        for metric in ALL {
            let name = metric.name;
            assert!(name.starts_with("muster_"), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == Type::Counter, "{name}");
            if metric.kind == Type::Histogram {
                assert!(name.ends_with("_seconds") || name.ends_with("_size"), "{name} has no buckets");
            }
            assert_eq!(name.ends_with("_seconds"), metric.unit == Unit::Seconds, "{name}");
        }
    }

    #[test]
    fn a_name_is_declared_once() {
        let names: std::collections::BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
    }
}
