//! The members of a webhook that are read, their names, and how any value becomes a bounded text.

use contract::alert_observed::limit;

/// A member that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    AgentId,
    AlertId,
    Event,
    AlertTime,
    AlertType,
    /// What Tactical's own examples call the alert type.
    Type,
    Severity,
    Message,
    ClientId,
    SiteId,
    CheckId,
    Hostname,
    AgentHostname,
    /// Only looked at to tell a test run; it is Tactical's word for when the alert was resolved.
    ResolvedOn,
}

/// Each key at its own position, with its name in the body.
pub(super) const KEYS: [(Key, &str); 14] = [
    (Key::AgentId, "agent_id"),
    (Key::AlertId, "alert_id"),
    (Key::Event, "event"),
    (Key::AlertTime, "alert_time"),
    (Key::AlertType, "alert_type"),
    (Key::Type, "type"),
    (Key::Severity, "severity"),
    (Key::Message, "message"),
    (Key::ClientId, "client_id"),
    (Key::SiteId, "site_id"),
    (Key::CheckId, "check_id"),
    (Key::Hostname, "hostname"),
    (Key::AgentHostname, "agent_hostname"),
    (Key::ResolvedOn, "resolved_on"),
];

impl Key {
    /// The key of that name.
    pub(super) fn find(name: &str) -> Option<Self> {
        KEYS.iter().find(|(_, known)| *known == name).map(|(key, _)| *key)
    }

    fn chars_max(self) -> usize {
        if self == Self::Message { limit::MESSAGE_CHARS_MAX } else { limit::FIELD_CHARS_MAX }
    }
}

/// The values of one body, all within their bounds.
#[derive(Debug, Default)]
pub(super) struct Fields([Option<String>; KEYS.len()]);

impl Fields {
    /// The value, if the body has one that says anything.
    pub(super) fn get(&self, key: Key) -> Option<&str> {
        self.0[key as usize].as_deref()
    }

    /// Takes the value out.
    pub(super) fn take(&mut self, key: Key) -> Option<String> {
        self.0[key as usize].take()
    }

    /// Keeps a value: the last one wins, as it does in Tactical's own reader. `None`, `null` and blanks say nothing;
    /// NUL, which Postgres cannot hold, becomes U+FFFD.
    pub(super) fn set(&mut self, key: Key, value: Option<&str>) {
        self.0[key as usize] = value.and_then(|text| bounded(text, key.chars_max()));
    }
}

fn bounded(text: &str, chars_max: usize) -> Option<String> {
    let text = text.trim();
    if text.is_empty() || text == "None" {
        return None;
    }
    let cut: String = text.chars().take(chars_max).map(|char| if char == '\0' { '\u{fffd}' } else { char }).collect();
    Some(cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_stands_at_its_own_position() {
        for (position, (key, name)) in KEYS.iter().enumerate() {
            assert_eq!(*key as usize, position, "{name}");
            assert_eq!(Key::find(name), Some(*key));
        }
        assert_eq!(Key::find("agent"), None);
    }

    #[test]
    fn what_says_nothing_is_absent() {
        let mut fields = Fields::default();
        for value in [None, Some(""), Some("  \n"), Some("None"), Some(" None ")] {
            fields.set(Key::Severity, Some("error"));
            fields.set(Key::Severity, value);
            assert_eq!(fields.get(Key::Severity), None, "{value:?}");
        }
    }

    #[test]
    fn a_text_is_cut_at_its_limit_and_not_before() {
        let mut fields = Fields::default();
        for (key, chars_max) in [(Key::Hostname, limit::FIELD_CHARS_MAX), (Key::Message, limit::MESSAGE_CHARS_MAX)] {
            for chars in [chars_max - 1, chars_max, chars_max + 1] {
                fields.set(key, Some(&"ü".repeat(chars)));
                let kept = fields.get(key).expect("it was set").chars().count();
                assert_eq!(kept, chars.min(chars_max));
            }
        }
    }

    #[test]
    fn nul_becomes_the_replacement_character() {
        let mut fields = Fields::default();
        fields.set(Key::Message, Some("a\0b"));
        assert_eq!(fields.get(Key::Message), Some("a\u{fffd}b"));
    }
}
