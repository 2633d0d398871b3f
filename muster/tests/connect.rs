//! `muster connect` where a connection works already: it is replaced by one that works, or not at all.

mod support;

use serde_json::{Value, json};
use support::{StandIn, stderr};

const PATH: &str = "/integrations/tacticalrmm";
const TEST: &str = "/integrations/tacticalrmm/test";
const NEW: [&str; 5] = ["connect", "--url", "https://new.example.com", "--api-key-file", "/dev/stdin"];

fn status(url: &str, state: &str) -> Value {
    json!({"state": state, "is_active": true, "instance_url": url, "auth_mode": "api_key", "device_source": "classic",
           "secrets": [{"name": "tacticalrmm_api_key", "masked": "…0000"}]})
}

/// A console whose connection works, and whose tests end so.
fn working(outcome: &str) -> StandIn {
    let report =
        json!({"outcome": outcome, "sentence": "The name new.example.com does not resolve.", "remedy": "Check it."});
    StandIn::start(vec![
        ("GET", PATH, 200, status("https://old.example.com", "active")),
        ("PUT", PATH, 200, status("https://new.example.com", "unconfirmed")),
        ("POST", TEST, 200, report),
    ])
}

fn key() -> (tempfile::NamedTempFile, [String; 5]) {
    let file = tempfile::NamedTempFile::new().expect("a file can be made");
    std::fs::write(file.path(), "CANARYKEY\n").expect("it can be written");
    let mut arguments = NEW.map(str::to_owned);
    arguments[4] = file.path().display().to_string();
    (file, arguments)
}

fn methods(console: &StandIn) -> Vec<String> {
    console.asked().into_iter().map(|it| it.0).collect()
}

#[test]
fn settings_that_fail_do_not_replace_those_that_work() {
    let (console, (_file, arguments)) = (working("not_resolved"), key());
    let output = console.muster(&arguments.each_ref().map(String::as_str));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(methods(&console), ["GET", "POST"], "nothing was saved");
    let settings = json!({"instance_url": "https://new.example.com", "auth_mode": "api_key", "api_key": "CANARYKEY"});
    assert_eq!(console.asked()[1].2, json!({ "settings": settings }));
    let said = stderr(&output);
    assert!(said.contains("does not resolve. Check it. Nothing was saved"), "{said}");
    assert!(said.contains("https://old.example.com") && said.contains("--force") && !said.contains("CANARY"), "{said}");
}

#[test]
fn what_was_replaced_is_told_with_the_way_back() {
    for (outcome, code) in [("ok", 0), ("code_needed", 1)] {
        let (console, (_file, arguments)) = (working(outcome), key());
        let output = console.muster(&arguments.each_ref().map(String::as_str));
        assert_eq!(output.status.code(), Some(code));
        assert_eq!(methods(&console), ["GET", "POST", "PUT", "POST"], "{outcome}");
        let said = stderr(&output);
        assert!(said.contains("the URL was https://old.example.com, now https://new.example.com"), "{said}");
        assert!(said.contains("back: `muster connect --url https://old.example.com --api-key-file"), "{said}");
        assert!(said.contains("`muster sync clients --wait`"), "{said}");
        assert!(!said.contains("the source was") && !said.contains("authenticate was"), "{said}");
    }
}

#[test]
fn what_is_missing_is_told_by_the_flags_that_give_it() {
    let unconnected =
        json!({"state": "incomplete", "is_active": false, "secrets": [], "missing": ["instance_url", "api_key"]});
    let no_secret = json!({"outcome": "no_secret", "sentence": "The secret tacticalrmm_api_key has not been entered.",
                           "remedy": "Save an API key, or user and password."});
    let refused = json!({"detail": "`instance_url` leads to another server, which stored credentials are not sent to: \
                                    `api_key` must be given with it.", "remedy": "Send `api_key` in the same request."});
    let consoles = [
        vec![
            ("GET", PATH, 200, unconnected.clone()),
            ("PUT", PATH, 200, json!({})),
            ("POST", TEST, 200, no_secret.clone()),
        ],
        vec![("GET", PATH, 200, status("https://old.example.com", "active")), ("POST", TEST, 200, no_secret)],
        vec![("GET", PATH, 200, unconnected.clone()), ("PUT", PATH, 422, refused)],
    ];
    for answers in consoles {
        let console = StandIn::start(answers);
        let output = console.muster(&["connect", "--url", "https://new.example.com"]);
        let said = format!("{}{}", stderr(&output), String::from_utf8_lossy(&output.stdout));
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("--api-key-file"), "{said}");
        assert!(!["instance_url", "api_key", "request"].iter().any(|word| said.contains(word)), "{said}");
    }
    let console = StandIn::start(vec![("GET", PATH, 200, unconnected)]);
    let said = stderr(&console.muster(&["status"]));
    assert_eq!(said, "what is missing is given with `muster connect --url … --api-key-file …`\n");
}

#[test]
fn force_saves_without_a_test_before() {
    let (console, (_file, arguments)) = (working("not_resolved"), key());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(["--force"]).collect();
    let output = console.muster(&arguments);
    assert_eq!(
        (output.status.code(), methods(&console)),
        (Some(1), ["GET", "PUT", "POST"].map(str::to_owned).to_vec())
    );
    assert!(stderr(&output).contains("the URL was https://old.example.com"), "{}", stderr(&output));
}
