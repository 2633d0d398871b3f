//! Makes a device fit its columns: cut, cleaned, never refused.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Device, Disk};
use crate::agent;
use crate::alert::bound;

/// `text` columns that people read: host and site names, serial numbers, and the narrower columns of AlgaPSA.
pub(super) const TEXT_CHARS_MAX: usize = 255;
/// A description, a processor, graphics.
pub(super) const LONG_CHARS_MAX: usize = 1_000;
/// `lan_ip`, `wan_ip`.
pub(super) const IP_CHARS_MAX: usize = 45;
/// Entries of a list that are kept: more are no drives or addresses of a machine that anybody looks at.
const ENTRIES_MAX: usize = 64;
/// The first moment that a machine can tell of.
const YEAR_2000_S: i64 = 946_684_800;
/// How far ahead of ours a machine's clock may be.
const AHEAD_MAX: TimeDelta = TimeDelta::days(1);

/// Whether that id can be an agent's.
pub(super) fn is_usable(agent_id: &str) -> bool {
    !agent_id.is_empty() && !agent_id.contains('\0') && agent_id.chars().count() <= agent::AGENT_ID_CHARS_MAX
}

/// The device with every value within its bounds. Done twice it changes nothing more.
pub(super) fn bounded(mut device: Device, now: DateTime<Utc>) -> Device {
    text(&mut device.name, TEXT_CHARS_MAX);
    if device.name.trim().is_empty() {
        // the column is not null, and a person must be able to find it
        device.name.clone_from(&device.agent_id);
    }
    for field in [
        &mut device.site,
        &mut device.serial_number,
        &mut device.os_type,
        &mut device.os_name,
        &mut device.os_version,
        &mut device.os_build,
        &mut device.agent_version,
        &mut device.current_user,
        &mut device.make_model,
        &mut device.mesh_node_id,
        &mut device.platform,
        &mut device.architecture,
    ] {
        option(field, TEXT_CHARS_MAX);
    }
    for field in [&mut device.cpu_model, &mut device.graphics, &mut device.description] {
        option(field, LONG_CHARS_MAX);
    }
    for field in [&mut device.lan_ip, &mut device.wan_ip] {
        // an address that was cut would be another one
        *field = field.take().filter(|ip| ip.chars().count() <= IP_CHARS_MAX && !ip.contains('\0') && !ip.is_empty());
    }
    for list in [&mut device.local_ips, &mut device.physical_disks] {
        list.truncate(ENTRIES_MAX);
        list.iter_mut().for_each(|entry| text(entry, TEXT_CHARS_MAX));
    }
    device.disks.truncate(ENTRIES_MAX);
    device.disks.iter_mut().for_each(disk);
    device.ram_gb = device.ram_gb.filter(|ram_gb| *ram_gb > 0);
    for at in [&mut device.last_seen_at, &mut device.last_boot_at, &mut device.patches_last_installed_at] {
        *at = at.filter(|at| at.timestamp() >= YEAR_2000_S && *at <= now + AHEAD_MAX);
    }
    device
}

fn text(text: &mut String, chars_max: usize) {
    bound::cut(text, chars_max);
}

fn option(field: &mut Option<String>, chars_max: usize) {
    if let Some(value) = field {
        text(value, chars_max);
    }
    if field.as_deref().is_some_and(|value| value.trim().is_empty()) {
        *field = None;
    }
}

fn disk(disk: &mut Disk) {
    text(&mut disk.device, TEXT_CHARS_MAX);
    for field in [&mut disk.fstype, &mut disk.total, &mut disk.used, &mut disk.free] {
        option(field, TEXT_CHARS_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_bounded_and_what_fits_is_untouched() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let odd = Device {
            agent_id: "a".to_owned(),
            name: format!("ü\0{}", "x".repeat(900)),
            serial_number: Some("   ".to_owned()),
            current_user: Some("é".repeat(256)),
            lan_ip: Some("1".repeat(46)),
            wan_ip: Some("::1".to_owned()),
            local_ips: vec!["\0".to_owned(); 100],
            last_seen_at: Some(DateTime::<Utc>::MAX_UTC),
            last_boot_at: Some(DateTime::UNIX_EPOCH),
            ram_gb: Some(-1),
            ..Device::default()
        };
        let fit = bounded(odd, now);
        assert_eq!(fit.name.chars().count(), TEXT_CHARS_MAX);
        assert!(fit.name.starts_with("ü\u{FFFD}x"));
        assert_eq!((fit.serial_number.as_deref(), fit.lan_ip.as_deref()), (None, None));
        assert_eq!(fit.wan_ip.as_deref(), Some("::1"));
        assert_eq!(fit.current_user.as_deref().map(|user| user.chars().count()), Some(TEXT_CHARS_MAX));
        assert_eq!((fit.local_ips.len(), fit.local_ips[0].as_str()), (ENTRIES_MAX, "\u{FFFD}"));
        assert_eq!((fit.last_seen_at, fit.last_boot_at, fit.ram_gb), (None, None, None));
        assert_eq!(bounded(fit.clone(), now), fit);
        assert_eq!(bounded(Device { agent_id: "a".to_owned(), ..Device::default() }, now).name, "a");
    }

    #[test]
    fn only_an_id_that_fits_is_an_agents() {
        assert!(is_usable("a") && is_usable(&"é".repeat(255)));
        for id in ["", "a\0", &"x".repeat(256)] {
            assert!(!is_usable(id), "{id}");
        }
    }
}
