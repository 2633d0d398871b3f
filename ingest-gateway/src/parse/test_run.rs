//! Tells Tactical's *test run* of a template from a real delivery.
//!
//! In a test run the root `alert` stands for the chosen agent: `{{alert.id}}` is the agent's number, and every variable
//! that an agent does not have renders the agent itself, that is its host name. So every value that only an alert has is
//! the same host name. A real alert taken for a test would be lost, a test taken for an alert is only looked up in vain:
//! one value that differs, or that an alert could have, makes it real.

use super::field::{Fields, Key};
use super::time;

/// Attributes that an alert has and an agent has not, each under the names of its member: two members of one attribute
/// are one witness.
const ALERT_ONLY: [&[Key]; 5] =
    [&[Key::AlertType, Key::Type], &[Key::Severity], &[Key::AlertTime], &[Key::Message], &[Key::ResolvedOn]];
/// One attribute may be chance, such as a message that says only the host's name.
const ATTRIBUTES_MIN: usize = 2;
/// What an alert may have there: Tactical's types and severities, and AlgaPSA's severities.
const ALERT_WORDS: [&str; 12] = [
    "availability",
    "check",
    "task",
    "custom",
    "error",
    "warning",
    "info",
    "critical",
    "major",
    "moderate",
    "minor",
    "none",
];
/// `{{alert.nosuch}}` in a real delivery renders `check - message`: several such values are a template's typing error.
const ALERT_TEXTS: [&str; 4] = ["availability - ", "check - ", "task - ", "custom - "];

/// Whether the fields are those of a test run.
pub(super) fn is_test(fields: &Fields) -> bool {
    let present = |keys: &&[Key]| keys.iter().any(|key| fields.get(*key).is_some());
    let attributes = ALERT_ONLY.iter().filter(|keys| present(keys)).count();
    let mut values = ALERT_ONLY.iter().copied().flatten().filter_map(|key| fields.get(*key));
    let host = fields.get(Key::Hostname).or_else(|| fields.get(Key::AgentHostname));
    let Some(name) = host.or_else(|| values.clone().next()) else { return false };
    attributes >= ATTRIBUTES_MIN && values.all(|value| value == name) && !is_of_an_alert(name)
}

/// Whether an alert could have the value in one of those places.
fn is_of_an_alert(value: &str) -> bool {
    ALERT_WORDS.iter().any(|word| word.eq_ignore_ascii_case(value))
        || ALERT_TEXTS.iter().any(|text| value.starts_with(text))
        || time::read(value).is_some()
}
