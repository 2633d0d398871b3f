//! What is wrong with a body or a query, told by field and without the parser's own words. Never tells a value: it may be a
//! secret in the wrong place.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::problem::Problem;

/// Characters of a name that are repeated: it is the caller's own, and may be long.
const NAME_CHARS_MAX: usize = 100;
/// How JSON writes the one character that the database takes in no text.
const NUL: &[u8] = br"\u0000";

/// Reads a body.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let told = match read::<T, _>(&mut serde_json::Deserializer::from_slice(body)) {
        Ok(value) => return whole(body).map(|()| value),
        Err(told) => told,
    };
    // read as a value first, what is JSON and not what is taken here is known from what is no JSON
    let value: Value = serde_json::from_slice(body).map_err(|error| no_json(&error))?;
    let (field, text) = read::<T, _>(value).err().unwrap_or(told);
    Err(of("The body", &field, &text))
}

/// A value, or where which complaint is.
fn read<'de, T: DeserializeOwned, D: serde::Deserializer<'de>>(from: D) -> Result<T, (String, String)> {
    serde_path_to_error::deserialize(from).map_err(|error| {
        let path = error.path().to_string();
        (if path == "." { String::new() } else { path }, error.into_inner().to_string())
    })
}

/// Nothing follows, and no text holds what cannot be stored.
fn whole(body: &[u8]) -> Result<(), Problem> {
    if !body.windows(NUL.len()).any(|window| window == NUL) {
        return serde_json::from_slice::<serde::de::IgnoredAny>(body).map(drop).map_err(|error| no_json(&error));
    }
    let value: Value = serde_json::from_slice(body).map_err(|error| no_json(&error))?;
    nul_in(&value, "").map_or(Ok(()), |field| Err(nul(&field)))
}

/// The first field whose text holds a NUL.
fn nul_in(value: &Value, at: &str) -> Option<String> {
    match value {
        Value::String(text) => text.contains('\0').then(|| at.to_owned()),
        Value::Array(items) => items.iter().enumerate().find_map(|(n, item)| nul_in(item, &format!("{at}[{n}]"))),
        Value::Object(fields) => fields.iter().find_map(|(name, field)| nul_in(field, &below(at, name))),
        _ => None,
    }
}

fn below(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

fn no_json(error: &serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    Problem::unreadable(match error.classify() {
        serde_json::error::Category::Eof => "The body is not JSON: it ends too early.".to_owned(),
        _ => format!("The body is not JSON: line {line}, column {column} cannot be read."),
    })
}

/// A text holds the one character that none here may have.
pub(crate) fn nul(field: &str) -> Problem {
    Problem::unreadable(format!("`{}` holds the character NUL, which no text here has.", cut(field)))
}

/// The problem for what a parser says about a field; `field` is empty for the whole.
pub(crate) fn of(whole: &str, field: &str, text: &str) -> Problem {
    let quoted = || text.split('`').nth(1).unwrap_or_default();
    let expected = text.rsplit_once("expected ").map(|(_, expected)| without_place(expected));
    if text.starts_with("unknown field") {
        let known = expected.map_or_else(|| "nothing".to_owned(), alternatives);
        return Problem::unreadable(format!("{whole} holds `{}`, which is not known here: {known} is.", cut(quoted())));
    }
    if text.starts_with("missing field") {
        return Problem::unreadable(format!("`{}` is missing.", cut(&below(field, quoted()))));
    }
    if text.starts_with("duplicate field") {
        return Problem::unreadable(format!("`{}` is given twice.", cut(quoted())));
    }
    let subject = if field.is_empty() { whole.to_owned() } else { format!("`{}`", cut(field)) };
    let must = if text.starts_with("unknown variant") {
        expected.map(alternatives)
    } else {
        kind_of(text, expected.unwrap_or_default()).map(str::to_owned)
    };
    Problem::unreadable(match must {
        Some(must) => format!("{subject} must be {must}."),
        None => format!("{subject} is not what is taken here."),
    })
}

/// serde's “one of `a`, `b`” or “`a` or `b`”, with a word between the last two.
fn alternatives(expected: &str) -> String {
    let names: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    match names.split_last() {
        None => "nothing".to_owned(),
        Some((only, [])) => format!("`{only}`"),
        Some((last, rest)) => format!("`{}` or `{last}`", rest.join("`, `")),
    }
}

/// What a value must be, for a person, from what its parser says.
fn kind_of(text: &str, expected: &str) -> Option<&'static str> {
    const TIME: &str = "a time such as `2026-01-31T12:00:00Z` (a `+` in an address is written `%2B`)";
    let is = |words: &[&str]| words.iter().any(|word| text.contains(word));
    match expected {
        "a string" | "string" => Some("a text"),
        "a boolean" => Some("true or false"),
        "a map" | "string or map" => {
            Some(if expected == "a map" { "an object" } else { "one of the texts that are known" })
        }
        "a sequence" => Some("a list"),
        "u8" | "u16" | "u32" | "u64" | "usize" => Some("a whole number, not below 0 and not too large"),
        _ if expected.starts_with("struct ") => Some("an object"),
        _ if is(&["UUID"]) => Some("a UUID such as `7b1c8f4e-2d3a-4c5b-9e6f-0a1b2c3d4e5f`"),
        _ if is(&["invalid digit", "number too large", "integer from empty"]) => {
            Some("a whole number, not below 0 and not too large")
        }
        _ if is(&["`true` or `false`"]) => Some("true or false"),
        _ if is(&[
            "premature end",
            "invalid characters",
            "out of range",
            "trailing input",
            "not enough for unique",
        ]) =>
        {
            Some(TIME)
        }
        _ => None,
    }
}

