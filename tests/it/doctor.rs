//! `muster doctor` against real servers: each fault is made, named with its remedy, and gone once it is mended.

mod broker;
mod database;
mod fleet;
mod waiting;

use std::process::{Command, Output};

use serde_json::Value;
use store::testing::TestDatabase;
use tests::Vhost;

/// What a doctor looks at: servers on which everything is as it should be.
struct Ward {
    database: TestDatabase,
    vhost: Vhost,
}

/// What it said.
struct Report {
    code: Option<i32>,
    findings: Vec<Value>,
    text: String,
}

impl Ward {
    async fn new() -> Self {
        let (database, vhost) = (TestDatabase::create().await, Vhost::create().await);
        vhost.declare_topology(&vhost.config()).await.expect("nothing is in its way");
        Self { database, vhost }
    }

    /// Looks, with these flags and these variables beside those of the two servers.
    async fn look(&self, flags: &[&str], environment: &[(&str, &str)]) -> Report {
        let urls = [("MUSTER_DATABASE_URL", self.database.url()), ("MUSTER_AMQP_URL", self.vhost.url())];
        look(flags, &[&urls, environment].concat()).await
    }

    /// The one check, as it is now.
    async fn only(&self, check: &str) -> Report {
        self.look(&["--only", check], &[]).await
    }
}

/// Runs the command with these variables and no others.
async fn look(flags: &[&str], environment: &[(&str, &str)]) -> Report {
    let mut command = Command::new(tests::process::binary("muster"));
    // the ladder of the tests, see `tests::vhost`
    command.env_clear().env("MUSTER_RETRY_BASE_MS", "1").envs(environment.iter().copied());
    command.args(["doctor", "--json"]).args(flags);
    // it may speak to a proxy of this runtime
    let run = tokio::task::spawn_blocking(move || command.output()).await.expect("it does not panic");
    let Output { status, stdout, stderr } = run.expect("the programs are built");
    let text = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    let answer: Value = serde_json::from_slice(&stdout).unwrap_or(Value::Null);
    let findings = answer["findings"].as_array().cloned().unwrap_or_default();
    Report { code: status.code(), findings, text }
}

impl Report {
    /// The findings of a check, with the state.
    fn of(&self, check: &str) -> Vec<(&str, &str)> {
        let own = self.findings.iter().filter(|it| it["check"] == check);
        own.map(|it| (it["state"].as_str().expect("a word"), it["finding"].as_str().expect("a text"))).collect()
    }

    /// One finding of the check has this state, says this and is mended so; the exit code says whether something is wrong.
    #[track_caller]
    fn says(&self, check: &str, state: &str, finding: &str, remedy: &str) {
        let found = self.findings.iter().find(|it| {
            let has = |member: &str, text: &str| it[member].as_str().is_some_and(|said| said.contains(text));
            it["check"] == check && it["state"] == state && has("finding", finding) && has("remedy", remedy)
        });
        assert!(found.is_some(), "no {state} of {check} says {finding:?} and {remedy:?}: {}", self.text);
        let is_wrong = self.findings.iter().any(|it| it["state"] == "wrong");
        assert_eq!(self.code, Some(i32::from(is_wrong)), "{}", self.text);
    }

    /// Everything that was looked at is in order.
    #[track_caller]
    fn is_well(&self) {
        let ill: Vec<&Value> = self.findings.iter().filter(|it| it["state"] != "ok").collect();
        assert!(ill.is_empty() && !self.findings.is_empty(), "{}", self.text);
        assert_eq!(self.code, Some(0), "{}", self.text);
    }
}
