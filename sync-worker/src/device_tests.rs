//! Agents as Tactical tells of them, and the devices that they are.

use serde_json::{Value, json};

use super::*;

fn row(fields: Value) -> Device {
    let mut row = json!({"agent_id": "LabFixedAgentOneWindowsOnlineAAAAAAAAAAA", "hostname": "BÜRO-PC-007"});
    row.as_object_mut().expect("it is one").extend(fields.as_object().expect("it is one").clone());
    from_row(serde_json::from_value(row).expect("every field may be odd"))
}

#[test]
fn a_row_of_the_list_becomes_a_device() {
    let device = row(json!({
        "site_name": "HQ", "client_name": "Acme GmbH", "monitoring_type": "workstation", "description": "front desk",
        "needs_reboot": true, "status": "overdue", "last_seen": "2026-11-22T02:16:01.568106Z",
        "boot_time": 1_794_143_762.25, "maintenance_mode": false, "logged_username": "CONTOSO\\kärin", "italic": false,
        "plat": "windows", "goarch": "amd64", "has_patches_pending": true, "version": "2.11.0",
        "operating_system": "Microsoft Windows 11 Pro, 64 bit v23H2 (build 22631.3593)", "public_ip": "2001:db8::17",
        "cpu_model": ["Xeon", "Xeon"], "graphics": "NVIDIA Quadro P520", "local_ips": "fe80::1/64, 172.17.9.121/24",
        "make_model": "HP ProLiant DL380 Gen9", "physical_disks": ["ATA Disk 466GB SCSI"], "serial_number": "ABCD123456",
    }));
    let expected = Device {
        agent_id: "LabFixedAgentOneWindowsOnlineAAAAAAAAAAA".to_owned(),
        name: "BÜRO-PC-007".to_owned(),
        kind: DeviceType::Workstation,
        site: Some("HQ".to_owned()),
        status: Some(Status::Overdue),
        last_seen_at: Some("2026-11-22T02:16:01.568106Z".parse().expect("it is a time")),
        serial_number: Some("ABCD123456".to_owned()),
        os_type: Some("windows".to_owned()),
        os_name: Some("Windows 11 Pro".to_owned()),
        os_version: Some("23H2".to_owned()),
        os_build: Some("22631.3593".to_owned()),
        agent_version: Some("2.11.0".to_owned()),
        current_user: Some("CONTOSO\\kärin".to_owned()),
        last_boot_at: DateTime::from_timestamp(1_794_143_762, 0),
        lan_ip: Some("172.17.9.121".to_owned()),
        local_ips: vec!["fe80::1".to_owned(), "172.17.9.121".to_owned()],
        wan_ip: Some("2001:db8::17".to_owned()),
        make_model: Some("HP ProLiant DL380 Gen9".to_owned()),
        cpu_model: Some("Xeon".to_owned()),
        physical_disks: vec!["ATA Disk 466GB SCSI".to_owned()],
        graphics: Some("NVIDIA Quadro P520".to_owned()),
        platform: Some("windows".to_owned()),
        architecture: Some("amd64".to_owned()),
        needs_reboot: Some(true),
        has_patches_pending: Some(true),
        is_in_maintenance: Some(false),
        description: Some("front desk".to_owned()),
        ..Device::default()
    };
    assert_eq!(device, expected);
}

#[test]
fn an_agent_that_never_reported_is_a_device_that_knows_nothing() {
    let device = row(json!({
        "monitoring_type": "server", "status": "offline", "last_seen": null, "boot_time": null, "logged_username": null,
        "plat": "windows", "operating_system": null, "public_ip": null, "cpu_model": ["unknown cpu model"],
        "graphics": "Graphics info requires agent v1.4.14", "local_ips": "error getting local ips",
        "make_model": "unknown make/model", "physical_disks": ["unknown disk"], "serial_number": "",
    }));
    let expected = Device {
        agent_id: device.agent_id.clone(),
        name: "BÜRO-PC-007".to_owned(),
        kind: DeviceType::Server,
        status: Some(Status::Offline),
        os_type: Some("windows".to_owned()),
        platform: Some("windows".to_owned()),
        ..Device::default()
    };
    assert_eq!(device, expected);
}

#[test]
fn nobody_is_nobody_in_each_of_tacticals_ways() {
    for fields in [
        json!({"logged_username": "None"}),
        json!({"logged_username": "-"}),
        json!({"logged_username": null}),
        json!({"logged_username": "Administrator", "italic": true}),
    ] {
        assert_eq!(row(fields.clone()).current_user, None, "{fields}");
    }
    assert_eq!(row(json!({"logged_username": "Administrator"})).current_user.as_deref(), Some("Administrator"));
}

