//! Takes secrets out of what is shown of a message: no message of Muster's holds one, but a webhook's body is what somebody
//! wrote into a template, and may.
//!
//! Four things are taken for a secret: the tenant's own, letter for letter; a member or a word of a secret's name with what
//! follows it; 64 hexadecimal digits or more, which is what Muster and AlgaPSA make secrets of; user and password of a URL.
//! What is JSON is read as JSON; only of what is none does a name's value end where it seems to. What is too much is taken
//! too: the bytes in the table stay as they are.

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
/// A value that follows such a name goes to the end of its line: it has separators of its own.
const LINES: [&str; 2] = ["authorization", "cookie"];
/// JSON in a JSON string, again and again, is read so deep.
const NESTED_MAX: u32 = 3;
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
        let long = own.into_iter().filter(|secret| secret.expose_secret().len() >= SECRET_BYTES_MIN);
        // as it is, and as JSON writes it
        let own = long.flat_map(|secret| {
            let quoted = Value::String(secret.expose_secret().to_owned()).to_string();
            [SecretString::from(quoted.trim_matches('"')), secret]
        });
        Self { own: own.collect() }
    }

    /// A value without its secrets; the body of a webhook in it as text.
    pub(crate) fn json(&self, value: Value) -> Value {
        match value {
            Value::Object(members) => {
                let redacted = members.into_iter().map(|(name, value)| {
                    let value = match value {
                        Value::Null => Value::Null,
                        _ if is_name(&name) => Value::String(REDACTED.to_owned()),
                        Value::String(text) if name == RAW => Value::String(self.body(&decoded(text))),
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

    /// A webhook's body without its secrets: as JSON where it is, even where a JSON string holds it.
    fn body(&self, text: &str) -> String {
        let mut read = serde_json::from_str(text);
        for _ in 0..NESTED_MAX {
            match read {
                Ok(value @ (Value::Object(_) | Value::Array(_))) => return self.json(value).to_string(),
                Ok(Value::String(inner)) => read = serde_json::from_str(&inner),
                _ => break,
            }
        }
        self.text(text)
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
    let plain = plain(name);
    NAMES.iter().any(|secret| plain.contains(secret))
}

fn plain(name: &str) -> String {
    name.chars().filter(|char| !matches!(char, '-' | '_')).flat_map(char::to_lowercase).collect()
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
        if (is_name(name) || name == RAW)
            && let Some((lead, value_bytes)) = value_after(name, after)
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
fn value_after(name: &str, text: &str) -> Option<(usize, usize)> {
    let run = |text: &str, is: fn(char) -> bool| text.find(|char: char| !is(char)).unwrap_or(text.len());
    let sign = run(text, |char| is_quote(char) || char.is_whitespace());
    let is_element = text[sign..].starts_with('>');
    if !is_element && !text[sign..].starts_with([':', '=']) {
        return None;
    }
    let lead = sign + 1 + run(&text[sign + 1..], char::is_whitespace);
    let quote = &text[lead..lead + run(&text[lead..], is_quote)];
    let (lead, value) = (lead + quote.len(), &text[lead + quote.len()..]);
    let half = quote.len() / 2;
    let bytes = match quote {
        // an opening and a closing one
        _ if half > 0 && quote[..half] == quote[half..] => Some(0),
        "" if is_element => value.find(['<', '\n']),
        "" if LINES.iter().any(|line| plain(name).contains(line)) => value.find(['\n', '\r']),
        "" if value.starts_with(['[', '{']) => value.find([']', '}']),
        "" => unquoted(value),
        // the same quote again, unless a backslash before it makes it a letter of the value
        _ => value.match_indices(quote).map(|(at, _)| at).find(|at| !value[..*at].ends_with('\\')),
    };
    let bytes = bytes.unwrap_or(value.len());
    (bytes > 0).then_some((lead, bytes))
}

/// Where a value without quotes ends. A semicolon ends it only where another assignment follows.
fn unquoted(value: &str) -> Option<usize> {
    let is_end = |(at, char): &(usize, char)| match char {
        ',' | '&' | '}' | '\n' | '\r' => true,
        ';' => {
            let next = &value[at + 1..];
            next[..next.find([';', ',', '&', '\n']).unwrap_or(next.len())].contains('=')
        }
        _ => false,
    };
    value.char_indices().find(is_end).map(|(at, _)| at)
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
        let (url, after) =
            from.split_at(from.find(|char| is_quote(char) || char.is_whitespace()).unwrap_or(from.len()));
        let (authority, path) = url.split_at(url.find(['/', '?', '#']).unwrap_or(url.len()));
        kept.push_str(before);
        match (authority.rsplit_once('@'), url.rsplit_once('@')) {
            (Some((_, host)), _) => kept.extend([REDACTED, "@", host, path]),
            // a password that was not escaped may hold what ends an authority
            (None, Some((_, host))) if authority.contains(':') => kept.extend([REDACTED, "@", host]),
            _ => kept.push_str(url),
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

    fn redacted(text: &str) -> String {
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
            (r#"{"password": "it's-x", "a":1}"#, r#"{"password": "[redacted]", "a":1}"#),
            (r#"{"password":"ab\"x"}"#, r#"{"password":"[redacted]"}"#),
            (r#"{\"password\":\"ab\\\"x\",\"a\":1}"#, r#"{\"password\":\"[redacted]\",\"a\":1}"#),
            (r#"{"password": "", "a": "b"}"#, r#"{"password": "", "a": "b"}"#),
            (r#"{"tokens": ["a1", "x"], "a":1"#, r#"{"tokens": [redacted]], "a":1"#),
            ("Cookie: a=1; session=x\nHost: b", "Cookie: [redacted]\nHost: b"),
            ("password=a;x", "password=[redacted]"),
            ("Password=a;Host=b", "Password=[redacted];Host=b"),
            ("<password>x</password>", "<password>[redacted]</password>"),
            (r#"{"raw": "eyJ0b2tlbiI6", cut"#, r#"{"raw": "[redacted]", cut"#),
            ("the token was refused", "the token was refused"),
            ("secrets", "secrets"),
            ("password: ", "password: "),
            ("Größe=ü, Passwort fehlt", "Größe=ü, Passwort fehlt"),
        ] {
            assert_eq!(redacted(text), expected);
        }
    }

    #[test]
    fn sixty_four_hexadecimal_digits_are_a_secret_and_sixty_three_are_none() {
        assert_eq!(redacted(&format!("a {} b", "7f".repeat(32))), "a [redacted] b");
        let short = format!("a {} b", &"7f".repeat(32)[1..]);
        assert_eq!(redacted(&short), short);
    }

    #[test]
    fn a_url_keeps_its_host_and_loses_user_and_password() {
        for (text, expected) in [
            ("amqp://u:p@w@host:5672/v and x://y", "amqp://[redacted]@host:5672/v and x://y"),
            ("amqp://u:p/w?x@host/v", "amqp://[redacted]@host/v"),
            ("https://host/a?mail=me@example.com", "https://host/a?mail=me@example.com"),
        ] {
            assert_eq!(redacted(text), expected);
        }
    }

    #[test]
    fn a_tenants_own_secrets_are_found_wherever_they_stand() {
        let redactor = Redactor::of(vec!["SIMULATORKEY".to_owned().into(), "short".to_owned().into()]);
        assert_eq!(redactor.text("aSIMULATORKEYb short"), "a[redacted]b short");
    }

    #[test]
    fn a_secret_is_found_as_json_writes_it_and_in_json_that_a_string_holds() {
        let redactor = Redactor::of(vec![r#"quo"te\d"#.to_owned().into()]);
        assert_eq!(redactor.text(r#"{"a": "quo\"te\\d", "b": cut"#), r#"{"a": "[redacted]", "b": cut"#);
        let raw = STANDARD.encode(br#""{\"password\": \"it's-x\", \"a\": \"quo\\\"te\\\\d\"}""#);
        let shown = redactor.json(json!({ "raw": raw }));
        assert_eq!(shown, json!({"raw": r#"{"a":"[redacted]","password":"[redacted]"}"#}));
    }

    #[test]
    fn a_body_is_redacted_in_depth_and_its_raw_text_is_readable() {
        let raw = STANDARD.encode(br#"{"agent_id": "x", "webhook_secret": "canary"}"#);
        let body =
            json!({"agent_id": "x", "raw": raw, "more": [{"Api-Key": 7, "note": "password=canary"}], "token": null});
        let shown = Redactor::of(Vec::new()).json(body);
        assert_eq!(
            shown,
            json!({"agent_id": "x", "raw": r#"{"agent_id":"x","webhook_secret":"[redacted]"}"#,
                   "more": [{"Api-Key": "[redacted]", "note": "password=[redacted]"}], "token": null})
        );
    }
}
