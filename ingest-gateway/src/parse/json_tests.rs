//! What the forgiving reader reads, and what it does not.

use super::*;

fn field(text: &str, key: Key) -> Option<String> {
    match read(text) {
        Ok(Document::Object(mut fields)) => fields.take(key),
        Ok(_) => panic!("no object: {text}"),
        Err(Broken) => panic!("broken: {text}"),
    }
}

#[test]
fn values_of_every_shape_become_text() {
    for (value, text) in [
        (r#""601""#, Some("601")),
        ("601", Some("601")),
        ("601.0", Some("601")),
        ("601.000", Some("601")),
        ("601.5", Some("601.5")),
        ("-7", Some("-7")),
        ("1e3", Some("1e3")),
        ("1e999", Some("1e999")),
        ("123456789012345678901234567890", Some("123456789012345678901234567890")),
        ("true", Some("true")),
        ("False", Some("False")),
        ("null", None),
        ("None", None),
        ("NaN", None),
        ("-Infinity", None),
        (r#""None""#, None),
        (r#""""#, None),
        ("[1,2]", None),
        (r#"{"alert_id":7}"#, None),
    ] {
        for object in [
            format!(r#"{{"alert_id":{value}}}"#),
            format!("\r\n{{ \"x\" : [ ] ,\t\"alert_id\" : {value} , \"y\":{{}} }} "),
        ] {
            assert_eq!(field(&object, Key::AlertId).as_deref(), text, "{object}");
        }
    }
}

#[test]
fn the_last_of_two_equal_names_wins() {
    assert_eq!(field(r#"{"alert_id":1,"alert_id":2}"#, Key::AlertId).as_deref(), Some("2"));
    assert_eq!(field(r#"{"alert_id":1,"alert_id":null}"#, Key::AlertId), None);
    assert_eq!(field(r#"{"x":{"alert_id":1},"alert_id":2}"#, Key::AlertId).as_deref(), Some("2"));
    assert_eq!(field(r#"{"alert_id":2,"x":[{"alert_id":1}]}"#, Key::AlertId).as_deref(), Some("2"));
}

#[test]
fn escapes_and_control_characters_are_read() {
    for (inner, text) in [
        (r#"a\"b\\c\/d"#, "a\"b\\c/d"),
        (r"\u00fc\u6771\ud83d\ude00", "ü東😀"),
        (r"line1\nline2\tx", "line1\nline2\tx"),
        (r"\b\f\r.", "\u{8}\u{c}\r."),
        ("raw\ttab\nline\u{1}", "raw\ttab\nline\u{1}"),
        (r"a\ud800b", "a\u{fffd}b"),
        (r"a\udc00b", "a\u{fffd}b"),
        (r"\ud800\ud800\udc00", "\u{fffd}\u{10000}"),
        (r"\ud800\u0041", "\u{fffd}A"),
        (r"\ud800\n.", "\u{fffd}\n."),
        (r"x\u0000y", "x\u{fffd}y"),
        (r"\u00FC\u00fC", "üü"),
    ] {
        assert_eq!(field(&format!(r#"{{"message":"{inner}"}}"#), Key::Message).as_deref(), Some(text), "{inner}");
    }
    assert_eq!(field(r#"{"alert\u005fid":5}"#, Key::AlertId).as_deref(), Some("5"), "names are unescaped too");
}

#[test]
fn what_is_not_json_is_broken() {
    for text in NOT_JSON {
        assert!(read(text).is_err(), "{text}");
    }
}

/// Near misses, each broken in its own way.
const NOT_JSON: [&str; 39] = [
    "",
    "{",
    "}",
    "[",
    "{]",
    "[}",
    "{}}",
    "[1,]",
    "[,]",
    "{,}",
    r#"{"a"}"#,
    r#"{"a":}"#,
    r#"{"a":1,}"#,
    r#"{a:1}"#,
    r#"{'a':1}"#,
    r#"{"a":1 "b":2}"#,
    r#"{"a":[1,{"b":2]}"#,
    r#""a"#,
    r#""\x""#,
    r#""\u12""#,
    r#""\u12é9""#,
    r#""\"#,
    r#"{"a":LAB-01}"#,
    "--1",
    "1.",
    ".5",
    "1e",
    "1e+",
    "+1",
    "0x1",
    "nul",
    "tru",
    "1 2",
    "{} {}",
    "\"a\"b",
    "\0",
    "é",
    r#"{"a":"x"y"}"#,
    r#"{"a":"\ud800\u"}"#,
];

#[test]
fn depth_is_bounded_and_costs_no_stack() {
    let nested = |depth: usize| format!(r#"{{"x":{}{},"agent_id":"a"}}"#, "[".repeat(depth), "]".repeat(depth));
    assert_eq!(field(&nested(DEPTH_MAX), Key::AgentId).as_deref(), Some("a"));
    assert!(read(&nested(DEPTH_MAX + 1)).is_err());
    let objects = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    assert!(read(&objects(DEPTH_MAX)).is_ok());
    assert!(read(&"[".repeat(512 * 1024)).is_err());
    assert!(read(&r#"{"a":"#.repeat(100_000)).is_err());
}

#[test]
fn wide_is_not_deep() {
    let wide = format!("[{}{{}}]", "[],{\"a\":[{}]},".repeat(10_000));
    assert!(matches!(read(&wide), Ok(Document::Other)));
}
