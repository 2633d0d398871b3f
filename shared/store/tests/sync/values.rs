//! Odd values never fail a batch.

use chrono::{DateTime, Utc};
use store::device::{Batch, Device, Disk, Source};
use store::testing::TestDatabase;

use crate::world::{World, device, time};

#[tokio::test]
async fn unicode_host_names_survive_and_nul_is_replaced() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let named = |id: &str, name: &str| Device { name: name.to_owned(), ..device(id) };
    let devices = [named("a", "büro-ñandú-東京-🖥"), named("b", "a\0b"), named("c", " ")];
    world.merge(&world.batch(&devices)).await;
    let seen = world.seen().await;
    let name = |id: &str| seen[id].name.clone().unwrap();
    assert_eq!((name("a"), name("b"), name("c")), ("büro-ñandú-東京-🖥".into(), "a\u{FFFD}b".into(), "c".into()));
    let before = world.versions().await;
    assert_eq!(world.merge(&world.batch(&devices)).await.unchanged, 3);
    assert_eq!(world.versions().await, before);
}

#[tokio::test]
async fn over_long_and_impossible_values_are_bounded_and_fail_nothing() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let long = || Some("é\0".repeat(20_000));
    let odd = Device {
        agent_id: "odd".to_owned(),
        name: "x".repeat(100_000),
        site: long(),
        serial_number: long(),
        os_type: long(),
        os_name: long(),
        os_version: long(),
        os_build: long(),
        agent_version: long(),
        current_user: long(),
        lan_ip: long(),
        wan_ip: Some("fe80::1".to_owned()),
        local_ips: vec!["\0".repeat(1_000); 1_000],
        make_model: long(),
        cpu_model: long(),
        graphics: long(),
        mesh_node_id: long(),
        platform: long(),
        architecture: long(),
        description: long(),
        physical_disks: vec![String::new(); 1_000],
        disks: vec![Disk { device: "\0".repeat(999), total: long(), percent: Some(i32::MIN), ..Disk::default() }; 500],
        ram_gb: Some(i32::MAX),
        last_seen_at: Some(DateTime::<Utc>::MAX_UTC),
        last_boot_at: Some(DateTime::<Utc>::MIN_UTC),
        patches_last_installed_at: Some(DateTime::<Utc>::MAX_UTC),
        ..Device::default()
    };
    let ids = ["", "nul\0", &"x".repeat(256)].map(|id| Device { agent_id: id.to_owned(), ..device("x") });
    let mut devices = vec![odd, device("sound"), Device { agent_id: "é".repeat(255), ..device("y") }];
    devices.extend(ids);
    for source in [Source::List, Source::Detail, Source::Beta] {
        let merged = world.merge(&Batch { source, ..world.batch(&devices) }).await;
        assert_eq!(merged.odd, 3);
    }
    let seen = world.seen().await;
    assert_eq!(seen.len(), 3);
    assert_eq!((seen["odd"].name.as_ref().unwrap().len(), seen["odd"].last_seen_at), (255, None));
    assert_eq!(seen["sound"].last_seen_at, Some(time(0)));
    assert_eq!(world.text("select wan_ip from workstation_assets where lan_ip is null").await, "fe80::1");
}

#[tokio::test]
async fn of_two_devices_with_one_id_the_later_counts_and_the_batch_goes_on() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let merged = world.merge(&world.batch(&[device("a"), Device { name: "LATER".to_owned(), ..device("a") }])).await;
    assert_eq!(merged.created, 1);
    assert_eq!(world.one().await.name.as_deref(), Some("LATER"));
}
