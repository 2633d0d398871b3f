//! What readers hear of devices and of runs.

use std::collections::BTreeSet;

use contract::envelope::BODY_BYTES_MAX;
use serde_json::{Value, json};
use store::alert::{self, Fact, Said};
use store::device::{self, Batch, Device, Status};
use store::organization::{self, Decision, Held, Patch};
use store::run::{self, Kind, State};
use store::testing::TestDatabase;
use store::{merge, outbox};

use crate::world::{World, device, entry, opened, part, time};

/// Type, agent, revision and what changed, of each event about a device.
fn told(events: &[Value]) -> Vec<String> {
    let of_assets = events.iter().filter(|event| event["type"].as_str().unwrap().starts_with("rmm.asset."));
    of_assets
        .map(|event| {
            let data = &event["data"];
            let changed: Vec<&str> =
                data["changed"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
            let change = data["change"].as_str().unwrap();
            assert_eq!(event["type"], format!("rmm.asset.{change}"));
            assert_eq!((&event["rev"], &event["tenant"]), (&data["rev"], &data["tenant"]));
            format!("{change} {} {} {}", data["agent_id"].as_str().unwrap(), data["rev"], changed.join(" "))
                .trim_end()
                .to_owned()
        })
        .collect()
}

/// Types without those about devices.
fn types(events: &[Value]) -> Vec<&str> {
    let types = events.iter().map(|event| event["type"].as_str().unwrap());
    types.filter(|name| !name.starts_with("rmm.asset.")).collect()
}

#[tokio::test]
async fn a_first_import_is_one_event_and_what_comes_later_is_told_one_by_one() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    // a refresh before the first sync is a part of the import, too
    world.merge(&world.batch(&[device("a")])).await;
    let fence = world.begun(&["client:1", "client:2"]).await;
    world.complete(&fence, &[device("a"), device("b"), device("c")]).await;
    assert_eq!(world.events().await, [] as [Value; 0]);
    let second = world.begin(&fence.run, "client:2").await;
    assert_eq!(world.complete(&second, &[device("d")]).await, Some(State::Completed));
    let events = world.events().await;
    assert_eq!(types(&events), ["rmm.import.completed", "rmm.import.completed", "rmm.sync.completed"]);
    let import = events.iter().find(|event| event["data"]["part"] == "client:1").unwrap();
    let data = json!({
        "tenant": world.tenant, "integration_id": world.integration_id, "run_id": fence.run.run_id, "kind": "devices",
        "part": "client:1", "label": "Acme", "count": 3
    });
    assert_eq!((&import["data"], told(&events).len()), (&data, 0));
    assert_eq!(events[2]["data"]["counts"]["seen"], 4);

    let next = world.begun(&["client:1"]).await;
    world.complete(&next, &[device("a"), device("b"), device("c"), device("new")]).await;
    let events = world.events().await;
    assert_eq!((told(&events), types(&events)), (vec!["created new 1".to_owned()], vec!["rmm.sync.completed"]));
}

#[tokio::test]
async fn an_import_that_fails_goes_on_with_the_next_run() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let fence = world.begun(&["client:1"]).await;
    let half = Batch { fence: Some(fence.clone()), ..world.batch(&[device("a")]) };
    world.merge(&half).await;
    assert!(run::fail(&world.store, world.tenant, fence.run.run_id, None, "the server is away").await.unwrap());
    let events = world.events().await;
    assert_eq!(types(&events), ["rmm.sync.failed"]);
    let data = &events[0]["data"];
    assert_eq!((&data["state"], &data["error"]), (&json!("failed"), &json!("the server is away")));
    assert!(!run::fail(&world.store, world.tenant, fence.run.run_id, None, "again").await.unwrap());
    assert_eq!(world.events().await, [] as [Value; 0], "a run ends once");
    let next = world.begun(&["client:1"]).await;
    world.complete(&next, &[device("a"), device("b")]).await;
    let events = world.events().await;
    assert_eq!(types(&events), ["rmm.import.completed", "rmm.sync.completed"]);
    assert_eq!((&events[0]["data"]["count"], told(&events).len()), (&json!(2), 0));
}

#[tokio::test]
async fn alerts_that_waited_for_the_devices_of_an_import_get_them_without_an_event_each() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    // a connection's alerts are read by themselves, its devices once a person has mapped the clients
    let waiting = [("a", "7"), ("b", "8"), ("c", "9")];
    let waiting = waiting.map(|(agent, number)| Fact { said: Said::PolledOpen, ..opened(&world, agent, number) });
    alert::observe(&world.store, &waiting).await.unwrap();
    assert_eq!(world.events().await, [] as [Value; 0], "they are imported, too");
    let fence = world.begun(&["client:1"]).await;
    world.complete(&fence, &[device("a"), device("b")]).await;
    let unlinked = "select count(*) from rmm_alerts where asset_id is null";
    assert_eq!(world.number(unlinked).await, 1);
    assert_eq!(types(&world.events().await), ["rmm.import.completed", "rmm.sync.completed"]);

    let next = world.begun(&["client:1"]).await;
    world.complete(&next, &[device("a"), device("b"), device("c")]).await;
    assert_eq!(world.number(unlinked).await, 0);
    let events = world.events().await;
    assert_eq!(
        (told(&events), types(&events)),
        (vec!["created c 1".to_owned()], vec!["rmm.alert.updated", "rmm.sync.completed"])
    );
}

