//! What is written, and what is not.

use chrono::TimeDelta;
use store::device::{Batch, Device, Disk, Source, Status};
use store::testing::TestDatabase;

use crate::world::{World, device, time};

#[tokio::test]
async fn unchanged_rows_write_nothing() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let devices = [device("a"), device("b"), device("c")];
    world.merge(&world.batch(&devices)).await;
    let before = world.versions().await;
    let merged = world.merge(&world.batch(&devices)).await;
    assert_eq!((merged.unchanged, merged.updated, merged.seen_again), (3, 0, 0));
    // last seen moved by less than a minute is no news either; nor is a start told a little otherwise
    let mut again = device("a");
    again.last_seen_at = Some(time(59));
    assert_eq!(world.merge(&world.batch(&[again])).await.unchanged, 1);
    assert_eq!(world.versions().await, before);
}

#[tokio::test]
async fn a_device_that_was_only_seen_again_is_one_hot_update_of_its_asset() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let devices: Vec<Device> = (0..50).map(|number| device(&format!("{number:03}"))).collect();
    world.merge(&world.batch(&devices)).await;
    let before = world.versions().await;
    let seen = |status, at| {
        let again =
            move |device: &Device| Device { status: Some(status), last_seen_at: Some(time(at)), ..device.clone() };
        devices.iter().map(again).collect::<Vec<_>>()
    };
    let merged = world.merge(&world.batch(&seen(Status::Online, 60))).await;
    assert_eq!((merged.seen_again, merged.updated, merged.unchanged), (50, 0, 0));
    let changed: Vec<String> = world.versions().await.difference(&before).cloned().collect();
    assert!(changed.len() == 50 && changed.iter().all(|row| row.starts_with("assets ")), "{changed:?}");
    // the statistics of other backends come when those are idle: counted by what the pages say instead; after one update, for
    // which there is room without the versions before it
    world.run("create extension pageinspect").await;
    let hot = "select count(*) from generate_series(0, pg_relation_size('assets') / 8192 - 1) page,
                   heap_page_items(get_raw_page('assets', page::int)) where t_infomask2::int & 32768 > 0";
    assert!(world.number(hot).await >= 50, "heap-only tuples: {}", world.number(hot).await);
    let merged = world.merge(&world.batch(&seen(Status::Overdue, 60))).await;
    assert_eq!(merged.seen_again, 50);
    assert_eq!(world.number("select count(*) from assets where agent_status = 'overdue'").await, 50);
}

#[tokio::test]
async fn an_older_fetch_never_overwrites_a_newer_one_in_either_order_of_page_and_refresh() {
    for (first, second) in [(Source::List, Source::Detail), (Source::Detail, Source::List)] {
        let database = TestDatabase::create().await;
        let world = World::new(&database).await;
        world.merge(&world.batch(&[device("a")])).await;
        let mut old = world.batch(&[Device { status: Some(Status::Offline), name: "OLD".to_owned(), ..device("a") }]);
        old.source = first;
        let new = Batch {
            source: second,
            ..world.batch(&[Device { status: Some(Status::Overdue), name: "NEW".to_owned(), ..device("a") }])
        };
        world.merge(&new).await;
        let before = world.versions().await;
        assert_eq!(world.merge(&old).await.older, 1);
        assert_eq!(world.versions().await, before);
        let seen = world.one().await;
        assert_eq!((seen.name.as_deref(), seen.agent_status.as_deref()), (Some("NEW"), Some("overdue")));
    }
}

#[tokio::test]
async fn a_refresh_that_found_nothing_new_still_keeps_out_a_page_that_was_read_before_it() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.merge(&world.batch(&[device("a")])).await;
    let page = world.batch(&[Device { status: Some(Status::Offline), ..device("a") }]);
    let refresh = Batch { source: Source::Detail, ..world.batch(&[device("a")]) };
    world.merge(&refresh).await;
    world.merge(&Batch { fetched_at: refresh.fetched_at + TimeDelta::seconds(1), ..refresh.clone() }).await;
    assert_eq!(world.merge(&page).await.older, 1);
    assert_eq!(world.one().await.agent_status.as_deref(), Some("online"));
}

