//! Tactical's agents as devices: one function for each of its three answers. Pure.
//!
//! What Tactical writes for "unknown" is gone already (`tactical` reads it as none), and bounds are the store's. Here stands
//! what a value *means*: what kind of machine it is, which system, which of its addresses, who uses it, how it is.

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use store::device::{Device, DeviceType, Disk, Status};
use tactical::{AgentDetail, AgentRow, BetaAgent, Monitoring, Platform};

use crate::os::{self, Os};
use crate::text;

/// Tactical's own limits, where an agent does not say its: minutes until it is offline, and until it is overdue.
const OFFLINE_AFTER_MIN: i64 = 4;
const OVERDUE_AFTER_MIN: i64 = 30;

/// A row of `GET /agents/`.
#[must_use]
pub fn from_row(row: AgentRow) -> Device {
    let os = os::parse(row.plat.map(Platform::as_str), row.operating_system.as_deref());
    Device {
        agent_id: row.agent_id,
        name: row.hostname.unwrap_or_default(),
        kind: kind(row.monitoring_type, &os),
        site: row.site_name,
        status: row.status.map(status),
        last_seen_at: row.last_seen,
        serial_number: row.serial_number,
        agent_version: row.version,
        // in italics the table shows who used it last
        current_user: row.logged_username.filter(|_| row.italic != Some(true)),
        last_boot_at: text::boot(row.boot_time),
        wan_ip: row.public_ip.map(|ip| ip.to_string()),
        make_model: row.make_model,
        cpu_model: text::processors(&row.cpu_model),
        physical_disks: row.physical_disks,
        graphics: row.graphics,
        platform: platform(row.plat),
        architecture: row.goarch,
        needs_reboot: row.needs_reboot,
        has_patches_pending: row.has_patches_pending,
        is_in_maintenance: row.maintenance_mode,
        description: row.description,
        ..named(os, &row.local_ips)
    }
}

/// `GET /agents/<id>/`.
#[must_use]
pub fn from_detail(detail: AgentDetail) -> Device {
    let os = os::parse(detail.plat.map(Platform::as_str), detail.operating_system.as_deref());
    Device {
        agent_id: detail.agent_id,
        name: detail.hostname.unwrap_or_default(),
        kind: kind(detail.monitoring_type, &os),
        site: detail.site_name,
        site_id: detail.site,
        status: detail.status.map(status),
        last_seen_at: detail.last_seen,
        serial_number: detail.serial_number,
        agent_version: detail.version,
        current_user: detail.logged_in_username,
        last_boot_at: text::boot(detail.boot_time),
        wan_ip: detail.public_ip.map(|ip| ip.to_string()),
        make_model: detail.make_model,
        cpu_model: text::processors(&detail.cpu_model),
        ram_gb: ram_gb(detail.total_ram_gb),
        disks: detail.disks.into_iter().filter_map(disk).collect(),
        physical_disks: detail.physical_disks,
        graphics: detail.graphics,
        mesh_node_id: detail.mesh_node_id,
        platform: platform(detail.plat),
        architecture: detail.goarch,
        needs_reboot: detail.needs_reboot,
        patches_last_installed_at: detail.patches_last_installed,
        is_in_maintenance: detail.maintenance_mode,
        description: detail.description,
        ..named(os, &detail.local_ips)
    }
}

/// A row of `GET /beta/v1/agent/`, which has no status and no site's name: `site` finds the name, `now` is the moment before
/// the request.
#[must_use]
pub fn from_beta(agent: BetaAgent, site: impl FnOnce(i64) -> Option<String>, now: DateTime<Utc>) -> Device {
    let os = os::parse(agent.plat.map(Platform::as_str), agent.operating_system.as_deref());
    Device {
        agent_id: agent.agent_id,
        name: agent.hostname.unwrap_or_default(),
        kind: kind(agent.monitoring_type, &os),
        site: agent.site.and_then(site),
        site_id: agent.site,
        status: Some(judged(agent.last_seen, agent.offline_time_min, agent.overdue_time_min, now)),
        last_seen_at: agent.last_seen,
        // where its WMI data hold one; it is what a reinstalled device is known again by
        serial_number: agent.serial_number,
        agent_version: agent.version,
        current_user: agent.logged_in_username,
        last_boot_at: text::boot(agent.boot_time),
        wan_ip: agent.public_ip.map(|ip| ip.to_string()),
        ram_gb: ram_gb(agent.total_ram_gb),
        disks: agent.disks.into_iter().filter_map(disk).collect(),
        mesh_node_id: agent.mesh_node_id,
        platform: platform(agent.plat),
        architecture: agent.goarch,
        needs_reboot: agent.needs_reboot,
        patches_last_installed_at: agent.patches_last_installed,
        is_in_maintenance: agent.maintenance_mode,
        description: agent.description,
        ..named(os, &[])
    }
}

/// The system and the addresses, which all three have in the same words.
fn named(os: Os, local_ips: &[IpAddr]) -> Device {
    Device {
        os_type: os.family.map(|family| family.as_str().to_owned()),
        os_name: os.name,
        os_version: os.version,
        os_build: os.build,
        lan_ip: text::lan_ip(local_ips),
        local_ips: local_ips.iter().map(ToString::to_string).collect(),
        ..Device::default()
    }
}

/// What Tactical watches it as; where it does not say, what the system is made for.
fn kind(monitoring: Option<Monitoring>, os: &Os) -> DeviceType {
    match monitoring {
        Some(Monitoring::Server) => DeviceType::Server,
        Some(Monitoring::Workstation) => DeviceType::Workstation,
        None if os::is_server(os) => DeviceType::Server,
        None => DeviceType::Workstation,
    }
}

fn status(status: tactical::Status) -> Status {
    match status {
        tactical::Status::Online => Status::Online,
        tactical::Status::Offline => Status::Offline,
        tactical::Status::Overdue => Status::Overdue,
    }
}

/// Tactical's own rule: never seen is offline; then overdue comes before offline.
fn judged(
    last_seen: Option<DateTime<Utc>>,
    offline_after_min: Option<i64>,
    overdue_after_min: Option<i64>,
    now: DateTime<Utc>,
) -> Status {
    let Some(last_seen) = last_seen else { return Status::Offline };
    let is_before = |minutes: i64| {
        let limit = TimeDelta::try_minutes(minutes).and_then(|limit| now.checked_sub_signed(limit));
        limit.is_some_and(|limit| last_seen < limit)
    };
    if is_before(overdue_after_min.unwrap_or(OVERDUE_AFTER_MIN)) {
        Status::Overdue
    } else if is_before(offline_after_min.unwrap_or(OFFLINE_AFTER_MIN)) {
        Status::Offline
    } else {
        Status::Online
    }
}

fn platform(platform: Option<Platform>) -> Option<String> {
    platform.map(|platform| platform.as_str().to_owned())
}

fn ram_gb(gb: Option<i64>) -> Option<i32> {
    gb.and_then(|gb| i32::try_from(gb).ok())
}

/// A file system without a name is nothing that can be shown.
fn disk(disk: tactical::Disk) -> Option<Disk> {
    Some(Disk {
        device: disk.device?,
        fstype: disk.fstype,
        total: disk.total,
        used: disk.used,
        free: disk.free,
        percent: disk.percent.and_then(|percent| i32::try_from(percent).ok()),
    })
}

#[cfg(test)]
#[path = "device_tests.rs"]
mod tests;
