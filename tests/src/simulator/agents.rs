//! `/agents/` and `/agents/<agent_id>/`: the table of the dashboard, and one agent with everything.

use axum::response::Response;
use chrono::TimeDelta;
use serde::Serialize;
use serde_json::{Value, json};

use super::alert::Severity;
use super::catalogue::TIME_ZONES;
use super::clock::iso;
use super::core::template_object;
use super::presence::{Agent, NOBODY, Status};
use super::reply::{crash, no_such, ok, refused, said, streamed_array, write_row};
use super::server::Call;
use super::world::World;

/// How an agent's checks stand.
#[derive(Debug, Serialize)]
pub(super) struct CheckCounts {
    total: usize,
    passing: usize,
    failing: usize,
    warning: usize,
    info: usize,
    has_failing_checks: bool,
}

/// A row of the agent table. Names only, no ids; `policy` never appears because no agent has one of its own.
#[derive(Serialize)]
struct Row<'a> {
    agent_id: &'a str,
    alert_template: Option<Value>,
    hostname: &'a str,
    site_name: &'a str,
    client_name: &'a str,
    monitoring_type: &'a str,
    description: Option<&'a str>,
    needs_reboot: bool,
    pending_actions_count: i64,
    status: &'static str,
    overdue_text_alert: bool,
    overdue_email_alert: bool,
    overdue_dashboard_alert: bool,
    last_seen: Option<String>,
    boot_time: Option<f64>,
    checks: CheckCounts,
    maintenance_mode: bool,
    logged_username: Option<&'a str>,
    italic: bool,
    block_policy_inheritance: bool,
    plat: &'static str,
    goarch: Option<&'static str>,
    has_patches_pending: bool,
    version: &'static str,
    operating_system: Option<&'static str>,
    public_ip: Option<String>,
    cpu_model: Vec<&'static str>,
    graphics: &'static str,
    local_ips: String,
    make_model: &'static str,
    physical_disks: Vec<String>,
    custom_fields: Vec<Value>,
    serial_number: String,
}

impl Agent {
    /// What the table shows as its user, and whether it is only the last one.
    fn shown_user(&self) -> (Option<&str>, bool) {
        match self.user.as_deref() {
            None => (None, false),
            Some(NOBODY) if self.status == Status::Online => (self.machine.last_user(), true),
            Some(NOBODY) => (Some("-"), false),
            Some(user) => (Some(user), false),
        }
    }

    /// The custom fields as the API shows them.
    pub(super) fn custom_fields(&self) -> Vec<Value> {
        let pk = self.machine.pk;
        let fields = self.machine.custom_fields().into_iter().enumerate();
        fields
            .map(|(place, (field, value))| {
                json!({"id": pk * 3 + place as i64, "field": field, "agent": pk,
        "value": value})
            })
            .collect()
    }

    /// Dashboard alerts for overdue agents are on everywhere but on the first.
    pub(super) fn overdue_dashboard_alert(&self) -> bool {
        self.machine.pk != 1
    }

    /// Windows machines want a reboot now and then.
    pub(super) fn needs_reboot(&self) -> bool {
        self.machine.dice.percent(60, 8)
    }

    /// `choco_installed`
    pub(super) fn choco(&self) -> bool {
        self.machine.dice.percent(61, 40)
    }
}

impl World {
    /// The checks of an agent, counted from their last runs.
    pub(super) fn check_counts(&self, agent: &Agent) -> CheckCounts {
        let total = agent.machine.checks().count();
        let mut by_severity = [0; 3];
        for (_, severity) in self.failing_checks(agent.machine.pk) {
            by_severity[severity as usize] += 1;
        }
        let failed: usize = by_severity.iter().sum();
        CheckCounts {
            total,
            passing: total.saturating_sub(failed),
            failing: by_severity[Severity::Error as usize],
            warning: by_severity[Severity::Warning as usize],
            info: by_severity[Severity::Info as usize],
            has_failing_checks: failed > 0,
        }
    }

