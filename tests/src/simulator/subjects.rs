//! What a template sees when it looks at an alert, an agent, a client or a site.

use std::collections::BTreeMap;

use super::alert::{Alert, Source};
use super::catalogue::{CHECKS, TASKS};
use super::presence::Agent;
use super::python::datetime_str;
use super::template::{Roots, number, text, truth};
use super::world::Run;

/// The names of the agents' custom fields, by definition id - 1.
pub(super) const AGENT_FIELDS: [&str; 3] = ["Asset tag", "Critical", "Roles"];

/// Everything that one webhook can mention. Without an alert (a test run) `alert.x` looks at the agent.
pub(super) struct Context<'a> {
    pub(super) alert: Option<&'a Alert>,
    pub(super) agent: &'a Agent,
    pub(super) run: Option<&'a Run>,
    pub(super) globals: &'a BTreeMap<String, String>,
}

impl Roots for Context<'_> {
    fn resolve(&self, root: &str, path: &str) -> Option<String> {
        Some(match (root, self.alert) {
            ("alert", Some(alert)) => self.alert(alert, path),
            ("alert", None) | ("agent", _) => agent(self.agent, path),
            ("client", _) => named(path, self.agent.client, &self.agent.client_name),
            ("site", _) => named(path, self.agent.site, &self.agent.site_name),
            // a key that is not in the store stays as text (not measured)
            ("global", _) => return self.globals.get(path).cloned(),
            _ => return None,
        })
    }
}

impl Context<'_> {
    fn alert(&self, alert: &Alert, path: &str) -> String {
        let (first, rest) = path.split_once('.').unwrap_or((path, ""));
        match first {
            "id" => number(Some(alert.id)),
            "alert_type" => alert.source.name().to_owned(),
            "severity" => alert.severity.name().to_owned(),
            "message" => text(alert.message.as_deref()),
            "alert_time" => datetime_str(alert.alert_time),
            "resolved_on" => alert.resolved_on.map_or_else(|| "None".to_owned(), datetime_str),
            "resolved" => truth(alert.resolved()),
            "snoozed" => truth(alert.snoozed),
            "hidden" => truth(alert.hidden),
            "agent" if !rest.is_empty() => agent(self.agent, rest),
            "agent" => self.agent.hostname.clone(),
            "assigned_check" => check(alert.source, rest),
            "assigned_task" => task(alert.source, rest),
            "get_result" => result(self.run, rest),
            _ => format!("{} - {}", alert.source.name(), alert.message.as_deref().unwrap_or("None")),
        }
    }
}

fn check(source: Source, path: &str) -> String {
    let Source::Check(id) = source else { return "None".to_owned() };
    let Some(check) = CHECKS.get((id - 1) as usize) else { return number(Some(id)) };
    match path {
        "id" => number(Some(id)),
        "check_type" => check.kind.to_owned(),
        _ => check.description.to_owned(),
    }
}

fn task(source: Source, path: &str) -> String {
    let Source::Task(id) = source else { return "None".to_owned() };
    match (path, TASKS.get((id - 1) as usize)) {
        ("id", _) | (_, None) => number(Some(id)),
        (_, Some((name, _))) => (*name).to_owned(),
    }
}

fn result(run: Option<&Run>, path: &str) -> String {
    let Some(run) = run else { return "None".to_owned() };
    match path {
        "stdout" => text(run.stdout.as_deref()),
        "stderr" => text(run.stderr.as_deref()),
        "retcode" => number(Some(run.retcode)),
        "status" => if run.failures > 0 { "failing" } else { "passing" }.to_owned(),
        _ => "None".to_owned(),
    }
}

fn agent(agent: &Agent, path: &str) -> String {
    let machine = &agent.machine;
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    match first {
        "id" | "pk" => number(Some(machine.pk)),
        "agent_id" => machine.agent_id.clone(),
        "status" => agent.status.name().to_owned(),
        "plat" => machine.platform.name().to_owned(),
        "version" => machine.version().to_owned(),
        "operating_system" => text(machine.operating_system()),
        "public_ip" => text(machine.public_ip().as_deref()),
        "local_ips" => machine.local_ips(),
        "description" => text(agent.description.as_deref()),
        "monitoring_type" => agent.monitoring_type.clone(),
        "maintenance_mode" => truth(agent.maintenance),
        "logged_in_username" => text(agent.user.as_deref()),
        "last_seen" => agent.last_seen.map_or_else(|| "None".to_owned(), datetime_str),
        "site" if rest.starts_with("client") => {
            named(rest.split_once('.').map_or("", |(_, rest)| rest), agent.client, &agent.client_name)
        }
        "site" => named(rest, agent.site, &agent.site_name),
        "client" => named(rest, agent.client, &agent.client_name),
        _ => custom_field(agent, path).unwrap_or_else(|| agent.hostname.clone()),
    }
}

/// A custom field by its name; a list is written with commas.
fn custom_field(agent: &Agent, name: &str) -> Option<String> {
    let id = AGENT_FIELDS.iter().position(|field| *field == name)? as i64 + 1;
    let (_, value) = agent.machine.custom_fields().into_iter().find(|(field, _)| *field == id)?;
    Some(match value {
        serde_json::Value::Bool(value) => truth(value),
        serde_json::Value::String(value) => text(Some(&value)),
        serde_json::Value::Array(items) => items.iter().filter_map(|item| item.as_str()).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    })
}

fn named(path: &str, id: i64, name: &str) -> String {
    if path == "id" { number(Some(id)) } else { name.to_owned() }
}
