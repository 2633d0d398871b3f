//! Bounds of the columns that AlgaPSA has, in characters, and how a text is made to fit.

use contract::id;

/// `rmm_alerts.external_alert_id`.
pub const EXTERNAL_ID_CHARS_MAX: usize = 255;
/// `rmm_alerts.dedup_key`.
pub const DEDUP_KEY_CHARS_MAX: usize = 255;
/// `rmm_alerts.source_type`, the narrower of the two columns that an alert's type goes to.
pub const ALERT_TYPE_CHARS_MAX: usize = 50;
/// `rmm_alerts.message` and `device_name` are `text`; the message's limit is the contract's.
pub const MESSAGE_CHARS_MAX: usize = contract::alert_observed::limit::MESSAGE_CHARS_MAX;
/// Names and numbers that go to `text` and `jsonb`; the contract's limit.
pub const FIELD_CHARS_MAX: usize = contract::alert_observed::limit::FIELD_CHARS_MAX;
/// Raw bytes that are kept of one odd webhook; the contract's limit.
pub const RAW_BYTES_MAX: usize = contract::alert_observed::limit::RAW_BYTES_MAX;

/// Letters of the hash that stands for what an identifier was cut by.
const TAIL_CHARS: usize = 16;

/// Cuts a text that people read. True when anything was lost.
///
/// NUL, which Postgres cannot store, becomes U+FFFD.
pub fn cut(text: &mut String, chars_max: usize) -> bool {
    let had_nul = text.contains('\0');
    if had_nul {
        *text = text.replace('\0', "\u{FFFD}");
    }
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => {
            text.truncate(end);
            true
        }
        None => had_nul,
    }
}

/// An identifier that fits: itself, or its head and the hash of the whole, so that two long ones stay two.
///
/// Applied twice it changes nothing more.
#[must_use]
pub fn identifier(text: &str, chars_max: usize) -> String {
    let text = text.replace('\0', "\u{FFFD}");
    if text.chars().nth(chars_max).is_none() {
        return text;
    }
    let head: String = text.chars().take(chars_max - TAIL_CHARS - 1).collect();
    format!("{head}~{}", &id::of(&[text.as_bytes()])[..TAIL_CHARS])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_at_its_limit_is_untouched_and_one_over_it_is_cut() {
        let mut text = "é".repeat(50);
        assert!(!cut(&mut text, 50));
        text.push('é');
        assert!(cut(&mut text, 50));
        assert_eq!(text.chars().count(), 50);
    }

    #[test]
    fn nul_is_replaced_and_counts_as_a_loss() {
        let mut text = "a\0b".to_owned();
        assert!(cut(&mut text, 50));
        assert_eq!(text, "a\u{FFFD}b");
    }

    #[test]
    fn long_identifiers_stay_different_and_fit() {
        let (a, b) = (format!("{}a", "x".repeat(300)), format!("{}b", "x".repeat(300)));
        let (a, b) = (identifier(&a, 255), identifier(&b, 255));
        assert_ne!(a, b);
        assert_eq!(a.chars().count(), 255);
        assert_eq!(identifier(&a, 255), a);
        assert_eq!(identifier(&"y".repeat(255), 255), "y".repeat(255));
    }
}
