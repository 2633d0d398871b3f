//! Reinstalled agents.

use store::device::Device;
use store::merge;
use store::testing::TestDatabase;
use uuid::Uuid;

use crate::world::{World, device, entry, time};

/// An agent that is missing and one with that serial number that came after it; the second is read under the first's client.
async fn reinstalled(world: &World, serial: &str) {
    let old = Device { serial_number: Some(serial.to_owned()), ..device("old") };
    let new = Device { serial_number: Some(serial.to_owned()), name: "NEW".to_owned(), ..device("new") };
    world.merge(&world.batch(&[old])).await;
    world.run("update muster.agent set missing_since = now(), first_seen_at = now() - interval '1 day'").await;
    let fence = world.begun(&["client:1"]).await;
    world.complete(&fence, &[new]).await;
}

#[tokio::test]
async fn a_reinstalled_agent_is_proposed_once_and_a_machine_without_a_telling_serial_is_not() {
    for (serial, expected) in [
        ("5CG1234XYZ", 1),
        ("Default string", 0),
        ("To be filled by O.E.M.", 0),
        ("0", 0),
        ("None", 0),
        ("System Serial Number", 0),
        ("XXXXXXXX", 0),
    ] {
        let database = TestDatabase::create().await;
        let world = World::new(&database).await;
        reinstalled(&world, serial).await;
        let fence = world.begun(&["client:1"]).await;
        world
            .complete(
                &fence,
                &[Device { serial_number: Some(serial.to_owned()), name: "NEW".to_owned(), ..device("new") }],
            )
            .await;
        let proposals = merge::list(&world.store, world.tenant).await.unwrap();
        assert_eq!(proposals.len(), expected, "{serial}");
    }
}

#[tokio::test]
async fn accepting_keeps_the_old_asset_with_its_alerts_and_history() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    reinstalled(&world, "5CG1234XYZ").await;
    let (old, new) = (world.seen().await["old"].asset_id, world.seen().await["new"].asset_id);
    let alert = |number: &str, agent: &str| store::alert::Fact {
        tenant: world.tenant,
        integration_id: world.integration_id,
        said: store::alert::Said::Open,
        at: time(0),
        agent_id: agent.to_owned(),
        number: Some(number.to_owned()),
        alert_time: Some(time(0)),
        needs_fetch: false,
        details: store::alert::Details::default(),
        odd: Vec::new(),
        raw: Vec::new(),
        traceparent: None,
    };
    store::alert::observe(&world.store, &[alert("1", "old"), alert("2", "new")]).await.unwrap();
    world.run("delete from muster.outbox; update assets set name = 'Reception' where name = 'HOST-old'").await;
    let proposal = merge::list(&world.store, world.tenant).await.unwrap().pop().unwrap();
    assert_eq!((proposal.old_asset_id, proposal.asset_id), (Some(old), Some(new)));

    let accepted = merge::accept(&world.store, world.tenant, proposal.proposal_id, &entry()).await.unwrap().unwrap();
    assert_eq!((accepted.asset_id, accepted.alerts), (old, 1));
    let seen = world.one().await;
    assert_eq!((seen.agent_id.as_str(), seen.asset_id, seen.mappings), ("new", old, 1));
    assert_eq!(world.number("select count(*) from assets").await, 1);
    assert_eq!(world.number(&format!("select count(*) from rmm_alerts where asset_id = '{old}'")).await, 2);
    let states = format!("select count(*) from muster.alert_state where asset_id = '{old}' and rev = 2 * facts + 1");
    assert_eq!(world.number(&states).await, 2);
    assert_eq!(world.number("select count(*) from muster.outbox where kind = 'rmm.alert.updated'").await, 1);
    assert_eq!(world.number("select count(*) from muster.audit").await, 2, "of the run and of the merge");
    assert_eq!(merge::accept(&world.store, world.tenant, proposal.proposal_id, &entry()).await.unwrap(), None);
    // the next list writes what the new agent is, not over a person's name
    let new = Device { serial_number: Some("5CG1234XYZ".to_owned()), name: "HOST-old".to_owned(), ..device("new") };
    assert_eq!(world.merge(&world.batch(&[Device { agent_version: Some("3".to_owned()), ..new }])).await.created, 0);
    assert_eq!(world.one().await.name.as_deref(), Some("Reception"));
    assert_eq!(world.text("select asset_tag || rmm_device_id from assets").await, "tactical:newnew");
}

#[tokio::test]
async fn an_asset_that_something_refers_to_is_not_merged_away() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    reinstalled(&world, "5CG1234XYZ").await;
    world
        .run(
            "create table tickets (tenant uuid, asset_id uuid, foreign key (tenant, asset_id) references assets);
             insert into tickets select tenant, asset_id from assets",
        )
        .await;
    let proposal = merge::list(&world.store, world.tenant).await.unwrap().pop().unwrap();
    let error = merge::accept(&world.store, world.tenant, proposal.proposal_id, &entry()).await.unwrap_err();
    assert!(matches!(error, store::Error::Refused { .. }) && error.to_string().contains("tickets"), "{error}");
    assert_eq!(world.seen().await.len(), 2);
    assert_eq!(merge::list(&world.store, world.tenant).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_dismissed_proposal_stays_dismissed() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    reinstalled(&world, "5CG1234XYZ").await;
    let proposal = merge::list(&world.store, world.tenant).await.unwrap().pop().unwrap();
    assert!(merge::dismiss(&world.store, world.tenant, proposal.proposal_id, &entry()).await.unwrap());
    assert!(!merge::dismiss(&world.store, world.tenant, proposal.proposal_id, &entry()).await.unwrap());
    assert!(!merge::dismiss(&world.store, Uuid::now_v7(), proposal.proposal_id, &entry()).await.unwrap());
    let fence = world.begun(&["client:1"]).await;
    world
        .complete(
            &fence,
            &[Device { serial_number: Some("5CG1234XYZ".to_owned()), name: "NEW".to_owned(), ..device("new") }],
        )
        .await;
    assert_eq!(merge::list(&world.store, world.tenant).await.unwrap(), []);
}

#[tokio::test]
async fn an_old_agent_that_came_back_is_merged_with_nobody_until_it_is_missing_again() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    reinstalled(&world, "5CG1234XYZ").await;
    let proposal = merge::list(&world.store, world.tenant).await.unwrap().pop().unwrap();
    world.run("update muster.agent set missing_since = null").await;
    assert_eq!(merge::list(&world.store, world.tenant).await.unwrap(), []);
    assert_eq!(merge::accept(&world.store, world.tenant, proposal.proposal_id, &entry()).await.unwrap(), None);
    assert_eq!(world.seen().await.len(), 2);
    world.run("update muster.agent set missing_since = now() where agent_id = 'old'").await;
    assert!(merge::accept(&world.store, world.tenant, proposal.proposal_id, &entry()).await.unwrap().is_some());
}