    fn write_table_row(&self, agent: &Agent, out: &mut Vec<u8>) -> bool {
        let machine = &agent.machine;
        let (logged_username, italic) = agent.shown_user();
        let name =
            |_| json!({"name": "Webhook to Muster", "always_email": null, "always_text": null, "always_alert": null});
        write_row(
            out,
            &Row {
                agent_id: &machine.agent_id,
                alert_template: agent.template.then_some(()).map(name),
                hostname: &agent.hostname,
                site_name: &agent.site_name,
                client_name: &agent.client_name,
                monitoring_type: &agent.monitoring_type,
                description: agent.description.as_deref(),
                needs_reboot: agent.needs_reboot(),
                pending_actions_count: 0,
                status: agent.status.name(),
                overdue_text_alert: false,
                overdue_email_alert: false,
                overdue_dashboard_alert: agent.overdue_dashboard_alert(),
                last_seen: agent.last_seen.map(iso),
                boot_time: machine.boot_time(self.started.timestamp()),
                checks: self.check_counts(agent),
                maintenance_mode: agent.maintenance,
                logged_username,
                italic,
                block_policy_inheritance: false,
                plat: machine.platform.name(),
                goarch: machine.goarch(),
                has_patches_pending: machine.dice.percent(62, 15),
                version: machine.version(),
                operating_system: machine.operating_system(),
                public_ip: machine.public_ip(),
                cpu_model: machine.cpu_model(),
                graphics: machine.graphics(),
                local_ips: machine.local_ips(),
                make_model: machine.make_model(),
                physical_disks: machine.physical_disks(),
                custom_fields: agent.custom_fields(),
                serial_number: machine.serial(),
            },
        )
    }
}

/// `GET /agents/`: no pagination, no order; `site` wins over `client`, anything but `detail=true` is the short form.
pub(super) fn list(call: Call) -> Response {
    let kind = call.parameter("monitoring_type").map(str::to_owned);
    if kind.as_deref().is_some_and(|kind| !["server", "workstation"].contains(&kind)) {
        return refused("monitoring type does not exist");
    }
    let place = match (call.parameter("site"), call.parameter("client")) {
        (Some(site), _) => Some((site.parse::<i64>(), true)),
        (None, Some(client)) => Some((client.parse::<i64>(), false)),
        (None, None) => None,
    };
    let place = match place {
        Some((Err(_), _)) => return crash(),
        Some((Ok(id), is_site)) => Some((id, is_site)),
        None => None,
    };
    let detail = call.parameter("detail").is_none_or(|detail| detail == "true");
    let now = call.shared.world().now();
    let mut last = 0;
    streamed_array(move |out| {
        let world = call.shared.world();
        let next = world.pks_after(last).find_map(|pk| {
            let site = world.site_of_pk(pk)?;
            let client = world.client_of(site);
            let there = place.is_none_or(|(id, is_site)| id == if is_site { site } else { client });
            // only who stands there is made
            let agent = (there && call.role.sees(client, site)).then(|| world.agent_at(pk, now))??;
            kind.as_deref().is_none_or(|kind| kind == agent.monitoring_type).then_some(agent)
        });
        let Some(agent) = next else { return false };
        last = agent.machine.pk;
        if detail {
            return world.write_table_row(&agent, out);
        }
        write_row(
            out,
            &json!({"id": last, "hostname": agent.hostname, "agent_id": agent.machine.agent_id,
            "client": agent.client_name, "site": agent.site_name}),
        )
    })
}

/// `GET|PUT /agents/<agent_id>/`
pub(super) fn one(agent_id: &str, call: &Call) -> Response {
    let mut world = call.shared.world();
    let Some(agent) = world.pk_of(agent_id).and_then(|pk| world.agent(pk)) else { return no_such("Agent") };
    if !call.role.sees(agent.client, agent.site) {
        return super::reply::forbidden();
    }
    if call.method == axum::http::Method::PUT {
        update(&mut world, agent.machine.pk, &call.body)
    } else {
        ok(&full(&world, &agent))
    }
}

/// The fields of a PUT that the simulator knows; others are accepted and forgotten.
fn update(world: &mut World, pk: i64, body: &Value) -> Response {
    let known_site = body.get("site").and_then(Value::as_i64).filter(|site| world.has_site(*site));
    let change = world.change(pk);
    if let Some(maintenance) = body.get("maintenance_mode").and_then(Value::as_bool) {
        change.maintenance = maintenance;
    }
    if let Some(description) = body.get("description").and_then(Value::as_str) {
        change.description = Some(description.to_owned());
    }
    if let Some(kind) = body.get("monitoring_type").and_then(Value::as_str) {
        change.monitoring_type = Some(kind.to_owned());
    }
    change.offline_after_min = body.get("offline_time").and_then(Value::as_i64).or(change.offline_after_min);
    change.overdue_after_min = body.get("overdue_time").and_then(Value::as_i64).or(change.overdue_after_min);
    change.site = known_site.or(change.site);
    said("The agent was updated successfully")
}

