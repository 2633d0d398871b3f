//! Every kind and event ever published still decodes: one sample each in `golden/` and `golden/event/`, and none without.

use std::collections::BTreeSet;
use std::path::PathBuf;

use contract::event::{EVENTS, EventInfo};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden")
}

#[test]
fn every_kind_has_a_golden_sample_that_survives_a_round_trip() {
    for kind in contract::KINDS {
        let path = folder().join(format!("{}.json", kind.name));
        let sample =
            std::fs::read(&path).unwrap_or_else(|error| panic!("no golden sample {}: {error}", path.display()));
        let expected: serde_json::Value = serde_json::from_slice(&sample).expect("the sample is JSON");
        let actual = (kind.recode)(&sample).unwrap_or_else(|error| panic!("{} no longer decodes: {error}", kind.name));
        assert_eq!(actual, expected, "{} changed its shape", kind.name);
    }
}

#[test]
fn every_golden_sample_belongs_to_a_kind() {
    let kinds: BTreeSet<String> = contract::KINDS.iter().map(|kind| format!("{}.json", kind.name)).collect();
    let samples: BTreeSet<String> = std::fs::read_dir(folder())
        .expect("the folder exists")
        .map(|entry| entry.expect("it can be listed").file_name().to_string_lossy().into_owned())
        .filter(|name| name != "event")
        .collect();
    assert_eq!(samples, kinds, "a published kind is never removed, only superseded");
}

/// Every type of event with what makes one anew of its bytes.
fn event_types() -> impl Iterator<Item = (&'static str, &'static EventInfo)> {
    EVENTS.iter().flat_map(|event| event.types.iter().map(move |(name, _)| (*name, event)))
}

#[test]
fn every_event_is_made_of_its_data_as_its_golden_sample_was_with_the_same_id() {
    for (name, event) in event_types() {
        let path = folder().join(format!("event/{name}.json"));
        let sample =
            std::fs::read(&path).unwrap_or_else(|error| panic!("no golden sample {}: {error}", path.display()));
        let expected: serde_json::Value = serde_json::from_slice(&sample).expect("the sample is JSON");
        let actual = (event.remake)(&sample).unwrap_or_else(|error| panic!("{name} no longer decodes: {error}"));
        assert_eq!(actual, expected, "{name} changed its shape or its id");
        assert_eq!(actual["type"], name);
        let data: BTreeSet<&str> = actual["data"].as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(data, event.fields.iter().map(|field| field.name).collect(), "{name} has other fields");
    }
}

#[test]
fn every_golden_event_has_a_type_and_every_type_a_name_that_events_may_have() {
    let types: BTreeSet<String> = event_types().map(|(name, _)| format!("{name}.json")).collect();
    let samples: BTreeSet<String> = std::fs::read_dir(folder().join("event"))
        .expect("the folder exists")
        .map(|entry| entry.expect("it can be listed").file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(samples, types, "a published type of event is never removed");
    assert_eq!(event_types().count(), types.len(), "two events have one type");
    for name in types {
        let words: Vec<&str> = name.trim_end_matches(".json").split('.').collect();
        assert!(words.len() == 3 && words[0] == "rmm", "{name}: a binding such as rmm.*.*.<tenant> would miss it");
    }
}

/// CloudEvents: names of attributes are small letters and digits, and those that are there are never null.
#[test]
fn every_golden_event_keeps_the_rules_for_attributes() {
    for (name, event) in event_types() {
        let sample = std::fs::read(folder().join(format!("event/{name}.json"))).expect("it exists");
        let event = (event.remake)(&sample).expect("it decodes");
        for (attribute, value) in event.as_object().expect("an object") {
            let is_named = attribute.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
            assert!(is_named && attribute.len() <= 20 && !value.is_null(), "{name}: {attribute}");
            assert_eq!(value.is_object(), attribute == "data", "{name}: {attribute}");
        }
        assert_eq!(event["specversion"], "1.0");
    }
}

#[test]
fn names_of_kinds_are_unique_and_short() {
    let names: BTreeSet<&str> = contract::KINDS.iter().map(|kind| kind.name).collect();
    assert_eq!(names.len(), contract::KINDS.len());
    for kind in contract::KINDS {
        let key = contract::topology::routing_key(kind.worker, kind.lane, kind.name);
        assert!(key.len() <= contract::envelope::SHORT_STRING_BYTES_MAX, "{key} is too long for AMQP");
    }
}
