//! Whether a typed answer says what the JSON says, read a second time and by hand.

use std::fmt::Debug;
use std::net::IpAddr;

use ::tactical::{
    AgentDetail, AgentRow, AgentSoftware, Alert, BetaAgent, BriefAgent, HistoryEntry, Organization, Site,
};
use chrono::{DateTime, Utc};
use serde_json::Value;

/// Fails where two readings of one field differ.
#[track_caller]
fn same<T: PartialEq + Debug>(typed: T, json: T, field: &str) {
    assert_eq!(typed, json, "{field}");
}

/// The rows of a JSON list.
pub(crate) fn rows(json: &Value) -> &Vec<Value> {
    json.as_array().expect("the recorded body is a list")
}

/// Each row with its own.
#[track_caller]
pub(crate) fn each<T>(typed: &[T], json: &Value, agree: impl Fn(&T, &Value)) {
    assert_eq!(typed.len(), rows(json).len(), "no row is lost");
    typed.iter().zip(rows(json)).for_each(|(typed, json)| agree(typed, json));
}

pub(crate) fn text(json: &Value, field: &str) -> Option<String> {
    let text = json[field].as_str()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn raw(json: &Value, field: &str) -> Option<String> {
    json[field].as_str().map(str::to_owned)
}

fn user(json: &Value, field: &str) -> Option<String> {
    text(json, field).filter(|name| name != "-" && name != "None")
}

fn time(json: &Value, field: &str) -> Option<DateTime<Utc>> {
    json[field].as_str().map(|text| text.parse().expect("Tactical's times are RFC 3339"))
}

fn epoch(json: &Value, field: &str) -> Option<i64> {
    #[allow(clippy::cast_possible_truncation, reason = "recorded times are whole seconds of this century")]
    json[field].as_f64().map(|seconds| seconds as i64)
}

fn address(json: &Value, field: &str) -> Option<IpAddr> {
    json[field].as_str().map(|text| text.parse().expect("recorded public addresses are addresses"))
}

/// No word for "unknown" reaches anybody.
fn known<'a>(texts: impl IntoIterator<Item = &'a String>) {
    for text in texts {
        let lower = text.to_lowercase();
        let is_word = ["unknown", "error getting", "graphics info requires", "no graphics cards"];
        assert!(!is_word.iter().any(|word| lower.starts_with(word)) && !lower.is_empty(), "{text}");
    }
}

pub(crate) fn brief(agent: &BriefAgent, json: &Value) {
    same(Some(agent.id), json["id"].as_i64(), "id");
    same(Some(agent.agent_id.clone()), raw(json, "agent_id"), "agent_id");
    same(agent.hostname.clone(), text(json, "hostname"), "hostname");
    same(agent.client.clone(), text(json, "client"), "client");
    same(agent.site.clone(), text(json, "site"), "site");
}

