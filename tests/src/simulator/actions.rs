//! What is asked of a running agent: commands, scripts, reboots, ping, history, remote desktop links.

use std::time::Duration;

use axum::http::Method;
use axum::response::Response;
use serde_json::{Value, json};

use super::catalogue::SCRIPTS;
use super::clock::iso;
use super::dice::Dice;
use super::machine::Platform;
use super::presence::{Agent, Status};
use super::reply::{crash, forbidden, no_such, ok, refused, said};
use super::routes::AgentView;
use super::server::Call;
use super::world::World;

/// How long the server waits for an agent beyond the caller's own timeout, in milliseconds.
const CMD_GRACE_MS: u64 = 2_000;
const SCRIPT_GRACE_MS: u64 = 3_000;
const SHORT_WAIT_MS: u64 = 10_000;
const PING_WAIT_MS: u64 = 7_500;
const NATS_WAIT_MS: u64 = 4_000;

/// Where an action goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    Connected,
    AgentAway,
    NatsDown,
}

fn line(world: &World, agent: &Agent) -> Line {
    match agent.status {
        _ if !world.nats_up => Line::NatsDown,
        Status::Online => Line::Connected,
        Status::Offline | Status::Overdue => Line::AgentAway,
    }
}

/// Waits as long as the real server would, scaled by the configuration.
async fn wait(call: &Call, real_ms: u64) {
    let percent = u64::from(call.shared.world().config.action_wait_percent);
    tokio::time::sleep(Duration::from_millis(real_ms * percent / 100)).await;
}

/// The agent of a path, if the caller sees it.
fn find(agent_id: &str, call: &Call) -> Result<(Agent, Line), Box<Response>> {
    let world = call.shared.world();
    let agent = world.pk_of(agent_id).and_then(|pk| world.agent(pk)).ok_or_else(|| Box::new(no_such("Agent")))?;
    if !call.role.sees(agent.client, agent.site) {
        return Err(Box::new(forbidden()));
    }
    let line = line(&world, &agent);
    Ok((agent, line))
}

/// Everything under `/agents/<agent_id>/…/`.
pub(super) async fn act(agent_id: &str, view: AgentView, call: &Call) -> Response {
    let (agent, line) = match find(agent_id, call) {
        Ok(found) => found,
        Err(response) => return *response,
    };
    match view {
        AgentView::Cmd => command(call, &agent, line).await,
        AgentView::RunScript => script(call, &agent, line).await,
        AgentView::Reboot if call.method == Method::PATCH => schedule_reboot(call, &agent, line),
        AgentView::Reboot | AgentView::Shutdown => short(call, line, "ok").await,
        AgentView::Ping => {
            let waited_ms = match line {
                Line::Connected => 0,
                Line::AgentAway => PING_WAIT_MS,
                Line::NatsDown => PING_WAIT_MS + SHORT_WAIT_MS - NATS_WAIT_MS,
            };
            wait(call, waited_ms).await;
            ok(&json!({"name": agent.hostname, "status": if line == Line::Connected { "online" } else { "offline" }}))
        }
        AgentView::History => {
            let world = call.shared.world();
            ok(&world.changes.get(&agent.machine.pk).map(|change| change.history.clone()).unwrap_or_default())
        }
        AgentView::Mesh => ok(&mesh_links(call, &agent)),
        AgentView::Itself => crash(),
    }
}

/// `POST /checks/<agent_id>/run/`
pub(super) async fn run_checks(agent_id: &str, call: &Call) -> Response {
    match find(agent_id, call) {
        Ok((agent, line)) => short(call, line, &format!("Checks will now be run on {}", agent.hostname)).await,
        Err(response) => *response,
    }
}

/// Actions that wait ten seconds for an agent that is away.
async fn short(call: &Call, line: Line, done: &str) -> Response {
    match line {
        Line::Connected => return said(done),
        Line::AgentAway => wait(call, SHORT_WAIT_MS).await,
        Line::NatsDown => wait(call, NATS_WAIT_MS).await,
    }
    refused("Unable to contact the agent")
}

