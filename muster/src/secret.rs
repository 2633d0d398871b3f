//! Where secrets come from: the environment or a file, never the command line, which every local user can read.

use std::path::Path;

use anyhow::{Context, ensure};
use secrecy::{ExposeSecret, SecretString};

/// A webhook secret travels in an HTTP header, which holds visible ASCII; below 16 characters it can be guessed.
const SECRET_CHARS_MIN: usize = 16;
/// Headers of some proxies end at 8 KiB; nobody needs a tenth of it.
const SECRET_CHARS_MAX: usize = 256;

/// A webhook secret out of a file; line ends around it do not belong to it.
///
/// # Errors
/// When the file cannot be read or holds nothing that can travel in a header.
pub(crate) fn read_webhook_secret(path: &Path) -> anyhow::Result<SecretString> {
    let secret = read_file(path, "the webhook secret")?;
    let chars = secret.expose_secret();
    ensure!(
        (SECRET_CHARS_MIN..=SECRET_CHARS_MAX).contains(&chars.len())
            && chars.bytes().all(|byte| byte.is_ascii_graphic()),
        "the webhook secret in {} must be {SECRET_CHARS_MIN} to {SECRET_CHARS_MAX} visible ASCII characters, because it travels in a header",
        path.display()
    );
    Ok(secret)
}

pub(crate) fn read_file(path: &Path, what: &str) -> anyhow::Result<SecretString> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {what} from {}", path.display()))?;
    Ok(text.trim_matches(['\r', '\n']).into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn line_ends_do_not_belong_to_a_secret() {
        for text in ["0123456789abcdef", "0123456789abcdef\n", "0123456789abcdef\r\n"] {
            assert_eq!(read_webhook_secret(file(text).path()).unwrap().expose_secret(), "0123456789abcdef");
        }
    }

    #[test]
    fn a_secret_that_cannot_travel_in_a_header_is_refused_without_being_shown() {
        let long = "x".repeat(SECRET_CHARS_MAX + 1);
        for text in ["", "short", "with a blank inside", "umlaut-äääääääääää", "two-lines-\n0123456", long.as_str()]
        {
            let error = read_webhook_secret(file(text).path()).unwrap_err().to_string();
            assert!(error.contains("visible ASCII") && (text.is_empty() || !error.contains(text)), "{error}");
        }
        assert!(read_webhook_secret(file(&"x".repeat(SECRET_CHARS_MAX)).path()).is_ok());
    }
}