pub(crate) fn row(agent: &AgentRow, json: &Value) {
    same(Some(agent.agent_id.clone()), raw(json, "agent_id"), "agent_id");
    same(agent.hostname.clone(), text(json, "hostname"), "hostname");
    same(agent.client_name.clone(), text(json, "client_name"), "client_name");
    same(agent.site_name.clone(), text(json, "site_name"), "site_name");
    same(agent.monitoring_type.map(|kind| kind.as_str().to_owned()), text(json, "monitoring_type"), "monitoring_type");
    same(agent.status.map(|status| status.as_str().to_owned()), text(json, "status"), "status");
    same(agent.plat.map(|plat| plat.as_str().to_owned()), text(json, "plat"), "plat");
    same(agent.description.clone(), raw(json, "description"), "description");
    same(agent.needs_reboot, json["needs_reboot"].as_bool(), "needs_reboot");
    same(agent.has_patches_pending, json["has_patches_pending"].as_bool(), "has_patches_pending");
    same(agent.maintenance_mode, json["maintenance_mode"].as_bool(), "maintenance_mode");
    same(agent.pending_actions_count, json["pending_actions_count"].as_i64(), "pending_actions_count");
    same(agent.last_seen, time(json, "last_seen"), "last_seen");
    same(agent.boot_time.map(|time| time.timestamp()), epoch(json, "boot_time"), "boot_time");
    same(agent.logged_username.clone(), user(json, "logged_username"), "logged_username");
    same(agent.version.clone(), text(json, "version"), "version");
    same(agent.operating_system.clone(), text(json, "operating_system"), "operating_system");
    same(agent.goarch.clone(), text(json, "goarch"), "goarch");
    same(agent.public_ip, address(json, "public_ip"), "public_ip");
    same(agent.serial_number.clone(), text(json, "serial_number"), "serial_number");
    same(agent.policy, json["policy"].as_i64(), "policy");
    same(agent.checks.and_then(|checks| checks.total), json["checks"]["total"].as_i64(), "checks.total");
    let template = agent.alert_template.as_ref().and_then(|template| template.name.clone());
    same(template, text(&json["alert_template"], "name"), "alert_template");
    same(agent.custom_fields.len(), rows(&json["custom_fields"]).len(), "custom_fields");
    let hardware = agent.cpu_model.iter().chain(&agent.physical_disks).chain(&agent.make_model).chain(&agent.graphics);
    known(hardware);
    local(&agent.local_ips, json);
}

/// The first address that is one.
fn local(addresses: &[IpAddr], json: &Value) {
    let texts = json["local_ips"].as_str().unwrap_or_default().split(", ");
    let first = texts.filter_map(|text| text.split('/').next()?.parse().ok()).next();
    same(addresses.first().copied(), first, "local_ips");
}

pub(crate) fn detail(agent: &AgentDetail, json: &Value) {
    same(Some(agent.agent_id.clone()), raw(json, "agent_id"), "agent_id");
    same(agent.hostname.clone(), text(json, "hostname"), "hostname");
    same(agent.client_name.clone(), text(json, "client"), "client");
    same(agent.site, json["site"].as_i64(), "site");
    same(agent.site_name.clone(), text(json, "site_name"), "site_name");
    same(agent.status.map(|status| status.as_str().to_owned()), text(json, "status"), "status");
    same(agent.last_seen, time(json, "last_seen"), "last_seen");
    same(agent.boot_time.map(|time| time.timestamp()), epoch(json, "boot_time"), "boot_time");
    same(agent.logged_in_username.clone(), user(json, "logged_in_username"), "logged_in_username");
    same(agent.total_ram_gb, json["total_ram"].as_i64(), "total_ram");
    same(agent.disks.len(), json["disks"].as_array().map_or(0, Vec::len), "disks");
    same(agent.offline_time_min, json["offline_time"].as_i64(), "offline_time");
    same(agent.overdue_time_min, json["overdue_time"].as_i64(), "overdue_time");
    same(agent.serial_number.clone(), text(&json["wmi_detail"], "serialnumber"), "serial_number");
    same(agent.mesh_node_id.clone(), text(json, "mesh_node_id"), "mesh_node_id");
    same(agent.public_ip, address(json, "public_ip"), "public_ip");
    known(agent.cpu_model.iter().chain(&agent.physical_disks).chain(&agent.make_model).chain(&agent.graphics));
    local(&agent.local_ips, json);
}

pub(crate) fn beta(agent: &BetaAgent, json: &Value) {
    same(Some(agent.id), json["id"].as_i64(), "id");
    same(Some(agent.agent_id.clone()), raw(json, "agent_id"), "agent_id");
    same(agent.site, json["site"].as_i64(), "site");
    same(agent.last_seen, time(json, "last_seen"), "last_seen");
    same(agent.logged_in_username.clone(), user(json, "logged_in_username"), "logged_in_username");
    same(agent.total_ram_gb, json["total_ram"].as_i64(), "total_ram");
    same(agent.disks.len(), json["disks"].as_array().map_or(0, Vec::len), "disks");
    let serial = text(&json["wmi_detail"]["bios"][0][0], "SerialNumber");
    same(agent.serial_number.clone(), serial.or_else(|| text(&json["wmi_detail"], "serialnumber")), "serial_number");
}

