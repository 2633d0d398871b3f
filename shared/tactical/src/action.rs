//! What is done to an agent. The server waits for the agent, and so does the request; failures hide in answers of 200.

use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::agent::agent_place;
use crate::ask::Ask;
use crate::lenient;
use crate::{Client, Error};

/// Beyond an action's own time Tactical waits some seconds more, and its message bus four.
const GRACE: Duration = Duration::from_secs(15);

/// A shell command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// `cmd`, `powershell`, or a path such as `/bin/bash`.
    pub shell: String,
    /// The line.
    pub line: String,
    /// How long it may run, in seconds.
    pub timeout_s: u32,
    /// As the logged-in user in place of the system.
    pub run_as_user: bool,
}

/// A script of the server's library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptRun {
    /// Primary key of the script.
    pub script: i64,
    /// Its arguments.
    pub args: Vec<String>,
    /// `NAME=value`.
    pub env_vars: Vec<String>,
    /// How long it may run, in seconds.
    pub timeout_s: u32,
    /// As the logged-in user in place of the system.
    pub run_as_user: bool,
}

/// A script of the server's library, without its text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Script {
    /// Primary key.
    pub id: i64,
    /// Its name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub name: Option<String>,
    /// `powershell`, `cmd`, `python`, `shell` …
    #[serde(default, deserialize_with = "lenient::text")]
    pub shell: Option<String>,
    /// Its folder.
    #[serde(default, deserialize_with = "lenient::text")]
    pub category: Option<String>,
    /// What it does.
    #[serde(default, deserialize_with = "lenient::text")]
    pub description: Option<String>,
    /// In seconds.
    #[serde(default, rename = "default_timeout", deserialize_with = "lenient::int")]
    pub timeout_s: Option<i64>,
}

/// What once was done to an agent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct HistoryEntry {
    /// Primary key.
    pub id: i64,
    /// When it was asked for.
    #[serde(default, deserialize_with = "lenient::time")]
    pub time: Option<DateTime<Utc>>,
    /// `task_run`, `script_run` or `cmd_run`.
    #[serde(default, rename = "type", deserialize_with = "lenient::text")]
    pub kind: Option<String>,
    /// The command's line.
    #[serde(default, deserialize_with = "lenient::raw")]
    pub command: Option<String>,
    /// Who asked.
    #[serde(default, deserialize_with = "lenient::text")]
    pub username: Option<String>,
    /// A command's output; `None` while it runs, and for ever where it was lost.
    #[serde(default, deserialize_with = "lenient::raw")]
    pub results: Option<String>,
    /// A script's outcome; `None` while it runs, and for ever where it was lost.
    #[serde(default, deserialize_with = "lenient::object")]
    pub script_results: Option<ScriptResult>,
    /// Primary key of the script.
    #[serde(default, deserialize_with = "lenient::int")]
    pub script: Option<i64>,
    /// The script's name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub script_name: Option<String>,
}

/// How a script ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ScriptResult {
    /// What it wrote.
    #[serde(deserialize_with = "lenient::raw")]
    pub stdout: Option<String>,
    /// What it complained of.
    #[serde(deserialize_with = "lenient::raw")]
    pub stderr: Option<String>,
    /// Its exit code.
    #[serde(deserialize_with = "lenient::int")]
    pub retcode: Option<i64>,
}

/// Links into MeshCentral. Each carries a login of the API key's own user: not to be stored, nor shown to another person.
#[derive(Debug, Clone, Deserialize)]
pub struct MeshLinks {
    /// The agent's host name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub hostname: Option<String>,
    /// Remote control.
    #[serde(default, deserialize_with = "secret")]
    pub control: Option<SecretString>,
    /// A terminal.
    #[serde(default, deserialize_with = "secret")]
    pub terminal: Option<SecretString>,
    /// Its files.
    #[serde(default, deserialize_with = "secret")]
    pub file: Option<SecretString>,
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    Ok(lenient::text(deserializer)?.map(SecretString::from))
}

/// The words that a 200 hides a failure in. A script that writes exactly such a word, without a line's end, cannot be told
/// from it.
fn output(said: String) -> Result<String, Error> {
    match said.as_str() {
        "natsdown" => Err(Error::NatsDown),
        "timeout" => Err(Error::AgentTimeout),
        _ => Ok(said),
    }
}

