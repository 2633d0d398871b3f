//! The parser against what Tactical really sends: the recorded bodies, and hand-written ones of the same shape.

mod parser_support;

use contract::alert_observed::{Said, TemplateMistake};
use ingest_gateway::parse::{Parsed, Rejected, parse};
use parser_support::{alert, expected_alert, recorded_bodies};

const CHECK: &str = include_str!("../fixtures/check-failure.json");
const RESOLVED: &str = include_str!("../fixtures/availability-resolved.json");
const MINIMAL: &str = include_str!("../fixtures/muster-template.json");

#[test]
fn every_recorded_body_is_understood_or_gets_its_400() {
    let Some(bodies) = recorded_bodies() else { return };
    let (mut accepted, mut refused) = (0, 0);
    for (scenario, body) in bodies {
        match expected_alert(&body) {
            Some(expected) => {
                assert_eq!(alert(body.as_bytes()), expected, "{scenario}");
                accepted += 1;
            }
            None => {
                let reason = match scenario.split(' ').next() {
                    Some("H1") => Rejected::Empty,
                    Some("E2" | "H3") => Rejected::Unreadable,
                    Some("H5") => Rejected::NotAnObject,
                    _ => Rejected::NoAgentId,
                };
                assert_eq!(parse(body.as_bytes()), Err(reason), "{scenario}");
                refused += 1;
            }
        }
    }
    assert_eq!((accepted, refused), (9, 8));
}

#[test]
fn a_failed_check_is_understood_field_by_field() {
    let alert = alert(CHECK.as_bytes());
    assert_eq!(alert.said, Said::Open);
    assert_eq!(alert.agent_id, "HandMadeAgentOneWindowsBBBBBBBBBBBBBBBBB");
    assert_eq!(alert.alert_id.as_deref(), Some("4711"));
    assert_eq!(alert.alert_time.expect("a time").timestamp_micros(), 1_795_312_745_902_118);
    assert_eq!(alert.alert_type.as_deref(), Some("check"));
    assert_eq!(alert.severity.as_deref(), Some("warning"));
    assert_eq!(alert.message.as_deref(), Some("PC-07 has a ping check: gateway, \u{fc}ber VPN that failed."));
    assert_eq!(alert.client_id.as_deref(), Some("3"));
    assert_eq!(alert.site_id.as_deref(), Some("5"));
    assert_eq!(alert.check_id, None, "None is absent");
    assert_eq!(alert.hostname.as_deref(), Some("PC-07"));
    assert_eq!(alert.event.as_deref(), Some("failure"));
    assert!(!alert.needs_fetch);
    assert_eq!(alert.template_mistake, None);
}

#[test]
fn a_resolved_alert_and_the_own_template_are_understood() {
    let resolved = alert(RESOLVED.as_bytes());
    assert_eq!((resolved.said, resolved.alert_id.as_deref()), (Said::Resolve, Some("4712")));
    assert_eq!(resolved.alert_time.expect("a time").timestamp_subsec_micros(), 0);
    let own = alert(MINIMAL.as_bytes());
    assert_eq!((own.said, own.alert_id.as_deref(), own.client_id.as_deref()), (Said::Open, Some("4713"), Some("3")));
    assert_eq!(own.alert_type.as_deref(), Some("task"));
}

#[test]
fn a_string_that_holds_json_is_read_like_json() {
    for strings in 1..=3 {
        let mut body = CHECK.to_owned();
        for _ in 0..strings {
            body = serde_json::to_string(&body).expect("a string");
        }
        assert_eq!(alert(body.as_bytes()), alert(CHECK.as_bytes()), "{strings}");
    }
}

#[test]
fn a_string_that_holds_broken_json_is_salvaged() {
    let text = r#"{"event": "resolved", "alert_id": 608, "type": "check", "severity": "error",
        "message": "Disk "C:" is "full", 95%", "alert_time": "2026-11-22 01:59:05.902118+00:00",
        "agent_id": "AgentOne", "hostname": "PC-07", "client_id": 1}"#;
    for body in [text.to_owned(), serde_json::to_string(text).expect("a string")] {
        let alert = alert(body.as_bytes());
        assert!(alert.needs_fetch);
        assert_eq!((alert.said, alert.agent_id.as_str()), (Said::Resolve, "AgentOne"));
        assert_eq!(alert.alert_id.as_deref(), Some("608"));
        assert_eq!(alert.alert_time.expect("a time").timestamp_micros(), 1_795_312_745_902_118);
        assert_eq!(alert.alert_type.as_deref(), Some("check"));
        assert_eq!(alert.severity.as_deref(), Some("error"));
        assert_eq!(alert.hostname.as_deref(), Some("PC-07"));
        assert_eq!(alert.message, None, "where a broken text ends is not known");
    }
}

