//! Tactical's `{{alert.x}}` substitution: no escaping, `str()` of everything, `None` for whatever is false.

use super::python;

/// Finds the subject of a root such as `alert`; other roots are left as text.
pub trait Roots {
    /// The value of `root.path`, or `None` where the text stays as it is.
    fn resolve(&self, root: &str, path: &str) -> Option<String>;
}

/// Replaces every `{{root.path}}` that `roots` knows. Spaces inside are allowed, Jinja blocks stay as text.
#[must_use]
pub fn render(template: &str, roots: &impl Roots) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(start) = rest.find("{{") {
        let (before, from) = rest.split_at(start);
        out.push_str(before);
        let value = from[2..].find("}}").and_then(|end| {
            let (root, path) = from[2..2 + end].trim().split_once('.')?;
            Some((roots.resolve(root.trim(), path.trim())?, end + 4))
        });
        match value {
            Some((value, length)) => {
                out.push_str(&value);
                rest = &from[length..];
            }
            None => {
                out.push_str("{{");
                rest = &from[2..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// `str()` of a text: empty is `None`.
#[must_use]
pub fn text(value: Option<&str>) -> String {
    value.filter(|text| !text.is_empty()).unwrap_or("None").to_owned()
}

/// `str()` of a number: 0 is `None`.
#[must_use]
pub fn number(value: Option<i64>) -> String {
    value.filter(|number| *number != 0).map_or_else(|| "None".to_owned(), |number| number.to_string())
}

/// `str()` of a truth value: false is `None`.
#[must_use]
pub fn truth(value: bool) -> String {
    if value { "True" } else { "None" }.to_owned()
}

/// The body that is sent for a rendered text; `None` where Tactical sends nothing (the text `null`).
///
/// The text is read as Python reads JSON and written again in ASCII. What is not JSON (a quote inside a value is
/// enough) is sent whole as one JSON string.
#[must_use]
pub fn body(rendered: &str) -> Option<String> {
    match python::loads(&escapes(rendered), false) {
        Ok(python::Value::Null) => None,
        Ok(value) => Some(python::dumps(&value)),
        Err(_) => Some(python::dumps(&python::text(rendered))),
    }
}

/// Before reading: a backslash that is not `\n`, `\r` or `\t` is doubled, other control characters become spaces.
fn escapes(rendered: &str) -> String {
    let mut out = String::with_capacity(rendered.len());
    let mut characters = rendered.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\\' if matches!(characters.peek(), Some('n' | 'r' | 't')) => out.push('\\'),
            '\\' => out.push_str("\\\\"),
            '\n' | '\r' | '\t' => out.push(c),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// A rendered URL as `requests` repairs it: what may not stand in a URL is percent-encoded, valid escapes stay, and
/// one stray `%` encodes every `%` again.
#[must_use]
pub fn requote(url: &str) -> String {
    let stray = url
        .split('%')
        .skip(1)
        .any(|after| !after.get(..2).is_some_and(|pair| pair.chars().all(|c| c.is_ascii_hexdigit())));
    let mut out = String::with_capacity(url.len());
    for byte in url.bytes() {
        let kept =
            byte.is_ascii_alphanumeric() || b"-._~!#$&'()*+,/:;=?@[]".contains(&byte) || (byte == b'%' && !stray);
        if kept { out.push(char::from(byte)) } else { out.push_str(&format!("%{byte:02X}")) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Words;

    impl Roots for Words {
        fn resolve(&self, root: &str, path: &str) -> Option<String> {
            match (root, path) {
                ("alert", "id") => Some(number(Some(607))),
                ("alert", "quoted") => Some("Disk \"C:\" full".to_owned()),
                ("alert", "path") => Some("C:\\temp\\new\\users\\x".to_owned()),
                ("alert", "lines") => Some("a\nb\tc\u{7}ü".to_owned()),
                ("agent", "Asset tag") => Some("AT-1".to_owned()),
                ("alert", _) => Some("check - message".to_owned()),
                _ => None,
            }
        }
    }

    fn sent(template: &str) -> Option<String> {
        body(&render(template, &Words))
    }

    #[test]
    fn a_template_is_substituted_without_any_escaping() {
        for (template, body) in [
            (r#"{"id": {{alert.id}}, "tag":"{{ agent.Asset tag }}"}"#, r#"{"id": 607, "tag": "AT-1"}"#),
            (r#"{"out": "{{alert.quoted}}"}"#, r#""{\"out\": \"Disk \"C:\" full\"}""#),
            (r#"{"err": "{{alert.path}}"}"#, r#"{"err": "C:\temp\new\\users\\x"}"#),
            (r#"{"out": "{{alert.lines}}"}"#, r#"{"out": "a\nb\tc \u00fc"}"#),
            ("alert {{alert.id}}", r#""alert 607""#),
            ("[1, {{alert.id}}]", "[1, 607]"),
            ("", r#""""#),
            ("{}", "{}"),
            (
                r#"{"x": "{{alert.nosuch}} {{other.x}} {% if a %}"}"#,
                r#"{"x": "check - message {{other.x}} {% if a %}"}"#,
            ),
        ] {
            assert_eq!(sent(template).as_deref(), Some(body), "{template}");
        }
        assert_eq!(sent("null"), None, "nothing is sent for null");
    }

    #[test]
    fn whatever_is_false_renders_none() {
        assert_eq!([text(None), text(Some("")), number(Some(0)), truth(false)], ["None"; 4].map(str::to_owned));
        assert_eq!([text(Some("x")), number(Some(5)), truth(true)], ["x", "5", "True"].map(str::to_owned));
    }

    #[test]
    fn one_stray_percent_encodes_every_percent() {
        assert_eq!(requote("http://h/a b?x=%41ü"), "http://h/a%20b?x=%41%C3%BC");
        assert_eq!(requote("http://h/?x=100%&y=%41"), "http://h/?x=100%25&y=%2541");
    }
}
