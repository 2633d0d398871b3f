//! The control API over HTTP, for processes that cannot hold a [`Control`].
//!
//! `POST /_control/<command>` with the command's fields as a JSON object; the commands are the variants of [`Command`]
//! in snake case: `curl -d '{"agent":7,"check":1,"severity":"error"}' $URL/_control/fail_check`. An `agent` is a pk or
//! the 40 letters. 200 answers a JSON value, 400 `{"error": …}` for what cannot be read, 404 for what does not exist.
//!
//! `GET /_control/state`, `/_control/agents?after=0&limit=1000`, `/_control/webhooks?after=0&limit=1000` (the ledger),
//! `/_control/alerts` (the truth about each).

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use chrono::TimeDelta;
use serde::Deserialize;
use serde_json::{Value, json};

use super::accounts::Role;
use super::alert::{Severity, Source};
use super::alerting::Outcome;
use super::config::WebhookSettings;
use super::control::{Control, NoSuch, Replacement};
use super::faults::Fault;
use super::reply::{json_reply, ok};
use super::server::Shared;
use super::software::Program;

/// An agent by its pk or by its 40 letters.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum AgentName {
    /// The integer pk.
    Pk(i64),
    /// The agent id.
    Id(String),
}

/// Everything that can be commanded; see [`Control`] for what each does.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "each variant is the method of `Control` of the same name, its fields are that method's arguments"
)]
pub enum Command {
    Advance {
        seconds: i64,
    },
    SetSpeed {
        speed: f64,
    },
    FailCheck {
        agent: AgentName,
        check: i64,
        severity: Severity,
        #[serde(default)]
        outcome: Outcome,
    },
    PassCheck {
        agent: AgentName,
        check: i64,
    },
    FailTask {
        agent: AgentName,
        task: i64,
        severity: Severity,
        #[serde(default)]
        outcome: Outcome,
    },
    PassTask {
        agent: AgentName,
        task: i64,
    },
    AgentDown {
        agent: AgentName,
    },
    AgentOverdue {
        agent: AgentName,
    },
    AgentUp {
        agent: AgentName,
    },
    RunBeats {},
    SetMaintenance {
        agent: AgentName,
        on: bool,
    },
    MoveAgent {
        agent: AgentName,
        site: i64,
    },
    RenameAgent {
        agent: AgentName,
        hostname: String,
    },
    RenameClient {
        client: i64,
        name: String,
    },
    DeleteAgent {
        agent: AgentName,
    },
    ReinstallAgent {
        agent: AgentName,
    },
    Resolve {
        alert: i64,
    },
    ResolveBulk {
        alerts: Vec<i64>,
    },
    Snooze {
        alert: i64,
        days: Option<i64>,
    },
    DeleteAlert {
        alert: i64,
    },
    SetWebhook {
        settings: Option<WebhookSettings>,
    },
    /// Muster's own two templates.
    SetMusterWebhook {
        url: String,
        secret: String,
    },
    TestRun {
        agent: AgentName,
    },
    SetRole {
        name: String,
        role: Role,
    },
    EndSessions {},
    ReplaceServer {
        by: Replacement,
    },
    AddFault {
        fault: Fault,
    },
    ClearFaults {},
    SetNats {
        up: bool,
    },
    SetBeta {
        on: bool,
    },
    Install {
        agent: AgentName,
        program: Program,
    },
    Uninstall {
        agent: AgentName,
        name: String,
    },
    SetReportEmpty {
        agent: AgentName,
        empty: bool,
    },
    Storm {
        webhooks: u64,
    },
    SendInParallel {
        lanes: usize,
    },
}

/// Where in a long list to begin, and how much of it to answer.
#[derive(Debug, Deserialize)]
struct Part {
    #[serde(default)]
    after: u64,
    #[serde(default = "part_rows")]
    limit: usize,
}

fn part_rows() -> usize {
    1000
}

/// The routes under `/_control`.
pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/_control/state", get(state))
        .route("/_control/agents", get(agents))
        .route("/_control/webhooks", get(webhooks))
        .route("/_control/alerts", get(alerts))
        .route("/_control/{command}", post(command))
}

async fn state(State(shared): State<Arc<Shared>>) -> Response {
    let control = Control(shared);
    let alerts = control.alerts();
    let open = alerts.iter().filter(|alert| alert.resolved_on.is_none() && alert.deleted_at.is_none()).count();
    let waiting = control.webhooks().iter().filter(|webhook| webhook.finished_at.is_none()).count();
    ok(&json!({"now": control.now(), "webhooks": control.webhook_count(), "webhooks_waiting": waiting,
        "alerts": alerts.len(), "alerts_open": open}))
}

async fn agents(State(shared): State<Arc<Shared>>, Query(part): Query<Part>) -> Response {
    ok(&Control(shared).agents_after(i64::try_from(part.after).unwrap_or(i64::MAX), part.limit))
}

