//! Between an envelope and AMQP's properties. Headers are always written afresh, never copied from a delivery: copied
//! death headers make RabbitMQ 3.10 drop a retried message silently.

use chrono::{DateTime, Utc};
use contract::{Meta, envelope, topology};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use uuid::Uuid;

use crate::outgoing::InvalidMessage;

/// Properties of a message: AMQP's own first, then ours, then whatever the caller adds.
pub(crate) fn encode(meta: &Meta, extra: &[(String, AMQPValue)]) -> Result<BasicProperties, InvalidMessage> {
    let mut table = FieldTable::default();
    table.insert(envelope::TENANT.into(), text(&meta.tenant.to_string()));
    table.insert(envelope::ATTEMPT.into(), AMQPValue::LongInt(meta.attempt.min(i32::MAX as u32) as i32));
    let first = meta.first_published_at.timestamp_millis();
    table.insert(envelope::FIRST_PUBLISHED.into(), AMQPValue::LongLongInt(first));
    if let Some(traceparent) = &meta.traceparent {
        table.insert(envelope::TRACEPARENT.into(), text(traceparent));
    }
    if let Some(reason) = &meta.reason {
        table.insert(envelope::REASON.into(), text(cut(reason, envelope::REASON_BYTES_MAX)));
    }
    for (name, value) in extra {
        table.insert(short("header name", name)?, value.clone());
    }
    Ok(BasicProperties::default()
        .with_message_id(short("message id", &meta.message_id)?)
        .with_type(short("kind", &meta.kind)?)
        .with_content_type(topology::MESSAGE_CONTENT_TYPE.into())
        .with_app_id(envelope::APP_ID.into())
        .with_timestamp(u64::try_from(meta.first_published_at.timestamp()).unwrap_or(0))
        .with_delivery_mode(2)
        .with_headers(table))
}

/// The envelope of a delivery, or what is missing in it.
pub(crate) fn decode(properties: &BasicProperties) -> Result<Meta, String> {
    let headers = properties.headers().as_ref().ok_or("no headers")?;
    let name = |value: &Option<ShortString>, what: &str| {
        value.as_ref().map(|text| text.as_str().to_owned()).filter(|text| !text.is_empty()).ok_or(format!("no {what}"))
    };
    let tenant = string(headers, envelope::TENANT).ok_or(format!("no header {}", envelope::TENANT))?;
    Ok(Meta {
        message_id: name(properties.message_id(), "message id")?,
        kind: name(properties.kind(), "kind")?,
        tenant: tenant.parse::<Uuid>().map_err(|error| format!("header {}: {error}", envelope::TENANT))?,
        attempt: integer(headers, envelope::ATTEMPT).and_then(|value| u32::try_from(value).ok()).unwrap_or(0),
        first_published_at: first_published(properties, headers),
        traceparent: string(headers, envelope::TRACEPARENT),
        reason: string(headers, envelope::REASON),
    })
}

/// The header, else AMQP's own timestamp, else the epoch: a message of unknown age is too old rather than eternal.
fn first_published(properties: &BasicProperties, headers: &FieldTable) -> DateTime<Utc> {
    integer(headers, envelope::FIRST_PUBLISHED)
        .or_else(|| properties.timestamp().and_then(|seconds| i64::try_from(seconds).ok()?.checked_mul(1_000)))
        .and_then(DateTime::from_timestamp_millis)
        .unwrap_or_default()
}

/// How often the broker has delivered this message before, all causes together.
pub(crate) fn delivery_count(properties: &BasicProperties) -> u32 {
    let count = properties.headers().as_ref().and_then(|headers| integer(headers, "x-delivery-count"));
    count.and_then(|value| u32::try_from(value).ok()).unwrap_or(0)
}

/// Every header as text, for the table of parked messages; the broker's own account of its death included.
pub(crate) fn readable(properties: &BasicProperties) -> Vec<(String, String)> {
    let Some(headers) = properties.headers() else { return Vec::new() };
    headers.inner().iter().map(|(name, value)| (name.to_string(), readable_value(value))).collect()
}

