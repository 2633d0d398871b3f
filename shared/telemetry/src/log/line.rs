//! One log line: what every line says first, then the fields, in the text or the JSON format.

use std::fmt::Write;

use serde::ser::{SerializeMap, Serializer};
use serde_json::Value;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use super::fields::Fields;
use crate::LogFormat;
use crate::field::{SPAN_ID, TRACE_ID};

/// What every line says itself; a field of the same name is written with this prefix instead.
const RESERVED: [&str; 7] = ["timestamp", "level", "service", "target", "message", TRACE_ID, SPAN_ID];
const RESERVED_PREFIX: &str = "field.";

pub(super) struct Line<'a> {
    timestamp: String,
    level: &'static Level,
    service: &'a str,
    target: String,
    message: String,
    trace: Option<(String, String)>,
    fields: Fields,
}

impl<'a> Line<'a> {
    pub(super) fn new(
        service: &'a str,
        metadata: &'static Metadata<'static>,
        mut fields: Fields,
        trace: Option<(String, String)>,
    ) -> Self {
        let mut timestamp = String::with_capacity(32);
        SystemTime.format_time(&mut Writer::new(&mut timestamp)).expect("a string can always be written to");
        // records of the `log` crate come through a bridge that puts their own target into a field
        let target = fields.take_text("log.target").unwrap_or_else(|| metadata.target().to_owned());
        fields.drop_prefixed("log.");
        // orders to the exporter, not facts
        fields.drop_prefixed("otel.");
        let message = fields.take_text("message").unwrap_or_default();
        Self { timestamp, level: metadata.level(), service, target, message, trace, fields }
    }

    /// The line with its line feed, and no other.
    pub(super) fn write(&self, format: LogFormat) -> String {
        let mut line = match format {
            LogFormat::Text => self.text(),
            LogFormat::Json => self.json(),
        };
        line.push('\n');
        line
    }

    fn text(&self) -> String {
        let mut line = format!("{} {:>5} {} {}: ", self.timestamp, self.level, self.service, self.target);
        push_escaped(&mut line, &self.message);
        let write = |line: &mut String, name: &str, value: &str| {
            line.push(' ');
            line.push_str(name);
            line.push('=');
            push_escaped(line, value);
        };
        for (name, value) in self.fields.iter() {
            match value {
                Value::String(text) if is_plain(text) => write(&mut line, name, text),
                // in quotes, with line feeds and quotes escaped
                Value::String(text) => write(&mut line, name, &format!("{text:?}")),
                other => write(&mut line, name, &other.to_string()),
            }
        }
        if let Some((trace_id, span_id)) = &self.trace {
            write(&mut line, TRACE_ID, trace_id);
            write(&mut line, SPAN_ID, span_id);
        }
        line
    }

    fn json(&self) -> String {
        let mut bytes = Vec::with_capacity(512);
        self.serialize(&mut serde_json::Serializer::new(&mut bytes)).expect("strings and numbers are always JSON");
        String::from_utf8(bytes).expect("serde_json writes UTF-8")
    }

    fn serialize<S: Serializer>(&self, serializer: S) -> Result<(), S::Error>
    where
        S::Ok: Sized,
    {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("timestamp", &self.timestamp)?;
        map.serialize_entry("level", self.level.as_str())?;
        map.serialize_entry("service", self.service)?;
        map.serialize_entry("target", &self.target)?;
        map.serialize_entry("message", &self.message)?;
        if let Some((trace_id, span_id)) = &self.trace {
            map.serialize_entry(TRACE_ID, trace_id)?;
            map.serialize_entry(SPAN_ID, span_id)?;
        }
        for (name, value) in self.fields.iter() {
            if RESERVED.contains(&name) {
                map.serialize_entry(&format!("{RESERVED_PREFIX}{name}"), value)?;
            } else {
                map.serialize_entry(name, value)?;
            }
        }
        map.end().map(drop)
    }
}

/// A value that can stand in a text line without quotes.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"' || c == '=')
}

/// Writes text with its control characters escaped: a value from outside cannot begin a line of its own.
fn push_escaped(line: &mut String, text: &str) {
    for c in text.chars() {
        // U+2028 and U+2029 end lines for some readers, the bidirectional controls reorder them
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            write!(line, "{}", c.escape_default()).expect("a string can always be written to");
        } else {
            line.push(c);
        }
    }
}