async fn command(call: &Call, agent: &Agent, line: Line) -> Response {
    // every key is read without a default: a missing one is an exception
    let all = ["shell", "cmd", "timeout", "custom_shell", "run_as_user"].iter().all(|key| call.body.get(key).is_some());
    let (Some(command), Some(timeout_s), true) = (call.body["cmd"].as_str(), call.body["timeout"].as_u64(), all) else {
        return crash();
    };
    if line != Line::NatsDown {
        let output = format!("simulated: {command}\r\nübung 山田\r\n");
        let results = if line == Line::Connected { json!(output) } else { Value::Null };
        record(
            call,
            agent,
            json!({"type": "cmd_run", "command": command, "results": results, "script_results": null, "script": null}),
        );
    }
    match line {
        Line::Connected => said(&format!("simulated: {command}\r\nübung 山田\r\n")),
        Line::AgentAway => {
            wait(call, timeout_s * 1000 + CMD_GRACE_MS).await;
            refused("Unable to contact the agent")
        }
        Line::NatsDown => {
            wait(call, NATS_WAIT_MS).await;
            said("natsdown")
        }
    }
}

async fn script(call: &Call, agent: &Agent, line: Line) -> Response {
    let (Some(script), Some(output)) = (call.body["script"].as_i64(), call.body["output"].as_str()) else {
        return crash();
    };
    let Some((name, _)) = usize::try_from(script - 1).ok().and_then(|place| SCRIPTS.get(place)) else {
        return no_such("Script");
    };
    let fails = script == 2;
    let (stdout, stderr) = ("simulated output\n", if fails { "the pool is degraded\n" } else { "" });
    let done = line == Line::Connected && output == "wait";
    let mut entry = json!({"type": "script_run", "command": "", "results": null, "script_results": null,
    "script": script, "script_name": name});
    if done {
        entry["script_results"] =
            json!({"stdout": stdout, "stderr": stderr, "retcode": i64::from(fails), "execution_time": 0.25});
    }
    record(call, agent, entry);
    if output != "wait" {
        // an agent that is away never hears of it, and nobody is told
        return said(&format!("{name} will now be run on {}", agent.hostname));
    }
    match line {
        Line::Connected => said(&format!("{stdout}{stderr}")),
        Line::AgentAway => {
            wait(call, call.body["timeout"].as_u64().unwrap_or_default() * 1000 + SCRIPT_GRACE_MS).await;
            said("timeout")
        }
        Line::NatsDown => {
            wait(call, NATS_WAIT_MS).await;
            said("natsdown")
        }
    }
}

fn schedule_reboot(call: &Call, agent: &Agent, line: Line) -> Response {
    if agent.machine.platform != Platform::Windows {
        return refused(&format!("Not available for {}", agent.machine.platform.name()));
    }
    let Some(time) = call.body.get("datetime").and_then(Value::as_str) else { return crash() };
    let Ok(time) = chrono::NaiveDateTime::parse_from_str(time, "%Y-%m-%dT%H:%M") else {
        return refused("Invalid date");
    };
    match line {
        Line::Connected => {
            let task = format!("TacticalRMM_SchedReboot_{}", agent.machine.dice.letters(70, 10));
            ok(&json!({"time": time.format("%B %d, %Y at %I:%M %p").to_string(), "agent": agent.hostname,
                "task_name": task}))
        }
        Line::AgentAway => refused("Unable to contact the agent"),
        Line::NatsDown => refused("natsdown"),
    }
}

/// Adds an entry to an agent's history and gives it its id.
fn record(call: &Call, agent: &Agent, mut entry: Value) {
    let mut world = call.shared.world();
    world.history_id_last += 1;
    let id = world.history_id_last;
    entry["id"] = json!(id);
    entry["time"] = json!(iso(world.now()));
    entry["username"] = json!(call.user);
    entry["agent"] = json!(agent.machine.pk);
    for (key, value) in
        [("collector_all_output", json!(false)), ("save_to_agent_note", json!(false)), ("custom_field", Value::Null)]
    {
        entry[key] = value;
    }
    if entry["script_results"].is_object() {
        entry["script_results"]["id"] = json!(id);
    }
    world.change(agent.machine.pk).history.push(entry);
}

/// Links that carry a login cookie of the caller's own user; `gotonode=None` where there is no node.
fn mesh_links(call: &Call, agent: &Agent) -> Value {
    let node = agent.machine.mesh_node().unwrap_or_else(|| "None".to_owned());
    let cookie = Dice::new(call.shared.world().seed, agent.machine.pk).letters(71, 96);
    let link = |mode: u32| format!("https://mesh.example.com/?login={cookie}&gotonode={node}&viewmode={mode}&hide=31");
    json!({
        "hostname": agent.hostname, "control": link(11), "terminal": link(12), "file": link(13),
        "status": agent.status.name(),
        "client": agent.client_name, "site": agent.site_name,
    })
}
