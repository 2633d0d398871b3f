//! What holds of the parser for every body: no panic, bounds, and that what Tactical makes of any value is understood.

use chrono::Utc;
use contract::alert_observed::{AlertObserved, Said, limit};
use contract::envelope::BODY_BYTES_MAX;
use ingest_gateway::parse::{Alert, Parsed, parse};
use proptest::prelude::*;
use uuid::Uuid;

const AGENT: &str = "HandMadeAgentOneWindowsBBBBBBBBBBBBBBBBB";

/// Values as scripts and people write them: quotes, backslashes, paths, control characters, JSON, other scripts.
fn value() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\"".to_owned()),
        Just("\\".to_owned()),
        Just("\\\"".to_owned()),
        Just(r"C:\temp\new\users".to_owned()),
        Just("\", \"".to_owned()),
        Just("\":\"".to_owned()),
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("'".to_owned()),
        Just("\u{0}\u{1}\u{7f}\r\n\t".to_owned()),
        Just("\u{202e}ü東京😀".to_owned()),
        Just("None".to_owned()),
        "[a-z ]{0,12}",
        any::<String>(),
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

/// What Tactical makes of a value: falsy is `None`, backslashes are doubled except before t, n and r.
fn rendered(value: &str) -> String {
    if value.is_empty() {
        return "None".to_owned();
    }
    let mut text = String::new();
    let mut chars = value.chars().peekable();
    while let Some(char) = chars.next() {
        match (char, chars.peek()) {
            ('\\', Some('t' | 'n' | 'r')) => text.push('\\'),
            ('\\', _) => text.push_str("\\\\"),
            _ => text.push(char),
        }
    }
    text
}

/// What Tactical sends for a filled template: JSON written anew, or the whole text as one JSON string.
fn sent(filled: &str) -> String {
    // Python's reader lets control characters in strings through, serde_json does not
    let escaped: String = filled
        .chars()
        .map(|char| if char.is_control() { format!("\\u{:04x}", u32::from(char)) } else { char.to_string() })
        .collect();
    match serde_json::from_str::<serde_json::Value>(&escaped) {
        Ok(json) => json.to_string(),
        Err(_) => serde_json::to_string(filled).expect("a string"),
    }
}

fn alert(body: &[u8]) -> Option<Alert> {
    match parse(body) {
        Ok(Parsed::Alert(alert)) => Some(*alert),
        _ => None,
    }
}