async fn webhooks(State(shared): State<Arc<Shared>>, Query(part): Query<Part>) -> Response {
    ok(&Control(shared).webhooks_after(part.after, part.limit))
}

async fn alerts(State(shared): State<Arc<Shared>>) -> Response {
    ok(&Control(shared).alerts())
}

async fn command(State(shared): State<Arc<Shared>>, Path(name): Path<String>, body: Bytes) -> Response {
    let command = match read(&name, &body) {
        Ok(command) => command,
        Err(error) => return json_reply(StatusCode::BAD_REQUEST, &json!({"error": error.to_string()})),
    };
    match run(&Control(shared), command) {
        Ok(answer) => ok(&answer),
        Err(error) => json_reply(StatusCode::NOT_FOUND, &json!({"error": error.to_string()})),
    }
}

fn read(name: &str, body: &[u8]) -> Result<Command, serde_json::Error> {
    let mut fields: serde_json::Map<String, Value> =
        if body.is_empty() { serde_json::Map::new() } else { serde_json::from_slice(body)? };
    fields.insert("command".to_owned(), json!(name));
    serde_json::from_value(Value::Object(fields))
}

/// Does what a command says.
///
/// # Errors
/// What it names does not exist.
pub fn run(control: &Control, command: Command) -> Result<Value, NoSuch> {
    let pk = |agent: AgentName| match agent {
        AgentName::Pk(pk) => Ok(pk),
        AgentName::Id(id) => control.pk_of(&id),
    };
    Ok(match command {
        Command::Advance { seconds } => json!(control.advance(TimeDelta::seconds(seconds))),
        Command::SetSpeed { speed } => json!(control.set_speed(speed)),
        Command::FailCheck { agent, check, severity, outcome } => {
            json!(control.fail(pk(agent)?, Source::Check(check), severity, outcome)?)
        }
        Command::PassCheck { agent, check } => json!(control.pass(pk(agent)?, Source::Check(check))?),
        Command::FailTask { agent, task, severity, outcome } => {
            json!(control.fail(pk(agent)?, Source::Task(task), severity, outcome)?)
        }
        Command::PassTask { agent, task } => json!(control.pass(pk(agent)?, Source::Task(task))?),
        Command::AgentDown { agent } => json!(control.agent_down(pk(agent)?)?),
        Command::AgentOverdue { agent } => json!(control.agent_overdue(pk(agent)?)?),
        Command::AgentUp { agent } => json!(control.agent_up(pk(agent)?)?),
        Command::RunBeats {} => json!(control.run_beats()),
        Command::SetMaintenance { agent, on } => json!(control.set_maintenance(pk(agent)?, on)?),
        Command::MoveAgent { agent, site } => json!(control.move_agent(pk(agent)?, site)?),
        Command::RenameAgent { agent, hostname } => json!(control.rename_agent(pk(agent)?, &hostname)?),
        Command::RenameClient { client, name } => json!(control.rename_client(client, &name)?),
        Command::DeleteAgent { agent } => json!(control.delete_agent(pk(agent)?)?),
        Command::ReinstallAgent { agent } => json!(control.reinstall_agent(pk(agent)?)?),
        Command::Resolve { alert } => json!(control.resolve_by_hand(alert)?),
        Command::ResolveBulk { alerts } => json!(control.resolve_bulk(&alerts)),
        Command::Snooze { alert, days } => json!(control.snooze(alert, days)?),
        Command::DeleteAlert { alert } => json!(control.delete_alert(alert)?),
        Command::SetWebhook { settings } => json!(control.set_webhook(settings)),
        Command::SetMusterWebhook { url, secret } => {
            json!(control.set_webhook(Some(WebhookSettings::muster(&url, &secret))))
        }
        Command::TestRun { agent } => json!(control.test_run(pk(agent)?)?),
        Command::SetRole { name, role } => json!(control.set_role(&name, role)?),
        Command::EndSessions {} => json!(control.end_sessions()),
        Command::ReplaceServer { by } => json!(control.replace_server(by)),
        Command::AddFault { fault } => json!(control.add_fault(fault)),
        Command::ClearFaults {} => json!(control.clear_faults()),
        Command::SetNats { up } => json!(control.set_nats(up)),
        Command::SetBeta { on } => json!(control.set_beta(on)),
        Command::Install { agent, program } => json!(control.install(pk(agent)?, program)?),
        Command::Uninstall { agent, name } => json!(control.uninstall(pk(agent)?, &name)?),
        Command::SetReportEmpty { agent, empty } => json!(control.set_report_empty(pk(agent)?, empty)?),
        Command::Storm { webhooks } => json!(control.storm(webhooks)),
        Command::SendInParallel { lanes } => json!(control.send_in_parallel(lanes)),
    })
}