fn full(world: &World, agent: &Agent) -> Value {
    let machine = &agent.machine;
    let mut object = model(world, agent);
    let patches = patch_policy(world, agent);
    let policy = if machine.server { 2 } else { 1 };
    let stamp = iso(world.started - TimeDelta::days(400));
    let computed = json!({
        "winupdatepolicy": [patches], "effective_patch_policy": patches,
        "timezone": machine.time_zone().unwrap_or("Europe/Berlin"),
        "all_timezones": TIME_ZONES, "client": agent.client_name, "site_name": agent.site_name,
        "custom_fields": agent.custom_fields(),
        "applied_policies": {"agent_policy": null, "site_policy": null, "client_policy": null, "default_policy": {
            "id": policy, "created_by": null, "created_time": stamp, "modified_by": null, "modified_time": stamp,
            "name": if machine.server { "Default servers" } else { "Default workstations" }, "desc": null,
            "active": true, "enforced": false,
            "alert_template": null, "excluded_sites": [], "excluded_clients": [], "excluded_agents": []}},
        "alert_template": if agent.template { world.webhook.as_ref().map(|webhook| template_object(world, webhook)) } else { None },
        "effective_default_shell": if machine.platform == super::machine::Platform::Windows { "cmd" } else { "bash" },
    });
    for part in [computed, hardware(world, agent)] {
        if let (Some(object), Value::Object(part)) = (object.as_object_mut(), part) {
            object.extend(part);
        }
    }
    if let Some(object) = object.as_object_mut() {
        object.remove("id");
    }
    object
}

/// The computed fields that single agents have in both APIs.
pub(super) fn hardware(world: &World, agent: &Agent) -> Value {
    let machine = &agent.machine;
    json!({
        "status": agent.status.name(), "cpu_model": machine.cpu_model(), "local_ips": machine.local_ips(),
        "make_model": machine.make_model(),
        "physical_disks": machine.physical_disks(), "graphics": machine.graphics(), "checks": world.check_counts(agent),
    })
}

/// All columns of the model, as the beta API lists them.
pub(super) fn model(world: &World, agent: &Agent) -> Value {
    let machine = &agent.machine;
    let weight = world.config.services_per_agent;
    let created = iso(world.started - TimeDelta::days(300));
    let patched = machine
        .dice
        .percent(63, 70)
        .then(|| iso(world.started - TimeDelta::days(1 + machine.dice.below(64, 60) as i64)));
    json!({
        "id": machine.pk, "version": machine.version(), "operating_system": machine.operating_system(),
        "plat": machine.platform.name(),
        "goarch": machine.goarch(), "hostname": agent.hostname, "agent_id": machine.agent_id,
        "last_seen": agent.last_seen.map(iso),
        "services": machine.services(weight), "public_ip": machine.public_ip(), "total_ram": machine.total_ram_gb(),
        "disks": machine.disks(),
        "boot_time": machine.boot_time(world.started.timestamp()), "logged_in_username": agent.user,
        "last_logged_in_user": machine.last_user(),
        "monitoring_type": agent.monitoring_type, "description": agent.description, "mesh_node_id": machine.mesh_node(),
        "overdue_email_alert": false, "overdue_text_alert": false,
        "overdue_dashboard_alert": agent.overdue_dashboard_alert(),
        "offline_time": agent.offline_after_min, "overdue_time": agent.overdue_after_min, "check_interval": 120,
        "needs_reboot": agent.needs_reboot(), "choco_installed": agent.choco(),
        "wmi_detail": machine.wmi_detail(weight),
        "patches_last_installed": patched, "time_zone": machine.time_zone(), "maintenance_mode": agent.maintenance,
        "block_policy_inheritance": false, "alert_template": agent.template.then_some(1),
        "default_shell": "use_global", "default_shell_custom": "",
        "site": agent.site, "policy": null, "created_by": "simulator", "created_time": created, "modified_by": null,
        "modified_time": created,
    })
}

fn patch_policy(world: &World, agent: &Agent) -> Value {
    let stamp = iso(world.started - TimeDelta::days(300));
    json!({
        "id": agent.machine.pk, "created_by": null, "created_time": stamp, "modified_by": null,
        "modified_time": stamp, "critical": "inherit",
        "important": "inherit", "moderate": "inherit", "low": "inherit", "other": "inherit", "run_time_hour": 3,
        "run_time_frequency": "inherit",
        "run_time_days": [], "run_time_day": 1, "reboot_after_install": "inherit", "reprocess_failed_inherit": true,
        "reprocess_failed": false,
        "reprocess_failed_times": 5, "email_if_fail": false, "agent": agent.machine.pk, "policy": null,
    })
}
