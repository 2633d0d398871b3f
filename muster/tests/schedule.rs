//! `muster schedule`: what is asked of the console, and what a person reads.

mod support;

use serde_json::{Value, json};
use support::{StandIn, stderr};

const LIST: &str = "/integrations/tacticalrmm/schedules";
const ALERTS: &str = "/integrations/tacticalrmm/schedules/alerts";

/// A schedule as the console shows it.
fn schedule(kind: &str, interval_s: i64, is_default: bool) -> Value {
    json!({"kind": kind, "interval_s": interval_s, "is_default": is_default, "enabled": true,
           "next_due_at": "2026-11-22T17:05:00Z", "last_slot": "2026-11-22T17:00:00Z", "failing": null})
}

fn stdout(output: &std::process::Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("it prints text")
}

/// The columns of a line of the table, told apart by two spaces at least.
fn cells(line: &str) -> Vec<&str> {
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

#[test]
fn the_list_says_how_often_when_and_what_keeps_a_sync_from_it() {
    let mut slow = schedule("alerts", 300, true);
    slow["failing"] = json!({"cause": "the key has expired", "since": "2026-11-22T16:00:00Z", "count": 3,
                             "attention_at": "2026-11-22T16:20:00Z"});
    let mut off = schedule("clients", 5_400, false);
    (off["enabled"], off["next_due_at"]) = (json!(false), Value::Null);
    let mut unconnected = schedule("software", 86_400, true);
    (unconnected["next_due_at"], unconnected["last_slot"]) = (Value::Null, Value::Null);
    let schedules = json!({"schedules": [schedule("devices", 120, true), off, unconnected, slow]});
    let console = StandIn::start(vec![("GET", LIST, 200, schedules.clone())]);
    let output = console.muster(&["schedule", "list"]);
    let (table, said) = (stdout(&output), stderr(&output));
    assert_eq!(output.status.code(), Some(0), "{said}");
    let lines: Vec<Vec<&str>> = table.lines().map(cells).collect();
    let (next, last) = ("2026-11-22 17:05:00", "2026-11-22 17:00:00");
    for line in [
        vec!["devices", "2m (default)", next, last, "on"],
        vec!["clients", "90m", "-", last, "off"],
        vec!["software", "1d (default)", "-", "-", "not connected"],
        vec!["alerts", "5m (default)", next, last, "needs attention, at most once an hour"],
    ] {
        assert!(lines.contains(&line), "no {line:?} in\n{table}");
    }
    assert!(said.contains("alerts fail since 2026-11-22 16:00:00: the key has expired"), "{said}");
    assert!(said.contains("`muster test` looks at once") && !said.contains("devices"), "{said}");
    let printed = console.muster(&["schedule", "list", "--json"]);
    assert_eq!(serde_json::from_slice::<Value>(&printed.stdout).expect("it is JSON"), schedules);
}

#[test]
fn only_what_is_named_is_changed() {
    for (flags, change) in [
        (vec!["--interval", "10m"], json!({"interval_s": 600})),
        (vec!["--default"], json!({"interval_s": null})),
        (vec!["--disable"], json!({"enabled": false})),
        (vec!["--enable", "--interval", "7d"], json!({"enabled": true, "interval_s": 604_800})),
        (vec!["--enable", "--default"], json!({"enabled": true, "interval_s": null})),
    ] {
        let console = StandIn::start(vec![("PATCH", ALERTS, 200, schedule("alerts", 600, false))]);
        let arguments: Vec<&str> = ["schedule", "set", "alerts"].into_iter().chain(flags).collect();
        let output = console.muster(&arguments);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(console.asked(), [("PATCH".to_owned(), ALERTS.to_owned(), change)]);
        assert!(stdout(&output).contains("10m"), "{}", stdout(&output));
    }
}

#[test]
fn what_is_no_change_is_not_asked_for() {
    for flags in [
        vec!["alerts"],
        vec!["alerts", "--interval", "5"],
        vec!["alerts", "--interval", "5m", "--default"],
        vec!["alerts", "--enable", "--disable"],
        vec!["patches", "--enable"],
    ] {
        let console = StandIn::start(Vec::new());
        let arguments: Vec<&str> = ["schedule", "set"].into_iter().chain(flags).collect();
        let output = console.muster(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(console.asked().is_empty(), "{arguments:?}");
    }
}

#[test]
fn what_the_console_refuses_is_said() {
    let refused = json!({"detail": "`interval_s` is 30.", "remedy": "Send 60 to 604800 seconds."});
    let console = StandIn::start(vec![("PATCH", ALERTS, 422, refused)]);
    let output = console.muster(&["schedule", "set", "alerts", "--interval", "30s"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("60 to 604800"), "{}", stderr(&output));
}