/// Without “ at line 1 column 2”.
fn without_place(text: &str) -> &str {
    text.rsplit_once(" at line ").map_or(text, |(before, _)| before)
}

fn cut(name: &str) -> String {
    name.chars().filter(|char| !char.is_control()).take(NAME_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "it is only read")]
    struct Body {
        mode: Mode,
        count: Option<u8>,
        items: Option<Vec<Item>>,
        name: Option<String>,
        on: Option<bool>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "it is only read")]
    struct Item {
        id: uuid::Uuid,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Mode {
        One,
        Two,
    }

    #[test]
    fn a_complaint_names_the_field_in_plain_words_and_never_a_value() {
        for (body, says) in [
            (
                r#"{"mode":"one","canary_field":1}"#,
                "The body holds `canary_field`, which is not known here: `mode`, `count`,",
            ),
            ("{}", "`mode` is missing."),
            (r#"{"mode":"one","mode":"two"}"#, "`mode` is given twice."),
            (r#"{"mode":"canary"}"#, "`mode` must be `one` or `two`."),
            (r#"{"mode":7}"#, "`mode` must be one of the texts that are known."),
            (r#"{"mode":"one","count":"canary"}"#, "`count` must be a whole number"),
            (r#"{"mode":"one","count":256}"#, "`count` must be a whole number"),
            (r#"{"mode":"one","on":"canary, expected x"}"#, "`on` must be true or false."),
            (r#"{"mode":"one","name":{"canary":1}}"#, "`name` must be a text."),
            (r#"{"mode":"one","items":{}}"#, "`items` must be a list."),
            (r#"{"mode":"one","items":[7]}"#, "`items[0]` must be an object."),
            (r#"{"mode":"one","items":[{"id":"canary"}]}"#, "`items[0].id` must be a UUID such as"),
            (r#"{"mode":"one","items":[{"id":7}]}"#, "`items[0].id` must be a UUID such as"),
            (r#"{"mode":"one","items":[{}]}"#, "`items[0].id` is missing."),
            (r#"{"mode":"one","name":"canary\u0000"}"#, "`name` holds the character NUL"),
            ("[]", "The body must be an object."),
            ("7", "The body must be an object."),
            ("canary", "The body is not JSON: line 1, column 1"),
            (r#"{"mode":"one""#, "The body is not JSON: it ends too early."),
            (r#"{"mode":"one"} canary"#, "The body is not JSON: line 1, column 16"),
            ("", "The body is not JSON"),
        ] {
            let problem = parse::<Body>(body.as_bytes()).unwrap_err();
            let said = problem.cause();
            assert!(said.contains(says), "{body}: {said}");
            assert!(!said.contains("canary") || said.contains("canary_field"), "{body}: {said}");
        }
        let escaped = parse::<Body>(br#"{"mode":"one","name":"\\u0000"}"#);
        assert!(escaped.is_ok(), "a backslash before it is a text: {escaped:?}");
    }

    #[test]
    fn a_long_name_is_cut() {
        let body = format!(r#"{{"mode":"one","{}":1}}"#, "x".repeat(5_000));
        assert!(parse::<Body>(body.as_bytes()).unwrap_err().cause().len() < 300);
    }
}
