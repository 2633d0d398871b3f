//! A message as it came from a queue.

use std::time::Instant;

use bytes::Bytes;
use contract::Meta;
use lapin::BasicProperties;
use lapin::types::FieldTable;
use tokio_util::sync::CancellationToken;

use crate::headers;
use crate::outgoing::{CLASS, KEY, PARKED_BY, QUEUE};

/// One delivery. It belongs to the session (one channel's life) that brought it.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The envelope, or what is wrong with it; such a message is poison.
    pub meta: Result<Meta, String>,
    /// The payload, untouched.
    pub body: Bytes,
    /// The queue that it was consumed from.
    pub queue: String,
    /// The key that it was published with.
    pub routing_key: String,
    /// How often it was delivered before: worker deaths, lost channels and requeues together.
    pub delivery_count: u32,
    /// When it came; no delivery is held for long.
    pub received_at: Instant,
    pub(crate) properties: BasicProperties,
    pub(crate) tag: u64,
    pub(crate) session: Session,
}

/// One channel's life. Once it is over, its deliveries can no longer be settled: the broker has given them out again.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) number: u64,
    pub(crate) over: CancellationToken,
}

/// What a dead letter says about itself, for the table of parked messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The class of the failure; `poison` where the broker gave the message up, `unrouted` where it found no queue.
    pub class: String,
    /// Why, in words.
    pub reason: String,
    /// Who parked it.
    pub parked_by: Option<String>,
    /// The queue that it was consumed from, where it was.
    pub queue: Option<String>,
}

impl Delivery {
    /// Whether it can still be settled; work on one that cannot is work done twice.
    #[must_use]
    pub fn is_current(&self) -> bool {
        !self.session.over.is_cancelled()
    }

    /// Every header as text.
    #[must_use]
    pub fn readable_headers(&self) -> Vec<(String, String)> {
        headers::readable(&self.properties)
    }

    /// AMQP's own message id, also where the rest of the envelope is unreadable.
    #[must_use]
    pub fn message_id(&self) -> Option<&str> {
        self.properties.message_id().as_ref().map(|id| id.as_str())
    }

    /// Whether it only asks for its way and is to be acknowledged unseen: [`contract::topology::PROBE`].
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.kind() == Some(contract::topology::PROBE)
    }

    /// AMQP's own type, also where the rest of the envelope is unreadable.
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        self.properties.kind().as_ref().map(|kind| kind.as_str())
    }

    /// A header that holds text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        headers::string(self.properties.headers().as_ref()?, name)
    }

    /// The key that a message in the landing queue was published with before it was parked.
    #[must_use]
    pub fn key_before(&self) -> String {
        self.header(KEY).unwrap_or_else(|| self.routing_key.clone())
    }

    /// Why this message lies in the landing queue.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let parked_by = self.header(PARKED_BY);
        let queue = self.header(QUEUE).or_else(|| self.header("x-first-death-queue"));
        let (class, reason) = match (self.header(CLASS), self.header("x-first-death-reason")) {
            (Some(class), _) => (class, self.header(contract::envelope::REASON).unwrap_or_default()),
            (None, Some(death)) => ("poison".to_owned(), format!("the broker gave it up: {death}")),
            (None, None) => ("unrouted".to_owned(), format!("no queue takes the key {}", self.routing_key)),
        };
        Verdict { class, reason, parked_by, queue }
    }

    pub(crate) fn headers_without_deaths(&self) -> FieldTable {
        let mut kept = FieldTable::default();
        for (name, value) in self.properties.headers().iter().flat_map(FieldTable::inner) {
            if !is_deaths(name.as_str()) {
                kept.insert(name.clone(), value.clone());
            }
        }
        kept
    }
}

/// The broker's own account of a message's past, which must never be published again.
fn is_deaths(name: &str) -> bool {
    name == "x-delivery-count" || name.starts_with("x-death") || name.starts_with("x-first-death-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_brokers_own_headers_are_stripped() {
        for name in ["x-death", "x-first-death-queue", "x-first-death-reason", "x-delivery-count"] {
            assert!(is_deaths(name), "{name}");
        }
        for name in ["x-muster-tenant", "traceparent", "x-deliveries"] {
            assert!(!is_deaths(name), "{name}");
        }
    }
}
