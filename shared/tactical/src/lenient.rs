//! Fields as they come: an odd value is `None`, never an error that would cost the whole list.
//!
//! For `#[serde(default, deserialize_with = "…")]`; a missing field is `None` by its default.

use std::net::IpAddr;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// What Tactical's agents write where they found nothing.
const UNKNOWN: [&str; 9] = [
    "unknown cpu model",
    "unknown disk",
    "unknown make/model",
    "error getting make/model",
    "error getting local ips",
    "error getting graphics cards",
    "graphics info requires agent v1.4.14",
    "no graphics cards",
    "error",
];

/// Text as it is; only no text is `None`.
pub(crate) fn raw<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(string(Value::deserialize(deserializer)?))
}

/// Text without the space around it; nothing left is `None`.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(trimmed(Value::deserialize(deserializer)?))
}

/// Text about hardware: the agents' words for "not found" are `None`.
pub(crate) fn known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(trimmed(Value::deserialize(deserializer)?).filter(|text| is_known(text)))
}

/// A list of such texts.
pub(crate) fn known_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let texts = elements(Value::deserialize(deserializer)?).filter_map(trimmed);
    Ok(texts.filter(|text| is_known(text)).collect())
}

/// A user's name: `"None"` (a Python null as text) and `"-"` are nobody.
pub(crate) fn user<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let name = trimmed(Value::deserialize(deserializer)?);
    Ok(name.filter(|name| name != "-" && name != "None"))
}

pub(crate) fn int<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    })
}

/// A list of integers; others are left out.
pub(crate) fn ints<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<i64>, D::Error> {
    Ok(elements(Value::deserialize(deserializer)?).filter_map(|value| value.as_i64()).collect())
}

pub(crate) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_bool())
}

/// ISO 8601 with its zone.
pub(crate) fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    let text = trimmed(Value::deserialize(deserializer)?);
    Ok(text.and_then(|text| DateTime::parse_from_rfc3339(&text).ok()).map(|time| time.to_utc()))
}

/// Seconds since 1970, with a fraction; 0 and before is no time.
pub(crate) fn epoch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    let seconds = match Value::deserialize(deserializer)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    Ok(seconds
        .filter(|seconds| *seconds > 0.0)
        .and_then(|seconds| DateTime::from_timestamp_millis(to_millis(seconds)?)))
}

/// Below the year 10,000, so that every later step can hold it.
fn to_millis(seconds: f64) -> Option<i64> {
    const SECONDS_MAX: f64 = 253_402_300_799.0;
    if seconds > SECONDS_MAX {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, reason = "the bound above fits")]
    Some((seconds * 1_000.0).round() as i64)
}

pub(crate) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IpAddr>, D::Error> {
    Ok(trimmed(Value::deserialize(deserializer)?).and_then(|text| to_address(&text)))
}

/// `10.0.0.5/24, fd70::1/64` (or a list of such): what is no address is left out.
pub(crate) fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpAddr>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let texts: Vec<String> = match value {
        Value::String(text) => vec![text],
        value => elements(value).filter_map(string).collect(),
    };
    Ok(texts.iter().flat_map(|text| text.split(',')).filter_map(to_address).collect())
}

fn to_address(text: &str) -> Option<IpAddr> {
    text.trim().split('/').next()?.parse().ok()
}

/// One of a few words.
pub(crate) fn word<'de, D: Deserializer<'de>, T: FromStr>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(trimmed(Value::deserialize(deserializer)?).and_then(|text| text.parse().ok()))
}

/// An object that is itself lenient; something else in its place is `None`.
pub(crate) fn object<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(if value.is_object() { serde_json::from_value(value).ok() } else { None })
}

/// A list of such objects; others in it are left out.
pub(crate) fn objects<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(elements(Value::deserialize(deserializer)?).filter_map(|value| serde_json::from_value(value).ok()).collect())
}

/// The same where an empty list means something: what is no list, or one of anything but objects, is `None`.
pub(crate) fn list_of_objects<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let Value::Array(values) = Value::deserialize(deserializer)? else { return Ok(None) };
    let is_empty = values.is_empty();
    let objects: Vec<T> = values.into_iter().filter_map(|value| serde_json::from_value(value).ok()).collect();
    Ok((is_empty || !objects.is_empty()).then_some(objects))
}

