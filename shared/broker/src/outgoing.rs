//! A message on its way to the broker, checked against every limit before it leaves the caller.

use std::time::Duration;

use bytes::Bytes;
use contract::{Message, Meta, envelope, topology};
use lapin::BasicProperties;
use lapin::types::ShortString;

use crate::delivery::Delivery;
use crate::headers::{self, short, text};

/// Header of a parked message: the class of the failure.
pub const CLASS: &str = "x-muster-class";
/// Header of a parked message: name and version of the program that parked it.
pub const PARKED_BY: &str = "x-muster-parked-by";
/// Header of a parked message: the queue that it was consumed from.
pub const QUEUE: &str = "x-muster-queue";
/// Header of a parked message: the key that it was published with; its own leads to the landing queue.
pub const KEY: &str = "x-muster-key";

/// AMQP's default exchange.
const DEFAULT: &str = "";

/// A message that no broker would take; repeating it is useless.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMessage {
    /// One of AMQP's short strings is over 255 bytes.
    #[error("the {what} has {bytes} bytes, AMQP takes 255")]
    TooLongForAmqp {
        /// Which one.
        what: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// The body is over [`envelope::BODY_BYTES_MAX`].
    #[error("the body has {bytes} bytes, the limit is {}", envelope::BODY_BYTES_MAX)]
    BodyTooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The payload is not JSON-able.
    #[error("cannot encode a {kind}: {cause}")]
    Unencodable {
        /// The payload's kind.
        kind: &'static str,
        /// What serde says.
        cause: String,
    },
}

/// A message that can be published.
#[derive(Debug, Clone)]
pub struct Outgoing {
    pub(crate) exchange: ShortString,
    pub(crate) routing_key: ShortString,
    pub(crate) properties: BasicProperties,
    pub(crate) body: Bytes,
}

impl Outgoing {
    /// The first copy of a job's message.
    ///
    /// # Errors
    /// [`InvalidMessage`] where a limit is broken.
    pub fn message<M: Message>(meta: &Meta, payload: &M) -> Result<Self, InvalidMessage> {
        let body = serde_json::to_vec(payload)
            .map_err(|error| InvalidMessage::Unencodable { kind: M::KIND, cause: error.to_string() })?;
        Self::raw(topology::WORK, &envelope::routing_key::<M>(), meta, body.into())
    }

    /// A message whose body is encoded already: the outbox's rows.
    ///
    /// # Errors
    /// [`InvalidMessage`] where a limit is broken.
    pub fn raw(exchange: &str, routing_key: &str, meta: &Meta, body: Bytes) -> Result<Self, InvalidMessage> {
        if body.len() > envelope::BODY_BYTES_MAX {
            return Err(InvalidMessage::BodyTooLarge { bytes: body.len() });
        }
        Ok(Self {
            exchange: short("exchange", exchange)?,
            routing_key: short("routing key", routing_key)?,
            properties: headers::encode(meta, &[])?.with_content_type(topology::content_type(exchange).into()),
            body,
        })
    }

    /// A copy that waits in the delay queue `rung` and then returns to the queue that the delivery came from.
    ///
    /// # Errors
    /// [`InvalidMessage`] where the new envelope breaks a limit.
    pub fn retry(delivery: &Delivery, meta: &Meta, rung: Duration) -> Result<Self, InvalidMessage> {
        let rung = (envelope::RUNG.to_owned(), text(&topology::rung_header(rung)));
        Ok(Self {
            exchange: topology::RETRY.into(),
            routing_key: short("routing key", &delivery.routing_key)?,
            properties: headers::encode(meta, &[rung])?,
            body: delivery.body.clone(),
        })
    }

    /// A copy for the worker's suspect queue, attempt and age unchanged.
    ///
    /// # Errors
    /// [`InvalidMessage`] where the new envelope breaks a limit.
    pub fn suspect(delivery: &Delivery, meta: &Meta, worker: topology::Worker) -> Result<Self, InvalidMessage> {
        let key = topology::routing_key(worker, topology::Lane::Suspect, &meta.kind);
        Ok(Self {
            exchange: topology::WORK.into(),
            routing_key: short("routing key", &key)?,
            properties: headers::encode(meta, &[])?,
            body: delivery.body.clone(),
        })
    }

    /// A copy for the landing queue: body untouched, every header kept but the broker's own, the verdict added.
    ///
    /// By the default exchange, to which every queue is bound for ever: what has no queue to go to is confirmed and gone, and
    /// so would be what is parked while somebody has taken the landing queue's binding away.
    ///
    /// # Errors
    /// [`InvalidMessage`] where a property breaks a limit, which a delivered message cannot.
    pub fn park(delivery: &Delivery, class: &str, reason: &str, parked_by: &str) -> Result<Self, InvalidMessage> {
        let mut table = delivery.headers_without_deaths();
        table.insert(CLASS.into(), text(class));
        table.insert(envelope::REASON.into(), text(headers::cut(reason, envelope::REASON_BYTES_MAX)));
        table.insert(PARKED_BY.into(), text(parked_by));
        table.insert(QUEUE.into(), text(&delivery.queue));
        table.insert(KEY.into(), text(&delivery.routing_key));
        Ok(Self {
            exchange: DEFAULT.into(),
            routing_key: topology::LANDING.into(),
            properties: delivery.properties.clone().with_headers(table).with_delivery_mode(2),
            body: delivery.body.clone(),
        })
    }
}
