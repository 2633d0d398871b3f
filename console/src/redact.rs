//! Takes secrets out of what is shown of a message: no message of Muster's holds one, but a webhook's body is what somebody
//! wrote into a template, and may.
//!
//! Four things are taken for a secret: the tenant's own, letter for letter; a member or a word of a secret's name with what
//! follows it; 64 hexadecimal digits or more, which is what Muster and AlgaPSA make secrets of; user and password of a URL.
//! What is too much is taken too: the bytes in the table stay as they are.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

/// What stands in a secret's place.
const REDACTED: &str = "[redacted]";
/// A name that holds one of these, in lower case and without `-` and `_`, is that of a secret.
const NAMES: [&str; 10] = [
    "secret",
    "password",
    "passwd",
    "passphrase",
    "token",
    "apikey",
    "authorization",
    "cookie",
    "credential",
    "privatekey",
];
/// So many hexadecimal digits on end are a secret: 256 bits.
const HEX_DIGITS_MIN: usize = 64;
/// The tenant's own secrets below this many bytes are not looked for: they would be found in any text.
const SECRET_BYTES_MIN: usize = 8;
/// The member of an observed alert that holds the webhook's body, in base64.
const RAW: &str = "raw";

/// Takes the secrets of one tenant out of texts.
pub(crate) struct Redactor {
    own: Vec<SecretString>,
}

impl Redactor {
    /// With the tenant's own secrets.
    pub(crate) fn of(own: Vec<SecretString>) -> Self {
        Self { own: own.into_iter().filter(|secret| secret.expose_secret().len() >= SECRET_BYTES_MIN).collect() }
    }

    /// A value without its secrets; the body of a webhook in it as text.
    pub(crate) fn json(&self, value: Value) -> Value {
        match value {
            Value::Object(members) => {
                let redacted = members.into_iter().map(|(name, value)| {
                    let value = match value {
                        Value::Null => Value::Null,
                        _ if is_name(&name) => Value::String(REDACTED.to_owned()),
                        Value::String(text) if name == RAW => Value::String(self.text(&decoded(text))),
                        other => self.json(other),
                    };
                    (self.text(&name), value)
                });
                Value::Object(redacted.collect())
            }
            Value::Array(values) => values.into_iter().map(|value| self.json(value)).collect(),
            Value::String(text) => Value::String(self.text(&text)),
            plain => plain,
        }
    }

    /// A text without its secrets.
    pub(crate) fn text(&self, text: &str) -> String {
        let own = self.own.iter().fold(text.to_owned(), |text, secret| text.replace(secret.expose_secret(), REDACTED));
        without_user_info(&without_hex(&without_named(&own)))
    }
}

fn decoded(text: String) -> String {
    match STANDARD.decode(&text) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => text,
    }
}

fn is_name(name: &str) -> bool {
    let plain: String = name.chars().filter(|char| !matches!(char, '-' | '_')).flat_map(char::to_lowercase).collect();
    NAMES.iter().any(|secret| plain.contains(secret))
}

fn is_of_name(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '-' | '_')
}

/// What may stand between a name and its value, or before it: quotes, also escaped ones of JSON in JSON.
fn is_quote(char: char) -> bool {
    matches!(char, '"' | '\'' | '\\' | '`')
}