#[tokio::test]
async fn every_kind_of_run_tells_its_end_and_a_partial_one_as_failed() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    for kind in [Kind::Clients, Kind::Software, Kind::Alerts] {
        let fence = world.taken(kind).await;
        assert!(run::plan(&world.store, &fence, &[part(kind.as_str())]).await.unwrap());
        let begun = world.begin(&fence, kind.as_str()).await;
        assert_eq!(run::finish_part(&world.store, &begun).await.unwrap(), Some(State::Completed));
        let events = world.events().await;
        assert_eq!(events.last().unwrap()["data"]["kind"], kind.as_str());
        // a connection's alerts are imported once, also where there are none
        let import = if kind == Kind::Alerts { vec!["rmm.import.completed"] } else { Vec::new() };
        assert_eq!(types(&events), [import, vec!["rmm.sync.completed"]].concat(), "{kind:?}");
    }
    let fence = world.taken(Kind::Devices).await;
    let hidden = run::NewPart { fails: Some("it is not shown".to_owned()), ..part("client:2") };
    assert!(run::plan(&world.store, &fence, &[part("client:1"), hidden]).await.unwrap());
    let one = world.begin(&fence, "client:1").await;
    assert_eq!(world.complete(&one, &[]).await, Some(State::Partial));
    let events = world.events().await;
    assert_eq!(types(&events), ["rmm.import.completed", "rmm.sync.failed"], "client 1 was read wholly");
    let data = &events[1]["data"];
    assert_eq!((&data["state"], &data["parts_done"], &data["parts_failed"]), (&json!("partial"), &json!(1), &json!(1)));
}

#[tokio::test]
async fn what_changes_all_day_is_never_told_and_what_seldom_changes_is_told_once() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.imported().await;
    world.merge(&world.batch(&[device("a")])).await;
    let events = world.events().await;
    assert_eq!(told(&events), ["created a 1"]);
    let data = &events[0]["data"];
    assert_eq!(
        (&data["name"], &data["site"], &data["client_id"]),
        (&json!("HOST-a"), &json!("HQ"), &json!(world.clients[0]))
    );
    let mut now = device("a");
    let restless: [fn(&mut Device); 6] = [
        |device| device.status = Some(Status::Overdue),
        |device| device.last_seen_at = Some(time(600)),
        |device| device.current_user = Some("somebody".to_owned()),
        |device| (device.lan_ip, device.wan_ip) = (Some("10.0.0.9".to_owned()), Some("192.0.2.9".to_owned())),
        |device| device.local_ips = vec!["10.0.0.9".to_owned()],
        |device| device.last_boot_at = Some(time(0)),
    ];
    for change in restless {
        change(&mut now);
        world.merge(&world.batch(&[now.clone()])).await;
        assert_eq!(world.events().await, [] as [Value; 0], "{now:?}");
    }
    (now.os_version, now.name) = (Some("24H2".to_owned()), "PC-2".to_owned());
    now.lan_ip = Some("10.0.0.10".to_owned());
    let batch = world.batch(&[now.clone()]);
    world.merge(&batch).await;
    assert_eq!(told(&world.events().await), ["updated a 2 name os_version"]);
    for again in [batch, world.batch(&[now.clone()])] {
        world.merge(&again).await;
        assert_eq!(world.events().await, [] as [Value; 0], "the same again is no news");
    }
    now.make_model = None;
    world.merge(&world.batch(&[now])).await;
    assert_eq!(told(&world.events().await), ["updated a 3 make_model"]);
}

#[tokio::test]
async fn a_device_that_moves_goes_and_comes_back_is_told_with_growing_revisions() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.imported().await;
    world.merge(&world.batch(&[device("a"), device("b")])).await;
    world.events().await;
    let there = Batch { external_client_id: "2".to_owned(), ..world.batch(&[device("a")]) };
    world.merge(&there).await;
    let events = world.events().await;
    assert_eq!(told(&events), ["moved a 2 client_id external_client_id"]);
    let data = &events[0]["data"];
    assert_eq!((&data["previous_client_id"], &data["client_id"]), (&json!(world.clients[0]), &json!(world.clients[1])));

    let fence = world.begun(&["client:1"]).await;
    assert_eq!(world.complete(&fence, &[device("c")]).await, Some(State::Running));
    let confirm = world.begin(&fence.run, "confirm").await;
    let listed = BTreeSet::from(["a", "c"]).into_iter().map(str::to_owned).collect();
    assert_eq!(device::confirm_missing(&world.store, &confirm, &listed).await.unwrap(), Some(1));
    run::finish_part(&world.store, &confirm).await.unwrap();
    let events = world.events().await;
    assert_eq!(told(&events), ["created c 1", "missing b 2 is_missing"]);
    assert_eq!(events[1]["data"]["is_missing"], true);
    let back = Batch { fetched_at: world.store.database_now().await.unwrap(), ..world.batch(&[device("b")]) };
    world.merge(&back).await;
    assert_eq!(told(&world.events().await), ["updated b 3 is_missing"], "nothing of it has changed but that");
    assert_eq!(world.number("select count(*) from muster.agent where rev < 1").await, 0);
}

