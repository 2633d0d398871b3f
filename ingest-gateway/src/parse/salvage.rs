//! Finds the members that matter in a text that is no longer JSON, because some value held a quote.
//!
//! Each quote in the text is looked at once, and at most [`VALUE_BYTES_MAX`] and some bytes behind it: linear time. A
//! value is taken only if it is made of the letters that such a value has and is followed by what may follow a value; a
//! free text can therefore not run on into the next member. Free text itself (the message) is not salvaged: where it
//! ends is exactly what is not known.

use super::field::{Fields, KEYS, Key};

/// Longest value that is salvaged; ids have 40 bytes, host names up to 255.
const VALUE_BYTES_MAX: usize = 256;
/// Blanks that may stand between two signs, for a template that is indented.
const BLANKS_MAX: usize = 64;

/// What could be found. A name that stands there twice with two values is in doubt and left out: an output may quote
/// another webhook, or try to forge one. Only the agent is then the first that is named, since without it all is lost.
pub(super) fn salvage(text: &str) -> Fields {
    let mut found: [Found<'_>; KEYS.len()] = [const { Found::Nothing }; KEYS.len()];
    // a string that was cut off still has its quotes escaped
    let unescaped;
    let text = if text.contains("\\\"") {
        unescaped = text.replace("\\\"", "\"");
        unescaped.as_str()
    } else {
        text
    };
    for (at, byte) in text.bytes().enumerate() {
        if matches!(byte, b'"' | b'\'')
            && let Some((key, value)) = member(text, at)
        {
            let slot = &mut found[key as usize];
            *slot = slot.and(value);
        }
    }
    let mut fields = Fields::default();
    for (key, _) in KEYS {
        match found[key as usize] {
            Found::One(value) => fields.set(key, Some(value)),
            Found::Many(first) if key == Key::AgentId => fields.set(key, Some(first)),
            _ => {}
        }
    }
    fields
}

/// The values that stand behind one name.
#[derive(Clone, Copy)]
enum Found<'a> {
    Nothing,
    One(&'a str),
    Many(&'a str),
}

impl<'a> Found<'a> {
    fn and(self, value: &'a str) -> Self {
        match self {
            Self::Nothing => Self::One(value),
            Self::One(first) if first == value => self,
            Self::One(first) | Self::Many(first) => Self::Many(first),
        }
    }
}

/// The member whose name opens with the quote at `at`.
fn member(text: &str, at: usize) -> Option<(Key, &str)> {
    let bytes = text.as_bytes();
    let before = bytes[..at].iter().rev().take(BLANKS_MAX).find(|byte| !is_blank(**byte));
    if !matches!(before, Some(b'{' | b',')) {
        return None;
    }
    let quote = bytes[at];
    let (key, name) = KEYS.iter().find(|(_, name)| {
        let end = at + 1 + name.len();
        bytes[at + 1..].starts_with(name.as_bytes()) && bytes.get(end) == Some(&quote)
    })?;
    let colon = blanks(bytes, at + name.len() + 2);
    if bytes.get(colon) != Some(&b':') {
        return None;
    }
    let start = blanks(bytes, colon + 1);
    let (value, end) = value(text, start, *key)?;
    matches!(bytes.get(blanks(bytes, end)), None | Some(b',' | b'}')).then_some((*key, value))
}

/// The value at `start` and where it ends: quoted, or a bare number or word.
fn value(text: &str, start: usize, key: Key) -> Option<(&str, usize)> {
    let bytes = text.as_bytes();
    let quote = bytes.get(start).copied().filter(|byte| matches!(byte, b'"' | b'\''));
    let from = start + usize::from(quote.is_some());
    let window = bytes.get(from..)?.iter().take(VALUE_BYTES_MAX + 1);
    let length = match quote {
        Some(quote) => window.clone().position(|byte| *byte == quote)?,
        None => window.clone().take_while(|byte| !is_blank(**byte) && !matches!(byte, b',' | b'}')).count(),
    };
    let end = from + length;
    let value = text.get(from..end)?;
    let sound = length > 0 && length <= VALUE_BYTES_MAX && value.chars().all(|char| may_hold(key, char));
    sound.then_some((value, end + usize::from(quote.is_some())))
}

/// The letters that a value of this key is made of.
fn may_hold(key: Key, char: char) -> bool {
    match key {
        Key::AgentId | Key::AlertId | Key::ClientId | Key::SiteId | Key::CheckId => {
            char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.')
        }
        Key::Event => char.is_alphanumeric() || matches!(char, ' ' | '|' | '_' | '-' | '.' | '/'),
        // in a test run these hold the host's name
        Key::AlertTime | Key::AlertType | Key::Type | Key::Severity | Key::ResolvedOn => {
            char.is_alphanumeric() || matches!(char, ' ' | '_' | '-' | '.' | ':' | '+')
        }
        Key::Hostname | Key::AgentHostname => !char.is_control() && !matches!(char, '"' | '\'' | '{' | '}' | '\\'),
        Key::Message => false,
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// The first position from `at` on that is no blank, at most [`BLANKS_MAX`] further.
fn blanks(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().take(BLANKS_MAX).take_while(|byte| is_blank(**byte)).count()
}