/// Takes out what follows a secret's name: `"token": "…"`, `password=…`, `Authorization: Bearer …`.
fn without_named(text: &str) -> String {
    let (mut kept, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(is_of_name) {
        let (before, from) = rest.split_at(at);
        let (name, after) = from.split_at(from.find(|char| !is_of_name(char)).unwrap_or(from.len()));
        kept.push_str(before);
        kept.push_str(name);
        rest = after;
        if is_name(name)
            && let Some((lead, value_bytes)) = value_after(after)
        {
            kept.push_str(&after[..lead]);
            kept.push_str(REDACTED);
            rest = &after[lead + value_bytes..];
        }
    }
    kept.push_str(rest);
    kept
}

/// How many bytes stand before the value of a name, and how many are its own; `None`: no value follows.
fn value_after(text: &str) -> Option<(usize, usize)> {
    let gap = |text: &str| text.find(|char: char| !(is_quote(char) || char.is_whitespace())).unwrap_or(text.len());
    let sign = gap(text);
    if !text[sign..].starts_with([':', '=']) {
        return None;
    }
    let mut lead = sign + 1;
    lead += gap(&text[lead..]);
    let is_quoted = text[..lead].ends_with(is_quote);
    let value = &text[lead..];
    let is_end =
        |char: char| if is_quoted { is_quote(char) } else { matches!(char, ',' | ';' | '&' | '}' | '\n' | '\r') };
    let bytes = value.find(is_end).unwrap_or(value.len());
    (bytes > 0).then_some((lead, bytes))
}

fn without_hex(text: &str) -> String {
    let (mut kept, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(|char: char| char.is_ascii_hexdigit()) {
        let (before, from) = rest.split_at(at);
        let (digits, after) = from.split_at(from.find(|char: char| !char.is_ascii_hexdigit()).unwrap_or(from.len()));
        kept.push_str(before);
        kept.push_str(if digits.len() >= HEX_DIGITS_MIN { REDACTED } else { digits });
        rest = after;
    }
    kept.push_str(rest);
    kept
}

fn without_user_info(text: &str) -> String {
    let (mut kept, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find("://") {
        let (before, from) = rest.split_at(at + 3);
        let ends = |char: char| is_quote(char) || char.is_whitespace() || matches!(char, '/' | '?' | '#');
        let (authority, after) = from.split_at(from.find(ends).unwrap_or(from.len()));
        kept.push_str(before);
        match authority.rsplit_once('@') {
            Some((_, host)) => kept.extend([REDACTED, "@", host]),
            None => kept.push_str(authority),
        }
        rest = after;
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plain(text: &str) -> String {
        Redactor::of(Vec::new()).text(text)
    }

    #[test]
    fn what_follows_a_secrets_name_is_taken_out_and_all_else_stays() {
        for (text, expected) in [
            (r#"{"token": "abc def", "agent_id": "x"}"#, r#"{"token": "[redacted]", "agent_id": "x"}"#),
            (r#"{\"api_key\":\"abc\",\"a\":1}"#, r#"{\"api_key\":\"[redacted]\",\"a\":1}"#),
            ("X-API-KEY: abc\nHost: b", "X-API-KEY: [redacted]\nHost: b"),
            ("Authorization: Bearer abc", "Authorization: [redacted]"),
            ("a=1&password=abc&b=2", "a=1&password=[redacted]&b=2"),
            ("the token was refused", "the token was refused"),
            ("secrets", "secrets"),
            ("password: ", "password: "),
            ("Größe=ü, Passwort fehlt", "Größe=ü, Passwort fehlt"),
        ] {
            assert_eq!(plain(text), expected);
        }
    }

    #[test]
    fn sixty_four_hexadecimal_digits_are_a_secret_and_sixty_three_are_none() {
        assert_eq!(plain(&format!("a {} b", "7f".repeat(32))), "a [redacted] b");
        let short = format!("a {} b", &"7f".repeat(32)[1..]);
        assert_eq!(plain(&short), short);
    }

    #[test]
    fn a_url_keeps_its_host_and_loses_user_and_password() {
        assert_eq!(plain("amqp://u:p@w@host:5672/v and x://y"), "amqp://[redacted]@host:5672/v and x://y");
    }

    #[test]
    fn a_tenants_own_secrets_are_found_wherever_they_stand() {
        let redactor = Redactor::of(vec!["SIMULATORKEY".to_owned().into(), "short".to_owned().into()]);
        assert_eq!(redactor.text("aSIMULATORKEYb short"), "a[redacted]b short");
    }

    #[test]
    fn a_body_is_redacted_in_depth_and_its_raw_text_is_readable() {
        let raw = STANDARD.encode(br#"{"agent_id": "x", "webhook_secret": "canary"}"#);
        let body =
            json!({"agent_id": "x", "raw": raw, "more": [{"Api-Key": 7, "note": "password=canary"}], "token": null});
        let shown = Redactor::of(Vec::new()).json(body);
        assert_eq!(
            shown,
            json!({"agent_id": "x", "raw": r#"{"agent_id": "x", "webhook_secret": "[redacted]"}"#,
                   "more": [{"Api-Key": "[redacted]", "note": "password=[redacted]"}], "token": null})
        );
    }
}
