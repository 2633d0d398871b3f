//! Every kind ever published still decodes: one sample a kind in `golden/`, and no sample without a kind.

use std::collections::BTreeSet;
use std::path::PathBuf;

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
        .collect();
    assert_eq!(samples, kinds, "a published kind is never removed, only superseded");
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
