//! The commands that ask the console, against a stand-in that answers what a test tells it to.

mod support;

use std::io::Write as _;
use std::process::Command;

use serde_json::{Value, json};
use support::{Asked, StandIn, TENANT, stderr};

/// A run of two parts, one of which failed, that took 2.5 s.
fn ended(state: &str) -> Value {
    json!({
        "run": {"run_id": "r", "kind": "devices", "state": state, "parts": 2, "parts_done": 1, "parts_failed": 1, "seen": 7,
                "created": 7, "error": null, "started_at": "2026-11-22T02:00:00Z", "finished_at": "2026-11-22T02:00:02.5Z"},
        "parts": [{"name": "client:1", "label": "Northwind", "state": "done", "seen": 7, "created": 7},
                  {"name": "client:2", "label": "Contoso", "state": "failed", "error": "no answer"}],
    })
}

#[test]
fn a_sync_that_did_not_complete_is_told_and_ends_with_1() {
    for (state, code) in [("completed", 0), ("partial", 1), ("failed", 1)] {
        let console = StandIn::start(vec![
            ("POST", "/integrations/tacticalrmm/sync/devices", 202, json!({"run_id": "r", "is_new": true})),
            ("GET", "/integrations/tacticalrmm/runs/r", 200, ended(state)),
        ]);
        let output = console.muster(&["sync", "devices", "--wait", "--lines"]);
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        let said = String::from_utf8(output.stdout.clone()).unwrap();
        assert!(said.starts_with(&format!("{state} in 2.5 s: 1 of 2 parts done, 1 failed; 7 seen: 7 new")), "{said}");
        assert!(stderr(&output).contains("Contoso: failed: no answer"), "{}", stderr(&output));
        assert_eq!(stderr(&output).contains("ended as"), code == 1);
    }
}

