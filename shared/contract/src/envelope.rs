//! What travels beside a payload: AMQP's own properties first, then `x-muster-*` headers.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{Message, id, topology};

/// Header: the tenant, a uuid in text. A message whose payload names another tenant's integration is poison.
pub const TENANT: &str = "x-muster-tenant";
/// Header: how many attempts this message has burnt, a signed 32-bit integer.
pub const ATTEMPT: &str = "x-muster-attempt";
/// Header: when the first copy was published, milliseconds since the epoch, a signed 64-bit integer.
pub const FIRST_PUBLISHED: &str = "x-muster-first-published";
/// Header: which delay queue a retry waits in; see [`topology::rung_header`].
pub const RUNG: &str = "x-muster-rung";
/// Header: why the last attempt failed, the class and then the chain, at most [`REASON_BYTES_MAX`].
pub const REASON: &str = "x-muster-reason";
/// Header: W3C trace context, its name as the standard gives it.
pub const TRACEPARENT: &str = "traceparent";

/// A body's limit in bytes, 256 KiB: raw text is cut to 64 KiB before it is encoded, so nothing sound comes near.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// An AMQP short string's limit in bytes; message ids, kinds and routing keys are short strings.
pub const SHORT_STRING_BYTES_MAX: usize = 255;
/// [`REASON`]'s limit in bytes.
pub const REASON_BYTES_MAX: usize = 2 * 1024;

/// The application id that every message of Muster carries.
pub const APP_ID: &str = "muster";

/// The envelope of one message. The body is the payload only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Stable id of the fact; copies made by a retry or a second publish keep it.
    pub message_id: String,
    /// The kind, AMQP's `type` property.
    pub kind: String,
    /// Whose data this is.
    pub tenant: Uuid,
    /// Attempts burnt so far.
    pub attempt: u32,
    /// When the first copy was published, in whole milliseconds; AMQP's own `timestamp` has only whole seconds.
    pub first_published_at: DateTime<Utc>,
    /// The trace that this message belongs to.
    pub traceparent: Option<String>,
    /// Why the last attempt failed.
    pub reason: Option<String>,
}

impl Meta {
    /// The envelope of a message's first copy. `identity` are the parts that tell this fact from every other of its kind.
    #[must_use]
    pub fn first<M: Message>(
        tenant: Uuid,
        identity: &[&[u8]],
        now: DateTime<Utc>,
        traceparent: Option<String>,
    ) -> Self {
        let mut parts = vec![M::KIND.as_bytes(), tenant.as_bytes().as_slice()];
        parts.extend_from_slice(identity);
        Self {
            message_id: id::of(&parts),
            kind: M::KIND.to_owned(),
            tenant,
            attempt: 0,
            first_published_at: now,
            traceparent,
            reason: None,
        }
    }
}

/// The key that a message's first copy is published with.
#[must_use]
pub fn routing_key<M: Message>() -> String {
    topology::routing_key(M::WORKER, M::LANE, M::KIND)
}
