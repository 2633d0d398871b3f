//! How answers look on a terminal: JSON as it came, an object as lines, a list as columns.

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
            writeln!(out, "{name:<width$}  {value}")?;
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
    rows.iter().try_for_each(|row| line(&mut row.iter().map(|cell| shown(cell))))
}

fn shown(cell: &str) -> String {
    let printable = cell.replace(char::is_control, " ");
    if printable.is_empty() {
        return "-".to_owned();
    }
    if printable.chars().count() <= CELL_CHARS_MAX {
        return printable;
    }
    printable.chars().take(CELL_CHARS_MAX - 1).chain(['…']).collect()
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
        let rows = [vec!["a\u{1b}[31m".to_owned(), "é".repeat(60)], vec![String::new(), "x".to_owned()]];
        let text = printed(|out| print_table(out, &["name", "note"], &rows));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "name    note");
        assert!(lines[1].starts_with("a [31m  é") && lines[1].ends_with('…'), "{text}");
        assert_eq!(lines[2], "-       x");
    }
}
