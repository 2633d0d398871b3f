//! The shape of a JSON value: which keys, which types; and how one shape differs from another.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// From so many values on, what was never seen counts as impossible: never null, always there.
const ENOUGH: usize = 30;

/// What was seen at one place. Several values (the rows of an array) are merged into one shape.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    /// `null`, `bool`, `int`, `float`, `string`, `time`, `array`, `object`
    types: BTreeSet<&'static str>,
    /// How many values were seen.
    seen: usize,
    /// Per key: its shape.
    fields: BTreeMap<String, Shape>,
    /// How many objects were seen, and how many of them had each key.
    objects: usize,
    present: BTreeMap<String, usize>,
    items: Option<Box<Shape>>,
}

impl Shape {
    /// The shape of one value.
    pub(crate) fn of(value: &Value) -> Self {
        let mut shape = Self::default();
        shape.add(value);
        shape
    }

    fn add(&mut self, value: &Value) {
        self.types.insert(kind(value));
        self.seen += 1;
        match value {
            Value::Object(fields) => {
                self.objects += 1;
                for (key, value) in fields {
                    self.fields.entry(key.clone()).or_default().add(value);
                    *self.present.entry(key.clone()).or_default() += 1;
                }
            }
            Value::Array(items) => {
                let shape = self.items.get_or_insert_default();
                for item in items {
                    shape.add(item);
                }
            }
            _ => {}
        }
    }

    fn always(&self, key: &str) -> bool {
        self.present.get(key) == Some(&self.objects)
    }

    /// Where `self` (simulated) is not like `real`, as `path: what`. A place that is only null in one of them says
    /// nothing about its type. Where enough rows were seen, what is null or absent must have been so in `real`.
    pub(crate) fn differences(&self, real: &Self, path: &str, out: &mut Vec<String>) {
        let solid = |shape: &Self| shape.types.iter().copied().filter(|kind| *kind != "null").collect::<BTreeSet<_>>();
        let (mine, theirs) = (solid(self), solid(real));
        if !mine.is_empty() && !theirs.is_empty() && !mine.is_subset(&theirs) {
            out.push(format!("{path}: {mine:?} is not {theirs:?}"));
        }
        if self.types.contains("null") && !real.types.contains("null") && real.seen >= ENOUGH {
            out.push(format!("{path}: null, which was not recorded"));
        }
        if self.objects > 0 && real.objects > 0 {
            let keys: BTreeSet<_> = self.present.keys().chain(real.present.keys()).collect();
            for key in keys {
                match (self.fields.get(key), real.fields.get(key)) {
                    (Some(mine), Some(theirs)) => {
                        if self.always(key) != real.always(key) && self.objects.min(real.objects) >= ENOUGH {
                            out.push(format!("{path}.{key}: always there in only one of the two"));
                        }
                        mine.differences(theirs, &format!("{path}.{key}"), out);
                    }
                    (Some(_), None) => out.push(format!("{path}.{key}: was not recorded")),
                    (None, Some(_)) => out.push(format!("{path}.{key}: is missing")),
                    (None, None) => {}
                }
            }
        }
        if let (Some(mine), Some(theirs)) = (&self.items, &real.items) {
            mine.differences(theirs, &format!("{path}[]"), out);
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(text) if is_time(text) => "time",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// `2026-11-22T02:16:01.568106Z`
fn is_time(text: &str) -> bool {
    text.ends_with('Z') && text.len() >= 20 && chrono::DateTime::parse_from_rfc3339(text).is_ok()
}
