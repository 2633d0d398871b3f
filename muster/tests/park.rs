//! `muster park`, `pause`, `resume` and `pauses`, against a stand-in that answers what a test tells it to.

mod support;

use serde_json::{Value, json};
use support::{StandIn, TENANT, stderr};

fn stdout(output: &std::process::Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("it prints text")
}

#[test]
fn a_list_says_why_each_message_is_there() {
    let row = json!({"parked_id": 7, "state": "parked", "kind": "alert.observed.v1", "tenant": TENANT, "class": "poison",
                     "attempt": 0, "parked_at": "2026-11-22T01:02:03.4Z", "reason": "not\u{1b}JSON"});
    let path = format!("/parked?tenant={TENANT}&class=poison&older_than_s=5400&limit=100");
    let console = StandIn::start(vec![("GET", path.leak(), 200, json!({"messages": [row], "next_cursor": null}))]);
    let output = console.muster(&["park", "list", "--class", "poison", "--older-than", "90m"]);
    let said = stdout(&output);
    assert!(said.contains("7       parked  alert.observed.v1"), "{said} {}", stderr(&output));
    assert!(said.contains("2026-11-22 01:02:03  not\\u{1b}JSON"), "{said}");
}

#[test]
fn one_message_is_shown_with_its_body() {
    let message = json!({"parked_id": 7, "class": "poison", "body": {"agent_id": "x"}, "body_text": null});
    let console = StandIn::start(vec![("GET", "/parked/7", 200, message)]);
    let said = stdout(&console.muster(&["park", "show", "7"]));
    assert!(said.contains("class") && said.contains("poison") && said.ends_with("\"agent_id\": \"x\"\n}\n"), "{said}");
}

#[test]
fn a_redrive_asks_batch_by_batch_with_one_end_and_a_dry_run_asks_once() {
    let answer = json!({"messages": 3, "left": 1, "up_to": 9, "is_done": true});
    let console = StandIn::start(vec![("POST", "/parked/redrive", 200, answer)]);
    let output = console.muster(&["park", "redrive", "--all", "--all-tenants", "--dry-run"]);
    assert!(stdout(&output).contains("3 messages would be sent again"), "{}", stderr(&output));
    assert!(stderr(&output).contains("1 are left: poison"), "{}", stderr(&output));
    assert_eq!(console.asked().len(), 1);
    assert!(stdout(&console.muster(&["park", "redrive", "7", "8"])).contains("3 messages sent again"));
    let asked: Vec<Value> = console.asked().into_iter().map(|(_, _, body)| body).collect();
    let told =
        |body: &Value| (body["dry_run"].clone(), body["up_to"].clone(), body["ids"].clone(), body["tenant"].clone());
    assert_eq!(told(&asked[0]), (json!(true), Value::Null, Value::Null, Value::Null));
    assert_eq!(told(&asked[1]), (json!(true), Value::Null, json!([7, 8]), json!(TENANT)));
    assert_eq!(told(&asked[2]), (json!(false), json!(9), json!([7, 8]), json!(TENANT)));
}

#[test]
fn nothing_to_do_is_no_failure_and_asks_for_nothing_to_be_done() {
    let answer = json!({"messages": 0, "left": 0, "up_to": 9, "is_done": true});
    let console = StandIn::start(vec![("POST", "/parked/drop", 200, answer)]);
    let output = console.muster(&["park", "drop", "--class", "poison"]);
    assert!(output.status.success() && stdout(&output).contains("0 messages dropped"), "{}", stderr(&output));
    assert_eq!(console.asked().len(), 1);
    let named = console.muster(&["park", "drop", "7"]);
    assert_eq!(named.status.code(), Some(1), "one that was named is not there");
    assert!(stderr(&named).contains("none of these messages is parked here"), "{}", stderr(&named));
}

#[test]
fn a_pause_says_what_is_paused_and_of_whom() {
    let kind = "alert.observed.v1";
    let console = StandIn::start(vec![
        ("POST", "/pauses/pause", 200, json!({"tenant": null, "kind": kind, "is_new": true})),
        ("POST", "/pauses/resume", 200, json!({"tenant": TENANT, "kind": null, "is_new": false})),
        (
            "GET",
            "/pauses",
            200,
            json!({"pauses": [{"tenant": null, "kind": kind, "cause": "parks", "paused_by": "alert-worker 1",
                                                   "paused_at": "2026-11-22T01:02:03Z", "held": 4}]}),
        ),
    ]);
    let said = stdout(&console.muster(&["pause", "--all-tenants", "--kind", kind]));
    assert!(said.starts_with("paused alert.observed.v1 of every tenant:"), "{said}");
    let said = stdout(&console.muster(&["resume"]));
    assert!(said.starts_with(&format!("every kind of tenant {TENANT}: not paused")), "{said}");
    let bodies: Vec<Value> = console.asked().into_iter().map(|(_, _, body)| body).collect();
    assert_eq!(bodies, [json!({"tenant": null, "kind": kind}), json!({"tenant": TENANT, "kind": null})]);
    let said = stdout(&console.muster(&["pauses", "--all-tenants"]));
    assert!(
        said.contains("alert.observed.v1 of every tenant  2026-11-22 01:02:03  alert-worker 1: parked too often  4"),
        "{said}"
    );
}