#[test]
fn the_kind_comes_from_the_monitoring_type_and_then_from_the_system() {
    let server = "Microsoft Windows Server 2019 Standard, 64bit (build 17763)";
    for (monitoring, plat, system, expected) in [
        (json!("server"), "windows", "Microsoft Windows 10 Pro, 64bit (build 18363)", DeviceType::Server),
        (json!("workstation"), "linux", "Ubuntu 22.04 x86_64 5.15.0", DeviceType::Workstation),
        (json!(null), "linux", "Debian 12.5 x86_64 6.1.0", DeviceType::Server),
        (json!("tablet"), "windows", server, DeviceType::Server),
        (json!(null), "darwin", "Darwin 14.4.1 arm64 23.4.0", DeviceType::Workstation),
        (json!(null), "plan9", "", DeviceType::Workstation),
    ] {
        let device = row(json!({"monitoring_type": monitoring, "plat": plat, "operating_system": system}));
        assert_eq!(device.kind, expected, "{monitoring} {system}");
    }
}

#[test]
fn a_detail_has_what_the_list_lacks() {
    let detail = json!({
        "agent_id": "a", "hostname": "lab-linux", "client": "Acme", "site": 2, "site_name": "HQ", "status": "online",
        "monitoring_type": "server", "plat": "linux", "goarch": "amd64", "total_ram": 8,
        "operating_system": "Debian 12.5 x86_64 6.1.0-21-amd64", "logged_in_username": "None",
        "disks": [{"free": "9.8 GB", "used": "9.0 GB", "total": "19.8 GB", "device": "/dev/vda1", "fstype": "ext4",
                   "percent": 47}, {"device": null}, 7],
        "patches_last_installed": "2026-10-17T02:16:01.568106Z", "mesh_node_id": "B91E",
        "local_ips": "203.121.23.54/24, fd70::253:70dc:fe65:143/64",
        "wmi_detail": {"serialnumber": "C02XYZ123"},
    });
    let device = from_detail(serde_json::from_value(detail).expect("it is one"));
    let disk = Disk {
        device: "/dev/vda1".to_owned(),
        fstype: Some("ext4".to_owned()),
        total: Some("19.8 GB".to_owned()),
        used: Some("9.0 GB".to_owned()),
        free: Some("9.8 GB".to_owned()),
        percent: Some(47),
    };
    assert_eq!((device.disks, device.ram_gb, device.site_id), (vec![disk], Some(8), Some(2)));
    assert_eq!(device.serial_number.as_deref(), Some("C02XYZ123"));
    assert_eq!((device.current_user, device.lan_ip.as_deref()), (None, Some("203.121.23.54")));
    assert_eq!((device.mesh_node_id.as_deref(), device.kind), (Some("B91E"), DeviceType::Server));
    assert!(device.patches_last_installed_at.is_some());
}

#[test]
fn a_beta_row_is_judged_by_tacticals_own_rule() {
    let now: DateTime<Utc> = "2026-11-22T12:00:00Z".parse().expect("it is a time");
    for (last_seen, offline_min, overdue_min, expected) in [
        (json!(null), json!(4), json!(30), Status::Offline),
        (json!("2026-11-22T11:59:00Z"), json!(4), json!(30), Status::Online),
        (json!("2026-11-22T11:56:00Z"), json!(4), json!(30), Status::Online),
        (json!("2026-11-22T11:55:59Z"), json!(4), json!(30), Status::Offline),
        (json!("2026-11-22T11:29:59Z"), json!(4), json!(30), Status::Overdue),
        (json!("2026-11-22T11:29:59Z"), json!(4), json!(60), Status::Offline),
        (json!("2026-11-22T11:55:00Z"), json!(600), json!(3), Status::Overdue),
        (json!("2026-11-22T11:55:00Z"), json!(null), json!(null), Status::Offline),
        (json!("2026-11-22T11:55:00Z"), json!(i64::MAX), json!(i64::MAX), Status::Online),
    ] {
        let agent = json!({
            "id": 1, "agent_id": "a", "hostname": "h", "last_seen": last_seen, "offline_time": offline_min,
            "overdue_time": overdue_min, "site": 3,
        });
        let site = |id: i64| Some(format!("site {id}"));
        let device = from_beta(serde_json::from_value(agent.clone()).expect("it is one"), site, now);
        assert_eq!((device.status, device.site.as_deref()), (Some(expected), Some("site 3")), "{agent}");
    }
}
