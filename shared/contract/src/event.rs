//! Events: what leaves on `muster.events` once a transaction has committed, as CloudEvents 1.0 in JSON.
//!
//! Delivered at least once, in any order; `rev` tells which of two about the same thing is newer, and a redelivery has the
//! same id and body. What an event holds is told once, by the comments of its fields here: `docs/MESSAGES.md` is made of them.

#[macro_use]
mod field;
mod alert;
mod asset;
mod run;
mod software;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use alert::{AlertChanged, Transition};
pub use asset::{AssetChange, AssetChanged};
pub use field::Field;
pub use run::{ImportCompleted, RunCounts, SyncEnded};
pub use software::{SoftwareChange, SoftwareChanged};

/// AMQP's `content_type` of an event: CloudEvents' structured mode in JSON.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

/// What happened, as an event's `data` holds it.
pub trait Data: Serialize + DeserializeOwned {
    /// The event's types that carry this data, each with when it is sent.
    const TYPES: &'static [(&'static str, &'static str)];
    /// What the event is about: `alerts/<alert_id>`.
    const SUBJECT: &'static str;
    /// The fields, for the description.
    const FIELDS: &'static [Field];

    /// One of [`Data::TYPES`]: `rmm.alert.opened`.
    fn event_type(&self) -> &'static str;
    /// Whose it is.
    fn tenant(&self) -> Uuid;
    /// The connection that told of it.
    fn integration_id(&self) -> Uuid;
    /// [`Data::SUBJECT`] with its id.
    fn subject(&self) -> String;
    /// What tells newer from older, where the thing has one.
    fn rev(&self) -> Option<i64>;
    /// The event's stable id: the same change has the same id for ever, another one never. `at`: when it was committed.
    fn event_id(&self, at: DateTime<Utc>) -> String;
}

/// An event as it leaves: CloudEvents' attributes, three extensions (`tenant`, `rev`, `traceparent`), and the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CloudEvent<D> {
    /// `1.0`.
    pub specversion: String,
    /// The stable id; AMQP's `message_id`, too.
    pub id: String,
    /// `/tenants/<tenant>/integrations/<integration_id>`.
    pub source: String,
    /// `rmm.alert.opened`; AMQP's `type`, too.
    #[serde(rename = "type")]
    pub event_type: String,
    /// `alerts/<alert_id>`.
    pub subject: String,
    /// The database's clock in the transaction that made the change.
    pub time: DateTime<Utc>,
    /// `application/json`.
    pub datacontenttype: String,
    /// Whose it is.
    pub tenant: Uuid,
    /// [`Data::rev`], as far as CloudEvents' integers go (32 bits); the data has all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rev: Option<i32>,
    /// The trace of the webhook that caused it, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// What happened.
    pub data: D,
}

impl<D: Data> CloudEvent<D> {
    /// The event of a change that is committed at `at`, on the database's clock.
    #[must_use]
    pub fn of(data: D, at: DateTime<Utc>, traceparent: Option<String>) -> Self {
        let (tenant, integration_id) = (data.tenant(), data.integration_id());
        Self {
            specversion: "1.0".to_owned(),
            id: data.event_id(at),
            source: format!("/tenants/{tenant}/integrations/{integration_id}"),
            event_type: data.event_type().to_owned(),
            subject: data.subject(),
            time: at,
            datacontenttype: "application/json".to_owned(),
            tenant,
            rev: data.rev().and_then(|rev| i32::try_from(rev).ok()),
            traceparent,
            data,
        }
    }

    /// The key that it is published with: `rmm.alert.opened.<tenant>`.
    #[must_use]
    pub fn routing_key(&self) -> String {
        format!("{}.{}", self.event_type, self.tenant)
    }
}

/// What is known of an event's data without its type.
#[derive(Debug, Clone, Copy)]
pub struct EventInfo {
    /// [`Data::TYPES`].
    pub types: &'static [(&'static str, &'static str)],
    /// [`Data::SUBJECT`].
    pub subject: &'static str,
    /// [`Data::FIELDS`].
    pub fields: &'static [Field],
    /// Decodes an event and makes it anew of its data, time and trace: how the golden test reads a sample without knowing
    /// its data.
    pub remake: fn(&[u8]) -> Result<serde_json::Value, serde_json::Error>,
}

fn remake<D: Data>(body: &[u8]) -> Result<serde_json::Value, serde_json::Error> {
    let read: CloudEvent<D> = serde_json::from_slice(body)?;
    serde_json::to_value(CloudEvent::of(read.data, read.time, read.traceparent))
}

macro_rules! events {
    ($($data:ty),+ $(,)?) => {
        /// Every event that there is, by its data.
        pub const EVENTS: &[EventInfo] = &[$(EventInfo {
            types: <$data>::TYPES,
            subject: <$data>::SUBJECT,
            fields: <$data>::FIELDS,
            remake: remake::<$data>,
        }),+];
    };
}

events![AlertChanged, AssetChanged, SoftwareChanged, ImportCompleted, SyncEnded];

/// The id of a change that happened at one moment of the database's clock.
fn id_at(at: DateTime<Utc>, parts: &[&[u8]]) -> String {
    let at = at.timestamp_micros().to_be_bytes();
    crate::id::of(&[parts, &[&at]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rev_beyond_32_bits_stands_in_the_data_alone() {
        let sample = include_bytes!("../golden/event/rmm.alert.opened.json");
        let golden: CloudEvent<AlertChanged> = serde_json::from_slice(sample).expect("the sample decodes");
        let shown = |rev: i64| {
            let event = CloudEvent::of(AlertChanged { rev, ..golden.data.clone() }, golden.time, None);
            let event = serde_json::to_value(&event).expect("an event is JSON");
            (event.get("rev").cloned(), event["data"]["rev"].clone())
        };
        let edge = i64::from(i32::MAX);
        assert_eq!(shown(edge), (Some(edge.into()), edge.into()));
        assert_eq!(shown(edge + 1), (None, (edge + 1).into()));
    }
}