fn string(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn trimmed(value: Value) -> Option<String> {
    let text = string(value)?;
    let kept = text.trim();
    match kept.len() {
        0 => None,
        length if length == text.len() => Some(text),
        _ => Some(kept.to_owned()),
    }
}

fn elements(value: Value) -> impl Iterator<Item = Value> {
    match value {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
    .into_iter()
}

fn is_known(text: &str) -> bool {
    !UNKNOWN.iter().any(|unknown| text.eq_ignore_ascii_case(unknown))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default)]
    struct Odd {
        #[serde(deserialize_with = "text")]
        text: Option<String>,
        #[serde(deserialize_with = "int")]
        int: Option<i64>,
        #[serde(deserialize_with = "flag")]
        flag: Option<bool>,
        #[serde(deserialize_with = "time")]
        time: Option<DateTime<Utc>>,
        #[serde(deserialize_with = "epoch")]
        epoch: Option<DateTime<Utc>>,
        #[serde(deserialize_with = "known_list")]
        list: Vec<String>,
        #[serde(deserialize_with = "addresses")]
        addresses: Vec<IpAddr>,
        #[serde(deserialize_with = "user")]
        user: Option<String>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Told {
        #[serde(default, deserialize_with = "list_of_objects")]
        list: Option<Vec<Odd>>,
    }

    #[test]
    fn odd_values_are_none_and_no_error() {
        let odd = [json!(null), json!(true), json!(1.5), json!("?"), json!([1, {"a": []}]), json!({"a": {"b": 1}})];
        for value in odd {
            let row = json!({"int": value, "time": value, "addresses": value, "unknown": value});
            assert_eq!(serde_json::from_value::<Odd>(row).expect("no value is an error"), Odd::default(), "{value}");
        }
        for value in [json!(null), json!(1), json!([]), json!({})] {
            let row = json!({"text": value, "flag": value, "list": value, "user": value});
            assert_eq!(serde_json::from_value::<Odd>(row).expect("no value is an error"), Odd::default(), "{value}");
        }
        assert_eq!(serde_json::from_value::<Odd>(json!({})).expect("everything may be missing"), Odd::default());
    }

    #[test]
    fn only_a_list_of_objects_or_of_nothing_is_one() {
        for row in
            [json!({}), json!({"list": null}), json!({"list": "error"}), json!({"list": {}}), json!({"list": [7]})]
        {
            assert_eq!(serde_json::from_value::<Told>(row.clone()).unwrap().list, None, "{row}");
        }
        let count = |row: Value| serde_json::from_value::<Told>(row).unwrap().list.map(|list| list.len());
        assert_eq!((count(json!({"list": []})), count(json!({"list": [{}, 7, null]}))), (Some(0), Some(1)));
    }

    #[test]
    fn words_for_nothing_are_none() {
        for word in ["None", "-", " - ", ""] {
            assert_eq!(serde_json::from_value::<Odd>(json!({"user": word})).unwrap(), Odd::default(), "{word}");
        }
        let row = json!({"list": ["unknown disk", "Unknown CPU model", "", "Samsung SSD", 7]});
        assert_eq!(serde_json::from_value::<Odd>(row).unwrap().list, ["Samsung SSD"]);
    }

    #[test]
    fn times_and_addresses_are_read_in_their_forms() {
        let row = json!({"time": "2026-11-22T02:16:01.568106Z", "epoch": 1794143762.25,
            "addresses": "172.17.9.121, 203.121.23.54/24, fd70::1/64, fe10::3332:4hgr:9634/64"});
        let row: Odd = serde_json::from_value(row).unwrap();
        assert_eq!(row.time.unwrap().timestamp_micros() % 1_000_000, 568_106);
        assert_eq!(row.epoch.unwrap().timestamp_millis(), 1_794_143_762_250);
        assert_eq!(
            row.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["172.17.9.121", "203.121.23.54", "fd70::1"]
        );
        for epoch in [json!(0), json!(-5.0), json!(1e300)] {
            assert_eq!(serde_json::from_value::<Odd>(json!({"epoch": epoch})).unwrap().epoch, None, "{epoch}");
        }
    }
}