fn readable_value(value: &AMQPValue) -> String {
    match value {
        AMQPValue::LongString(text) => text.to_string(),
        AMQPValue::ShortString(text) => text.to_string(),
        AMQPValue::Boolean(value) => value.to_string(),
        AMQPValue::FieldArray(values) => {
            let values: Vec<String> = values.as_slice().iter().map(readable_value).collect();
            format!("[{}]", values.join(", "))
        }
        AMQPValue::FieldTable(table) => {
            let pairs: Vec<String> = table.inner().iter().map(|(k, v)| format!("{k}={}", readable_value(v))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        other => whole(other).map_or_else(|| format!("{other:?}"), |number| number.to_string()),
    }
}

/// A header that holds text.
pub(crate) fn string(headers: &FieldTable, name: &str) -> Option<String> {
    match headers.inner().get(name)? {
        AMQPValue::LongString(text) => Some(text.to_string()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}

fn integer(headers: &FieldTable, name: &str) -> Option<i64> {
    whole(headers.inner().get(name)?)
}

fn whole(value: &AMQPValue) -> Option<i64> {
    match value {
        AMQPValue::ShortShortInt(value) => Some(i64::from(*value)),
        AMQPValue::ShortShortUInt(value) => Some(i64::from(*value)),
        AMQPValue::ShortInt(value) => Some(i64::from(*value)),
        AMQPValue::ShortUInt(value) => Some(i64::from(*value)),
        AMQPValue::LongInt(value) => Some(i64::from(*value)),
        AMQPValue::LongUInt(value) => Some(i64::from(*value)),
        AMQPValue::LongLongInt(value) => Some(*value),
        AMQPValue::Timestamp(value) => i64::try_from(*value).ok(),
        _ => None,
    }
}

/// A header value that holds text.
pub(crate) fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

/// A short string, which lapin's own conversion would panic on when it is over 255 bytes.
pub(crate) fn short(what: &'static str, value: &str) -> Result<ShortString, InvalidMessage> {
    ShortString::try_new(value).map_err(|_| InvalidMessage::TooLongForAmqp { what, bytes: value.len() })
}

/// The longest prefix of at most `bytes_max` bytes that ends between two characters.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> Meta {
        Meta {
            message_id: "a".repeat(32),
            kind: "alert.observed.v1".to_owned(),
            tenant: Uuid::from_u128(7),
            attempt: 3,
            first_published_at: DateTime::from_timestamp_millis(1_764_000_000_123).expect("a date"),
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
            reason: Some("retryable: timed out".to_owned()),
        }
    }

    #[test]
    fn an_envelope_survives_the_wire() {
        let properties = encode(&meta(), &[]).expect("it is sound");
        assert_eq!(decode(&properties).expect("it decodes"), meta());
    }

    #[test]
    fn an_id_of_255_bytes_passes_and_of_256_is_refused_not_panicked_on() {
        let at =
            |bytes: usize| encode(&Meta { message_id: "é".repeat(bytes / 2) + &"x".repeat(bytes % 2), ..meta() }, &[]);
        assert!(at(255).is_ok());
        let error = at(256).expect_err("it is too long");
        assert!(matches!(error, InvalidMessage::TooLongForAmqp { what: "message id", bytes: 256 }), "{error}");
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        let long = Meta { reason: Some("é".repeat(envelope::REASON_BYTES_MAX)), ..meta() };
        let properties = encode(&long, &[]).expect("it is sound");
        let reason = decode(&properties).expect("it decodes").reason.expect("it is there");
        assert_eq!(reason.len(), envelope::REASON_BYTES_MAX);
    }

    #[test]
    fn what_is_missing_is_named() {
        let bare = BasicProperties::default();
        assert_eq!(decode(&bare).expect_err("nothing is there"), "no headers");
        let headers_only = bare.with_headers(FieldTable::default());
        assert_eq!(decode(&headers_only).expect_err("no tenant"), "no header x-muster-tenant");
    }

    #[test]
    fn a_message_without_a_stamp_counts_as_old() {
        let mut table = FieldTable::default();
        table.insert(envelope::TENANT.into(), text(&Uuid::from_u128(7).to_string()));
        let properties =
            BasicProperties::default().with_message_id("m".into()).with_type("k".into()).with_headers(table);
        assert_eq!(decode(&properties).expect("it decodes").first_published_at, DateTime::<Utc>::default());
    }
}
