//! `muster spool`: what an operator reads of all gateways, and which flags go together.

mod support;

use serde_json::{Value, json};
use support::{StandIn, stderr};

fn spool(host: &str, changes: &Value) -> Value {
    let mut spool = json!({"host": host, "folder": "/var/lib/muster-gateway/spool", "records": 0, "set_aside": 0,
        "bytes": 0, "oldest_age_s": null, "refusal": null, "is_spooling": false, "seen_at": "2026-11-22T17:05:00.123Z",
        "is_silent": false});
    let changes = changes.as_object().expect("changes are an object").clone();
    spool.as_object_mut().expect("it is one").extend(changes);
    spool
}

#[test]
fn the_list_says_what_each_gateway_holds_and_how_it_stands() {
    let spools = json!({"spools": [
        spool("one", &json!({})),
        spool("two", &json!({"records": 7, "set_aside": 1, "bytes": 9_000, "oldest_age_s": 90, "is_spooling": true})),
        spool("three", &json!({"records": 9, "is_spooling": true, "refusal": "quota"})),
        spool("four", &json!({"records": 9, "is_spooling": true, "refusal": "disk", "is_silent": true})),
    ]});
    let console = StandIn::start(vec![("GET", "/spools", 200, spools.clone())]);
    let output = console.muster(&["spool", "list"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let table = String::from_utf8(output.stdout).expect("it prints text");
    let line = |host: &str| table.lines().find(|line| line.starts_with(host)).expect("each has a line").to_owned();
    assert!(line("one").contains("idle"), "{table}");
    for word in ["7", "1", "9000", "90 s", "spooling", "2026-11-22 17:05:00"] {
        assert!(line("two").contains(word), "no {word} in {}", line("two"));
    }
    assert!(line("three").contains("takes nothing: quota"), "{table}");
    assert!(line("four").contains("silent"), "what it said last is old: {table}");
    assert_eq!(console.asked(), [("GET".to_owned(), "/spools".to_owned(), Value::Null)]);
    let printed = console.muster(&["spool", "list", "--json"]);
    assert_eq!(serde_json::from_slice::<Value>(&printed.stdout).expect("it is JSON"), spools);
}

#[test]
fn a_folder_needs_no_console_and_the_console_no_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_muster"));
    let output = command.env_clear().args(["spool", "list", "--dir"]).arg(folder.path()).output();
    let output = output.expect("the command was built with this test");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("there is no spool in"), "{}", stderr(&output));

    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_muster"));
    let output = command.env_clear().args(["spool", "list"]).output().expect("the command was built with this test");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--console-url"), "{}", stderr(&output));
}
