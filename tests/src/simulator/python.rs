//! What Python's `json` and `str()` do to a text, as far as a receiver of Tactical's webhooks can see it.
//!
//! Tactical reads a rendered body with `json.loads(strict=False)` and writes it again with `json.dumps`: ASCII only,
//! a space after `:` and `,`, the order of the keys kept. Strings are kept as UTF-16 units, because Python accepts
//! and repeats lone surrogates, which a Rust `String` cannot hold.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

/// Nesting that is read; deeper texts are an error, as Python's recursion limit makes them.
const DEPTH_MAX: usize = 500;

/// A JSON value as Python holds it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `None`
    Null,
    /// `True` or `False`
    Bool(bool),
    /// An integer of any length, as its digits.
    Int(String),
    /// A float.
    Float(f64),
    /// A string as UTF-16 units.
    Text(Vec<u16>),
    /// A list.
    List(Vec<Value>),
    /// A dict in order of first appearance; a repeated key keeps its place and takes the last value.
    Dict(Vec<(Vec<u16>, Value)>),
}

/// Why a text is not JSON, in Python's own words: `Expecting value: line 1 column 1 (char 0)`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}: line {line} column {column} (char {position})")]
pub struct Unreadable {
    message: String,
    line: usize,
    column: usize,
    position: usize,
}

/// Reads `text` as `json.loads` does; `strict` refuses raw control characters inside strings.
///
/// # Errors
/// The text is not JSON in Python's eyes.
pub fn loads(text: &str, strict: bool) -> Result<Value, Unreadable> {
    let mut reader = Reader { text: text.chars().collect(), at: 0, strict };
    reader.skip_space();
    let value = reader.value(0)?;
    reader.skip_space();
    if reader.at < reader.text.len() { Err(reader.fail("Extra data", reader.at)) } else { Ok(value) }
}

/// Writes `value` as `json.dumps` does by default: ASCII only, `", "` and `": "`.
#[must_use]
pub fn dumps(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value);
    out
}

/// A text as Python's string.
#[must_use]
pub fn text(text: &str) -> Value {
    Value::Text(text.encode_utf16().collect())
}

/// `str(datetime)`: `2026-11-22 01:59:05.902118+00:00`, the fraction left out when it is zero.
#[must_use]
pub fn datetime_str(time: DateTime<Utc>) -> String {
    let format =
        if time.timestamp_subsec_micros() == 0 { "%Y-%m-%d %H:%M:%S+00:00" } else { "%Y-%m-%d %H:%M:%S%.6f+00:00" };
    time.format(format).to_string()
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Int(digits) => out.push_str(digits),
        Value::Float(number) => out.push_str(&float_repr(*number)),
        Value::Text(units) => write_text(out, units),
        Value::List(items) => write_joined(out, ('[', ']'), items, write_value),
        Value::Dict(items) => write_joined(out, ('{', '}'), items, |out, (key, value)| {
            write_text(out, key);
            out.push_str(": ");
            write_value(out, value);
        }),
    }
}

fn write_joined<T>(out: &mut String, (open, close): (char, char), items: &[T], write: impl Fn(&mut String, &T)) {
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write(out, item);
    }
    out.push(close);
}

fn write_text(out: &mut String, units: &[u16]) {
    out.push('"');
    for &unit in units {
        match unit {
            0x22 => out.push_str("\\\""),
            0x5c => out.push_str("\\\\"),
            0x0a => out.push_str("\\n"),
            0x0d => out.push_str("\\r"),
            0x09 => out.push_str("\\t"),
            0x0c => out.push_str("\\f"),
            0x08 => out.push_str("\\b"),
            0x20..=0x7e => out.push(char::from_u32(u32::from(unit)).expect("printable ASCII is a character")),
            _ => write!(out, "\\u{unit:04x}").expect("writing to a String cannot fail"),
        }
    }
    out.push('"');
}

