//! No body makes the parser panic or break its bounds, and whatever serde_json reads it reads the same.
#![no_main]

use chrono::DateTime;
use contract::alert_observed::limit;
use contract::envelope::BODY_BYTES_MAX;
use libfuzzer_sys::fuzz_target;
use parse::{Parsed, parse};
use serde_json::Value;
use uuid::Uuid;

// by path, so that a change to the parser costs seconds here and not a build of broker and store
#[path = "../../src/parse/mod.rs"]
#[allow(unreachable_pub, dead_code, reason = "the module is public in the gateway, and used there")]
mod parse;

fuzz_target!(|body: &[u8]| {
    let parsed = parse(body);
    assert_eq!(parsed, parse(body), "not pure");
    if let Some(agent_id) = sound_agent_id(body) {
        match &parsed {
            Ok(Parsed::Alert(alert)) => assert!(agent_id == alert.agent_id && !alert.needs_fetch),
            Ok(Parsed::Test) => {}
            Err(rejected) => panic!("refused: {rejected:?}"),
        }
    }
    match parsed {
        Ok(Parsed::Alert(alert)) => {
            let message = alert.into_message(Uuid::nil(), DateTime::UNIX_EPOCH, body);
            let text = message.message.as_deref().unwrap_or("-");
            assert!(!text.is_empty() && text.chars().count() <= limit::MESSAGE_CHARS_MAX);
            let fields = [
                &message.alert_id,
                &message.alert_type,
                &message.severity,
                &message.client_id,
                &message.site_id,
                &message.check_id,
                &message.hostname,
                &message.event,
                &Some(message.agent_id.clone()),
            ];
            for text in fields.into_iter().flatten() {
                assert!(!text.is_empty() && !text.contains('\0') && text.chars().count() <= limit::FIELD_CHARS_MAX);
            }
            let json = serde_json::to_vec(&message).expect("a message serialises");
            assert!(json.len() <= BODY_BYTES_MAX);
        }
        Ok(Parsed::Test) => {}
        Err(rejected) => assert!(!rejected.text().is_empty()),
    }
});

/// The agent of a body that is an object for serde_json too, within the bounds.
fn sound_agent_id(body: &[u8]) -> Option<String> {
    let Value::Object(object) = serde_json::from_slice(body).ok()? else { return None };
    let text = object.get("agent_id")?.as_str()?.trim();
    let says = !text.is_empty() && text != "None";
    says.then(|| text.replace('\0', "\u{fffd}").chars().take(limit::FIELD_CHARS_MAX).collect())
}