#[tokio::test]
async fn two_sources_that_tell_the_same_come_to_rest() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let full =
        Device { ram_gb: Some(16), disks: vec![Disk { device: "C:".to_owned(), ..Disk::default() }], ..device("a") };
    let full = Device { serial_number: None, ..full };
    for _ in 0..2 {
        world.merge(&world.batch(&[device("a")])).await;
        world.merge(&Batch { source: Source::Detail, ..world.batch(std::slice::from_ref(&full)) }).await;
    }
    let before = world.versions().await;
    assert_eq!(world.merge(&world.batch(&[device("a")])).await.unchanged, 1);
    assert_eq!(world.versions().await, before);
    assert_eq!(world.number("select ram_gb::int8 from workstation_assets").await, 16);
    assert_eq!(world.one().await.serial_number.as_deref(), Some("SERIAL-a"));
    // what the refresh changed is what the next page is compared with
    world.merge(&Batch { source: Source::Detail, ..world.batch(&[Device { name: "NEW".to_owned(), ..full }]) }).await;
    world.merge(&world.batch(&[device("a")])).await;
    assert_eq!(world.one().await.name.as_deref(), Some("HOST-a"));
}

#[tokio::test]
async fn a_persons_rename_stands_until_tacticals_name_changes() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.merge(&world.batch(&[device("a")])).await;
    world.run("update assets set name = 'Reception', serial_number = 'by hand', location = 'Cellar'").await;
    let mut told = device("a");
    told.agent_version = Some("2.11.0".to_owned());
    assert_eq!(world.merge(&world.batch(&[told.clone()])).await.updated, 1);
    let moved = Batch { external_client_id: "2".to_owned(), ..world.batch(&[told.clone()]) };
    world.merge(&moved).await;
    let seen = world.one().await;
    assert_eq!((seen.name.as_deref(), seen.location.as_deref()), (Some("Reception"), Some("Cellar")));
    assert_eq!(seen.serial_number.as_deref(), Some("by hand"));
    told.name = "NEW-NAME".to_owned();
    told.site = Some("Branch".to_owned());
    world.merge(&Batch { external_client_id: "2".to_owned(), ..world.batch(&[told]) }).await;
    let seen = world.one().await;
    assert_eq!((seen.name.as_deref(), seen.location.as_deref()), (Some("NEW-NAME"), Some("Branch")));
    assert_eq!(seen.serial_number.as_deref(), Some("by hand"));
}

#[tokio::test]
async fn every_field_that_changes_reaches_the_existing_asset() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world
        .run(&format!(
            "insert into muster.site (tenant, integration_id, site_id, external_client_id, name)
         values ('{}', '{}', '77', '1', 'Branch')",
            world.tenant, world.integration_id
        ))
        .await;
    world.merge(&world.batch(&[device("a")])).await;
    let told = Device {
        site: Some("Branch".to_owned()),
        serial_number: Some("S2".to_owned()),
        os_name: Some("Windows Server".to_owned()),
        os_version: Some("2025".to_owned()),
        os_build: Some("26100".to_owned()),
        agent_version: Some("2.11".to_owned()),
        current_user: Some("bob".to_owned()),
        last_boot_at: Some(time(-100)),
        lan_ip: Some("10.0.0.9".to_owned()),
        wan_ip: Some("203.0.113.9".to_owned()),
        make_model: Some("Dell".to_owned()),
        cpu_model: Some("Xeon".to_owned()),
        needs_reboot: Some(true),
        has_patches_pending: Some(false),
        ..device("a")
    };
    assert_eq!(world.merge(&world.batch(&[told])).await.updated, 1);
    let row =
        "select concat_ws('|', os_version, agent_version, \"current_user\", lan_ip, wan_ip, cpu_model, pending_patches,
                   system_info ->> 'os_build', system_info ->> 'make_model', system_info ->> 'needs_reboot',
                   extract(epoch from last_reboot_at)::int8 + uptime_seconds)
               from workstation_assets";
    let fetched_s = time(60).timestamp();
    assert_eq!(
        world.text(row).await,
        format!("Windows Server 2025|2.11|bob|10.0.0.9|203.0.113.9|Xeon|0|26100|Dell|true|{fetched_s}")
    );
    let seen = world.one().await;
    assert_eq!((seen.serial_number.as_deref(), seen.location.as_deref()), (Some("S2"), Some("Branch")));
    let metadata =
        "select metadata ->> 'site_id' || ' ' || (metadata ->> 'site_name') from tenant_external_entity_mappings";
    assert_eq!(world.text(metadata).await, "77 Branch");
}