/// `repr(float)`: the shortest digits that read back, an exponent below 1e-4 and from 1e16.
fn float_repr(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let size = number.abs();
    if number != 0.0 && !(1e-4..1e16).contains(&size) {
        let short = format!("{number:e}");
        let (digits, exponent) = short.split_once('e').expect("`{:e}` writes an exponent");
        let exponent: i32 = exponent.parse().expect("the exponent is an integer");
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    format!("{number:?}")
}

struct Reader {
    text: Vec<char>,
    at: usize,
    strict: bool,
}

impl Reader {
    fn fail(&self, message: &str, position: usize) -> Unreadable {
        let before = &self.text[..position.min(self.text.len())];
        let line = before.iter().filter(|&&c| c == '\n').count() + 1;
        let column = before.iter().rev().take_while(|&&c| c != '\n').count() + 1;
        Unreadable { message: message.to_owned(), line, column, position }
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, Unreadable> {
        if depth > DEPTH_MAX {
            return Err(self.fail("maximum recursion depth exceeded", self.at));
        }
        match self.peek() {
            Some('"') => self.string().map(Value::Text),
            Some('{') => self.dict(depth),
            Some('[') => self.list(depth),
            Some('-' | '0'..='9') if !self.starts_with("-Infinity") => self.number(),
            _ => self.word(),
        }
    }

    fn starts_with(&self, word: &str) -> bool {
        word.chars().enumerate().all(|(offset, c)| self.text.get(self.at + offset) == Some(&c))
    }

    fn word(&mut self) -> Result<Value, Unreadable> {
        let words = [
            ("null", Value::Null),
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
            ("NaN", Value::Float(f64::NAN)),
            ("Infinity", Value::Float(f64::INFINITY)),
            ("-Infinity", Value::Float(f64::NEG_INFINITY)),
        ];
        for (word, value) in words {
            if self.starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.fail("Expecting value", self.at))
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Some('0'..='9')) {
            self.at += 1;
        }
        self.at - start
    }

    fn number(&mut self) -> Result<Value, Unreadable> {
        let start = self.at;
        if self.peek() == Some('-') {
            self.at += 1;
        }
        match self.peek() {
            Some('0') => self.at += 1,
            Some('1'..='9') => {
                self.digits();
            }
            _ => return Err(self.fail("Expecting value", start)),
        }
        let whole = self.at;
        // a fraction or an exponent without digits is not part of the number
        for (marks, signs) in [(&['.'][..], false), (&['e', 'E'][..], true)] {
            let before = self.at;
            if self.peek().is_some_and(|c| marks.contains(&c)) {
                self.at += 1;
                if signs && matches!(self.peek(), Some('+' | '-')) {
                    self.at += 1;
                }
                if self.digits() == 0 {
                    self.at = before;
                }
            }
        }
        let digits: String = self.text[start..self.at].iter().collect();
        if self.at == whole {
            return Ok(if digits == "-0" { Value::Int("0".to_owned()) } else { Value::Int(digits) });
        }
        Ok(Value::Float(digits.parse().expect("the grammar above is a subset of Rust's floats")))
    }

    fn list(&mut self, depth: usize) -> Result<Value, Unreadable> {
        let mut items = Vec::new();
        self.at += 1;
        self.skip_space();
        if self.peek() == Some(']') {
            self.at += 1;
            return Ok(Value::List(items));
        }
        loop {
            self.skip_space();
            items.push(self.value(depth + 1)?);
            self.skip_space();
            match self.peek() {
                Some(',') => self.at += 1,
                Some(']') => {
                    self.at += 1;
                    return Ok(Value::List(items));
                }
                _ => return Err(self.fail("Expecting ',' delimiter", self.at)),
            }
        }
    }

    fn dict(&mut self, depth: usize) -> Result<Value, Unreadable> {
        let mut items: Vec<(Vec<u16>, Value)> = Vec::new();
        self.at += 1;
        self.skip_space();
        if self.peek() == Some('}') {
            self.at += 1;
            return Ok(Value::Dict(items));
        }
        loop {
            self.skip_space();
            if self.peek() != Some('"') {
                return Err(self.fail("Expecting property name enclosed in double quotes", self.at));
            }
            let key = self.string()?;
            self.skip_space();
            if self.peek() != Some(':') {
                return Err(self.fail("Expecting ':' delimiter", self.at));
            }
            self.at += 1;
            self.skip_space();
            let value = self.value(depth + 1)?;
            match items.iter_mut().find(|(known, _)| *known == key) {
                Some((_, old)) => *old = value,
                None => items.push((key, value)),
            }
            self.skip_space();
            match self.peek() {
                Some(',') => self.at += 1,
                Some('}') => {
                    self.at += 1;
                    return Ok(Value::Dict(items));
                }
                _ => return Err(self.fail("Expecting ',' delimiter", self.at)),
            }
        }
    }

    fn string(&mut self) -> Result<Vec<u16>, Unreadable> {
        let begin = self.at;
        let mut units = Vec::new();
        self.at += 1;
        loop {
            let Some(c) = self.peek() else { return Err(self.fail("Unterminated string starting at", begin)) };
            self.at += 1;
            match c {
                '"' => return Ok(units),
                '\\' => units.push(self.escape(begin)?),
                c if self.strict && c < ' ' => return Err(self.fail("Invalid control character at", self.at - 1)),
                c => units.extend_from_slice(c.encode_utf16(&mut [0; 2])),
            }
        }
    }

    fn escape(&mut self, begin: usize) -> Result<u16, Unreadable> {
        let Some(c) = self.peek() else { return Err(self.fail("Unterminated string starting at", begin)) };
        self.at += 1;
        let plain = match c {
            '"' => '"',
            '\\' => '\\',
            '/' => '/',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => return self.hex4(),
            _ => return Err(self.fail("Invalid \\escape", self.at - 2)),
        };
        Ok(u16::try_from(u32::from(plain)).expect("the plain escapes are ASCII"))
    }

    fn hex4(&mut self) -> Result<u16, Unreadable> {
        let digits: String = self.text.iter().skip(self.at).take(4).collect();
        if digits.len() != 4 || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
            return Err(self.fail("Invalid \\uXXXX escape", self.at));
        }
        self.at += 4;
        Ok(u16::from_str_radix(&digits, 16).expect("four hexadecimal digits fit"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(text: &str) -> String {
        dumps(&loads(text, false).unwrap())
    }

    #[test]
    fn what_is_read_is_written_as_python_writes_it() {
        for (read, written) in [
            (r#"{"a":1,"b":[true,null,1.50,-0]}"#, r#"{"a": 1, "b": [true, null, 1.5, 0]}"#),
            ("\"ü 東\u{1f3d4}/\"", r#""\u00fc \u6771\ud83c\udfd4/""#),
            (r#""\ud800x""#, r#""\ud800x""#),
            ("\"a\nb\tc\u{1}\"", r#""a\nb\tc\u0001""#),
            (r#"{"a":1,"b":2,"a":3}"#, r#"{"a": 3, "b": 2}"#),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            ("1e16", "1e+16"),
            ("0.00001", "1e-05"),
            ("[1e400, NaN, 100.0]", "[Infinity, NaN, 100.0]"),
            ("{ }", "{}"),
        ] {
            assert_eq!(again(read), written, "{read}");
        }
    }

    #[test]
    fn what_is_not_json_fails_with_pythons_words() {
        for (read, words) in [
            ("{not json", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
            ("", "Expecting value: line 1 column 1 (char 0)"),
            ("[1\n,", "Expecting value: line 2 column 2 (char 4)"),
            (r#"{"a" 1}"#, "Expecting ':' delimiter: line 1 column 6 (char 5)"),
            ("{} x", "Extra data: line 1 column 4 (char 3)"),
            ("\"abc", "Unterminated string starting at: line 1 column 1 (char 0)"),
        ] {
            assert_eq!(loads(read, true).unwrap_err().to_string(), words, "{read}");
        }
        assert!(loads("\"a\tb\"", true).is_err(), "strict reading refuses raw control characters");
    }

    #[test]
    fn a_time_is_written_with_a_space_and_an_offset() {
        let time: DateTime<Utc> = "2026-11-22T01:59:05.902118Z".parse().unwrap();
        assert_eq!(datetime_str(time), "2026-11-22 01:59:05.902118+00:00");
        let whole: DateTime<Utc> = "2026-11-22T01:59:05Z".parse().unwrap();
        assert_eq!(datetime_str(whole), "2026-11-22 01:59:05+00:00");
    }
}