impl Client {
    /// `POST /agents/<id>/cmd/`: runs a command and answers with what it wrote; the exit code is not told. Needs
    /// `can_send_cmd`.
    ///
    /// # Errors
    /// [`Error::AgentAway`], [`Error::NatsDown`].
    pub async fn run_command(&self, agent_id: &str, command: &Command) -> Result<String, Error> {
        const ENDPOINT: &str = "/agents/{agent}/cmd/";
        // all five are needed; one that is missing is a 500
        let body = json!({
            "shell": command.shell, "cmd": command.line, "timeout": command.timeout_s, "custom_shell": null,
            "run_as_user": command.run_as_user,
        });
        self.act(Ask::post(ENDPOINT, &[agent_place(ENDPOINT, agent_id)?], body), command.timeout_s).await
    }

    /// `POST /agents/<id>/runscript/`: runs a script and answers with what it wrote; the exit code stands in the history.
    /// Needs `can_run_scripts`.
    ///
    /// # Errors
    /// [`Error::AgentTimeout`] where the agent is away or the script took too long, [`Error::NatsDown`],
    /// [`Error::NotFound`].
    pub async fn run_script(&self, agent_id: &str, run: &ScriptRun) -> Result<String, Error> {
        self.act(script_ask(agent_id, run, "wait")?, run.timeout_s).await
    }

    /// Starts a script and does not wait. The answer is the same where it is lost: agent away, message bus down.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn start_script(&self, agent_id: &str, run: &ScriptRun) -> Result<(), Error> {
        self.act(script_ask(agent_id, run, "forget")?, 0).await.map(drop)
    }

    /// `POST /agents/<id>/reboot/`. Needs `can_reboot_agents`.
    ///
    /// # Errors
    /// [`Error::AgentAway`], also where the message bus is down.
    pub async fn reboot(&self, agent_id: &str) -> Result<(), Error> {
        const ENDPOINT: &str = "/agents/{agent}/reboot/";
        self.act(Ask::post(ENDPOINT, &[agent_place(ENDPOINT, agent_id)?], json!({})), 0).await.map(drop)
    }

    /// `GET /agents/<id>/history/`: everything that was ever done, unpaged. Needs `can_list_agent_history`.
    ///
    /// # Errors
    /// As [`Client::agent`].
    pub async fn history(&self, agent_id: &str) -> Result<Vec<HistoryEntry>, Error> {
        const ENDPOINT: &str = "/agents/{agent}/history/";
        self.list(Ask::get(ENDPOINT, &[agent_place(ENDPOINT, agent_id)?])).await
    }

    /// `GET /agents/<id>/meshcentral/`: computed on the server, so it says nothing of the agent. Needs `can_use_mesh`.
    ///
    /// # Errors
    /// As [`Client::agent`].
    pub async fn mesh_links(&self, agent_id: &str) -> Result<MeshLinks, Error> {
        const ENDPOINT: &str = "/agents/{agent}/meshcentral/";
        self.object(Ask::get(ENDPOINT, &[agent_place(ENDPOINT, agent_id)?])).await
    }

    /// `GET /scripts/`. Needs `can_list_scripts`.
    ///
    /// # Errors
    /// Tactical's refusal, or why there is no whole answer.
    pub async fn scripts(&self) -> Result<Vec<Script>, Error> {
        self.list(Ask::get("/scripts/", &[])).await
    }

    async fn act(&self, ask: Ask, timeout_s: u32) -> Result<String, Error> {
        let thinks = Duration::from_secs(u64::from(timeout_s)) + GRACE;
        output(self.object(ask.thinks(thinks)).await?)
    }
}

fn script_ask(agent_id: &str, run: &ScriptRun, wanted: &str) -> Result<Ask, Error> {
    const ENDPOINT: &str = "/agents/{agent}/runscript/";
    let body: Value = json!({
        "script": run.script, "output": wanted, "args": run.args, "run_as_user": run.run_as_user,
        "env_vars": run.env_vars, "timeout": run.timeout_s,
    });
    Ok(Ask::post(ENDPOINT, &[agent_place(ENDPOINT, agent_id)?], body))
}