#[test]
fn a_sync_of_software_tells_how_many_devices_the_key_may_not_see() {
    let run = json!({"run_id": "r", "kind": "software", "state": "completed", "parts": 1, "parts_done": 1, "seen": 5,
        "created": 2, "unchanged": 3, "unverifiable": 4});
    let part = json!({"name": "software:agents", "label": "Software, device by device", "state": "done"});
    let console = StandIn::start(vec![
        ("POST", "/integrations/tacticalrmm/sync/software", 202, json!({"run_id": "r", "is_new": true})),
        ("GET", "/integrations/tacticalrmm/runs/r", 200, json!({"run": run, "parts": [part]})),
    ]);
    let output = console.muster(&["sync", "software", "--wait"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("5 seen: 2 new"), "{said}");
    assert!(said.contains("4 not to be verified (the key does not see them)"), "{said}");
}

#[test]
fn syncs_of_alerts_and_of_software_are_started_by_their_names() {
    for what in ["alerts", "software"] {
        let path: &'static str = if what == "alerts" {
            "/integrations/tacticalrmm/sync/alerts"
        } else {
            "/integrations/tacticalrmm/sync/software"
        };
        let console = StandIn::start(vec![("POST", path, 202, json!({"run_id": "r", "is_new": true}))]);
        let output = console.muster(&["sync", what]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!((output.stdout.as_slice(), console.asked().len()), (b"r\n".as_slice(), 1), "{what}");
    }
}

#[test]
fn an_alert_is_listed_resolved_and_acknowledged() {
    let id = "0192a000-0000-7000-8000-000000000001";
    let row = json!({"alert_id": id, "status": "active", "severity": "major", "device_name": "PC-7", "is_snoozed": true,
                     "triggered_at": "2026-11-22T01:02:03Z", "message": "disk"});
    let console = StandIn::start(vec![
        ("GET", "/alerts?status=active&limit=100", 200, json!({"alerts": [row], "next_cursor": null})),
        (
            "POST",
            "/alerts/0192a000-0000-7000-8000-000000000001/resolve",
            200,
            json!({"status": "resolved", "is_gone": true}),
        ),
        ("POST", "/alerts/0192a000-0000-7000-8000-000000000001/acknowledge", 200, json!({"status": "acknowledged"})),
    ]);
    let said = |arguments: &[&str]| {
        let output = console.muster(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        (String::from_utf8(output.stdout.clone()).unwrap(), stderr(&output))
    };
    let (list, _) = said(&["alerts", "list", "--status", "active"]);
    assert!(list.contains("active, snoozed") && list.contains("PC-7") && list.contains(id), "{list}");
    let (status, told) = said(&["alerts", "resolve", id]);
    assert_eq!((status.as_str(), told.contains("does not have this alert any more")), ("resolved\n", true));
    assert_eq!(said(&["alerts", "acknowledge", id]).0, "acknowledged\n");
}

#[test]
fn a_sync_that_had_nothing_to_read_says_why_and_what_to_do() {
    let row = |client: Value, auto_sync: bool| json!({"mapping_id": "m", "client_id": client, "auto_sync": auto_sync});
    // a person has decided that another server stands behind the connection: one of the old one's clients is not shown
    let mut reassigned = [row(Value::Null, true), row(Value::Null, true)];
    reassigned[0]["vanished_at"] = json!("2026-11-22T01:00:00Z");
    let second_look = json!([{"name": "confirm", "label": "confirm", "state": "done"}]);
    for (mappings, says) in [
        (json!([]), "`muster sync clients --wait`"),
        (json!(reassigned), "no client of Tactical is mapped"),
        (json!([row(Value::Null, true), row(Value::Null, true)]), "no client of Tactical is mapped"),
        (json!([row(json!("c"), false), row(Value::Null, true)]), "--auto-sync true"),
    ] {
        for parts in [json!([]), second_look.clone()] {
            let count = parts.as_array().map_or(0, Vec::len);
            let run =
                json!({"run_id": "r", "kind": "devices", "state": "completed", "parts": count, "parts_done": count});
            let console = StandIn::start(vec![
                ("POST", "/integrations/tacticalrmm/sync/devices", 202, json!({"run_id": "r", "is_new": true})),
                ("GET", "/integrations/tacticalrmm/runs/r", 200, json!({"run": run, "parts": parts})),
                ("GET", "/integrations/tacticalrmm/organization-mappings", 200, json!({"mappings": mappings})),
            ]);
            let output = console.muster(&["sync", "devices", "--wait"]);
            assert!(output.status.success() && stderr(&output).contains(says), "{says}: {}", stderr(&output));
            assert!(stderr(&output).contains("nothing was read"), "{}", stderr(&output));
        }
    }
}

#[test]
fn a_client_that_tactical_does_not_show_is_told_with_what_ends_it() {
    let error = "Tactical does not show this client (any more); its devices stay as they are";
    let run = json!({
        "run": {"run_id": "r", "kind": "devices", "state": "partial", "parts": 2, "parts_done": 1, "parts_failed": 1},
        "parts": [{"name": "client:1", "label": "Northwind", "state": "done"},
                  {"name": "client:2", "label": "Con\u{202e}toso", "state": "failed", "error": error}],
    });
    let row = |name: &str, client: Value, auto_sync: bool, gone: Value| {
        json!({"mapping_id": name, "name": name, "client_id": client, "client_name": "c", "auto_sync": auto_sync,
               "vanished_at": gone})
    };
    let since = json!("2026-11-21T01:00:00Z");
    let mappings = json!({"mappings": [
        row("Shown", json!("c"), true, Value::Null), row("Contoso", json!("c"), true, since.clone()),
        row("Off", json!("c"), false, since.clone()), row("Nobody's", Value::Null, true, since),
    ]});
    let console = StandIn::start(vec![
        ("POST", "/integrations/tacticalrmm/sync/devices", 202, json!({"run_id": "r", "is_new": true})),
        ("GET", "/integrations/tacticalrmm/runs/r", 200, run),
        ("GET", "/integrations/tacticalrmm/organization-mappings", 200, mappings),
    ]);
    let output = console.muster(&["sync", "devices", "--wait"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains(r"Tactical does not show Con\u{202e}toso (any more)") && said.contains("--no-client"),
        "{said}"
    );
    assert!(!said.contains('\u{202e}'), "{said}");

    let output = console.muster(&["mappings", "list"]);
    let (table, said) = (String::from_utf8(output.stdout.clone()).expect("it prints text"), stderr(&output));
    for (name, ends) in [("Shown", "on    yes"), ("Contoso", "on    no more, since 2026-11-21")] {
        let line = table.lines().find(|line| line.starts_with(name)).expect("a line of its own");
        assert!(line.ends_with(ends), "{line}");
    }
    assert!(said.contains("Tactical does not show Contoso (any more)") && said.contains("--auto-sync false"), "{said}");
}

#[test]
fn runs_show_what_was_done_apart_from_what_failed() {
    let run = |done: u32, failed: u32| {
        json!({"run_id": "r", "state": "partial", "parts": 20,
               "parts_done": done, "parts_failed": failed})
    };
    let runs = json!({"runs": [run(18, 2), run(20, 0)]});
    let console = StandIn::start(vec![("GET", "/integrations/tacticalrmm/runs", 200, runs)]);
    let output = console.muster(&["runs", "list"]);
    let table = String::from_utf8(output.stdout).expect("it prints text");
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[1].contains("18 of 20 done, 2 failed") && lines[2].contains("20 of 20 done  "), "{table}");
}

#[test]
fn proposals_to_merge_are_listed_and_decided() {
    const ID: &str = "019aa000-0000-7000-8000-000000000001";
    let path = "/integrations/tacticalrmm/merge-proposals";
    let proposal = json!({"proposal_id": ID, "serial_number": "SN1", "asset_name": "pc-new", "old_asset_name": "pc-old",
                          "old_missing_since": "2026-11-22T01:00:00Z"});
    let accept = "/integrations/tacticalrmm/merge-proposals/019aa000-0000-7000-8000-000000000001/accept";
    let dismiss = "/integrations/tacticalrmm/merge-proposals/019aa000-0000-7000-8000-000000000001/dismiss";
    let console = StandIn::start(vec![
        ("GET", path, 200, json!({"merge_proposals": [proposal]})),
        ("POST", accept, 200, json!({"asset_id": "a-1", "moved_alerts": 3})),
        ("POST", dismiss, 404, json!({"detail": "This tenant has no such open merge proposal."})),
    ]);
    let listed = console.muster(&["merges", "list"]);
    let table = String::from_utf8(listed.stdout).expect("it prints text");
    assert!([ID, "SN1", "pc-old", "2026-11-22 01:00 ", "pc-new"].iter().all(|word| table.contains(word)), "{table}");
    let accepted = console.muster(&["merges", "accept", ID, "--json"]);
    assert!(
        accepted.status.success() && stderr(&accepted).contains("asset a-1 stays, 3 alerts"),
        "{}",
        stderr(&accepted)
    );
    assert_eq!(serde_json::from_slice::<Value>(&accepted.stdout).expect("it prints JSON")["moved_alerts"], 3);
    let dismissed = console.muster(&["merges", "dismiss", ID]);
    assert_eq!(dismissed.status.code(), Some(1));
    assert_eq!(stderr(&dismissed), "muster: This tenant has no such open merge proposal. (404)\n");
    assert_eq!(console.muster(&["merges", "accept", "no-id"]).status.code(), Some(2));
}

#[test]
fn another_server_is_decided_about_with_what_follows_from_it() {
    let client = |id: &str, name: &str| json!({"organization_id": id, "name": name});
    let held = json!({"reason": "No client is the same.", "old": [client("1", "Old")], "new": [client("1", "New")]});
    let path = "/integrations/tacticalrmm/organization-mappings";
    let console = StandIn::start(vec![
        ("GET", path, 200, json!({"mappings": [], "held": held})),
        ("POST", "/integrations/tacticalrmm/organization-mappings/confirm", 200, json!({})),
    ]);
    let before = stderr(&console.muster(&["mappings", "list"]));
    let after = stderr(&console.muster(&["mappings", "confirm", "reassign", "--new-url", "https://new.example.com"]));
    assert!(before.contains("1  old: Old   new: New   differs"), "{before}");
    for said in [&before, &after] {
        assert!(
            said.contains("the assets of the old server stay with their clients and are marked as missing"),
            "{said}"
        );
    }
}

#[test]
fn what_others_have_named_reaches_no_terminal_as_it_is() {
    let page = json!({"assets": [{"name": "pc\u{202e}exe.\u{1b}[2J", "client_name": "山田工業"}], "next_cursor": null});
    let console = StandIn::start(vec![
        ("GET", "/assets?limit=500", 200, page),
        ("GET", "/integrations/tacticalrmm", 409, json!({"detail": "The host \u{2066}x\u{7} is away."})),
    ]);
    let table = String::from_utf8(console.muster(&["assets"]).stdout).expect("it prints text");
    assert!(table.contains(r"pc\u{202e}exe.\u{1b}[2J  山田工業"), "{table}");
    assert_eq!(stderr(&console.muster(&["status"])), "muster: The host \\u{2066}x\\u{7} is away. (409)\n");
    let json = console.muster(&["assets", "--json"]).stdout;
    assert_eq!(serde_json::from_slice::<Value>(&json).expect("it prints JSON")[0]["name"], "pc\u{202e}exe.\u{1b}[2J");
}

#[test]
fn a_refusal_is_one_line_that_says_what_to_do() {
    let problem = json!({"title": "Not found", "detail": "There is no such tenant.", "remedy": "Check its id."});
    let console = StandIn::start(vec![("GET", "/integrations/tacticalrmm", 404, problem)]);
    let output = console.muster(&["status"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), "muster: There is no such tenant. Check its id. (404)\n");
}

#[test]
fn a_secret_goes_by_a_file_and_what_was_not_given_is_not_sent() {
    let report = json!({"outcome": "ok", "sentence": "Fine.", "server_version": "1.5.1"});
    let console = StandIn::start(vec![
        ("GET", "/integrations/tacticalrmm", 200, json!({"state": "not_connected", "is_active": false, "secrets": []})),
        ("PUT", "/integrations/tacticalrmm", 200, json!({})),
        ("POST", "/integrations/tacticalrmm/test", 200, report),
    ]);
    let mut key = tempfile::NamedTempFile::new().unwrap();
    writeln!(key, "CANARYKEY").unwrap();
    let output = console.muster(&[
        "connect",
        "--api-key-file",
        key.path().to_str().unwrap(),
        "--url",
        "https://api.example.com/",
    ]);
    assert!(output.status.success() && !stderr(&output).contains("CANARY"), "{}", stderr(&output));
    let asked = console.asked();
    assert_eq!(asked.iter().map(|it| it.0.as_str()).collect::<Vec<_>>(), ["GET", "PUT", "POST"], "nothing to lose");
    let (_, _, sent) = asked[1].clone();
    assert_eq!(
        sent,
        json!({"instance_url": "https://api.example.com", "auth_mode": "api_key", "api_key": "CANARYKEY"})
    );
    console.muster(&["test", "--code", "123456"]);
    assert_eq!(console.asked().pop().unwrap().2, json!({"code": "123456"}));
}

#[test]
fn a_test_that_finds_something_ends_with_1_and_the_remedy() {
    let report = json!({"outcome": "code_needed", "sentence": "A code is needed.", "remedy": "Test with it."});
    let console = StandIn::start(vec![("POST", "/integrations/tacticalrmm/test", 200, report)]);
    let output = console.muster(&["test", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("code_needed: A code is needed. Test with it."), "{}", stderr(&output));
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap()["outcome"], "code_needed");
}

#[test]
fn only_what_has_one_proposal_is_accepted() {
    let fit = |client: &str, how: &str| json!({"client_id": client, "client_name": client, "match": how});
    let row =
        |id: &str, proposals: Value| json!({"mapping_id": id, "name": id, "client_id": null, "proposals": proposals});
    let mappings = json!({"mappings": [
        row("one", json!([fit("a", "exact")])),
        row("two", json!([fit("b", "exact"), fit("c", "exact")])),
        row("none", json!([])),
        row("near", json!([fit("d", "normalized")])),
        {"mapping_id": "mapped", "client_id": "e", "proposals": []},
    ]});
    let path = "/integrations/tacticalrmm/organization-mappings";
    for (flags, expected) in [(&["--exact"][..], 1), (&[], 2)] {
        let console = StandIn::start(vec![("GET", path, 200, mappings.clone()), ("PATCH", path, 200, json!({}))]);
        let output = console.muster(&[&["mappings", "accept-proposals"], flags].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        let sent = console.asked().pop().unwrap().2;
        assert_eq!(sent["mappings"].as_array().unwrap().len(), expected, "{sent}");
        assert_eq!(sent["mappings"][0], json!({"mapping_id": "one", "client_id": "a"}));
    }
}

#[test]
fn assets_are_read_page_by_page_up_to_the_limit() {
    let page =
        |name: &str, next: Value| json!({"assets": [{"name": name, "agent_status": "online"}], "next_cursor": next});
    let console = StandIn::start(vec![
        ("GET", "/assets?status=online&limit=3", 200, page("first", json!("c"))),
        ("GET", "/assets?status=online&limit=2&cursor=c", 200, page("second", Value::Null)),
    ]);
    let output = console.muster(&["assets", "--status", "online", "--limit", "3"]);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success() && text.contains("first") && text.contains("second"), "{text}{}", stderr(&output));
}

#[test]
fn software_is_listed_by_program_by_device_and_by_change() {
    let asset = "00000000-0000-0000-0000-000000000007";
    let version = |version: &str| json!({"version": version});
    let console = StandIn::start(vec![
        (
            "GET",
            "/software?q=fire&installed=true&limit=500",
            200,
            json!({"software": [{"name": "Firefox", "devices": 3}]}),
        ),
        (
            "GET",
            "/assets/00000000-0000-0000-0000-000000000007/software?gone=true&limit=500",
            200,
            json!({"software": [{"name": "Java", "versions": [version("8.10"), version("8.9")]}]}),
        ),
        (
            "GET",
            "/software/changes?change=updated&since=2026-01-01T00%3A00%3A00.000000Z&limit=100",
            200,
            json!({"changes": [{"name": "Git", "change": "updated", "previous_version": "1", "version": "2"}]}),
        ),
    ]);
    for (arguments, said) in [
        (&["list", "--search", "fire", "--installed", "true"][..], "Firefox"),
        (&["list", "--asset", asset, "--gone"], "8.10, 8.9"),
        (&["changes", "--change", "updated", "--since", "2026-01-01T00:00:00Z"], "Git"),
    ] {
        let output = console.muster(&[&["software"], arguments].concat());
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        assert!(output.status.success() && text.contains(said), "{arguments:?}: {text}{}", stderr(&output));
    }
}

#[test]
fn what_is_missing_is_said_in_a_line() {
    let console = StandIn { url: "http://127.0.0.1:1".to_owned(), asked: Asked::default() };
    let output = console.muster(&["status"]);
    assert!(stderr(&output).contains("MUSTER_CONSOLE_URL") && stderr(&output).lines().count() == 1);
    let bare = Command::new(env!("CARGO_BIN_EXE_muster")).env_clear().args(["status", "--tenant", TENANT]).output();
    assert_eq!(bare.unwrap().status.code(), Some(2), "no console was named");
}
