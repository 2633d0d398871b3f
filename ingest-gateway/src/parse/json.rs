//! A forgiving reader of one JSON text: keeps the members that matter, skips the rest, never recurses.
//!
//! It reads all that serde_json reads, and on top of that what Tactical and Python let through: raw control characters
//! and lone surrogates in strings, `None`, `True`, `False`, `NaN`, numbers of any size. Anything else is [`Broken`].

use super::field::{Fields, Key};

/// Nested values are only skipped; deeper than this the text is broken. It is serde_json's own limit.
const DEPTH_MAX: usize = 128;

/// What a text holds.
pub(super) enum Document {
    /// An object, reduced to the members that are read.
    Object(Box<Fields>),
    /// A string, unescaped.
    Text(String),
    /// An array, a number or a word.
    Other,
}

/// The text is not JSON, not even forgivingly.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// Reads one whole text.
pub(super) fn read(text: &str) -> Result<Document, Broken> {
    let mut reader = Reader { text, at: 0 };
    reader.blanks();
    let document = match reader.peek() {
        Some(b'{') => Document::Object(Box::new(reader.object()?)),
        Some(b'"') => Document::Text(reader.string()?),
        _ => {
            reader.skip()?;
            Document::Other
        }
    };
    reader.blanks();
    if reader.at == text.len() { Ok(document) } else { Err(Broken) }
}

struct Reader<'a> {
    text: &'a str,
    /// Always on a character's border.
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let eaten = self.peek() == Some(byte);
        self.at += usize::from(eaten);
        eaten
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// The text up to the first byte that `ends`, which is left where it is. `ends` must only name ASCII bytes.
    fn until(&mut self, ends: impl Fn(u8) -> bool) -> &'a str {
        let rest = &self.text[self.at..];
        let length = rest.bytes().position(ends).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn object(&mut self) -> Result<Fields, Broken> {
        let mut fields = Fields::default();
        self.at += 1;
        self.blanks();
        if self.eat(b'}') {
            return Ok(fields);
        }
        loop {
            let name = self.name()?;
            match Key::find(&name) {
                Some(key) => fields.set(key, self.scalar()?.as_deref()),
                None => self.skip()?,
            }
            self.blanks();
            if self.eat(b'}') {
                return Ok(fields);
            }
            if !self.eat(b',') {
                return Err(Broken);
            }
        }
    }

    /// A member's name and the colon.
    fn name(&mut self) -> Result<String, Broken> {
        self.blanks();
        let name = self.string()?;
        self.blanks();
        if self.eat(b':') { Ok(name) } else { Err(Broken) }
    }

    /// A value as text; None where it says nothing or is an object or an array.
    fn scalar(&mut self) -> Result<Option<String>, Broken> {
        self.blanks();
        match self.peek() {
            Some(b'"') => self.string().map(Some),
            Some(b'{' | b'[') => self.skip().map(|()| None),
            _ => Ok(match self.bare()? {
                "null" | "None" | "NaN" | "Infinity" | "-Infinity" => None,
                token => Some(whole_number(token).to_owned()),
            }),
        }
    }

    /// Passes over one value of any shape, without recursion.
    fn skip(&mut self) -> Result<(), Broken> {
        let mut closers = Vec::new();
        loop {
            self.blanks();
            let opened = match self.peek() {
                Some(b'{') => self.open(b'}', &mut closers)?,
                Some(b'[') => self.open(b']', &mut closers)?,
                Some(b'"') => self.string().map(|_| false)?,
                _ => self.bare().map(|_| false)?,
            };
            if !opened && self.close(&mut closers)? {
                return Ok(());
            }
        }
    }

    /// Enters an object or an array; true if a value of its own is due next, false if it is empty and done with.
    fn open(&mut self, closer: u8, closers: &mut Vec<u8>) -> Result<bool, Broken> {
        if closers.len() == DEPTH_MAX {
            return Err(Broken);
        }
        self.at += 1;
        self.blanks();
        if self.eat(closer) {
            return Ok(false);
        }
        closers.push(closer);
        if closer == b'}' {
            self.name()?;
        }
        Ok(true)
    }

    /// After a value: leaves all that ends here; true if that was everything, false if another value is due.
    fn close(&mut self, closers: &mut Vec<u8>) -> Result<bool, Broken> {
        while let Some(closer) = closers.last().copied() {
            self.blanks();
            if self.eat(b',') {
                if closer == b'}' {
                    self.name()?;
                }
                return Ok(false);
            }
            if !self.eat(closer) {
                return Err(Broken);
            }
            closers.pop();
        }
        Ok(true)
    }

    /// A number or a word.
    fn bare(&mut self) -> Result<&'a str, Broken> {
        const WORDS: [&str; 9] = ["null", "true", "false", "None", "True", "False", "NaN", "Infinity", "-Infinity"];
        let token = self.until(|byte| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r'));
        if WORDS.contains(&token) || is_number(token) { Ok(token) } else { Err(Broken) }
    }

    fn string(&mut self) -> Result<String, Broken> {
        if !self.eat(b'"') {
            return Err(Broken);
        }
        let mut text = String::new();
        loop {
            text.push_str(self.until(|byte| matches!(byte, b'"' | b'\\')));
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(_) => text.push(self.escape()?),
                None => return Err(Broken),
            }
        }
    }

    /// One escape, from its backslash on. A surrogate without its other half becomes U+FFFD.
    fn escape(&mut self) -> Result<char, Broken> {
        self.at += 1;
        let byte = self.peek().ok_or(Broken)?;
        let char = match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.at += 1;
                return self.code_point();
            }
            _ => return Err(Broken),
        };
        self.at += 1;
        Ok(char)
    }

    fn code_point(&mut self) -> Result<char, Broken> {
        let first = self.unit()?;
        if (0xd800..0xdc00).contains(&first) && self.text.as_bytes()[self.at..].starts_with(b"\\u") {
            let back = self.at;
            self.at += 2;
            let second = self.unit()?;
            if (0xdc00..0xe000).contains(&second) {
                let point = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            // not its other half: it is read again, on its own
            self.at = back;
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Result<u32, Broken> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).ok_or(Broken)?;
        let unit = digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?));
        self.at += 4;
        unit.ok_or(Broken)
    }
}

/// JSON's grammar of a number, leading zeros allowed.
fn is_number(token: &str) -> bool {
    let token = token.strip_prefix('-').unwrap_or(token);
    let (mantissa, exponent) = match token.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (token, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole) && fraction.is_none_or(digits) && exponent.is_none_or(digits)
}

/// `601.0`, as a relay that knows only floats writes it, is 601.
fn whole_number(token: &str) -> &str {
    match token.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|byte| byte == b'0') => whole,
        _ => token,
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