pub(crate) fn organization(client: &Organization, json: &Value) {
    same(Some(client.id), json["id"].as_i64(), "id");
    same(Some(client.name.clone()), raw(json, "name"), "name");
    same(client.agent_count, json["agent_count"].as_i64(), "agent_count");
    // the beta API's clients have no sites
    if json["sites"].is_array() {
        each(&client.sites, &json["sites"], site);
    }
}

pub(crate) fn site(site: &Site, json: &Value) {
    same(Some(site.id), json["id"].as_i64(), "id");
    same(Some(site.name.clone()), raw(json, "name"), "name");
    same(site.client, json["client"].as_i64(), "client");
    same(site.agent_count, json["agent_count"].as_i64(), "agent_count");
}

pub(crate) fn alert(alert: &Alert, json: &Value) {
    same(Some(alert.id), json["id"].as_i64(), "id");
    same(alert.agent_id.clone(), text(json, "agent_id"), "agent_id");
    same(alert.hostname.clone(), text(json, "hostname"), "hostname");
    same(alert.client.clone(), text(json, "client"), "client");
    same(alert.site.clone(), text(json, "site"), "site");
    same(alert.agent, json["agent"].as_i64(), "agent");
    same(alert.agent.is_some(), alert.agent_id.is_some(), "an alert has an agent or not");
    same(alert.alert_time, time(json, "alert_time"), "alert_time");
    same(alert.alert_type.clone(), text(json, "alert_type"), "alert_type");
    same(alert.message.clone(), raw(json, "message"), "message");
    same(alert.severity.clone(), text(json, "severity"), "severity");
    same(alert.snoozed, json["snoozed"].as_bool(), "snoozed");
    same(alert.snooze_until, time(json, "snooze_until"), "snooze_until");
    same(alert.resolved, json["resolved"].as_bool(), "resolved");
    same(alert.resolved_on, time(json, "resolved_on"), "resolved_on");
    same(alert.hidden, json["hidden"].as_bool(), "hidden");
    same(alert.action_run, time(json, "action_run"), "action_run");
    same(alert.action_retcode, json["action_retcode"].as_i64(), "action_retcode");
    same(alert.assigned_check, json["assigned_check"].as_i64(), "assigned_check");
    same(alert.assigned_task, json["assigned_task"].as_i64(), "assigned_task");
}

pub(crate) fn history(entry: &HistoryEntry, json: &Value) {
    same(Some(entry.id), json["id"].as_i64(), "id");
    same(entry.kind.clone(), text(json, "type"), "type");
    same(entry.time, time(json, "time"), "time");
    same(entry.results.clone(), raw(json, "results"), "results");
    let code = entry.script_results.as_ref().and_then(|results| results.retcode);
    same(code, json["script_results"]["retcode"].as_i64(), "retcode");
    same(entry.script_name.clone(), text(json, "script_name"), "script_name");
}

/// `[]` = never reported.
pub(crate) fn software(report: Option<&AgentSoftware>, json: &Value) {
    let Some(report) = report else { return same(json.clone(), Value::Array(Vec::new()), "report") };
    same(Some(report.agent), json["agent"].as_i64(), "agent");
    same(report.software.is_some(), json["software"].is_array(), "software");
    each(report.software.as_deref().unwrap_or_default(), &json["software"], |program, json| {
        same(program.name.clone(), text(json, "name"), "name");
        same(program.version.clone(), text(json, "version"), "version");
        same(program.install_date.clone(), text(json, "install_date"), "install_date");
    });
}
