//! The commands that ask the console, against a stand-in that answers what a test tells it to.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

const TENANT: &str = "11111111-2222-4333-8444-555555555555";
const TOKEN: &str = "muster_canary_of_the_tests";

/// What was asked: method, path behind the tenant, body.
type Asked = Arc<Mutex<Vec<(String, String, Value)>>>;

/// A console that answers by a table of (method, path) and keeps what it was asked.
struct StandIn {
    url: String,
    asked: Asked,
}

impl StandIn {
    fn start(answers: Vec<(&'static str, &'static str, u16, Value)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let (url, asked) = (format!("http://{}", listener.local_addr().expect("it is bound")), Asked::default());
        let kept = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let (head, body) = request(&mut stream);
                let mut words = head.split_whitespace();
                let (method, path) = (
                    words.next().expect("a request line").to_owned(),
                    words.next().expect("a request line").to_owned(),
                );
                assert!(
                    head.contains(&format!("Bearer {TOKEN}")) || head.contains(&format!("bearer {TOKEN}")),
                    "{head}"
                );
                let path =
                    path.strip_prefix(&format!("/api/v1/tenants/{TENANT}")).expect("a path of the tenant").to_owned();
                let found = answers.iter().find(|answer| answer.0 == method && answer.1 == path);
                let (status, answer) =
                    found.map_or((404, json!({"detail": "no such path"})), |it| (it.2, it.3.clone()));
                kept.lock().expect("nobody panicked").push((method, path, body));
                let text = answer.to_string();
                let length = text.len();
                write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}")
                    .expect("the command reads");
            }
        });
        Self { url, asked }
    }

    fn muster(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
        command.env_clear().env("MUSTER_CONSOLE_URL", &self.url).env("MUSTER_TOKEN", TOKEN);
        command.env("MUSTER_TENANT", TENANT).args(arguments).output().expect("the command was built with this test")
    }

    fn asked(&self) -> Vec<(String, String, Value)> {
        self.asked.lock().expect("nobody panicked").clone()
    }
}

/// Head and JSON body of one request.
fn request(stream: &mut std::net::TcpStream) -> (String, Value) {
    let mut text = String::new();
    let mut buffer = [0; 4_096];
    loop {
        let length = stream.read(&mut buffer).expect("the command sends");
        text.push_str(std::str::from_utf8(&buffer[..length]).expect("ASCII"));
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_owned();
        let expected = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= expected.unwrap_or(0_usize) {
            return (head, serde_json::from_str(body).unwrap_or(Value::Null));
        }
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("it prints text")
}

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
        assert!(said.starts_with(&format!("{state}: 1 of 2 parts in 2.5 s; 7 seen: 7 new")), "{said}");
        assert!(stderr(&output).contains("Contoso: failed: no answer"), "{}", stderr(&output));
        assert_eq!(stderr(&output).contains("ended as"), code == 1);
    }
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
    let (_, _, sent) = console.asked().remove(0);
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
fn what_is_missing_is_said_in_a_line() {
    let console = StandIn { url: "http://127.0.0.1:1".to_owned(), asked: Asked::default() };
    let output = console.muster(&["status"]);
    assert!(stderr(&output).contains("MUSTER_CONSOLE_URL") && stderr(&output).lines().count() == 1);
    let bare = Command::new(env!("CARGO_BIN_EXE_muster")).env_clear().args(["status", "--tenant", TENANT]).output();
    assert_eq!(bare.unwrap().status.code(), Some(2), "no console was named");
}