#[test]
fn an_unquoted_none_is_no_damage() {
    let alert = alert(br#""{\"agent_id\":\"a\",\"alert_id\":9,\"check_id\":None,\"event\":\"resolve\"}""#);
    assert_eq!((alert.said, alert.alert_id.as_deref(), alert.check_id), (Said::Resolve, Some("9"), None));
    assert!(!alert.needs_fetch);
}

#[test]
fn a_salvaged_value_in_doubt_is_left_out() {
    let alert = alert(
        concat!(
            r#"{"event":"failure","alert_id":7,"agent_id":"real","message":"said x","#,
            r#""event":"resolve","alert_id":8,"agent_id":"forged","y":""}"#
        )
        .as_bytes(),
    );
    // valid JSON after all: the last one wins, as in Tactical's own reader
    assert_eq!(alert.agent_id, "forged");
    let alert = self::alert(
        concat!(
            r#"{"event":"failure","alert_id":7,"agent_id":"real","message":"said "x" and","#,
            r#""event":"resolve","alert_id":8,"agent_id":"forged","y":"z"z"}"#
        )
        .as_bytes(),
    );
    assert!(alert.needs_fetch);
    assert_eq!((alert.said, alert.alert_id, alert.agent_id.as_str()), (Said::Open, None, "real"));
}

#[test]
fn bodies_cut_off_or_in_another_notation_are_salvaged() {
    for body in [
        r#"{"agent_id":"a-1","alert_id":"5","event":"failure","message":"cut of"#,
        r#""{\"agent_id\":\"a-1\",\"alert_id\":\"5\",\"event\":\"failure\",\"mess"#,
        "{'agent_id': 'a-1', 'alert_id': 5, 'event': 'failure'}",
        "{\n    \"agent_id\"  :  \"a-1\" ,\n    \"alert_id\": 5,\n    \"event\": \"failure\",\n}",
        r#"{"agent_id":"a-1","alert_id":5,"client_id":PC-07,"event":"failure"}"#,
        r#"{"alert_id":5,"event":"failure","x":"\q","agent_id":"a-1"}"#,
        r#"{"alert_id":5,"event":"failure","agent_id":"a-1""#,
    ] {
        let alert = alert(body.as_bytes());
        assert!(alert.needs_fetch, "{body}");
        assert_eq!((alert.agent_id.as_str(), alert.alert_id.as_deref()), ("a-1", Some("5")), "{body}");
    }
}

#[test]
fn template_mistakes_are_reported_and_never_resolve() {
    for (event, mistake) in [
        ("trigger|resolve", TemplateMistake::VerbatimEvent),
        ("unresolved", TemplateMistake::NegatedResolve),
        ("not resolved", TemplateMistake::NegatedResolve),
    ] {
        let alert = alert(format!(r#"{{"agent_id":"a","event":"{event}"}}"#).as_bytes());
        assert_eq!((alert.said, alert.template_mistake), (Said::Open, Some(mistake)), "{event}");
        let broken = self::alert(format!(r#"{{"agent_id":"a","event":"{event}","x":"""}}"#).as_bytes());
        assert_eq!((broken.said, broken.template_mistake), (Said::Open, Some(mistake)), "{event}, salvaged");
    }
}

#[test]
fn test_runs_are_told_from_deliveries() {
    let tests = [
        concat!(
            r#"{"event":"trigger","alert_id":17,"alert_type":"PC-07","severity":"PC-07","#,
            r#""agent_id":"a","client_id":1,"site_id":1,"alert_time":"PC-07"}"#
        ),
        concat!(
            r#"{"event":"resolve","alert_id":"17","type":"PC-07","severity":"PC-07","message":"PC-07","#,
            r#""alert_time":"PC-07","agent_id":"a","hostname":"PC-07"}"#
        ),
        concat!(
            r#""{\"event\":\"trigger\",\"alert_id\":17,\"alert_type\":\"PC-07\",\"severity\":\"PC-07\","#,
            r#"\"agent_id\":\"a\",\"client_id\":PC-07,\"alert_time\":\"PC-07\"}""#
        ),
        r#"{"alert_id":17,"type":"Bob's Mac \u00fc","severity":"Bob's Mac \u00fc","agent_id":"a"}"#,
    ];
    for body in tests {
        assert_eq!(parse(body.as_bytes()), Ok(Parsed::Test), "{body}");
    }
    let deliveries = [
        // a template's typing errors, in real deliveries
        r#"{"alert_id":17,"alert_type":"check - disk full","severity":"check - disk full","agent_id":"a"}"#,
        concat!(
            r#"{"alert_id":17,"alert_type":"PC-07","severity":"PC-07","agent_id":"a","#,
            r#""alert_time":"2026-11-22 01:59:05+00:00"}"#
        ),
        concat!(
            r#"{"alert_id":17,"alert_type":"PC-07","message":"PC-07","severity":"error","#,
            r#""agent_id":"a","hostname":"PC-07"}"#
        ),
        r#"{"alert_id":17,"message":"PC-07","agent_id":"a","hostname":"PC-07"}"#,
        // one attribute under two names is one witness
        r#"{"agent_id":"a","event":"trigger","alert_type":"Backup","type":"Backup"}"#,
        r#"{"agent_id":"a","event":"trigger","alert_type":"PC-07","type":"PC-07","hostname":"PC-07"}"#,
        // one value that differs
        r#"{"agent_id":"a","alert_type":"Backup","severity":"Backup","message":"Backup failed"}"#,
        r#"{"agent_id":"a","alert_type":"Backup","type":"Job","severity":"Backup"}"#,
        r#"{"agent_id":"a","alert_type":"Backup","severity":"Backup","hostname":"PC-07"}"#,
        // values that an alert could have
        r#"{"agent_id":"a","alert_type":"critical","severity":"critical"}"#,
        r#"{"agent_id":"a","alert_type":"Major","severity":"Major","message":"Major"}"#,
        r#"{"agent_id":"a","type":"none","severity":"none"}"#,
        r#"{"agent_id":"a","message":"check","type":"check"}"#,
        r#"{"agent_id":"a","alert_time":"2026-11-22 01:59:05+00:00","message":"2026-11-22 01:59:05+00:00"}"#,
        r#"{"alert_id":17,"severity":"high","alert_type":"high","agent_id":"a","hostname":"PC-07"}"#,
        r#"{"agent_id":"a"}"#,
    ];
    for body in deliveries {
        assert!(matches!(parse(body.as_bytes()), Ok(Parsed::Alert(_))), "{body}");
    }
    let without_agent = r#"{"alert_id":17,"alert_type":"PC-07","severity":"PC-07","alert_time":"PC-07"}"#;
    assert_eq!(parse(without_agent.as_bytes()), Err(Rejected::NoAgentId), "the test shows the template's fault");
}

#[test]
fn what_names_no_agent_is_refused_with_what_to_do() {
    for (body, rejected) in [
        ("", Rejected::Empty),
        (" \r\n", Rejected::Empty),
        ("\u{feff}", Rejected::Empty),
        ("\"\"", Rejected::Empty),
        ("\"  \"", Rejected::Empty),
        ("hello", Rejected::Unreadable),
        ("\"hello\"", Rejected::Unreadable),
        ("agent_id=a&event=b", Rejected::Unreadable),
        ("{\"agent_id\": }", Rejected::Unreadable),
        ("null", Rejected::NotAnObject),
        ("7", Rejected::NotAnObject),
        ("[{\"agent_id\":\"a\"}]", Rejected::NotAnObject),
        ("{}", Rejected::NoAgentId),
        ("{\"agent_id\":null}", Rejected::NoAgentId),
        ("{\"agent_id\":\"None\"}", Rejected::NoAgentId),
        ("{\"agent_id\":\" \"}", Rejected::NoAgentId),
        ("{\"agent_id\":{\"x\":1}}", Rejected::NoAgentId),
        ("{\"agent\":{\"agent_id\":\"a\"}}", Rejected::NoAgentId),
    ] {
        assert_eq!(parse(body.as_bytes()), Err(rejected), "{body}");
        assert!(rejected.text().contains("URL action"));
    }
}

#[test]
fn odd_bytes_do_no_harm() {
    let latin1 = b"{\"agent_id\":\"a\",\"message\":\"\xfcber\"}";
    assert_eq!(alert(latin1).message.as_deref(), Some("\u{fffd}ber"));
    let marked = b"\xef\xbb\xbf{\"agent_id\":\"a\"}";
    assert_eq!(alert(marked).agent_id, "a");
    let nul = b"{\"agent_id\":\"a\\u0000\0b\"}";
    assert_eq!(alert(nul).agent_id, "a\u{fffd}\u{fffd}b");
    let surrogate = br#"{"agent_id":"a","message":"\ud83d x"}"#;
    assert_eq!(alert(surrogate).message.as_deref(), Some("\u{fffd} x"));
}
