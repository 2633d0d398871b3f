//! Both sides of a held connection, number by number, for a person who decides whether it is the same server.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Map, Value};

use crate::show::{Sheet, safe, text};

/// What a person reads before deciding.
pub(crate) struct Held<'a>(pub(crate) &'a Value);

/// A client's number; numbers sort as numbers.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Number(Option<u64>, String);

impl Held<'_> {
    /// Prints why and since when it is held, then a line for each number with its client on both sides.
    ///
    /// # Errors
    /// The writer's.
    pub(crate) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let about =
            self.0.as_object().into_iter().flatten().filter(|(name, _)| !matches!(name.as_str(), "old" | "new"));
        let about: Map<String, Value> = about.map(|(name, value)| (name.clone(), value.clone())).collect();
        Sheet(&Value::Object(about)).print(out)?;
        let (old, new) = (side(&self.0["old"]), side(&self.0["new"]));
        let mut numbers: Vec<&Number> = old.keys().chain(new.keys()).collect();
        numbers.sort();
        numbers.dedup();
        let rows: Vec<[String; 4]> =
            numbers.iter().map(|number| row(number, old.get(number), new.get(number))).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let (number, old, new) = (width(0), width(1), width(2));
        writeln!(out, "\nclients by Tactical's number, with their agents:")?;
        for row in &rows {
            let line = format!("{:>number$}  old: {:<old$}   new: {:<new$}   {}", row[0], row[1], row[2], row[3]);
            writeln!(out, "{}", line.trim_end())?;
        }
        let differing = rows.iter().filter(|row| !row[3].is_empty()).count();
        writeln!(out, "{differing} of {} differ", rows.len())
    }
}

fn side(clients: &Value) -> BTreeMap<Number, &Value> {
    let clients = clients.as_array().map_or(&[][..], Vec::as_slice).iter();
    clients.map(|client| (Number::of(text(client, "organization_id")), client)).collect()
}

fn row(number: &Number, old: Option<&&Value>, new: Option<&&Value>) -> [String; 4] {
    let word = match (old, new) {
        (Some(old), Some(new)) if text(old, "name") == text(new, "name") => "",
        (Some(_), Some(_)) => "differs",
        (Some(_), None) => "only old",
        (None, _) => "only new",
    };
    let shown = |client: Option<&&Value>| {
        client.map_or_else(
            || "-".to_owned(),
            |client| {
                let (name, agents) = (text(client, "name"), text(client, "agent_count"));
                let agents = if agents.is_empty() { agents } else { format!(" ({agents})") };
                format!("{}{agents}", safe(&name))
            },
        )
    };
    [safe(&number.1).into_owned(), shown(old), shown(new), word.to_owned()]
}

impl Number {
    fn of(text: String) -> Self {
        Self(text.parse().ok(), text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_sides_stand_beside_each_other_by_number_and_what_differs_is_marked() {
        let client =
            |id: &str, name: &str, agents: Value| json!({"organization_id": id, "name": name, "agent_count": agents});
        let held = json!({
            "held_at": "2026-11-22T01:00:00Z", "reason": "No client is the same.", "new_url": "https://new.example.com",
            "old_url": "https://old.example.com",
            "old": [client("1", "O'Hara Legal", json!(12)), client("10", "Gone", Value::Null), client("2", "Same", json!(3))],
            "new": [client("2", "Same", json!(4)), client("1", "山田工業", json!(7)), client("3", "x\u{202e}y", json!(0))],
        });
        let mut out = Vec::new();
        Held(&held).print(&mut out).expect("a vector takes everything");
        let text = String::from_utf8(out).expect("it is text");
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[..4].contains(&"reason   No client is the same.") && text.contains("https://old.example.com"),
            "{text}"
        );
        assert_eq!(
            lines[4..],
            [
                "",
                "clients by Tactical's number, with their agents:",
                " 1  old: O'Hara Legal (12)   new: 山田工業 (7)         differs",
                " 2  old: Same (3)            new: Same (4)",
                r" 3  old: -                   new: x\u{202e}y (0)   only new",
                "10  old: Gone                new: -                only old",
                "3 of 4 differ",
            ],
            "{text}"
        );
    }
}
