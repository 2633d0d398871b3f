//! A key: read from text, known by a hash of itself, never shown.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chacha20poly1305::{Key as CipherKey, KeyInit, XChaCha20Poly1305};
use hmac::{Hmac, Mac};
use rand::TryRngCore;
use rand::rngs::OsRng;
use secrecy::zeroize::{Zeroize, Zeroizing};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::Error;

/// What XChaCha20 takes.
const KEY_BYTES: usize = 32;
/// Bytes of the hash that make the id: keys of one fleet are told apart, and nothing else hangs on it (which key opens a
/// row is decided by the tag).
const ID_BYTES: usize = 8;
/// What the hash is for, so that no other use of the key has the same result.
const ID_CONTEXT: &[u8] = b"muster vault key id v1";

/// A key with its id. The cipher wipes itself when it is dropped.
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) cipher: XChaCha20Poly1305,
}

impl Key {
    /// Understands 64 hexadecimal digits or base64 of 32 bytes; blanks and line ends around do not count.
    pub(crate) fn parse(text: &SecretString, place: impl FnOnce() -> String) -> Result<Self, Error> {
        let mut bytes = Zeroizing::new([0_u8; KEY_BYTES]);
        let text = text.expose_secret().trim();
        let is_read =
            if text.len() == 2 * KEY_BYTES { from_hex(text, &mut bytes) } else { from_base64(text, &mut bytes) };
        if !is_read {
            return Err(Error::BadKey { place: place() });
        }
        Ok(Self::from_bytes(&bytes))
    }

    fn from_bytes(bytes: &[u8; KEY_BYTES]) -> Self {
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(bytes).expect("HMAC takes a key of any length");
        mac.update(ID_CONTEXT);
        let id = mac.finalize().into_bytes()[..ID_BYTES].iter().map(|byte| format!("{byte:02x}")).collect();
        let mut key = CipherKey::from(*bytes);
        let cipher = XChaCha20Poly1305::new(&key);
        key.zeroize();
        Self { id, cipher }
    }
}

/// A new random key as text, 64 hexadecimal digits.
///
/// # Panics
/// When the operating system has no randomness to give; then nothing here is safe.
#[must_use]
pub fn generate() -> SecretString {
    let mut bytes = Zeroizing::new([0_u8; KEY_BYTES]);
    OsRng.try_fill_bytes(bytes.as_mut()).expect("the operating system gives random bytes");
    let mut text = String::with_capacity(2 * KEY_BYTES);
    for byte in bytes.iter() {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(digit.into(), 16).expect("four bits are one digit"));
        }
    }
    text.into()
}

/// The keys of a file, one a line; empty lines and those that begin with `#` do not count.
pub(crate) fn read_file(path: &Path) -> Result<Vec<Key>, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::Unreadable { path: path.to_owned(), source })
        .map(Zeroizing::new)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.trim().starts_with('#'));
    let place = |number: usize| format!("line {} of {}", number + 1, path.display());
    lines.map(|(number, line)| Key::parse(&line.into(), || place(number))).collect()
}

fn from_hex(text: &str, bytes: &mut [u8; KEY_BYTES]) -> bool {
    let mut digits = text.chars().map(|digit| digit.to_digit(16));
    for byte in bytes.iter_mut() {
        let (Some(Some(high)), Some(Some(low))) = (digits.next(), digits.next()) else { return false };
        *byte = u8::try_from(high << 4 | low).expect("two digits are one byte");
    }
    true
}

fn from_base64(text: &str, bytes: &mut [u8; KEY_BYTES]) -> bool {
    // longer than any base64 of a key: nothing to decode, and the buffer below is enough
    if text.len() > 2 * KEY_BYTES {
        return false;
    }
    let read = |engine: &base64::engine::GeneralPurpose| {
        let mut buffer = Zeroizing::new([0_u8; 3 * KEY_BYTES]);
        let read = engine.decode_slice(text, buffer.as_mut()).ok()?;
        (read == KEY_BYTES)
            .then(|| Zeroizing::new(<[u8; KEY_BYTES]>::try_from(&buffer[..KEY_BYTES]).unwrap_or_default()))
    };
    let Some(read) = read(&STANDARD).or_else(|| read(&URL_SAFE_NO_PAD)) else { return false };
    bytes.copy_from_slice(read.as_ref());
    true
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn parse(text: &str) -> Result<Key, Error> {
        Key::parse(&text.into(), || "the test".to_owned())
    }

    #[test]
    fn hexadecimal_and_base64_of_one_key_are_one_key() {
        let hex = "00ff".repeat(16);
        let bytes = [0_u8, 255].repeat(16);
        let texts = [
            hex.clone(),
            hex.to_uppercase(),
            format!("  {hex}\r\n"),
            STANDARD.encode(&bytes),
            URL_SAFE_NO_PAD.encode(&bytes),
        ];
        for text in texts {
            assert_eq!(parse(&text).unwrap().id, parse(&hex).unwrap().id, "{text}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_shown() {
        let long = "canary".repeat(100);
        let odd = format!("canary{}", "ü".repeat(29));
        for text in ["", "canary", &"g".repeat(64), &"0".repeat(63), &"0".repeat(65), long.as_str(), odd.as_str()] {
            let Err(error) = parse(text) else { panic!("{text} is no key") };
            let shown = format!("{error}{error:?}");
            assert!(shown.contains("64 hexadecimal") && !shown.contains("canary"), "{shown}");
        }
    }

    #[test]
    fn two_generated_keys_differ_and_can_be_read() {
        let (one, two) = (generate(), generate());
        let id = |text: &SecretString| Key::parse(text, String::new).unwrap().id;
        assert_ne!(id(&one), id(&two));
        assert_eq!((one.expose_secret().len(), id(&one).len()), (64, 16));
    }

    #[test]
    fn a_file_holds_a_key_a_line_and_names_the_line_that_is_none() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "# of last year\n{}\n\n{}", "01".repeat(32), "02".repeat(32)).unwrap();
        assert_eq!(read_file(file.path()).unwrap().len(), 2);
        writeln!(file, "canary").unwrap();
        let Err(error) = read_file(file.path()) else { panic!("the last line is no key") };
        assert!(error.to_string().starts_with("line 5 of ") && !error.to_string().contains("canary"), "{error}");
    }

    #[test]
    fn the_id_is_always_the_same() {
        // rows in databases carry it
        assert_eq!(parse(&"00".repeat(32)).unwrap().id, "e3e9057d5f56855e");
    }
}
