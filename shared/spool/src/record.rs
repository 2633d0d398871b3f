//! One message as the spool keeps it: everything that a publish needs, in a form that later versions still read.

use chrono::{DateTime, Utc};
use contract::Meta;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The version of the form, the first byte of a record.
const FORMAT: u8 = 1;
/// The form, and the length of the head.
const FRAME_BYTES: usize = 5;

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The exchange to publish to.
    pub exchange: String,
    /// The routing key.
    pub routing_key: String,
    /// The envelope of its first copy: no attempt was burnt yet.
    pub meta: Meta,
    /// The payload.
    pub body: Vec<u8>,
}

/// A record that this version cannot read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read a spooled record: {0}")]
pub struct Unreadable(String);

#[derive(Serialize, Deserialize)]
struct Head {
    exchange: String,
    routing_key: String,
    message_id: String,
    kind: String,
    tenant: Uuid,
    first_published_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
}

impl Record {
    /// The form's version, the length of the head in four bytes, the head as JSON, the payload.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let head = Head {
            exchange: self.exchange.clone(),
            routing_key: self.routing_key.clone(),
            message_id: self.meta.message_id.clone(),
            kind: self.meta.kind.clone(),
            tenant: self.meta.tenant,
            first_published_at: self.meta.first_published_at,
            traceparent: self.meta.traceparent.clone(),
        };
        let head = serde_json::to_vec(&head).expect("texts, a uuid and a time are JSON");
        let length = u32::try_from(head.len()).expect("a head of a few short strings is below 4 GiB");
        let mut bytes = Vec::with_capacity(FRAME_BYTES + head.len() + self.body.len());
        bytes.push(FORMAT);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`Unreadable`]: it was written by a later version, or not by Muster.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let unreadable = |why: &str| Unreadable(why.to_owned());
        let (frame, rest) = bytes.split_at_checked(FRAME_BYTES).ok_or(unreadable("it is cut"))?;
        if frame[0] != FORMAT {
            return Err(Unreadable(format!("form {} is not {FORMAT}", frame[0])));
        }
        let length = u32::from_be_bytes([frame[1], frame[2], frame[3], frame[4]]);
        let length = usize::try_from(length).map_err(|_| unreadable("its head is too long"))?;
        let (head, body) = rest.split_at_checked(length).ok_or(unreadable("it is cut"))?;
        let head: Head = serde_json::from_slice(head).map_err(|error| Unreadable(error.to_string()))?;
        let meta = Meta {
            message_id: head.message_id,
            kind: head.kind,
            tenant: head.tenant,
            attempt: 0,
            first_published_at: head.first_published_at,
            traceparent: head.traceparent,
            reason: None,
        };
        Ok(Self { exchange: head.exchange, routing_key: head.routing_key, meta, body: body.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let meta = Meta {
            message_id: "id".to_owned(),
            kind: "alert.observed.v1".to_owned(),
            tenant: Uuid::from_u128(7),
            attempt: 0,
            first_published_at: DateTime::UNIX_EPOCH,
            traceparent: Some("00-trace".to_owned()),
            reason: None,
        };
        Record { exchange: "muster.work".to_owned(), routing_key: "key".to_owned(), meta, body: b"{}".to_vec() }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        assert_eq!(Record::decode(&record().encode()), Ok(record()));
    }

    #[test]
    fn a_record_that_is_cut_before_its_body_or_of_a_later_form_is_refused() {
        let whole = record().encode();
        for length in 0..whole.len() - record().body.len() {
            assert!(Record::decode(&whole[..length]).is_err(), "cut at {length}");
        }
        let mut later = whole;
        later[0] = FORMAT + 1;
        assert!(Record::decode(&later).unwrap_err().to_string().contains("form 2"));
    }
}
