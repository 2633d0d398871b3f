//! Tells Tactical's *test run* of a template from a real delivery.
//!
//! In a test run the root `alert` stands for the chosen agent: `{{alert.id}}` is the agent's number, and every variable
//! that an agent does not have renders the agent itself, that is its host name. So several values are the same host
//! name, and none of those that only an alert has is what an alert would have there.

use super::field::{Fields, Key};
use super::time;

/// Values that an alert has and an agent has not.
const ALERT_ONLY: [Key; 7] =
    [Key::AlertType, Key::Type, Key::Severity, Key::AlertTime, Key::Message, Key::CheckId, Key::ResolvedOn];
/// One equal value may be chance, such as a message that says only the host's name.
const EQUAL_MIN: usize = 2;
/// `{{alert.nosuch}}` in a real delivery renders `check - message`: several such values are a template's typing error.
const ALERT_TEXTS: [&str; 4] = ["availability - ", "check - ", "task - ", "custom - "];

/// Whether the fields are those of a test run.
pub(super) fn is_test(fields: &Fields) -> bool {
    let values: Vec<&str> = ALERT_ONLY.iter().filter_map(|key| fields.get(*key)).collect();
    let host = fields.get(Key::Hostname).or_else(|| fields.get(Key::AgentHostname));
    let Some(name) = host.or_else(|| most_frequent(&values)) else { return false };
    let equal = values.iter().filter(|value| **value == name).count();
    equal >= EQUAL_MIN && !ALERT_TEXTS.iter().any(|text| name.starts_with(text)) && !has_alert_values(fields)
}

/// The value that stands most often.
fn most_frequent<'a>(values: &[&'a str]) -> Option<&'a str> {
    values.iter().copied().max_by_key(|value| values.iter().filter(|other| *other == value).count())
}

/// Whether any value is one that only a real alert brings.
fn has_alert_values(fields: &Fields) -> bool {
    let is = |key, words: &[&str]| fields.get(key).is_some_and(|value| words.contains(&value));
    let types = ["availability", "check", "task", "custom"];
    fields.get(Key::AlertTime).is_some_and(|text| time::read(text).is_some())
        || is(Key::Severity, &["error", "warning", "info"])
        || is(Key::AlertType, &types)
        || is(Key::Type, &types)
}