fn assert_bounded(message: &AlertObserved) {
    let fields = [
        Some(&message.agent_id),
        message.alert_id.as_ref(),
        message.alert_type.as_ref(),
        message.severity.as_ref(),
        message.client_id.as_ref(),
        message.site_id.as_ref(),
        message.check_id.as_ref(),
        message.hostname.as_ref(),
        message.event.as_ref(),
    ];
    for text in fields.into_iter().flatten() {
        assert!(!text.is_empty() && !text.contains('\0') && text.chars().count() <= limit::FIELD_CHARS_MAX);
    }
    if let Some(text) = &message.message {
        assert!(!text.is_empty() && !text.contains('\0') && text.chars().count() <= limit::MESSAGE_CHARS_MAX);
    }
    assert!(message.raw.len() <= limit::RAW_BYTES_MAX);
    assert!(serde_json::to_vec(message).expect("serialises").len() <= BODY_BYTES_MAX);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        if let Some(alert) = alert(&body) {
            assert_bounded(&alert.into_message(Uuid::nil(), Utc::now(), &body));
        }
    }

    #[test]
    fn no_text_of_json_signs_makes_it_panic(body in "[\\{\\}\\[\\]\",:'\\\\agent_id 0-9eunN.-]{0,200}") {
        let _ = parse(body.as_bytes());
    }

    #[test]
    fn whatever_tactical_makes_of_a_template_is_understood(
        message in value(), host in value(), agent_first: bool, resolved: bool, cut in 0..3_usize,
    ) {
        prop_assume!(!message.contains("agent_id") && !host.contains("agent_id"));
        let event = if resolved { "resolved" } else { "failure" };
        let agent = format!(r#""agent_id": "{AGENT}", "#);
        let (before, after) = if agent_first { (agent.as_str(), "") } else { ("", agent.as_str()) };
        let start = format!(r#"{{{before}"event": "{event}", "alert_id": 4711, "message": "{}", "#, rendered(&message));
        let end = r#""alert_time": "2026-11-22 01:59:05.902118+00:00"}"#;
        let filled = format!(r#"{start}{after}"severity": "error", "hostname": "{}", {end}"#, rendered(&host));
        let mut body = sent(&filled);
        // once more wrapped by a relay
        for _ in 0..cut {
            body = serde_json::to_string(&body).expect("a string");
        }
        let alert = alert(body.as_bytes()).expect("it names its agent");
        prop_assert_eq!(alert.agent_id.as_str(), AGENT);
        prop_assert_eq!(alert.alert_id.as_deref(), Some("4711"));
        prop_assert_eq!(alert.said, if resolved { Said::Resolve } else { Said::Open });
        prop_assert_eq!(alert.alert_time.map(|time| time.timestamp_micros()), Some(1_795_312_745_902_118));
        assert_bounded(&alert.into_message(Uuid::nil(), Utc::now(), body.as_bytes()));
    }

    #[test]
    fn sound_json_is_read_as_serde_json_reads_it(agent in any::<String>(), message in any::<String>(), id: i64) {
        let json = serde_json::json!({"x": [{"agent_id": 1}], "agent_id": agent, "message": message, "alert_id": id});
        let read = alert(json.to_string().as_bytes());
        let kept = |text: &str, chars_max: usize| -> Option<String> {
            let text = text.trim();
            let says = !text.is_empty() && text != "None";
            says.then(|| text.replace('\0', "\u{fffd}").chars().take(chars_max).collect())
        };
        prop_assert_eq!(read.as_ref().map(|alert| alert.agent_id.clone()), kept(&agent, limit::FIELD_CHARS_MAX));
        if let Some(alert) = read {
            prop_assert_eq!(alert.message, kept(&message, limit::MESSAGE_CHARS_MAX));
            prop_assert_eq!(alert.alert_id, Some(id.to_string()));
            prop_assert!(!alert.needs_fetch);
        }
    }
}

#[test]
fn the_longest_body_is_bounded_and_marked() {
    for (raw_bytes, truncated) in [(limit::RAW_BYTES_MAX, false), (limit::RAW_BYTES_MAX + 1, true), (512 * 1024, true)]
    {
        let frame = r#"{"agent_id":"a","message":""}"#.len();
        let body = format!(r#"{{"agent_id":"a","message":"{}"}}"#, "\u{1}".repeat(raw_bytes - frame));
        let message = alert(body.as_bytes()).expect("an alert").into_message(Uuid::nil(), Utc::now(), body.as_bytes());
        assert_eq!((message.raw.len(), message.truncated), (limit::RAW_BYTES_MAX, truncated));
        assert_bounded(&message);
    }
    let every =
        ["agent_id", "alert_id", "event", "alert_type", "severity", "client_id", "site_id", "check_id", "hostname"];
    let odd = "\\u0001".repeat(10_000);
    let members: Vec<String> = every.iter().map(|name| format!(r#""{name}":"{name}{odd}""#)).collect();
    let body = format!(r#"{{{},"message":"x{odd}"}}"#, members.join(","));
    assert_bounded(&alert(body.as_bytes()).expect("an alert").into_message(Uuid::nil(), Utc::now(), body.as_bytes()));
}

#[test]
fn half_a_mebibyte_of_the_worst_is_read_in_linear_time() {
    let kib = |unit: &str, kib: usize| unit.repeat(kib * 1024 / unit.len());
    let units =
        ["\"", "\\\"", "[", "{\"a\":", ",\"agent_id\":\"", ",\"agent_id\" : ", "{'agent_id':'a", "\\u", "\"\\", " ,\""];
    for unit in units {
        let time = |body: String| {
            let start = std::time::Instant::now();
            let _ = parse(body.as_bytes());
            start.elapsed()
        };
        let whole = time(format!("{{{}", kib(unit, 512)));
        // quadratic time would take minutes; the bound is wide because tests share their machine
        assert!(whole.as_secs() < 10, "{unit:?} took {whole:?}");
    }
}