#[tokio::test]
async fn a_mapping_that_is_assigned_anew_moves_a_thousand_devices_with_an_event_each() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    // one more than one statement writes
    let devices: Vec<Device> = (0..1_001).map(|number| device(&format!("{number:04}"))).collect();
    world.merge(&world.batch(&devices)).await;
    let mapping = format!(
        "select mapping_id::text from rmm_organization_mappings where external_organization_id = '1' and tenant = '{}'",
        world.tenant
    );
    let mapping_id = world.text(&mapping).await.parse().unwrap();
    let patch = Patch { client_id: Some(Some(world.clients[1])), auto_sync: None };
    for expected in [1_001, 0] {
        let patched =
            organization::patch(&world.store, world.tenant, mapping_id, patch, &entry()).await.unwrap().unwrap();
        assert_eq!(patched.moved, expected);
        let events = world.events().await;
        assert_eq!(events.len() as u64, expected);
        let ids: BTreeSet<&str> = events.iter().map(|event| event["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), events.len());
        for event in &events {
            let data = &event["data"];
            assert_eq!((&data["change"], &data["previous_client_id"]), (&json!("moved"), &json!(world.clients[0])));
            assert_eq!((&data["client_id"], &data["rev"]), (&json!(world.clients[1]), &json!(2)));
        }
    }
}

#[tokio::test]
async fn an_accepted_merge_tells_of_both_assets() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.imported().await;
    world.merge(&world.batch(&[Device { serial_number: Some("5CG1".to_owned()), ..device("old") }])).await;
    world.run("update muster.agent set missing_since = now(), rev = 7, first_seen_at = now() - interval '1 day'").await;
    let fence = world.begun(&["client:1"]).await;
    world.complete(&fence, &[Device { serial_number: Some("5CG1".to_owned()), ..device("new") }]).await;
    let (old, new) = (world.seen().await["old"].asset_id, world.seen().await["new"].asset_id);
    world.events().await;
    let proposal = merge::list(&world.store, world.tenant).await.unwrap().pop().unwrap();
    merge::accept(&world.store, world.tenant, proposal.proposal_id, &entry()).await.unwrap().unwrap();
    let events = world.events().await;
    assert_eq!(told(&events), ["missing new 2 is_missing", "updated new 8 agent_id is_missing"]);
    assert_eq!((&events[0]["data"]["asset_id"], &events[0]["data"]["merged_into"]), (&json!(new), &json!(old)));
    assert_eq!((&events[1]["data"]["asset_id"], &events[1]["data"]["is_missing"]), (&json!(old), &json!(false)));
    assert_eq!(merge::accept(&world.store, world.tenant, proposal.proposal_id, &entry()).await.unwrap(), None);
    assert_eq!(world.events().await, [] as [Value; 0]);
}

#[tokio::test]
async fn another_server_takes_its_devices_along_and_the_next_one_begins_with_an_import() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.imported().await;
    world.merge(&world.batch(&[device("a"), device("b")])).await;
    world.events().await;
    let held = Held { reason: "other agents".to_owned(), ..Held::default() };
    assert!(organization::hold(&world.store, world.tenant, world.integration_id, &held).await.unwrap());
    let (tenant, id) = (world.tenant, world.integration_id);
    assert!(organization::confirm(&world.store, tenant, id, Decision::Other, None, &entry()).await.unwrap());
    assert_eq!(told(&world.events().await), ["missing a 2 is_missing", "missing b 2 is_missing"]);
    assert_eq!(world.number("select count(*) from muster.imported").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_that_race_tell_of_a_new_device_once() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.imported().await;
    for round in 0..10 {
        let ids: Vec<String> = (0..20).map(|number| format!("{round}-{number}")).collect();
        let devices: Vec<Device> = ids.iter().map(|id| device(id)).collect();
        let (one, two) = (world.batch(&devices), world.batch(&devices));
        let (store, second) = (database.store(), database.second_store());
        let (one, two) = tokio::join!(device::merge(&store, &one), device::merge(&second, &two));
        assert!(one.is_ok() && two.is_ok());
        let events = world.events().await;
        assert_eq!(told(&events).len(), 20, "{:?}", told(&events));
    }
}

#[tokio::test]
async fn the_largest_event_fits_a_message() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.imported().await;
    let mut largest = device("a");
    // a control character is six in JSON
    let long = "\u{1}".repeat(2_000);
    largest.name.clone_from(&long);
    for text in [&mut largest.site, &mut largest.serial_number, &mut largest.os_name, &mut largest.description] {
        *text = Some(long.clone());
    }
    world.merge(&world.batch(&[largest])).await;
    let rows = outbox::claim(&world.store, 10, std::time::Duration::from_secs(1)).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert!(rows[0].body.len() < BODY_BYTES_MAX / 10, "{} bytes", rows[0].body.len());
}
