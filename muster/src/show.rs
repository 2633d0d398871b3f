//! How answers look on a terminal: JSON as it came, an object as lines, a list as columns.

use std::borrow::Cow;
use std::io::{self, Write};

use serde_json::Value;

/// A column is cut here; `--json` shows everything.
const CELL_CHARS_MAX: usize = 48;

/// Prints an answer as it came.
///
/// # Errors
/// stdout is closed.
pub(crate) fn print_json(answer: &Value) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{answer:#}")
}

/// A member of an answer as a person reads it; empty where there is none.
pub(crate) fn text(answer: &Value, name: &str) -> String {
    word(answer.get(name).unwrap_or(&Value::Null))
}

/// A member that is a time, to the second; empty where there is none.
pub(crate) fn time(answer: &Value, name: &str) -> String {
    let at = text(answer, name);
    at.get(..19).unwrap_or(&at).replace('T', " ")
}

fn word(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(word).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// An object, one line a member; objects in it are indented by their name.
pub(crate) struct Sheet<'a>(pub(crate) &'a Value);

impl Sheet<'_> {
    /// Prints it; what is null is left out.
    ///
    /// # Errors
    /// The writer's.
    pub(crate) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let mut lines = Vec::new();
        flatten(self.0, "", &mut lines);
        let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, value) in lines {
            writeln!(out, "{name:<width$}  {}", safe(&value))?;
        }
        Ok(())
    }
}

fn flatten(value: &Value, before: &str, lines: &mut Vec<(String, String)>) {
    let Some(object) = value.as_object() else { return };
    for (name, value) in object {
        let name = format!("{before}{}", name.replace('_', " "));
        match value {
            Value::Null => {}
            Value::Object(_) => flatten(value, &format!("{name}: "), lines),
            Value::Array(items) if items.is_empty() => {}
            Value::Array(items) if items.iter().all(Value::is_object) => {
                for (number, item) in (1..).zip(items) {
                    flatten(item, &format!("{name} {number}: "), lines);
                }
            }
            other => lines.push((name, word(other))),
        }
    }
}

/// Prints a list in columns under their headings.
///
/// # Errors
/// The writer's.
pub(crate) fn print_table(out: &mut impl Write, headings: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| shown(&row[column]).chars().count());
        cells.chain([headings[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let mut line = |cells: &mut dyn Iterator<Item = String>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(out, "{}", padded.join("  ").trim_end())
    };
    line(&mut headings.iter().map(|&heading| heading.to_owned()))?;
    rows.iter().try_for_each(|row| line(&mut row.iter().map(|cell| shown(cell).into_owned())))
}

/// A text of somebody else's as a terminal may have it: what would move its cursor, turn what follows around or show as
/// nothing is escaped (`\u{202e}`, `\n`).
pub(crate) fn safe(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for char in text.chars() {
        match is_unsafe(char) {
            true => escaped.extend(char.escape_default()),
            false => escaped.push(char),
        }
    }
    Cow::Owned(escaped)
}

/// Control characters, and those of Unicode's format characters that reorder or hide; joiners are letters' own.
fn is_unsafe(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn shown(cell: &str) -> Cow<'_, str> {
    let printable = safe(cell);
    if printable.is_empty() {
        return Cow::Borrowed("-");
    }
    if printable.chars().count() <= CELL_CHARS_MAX {
        return printable;
    }
    printable.chars().take(CELL_CHARS_MAX - 1).chain(['…']).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn printed(print: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        print(&mut out).expect("a vector takes everything");
        String::from_utf8(out).expect("it is text")
    }

    #[test]
    fn an_object_is_a_line_a_member_and_null_is_left_out() {
        let answer = json!({"auth_mode": "api_key", "counts": {"online": 3}, "error": null, "missing": ["a", "b"],
                           "runs": [{"state": "queued"}], "none": []});
        let text = printed(|out| Sheet(&answer).print(out));
        assert_eq!(text, "auth mode       api_key\ncounts: online  3\nmissing         a, b\nruns 1: state   queued\n");
    }

    #[test]
    fn a_list_stands_in_columns_and_holds_no_control_characters() {
        let rows = [vec!["a\u{1b}[31m".to_owned(), "é".repeat(60)], vec![String::new(), "pc\u{202e}exe.".to_owned()]];
        let text = printed(|out| print_table(out, &["name", "note"], &rows));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "name         note");
        assert!(lines[1].starts_with(r"a\u{1b}[31m  é") && lines[1].ends_with('…'), "{text}");
        assert_eq!(lines[2], r"-            pc\u{202e}exe.");
    }

    #[test]
    fn what_reorders_or_hides_is_escaped_and_all_scripts_stay() {
        for (text, expected) in [
            ("a\nb\tc\rd", r"a\nb\tc\rd"),
            ("\u{9b}31m", r"\u{9b}31m"),
            ("\u{202a}\u{2066}\u{2069}\u{200f}\u{61c}", r"\u{202a}\u{2066}\u{2069}\u{200f}\u{61c}"),
            ("\u{200b}\u{feff}\u{e0041}", r"\u{200b}\u{feff}\u{e0041}"),
            // joiners are part of words and pictures
            ("山田工業 O'Hara ü مى‌روم 👩\u{200d}💻 C:\\x", "山田工業 O'Hara ü مى‌روم 👩\u{200d}💻 C:\\x"),
        ] {
            assert_eq!(safe(text), expected);
        }
        let sheet = printed(|out| Sheet(&json!({"name": "a\u{202e}b\nc"})).print(out));
        assert_eq!(sheet, "name  a\\u{202e}b\\nc\n");
    }
}
