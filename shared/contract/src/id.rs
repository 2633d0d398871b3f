//! Stable ids: a fixed-length hash of a length-prefixed tuple.
//!
//! An id identifies; it never suppresses. Effects are idempotent by their own keys.

use sha2::{Digest, Sha256};

/// 32 hexadecimal digits (128 bits) over the parts.
///
/// Every part is prefixed with its length, so that `("ab", "c")` and `("a", "bc")` differ.
#[must_use]
pub fn of(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_border_between_parts_counts() {
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
        assert_ne!(of(&[b"ab"]), of(&[b"ab", b""]));
    }

    #[test]
    fn the_length_is_fixed_and_the_value_stable() {
        assert_eq!(of(&[]).len(), 32);
        assert_eq!(of(&[b"a", &[0; 1_000]]).len(), 32);
        assert_eq!(of(&[b"tenant", b"7"]), of(&[b"tenant", b"7"]));
    }
}
