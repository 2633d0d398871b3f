//! A console that answers what a test tells it to.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

pub(crate) const TENANT: &str = "11111111-2222-4333-8444-555555555555";
const TOKEN: &str = "muster_canary_of_the_tests";

/// What was asked: method, path behind the tenant or behind the API's root, body.
pub(crate) type Asked = Arc<Mutex<Vec<(String, String, Value)>>>;

/// A console that answers by a table of (method, path) and keeps what it was asked.
pub(crate) struct StandIn {
    pub(crate) url: String,
    pub(crate) asked: Asked,
}

impl StandIn {
    pub(crate) fn start(answers: Vec<(&'static str, &'static str, u16, Value)>) -> Self {
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
                // below the tenant, or the API's own
                let path = path.strip_prefix(&format!("/api/v1/tenants/{TENANT}")).or(path.strip_prefix("/api/v1"));
                let path = path.expect("a path of the API").to_owned();
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

    pub(crate) fn muster(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
        command.env_clear().env("MUSTER_CONSOLE_URL", &self.url).env("MUSTER_TOKEN", TOKEN);
        command.env("MUSTER_TENANT", TENANT).args(arguments).output().expect("the command was built with this test")
    }

    pub(crate) fn asked(&self) -> Vec<(String, String, Value)> {
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

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("it prints text")
}
