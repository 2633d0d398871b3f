//! An alert and its asset find each other, whichever comes first and whoever dies in between.

use contract::event::Transition::{Opened, Updated};
use store::alert::Said;
use store::testing::TestDatabase;

use crate::world::World;

#[tokio::test]
async fn an_unknown_agent_is_fine_and_its_asset_is_linked_when_it_comes() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.observe(&[world.fact(Said::Open, 5, Some("7"), Some(1))]).await;
    assert_eq!(world.row().await.asset_id, None);
    assert_eq!(world.number("select count(*) from muster.agent where refresh_due_at is not null").await, 1);
    let asset_id = world.asset("agent").await;
    world.link("agent").await;
    world.link("agent").await;
    assert_eq!(world.row().await.asset_id, Some(asset_id));
    assert_eq!(world.heard().await, [(2, Opened), (3, Updated)]);
}

#[tokio::test]
async fn the_link_of_a_worker_that_died_after_its_commit_is_made_by_the_redelivery() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let open = [world.fact(Said::Open, 5, Some("7"), Some(1))];
    world.observe(&open).await;
    let asset_id = world.asset("agent").await;
    world.observe(&open).await;
    assert_eq!(world.row().await.asset_id, Some(asset_id));
}

#[tokio::test]
async fn an_asset_is_found_by_algapsas_mapping_and_by_the_first_event() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let asset_id = world.asset("agent").await;
    world.run("delete from muster.agent").await;
    for (entity, agent) in [(asset_id.to_string(), "agent"), ("no uuid".to_owned(), "other")] {
        world
            .run(&format!(
                "insert into tenant_external_entity_mappings
                     (tenant, integration_type, alga_entity_type, alga_entity_id, external_entity_id)
                 values ('{}', 'tacticalrmm', 'asset', '{entity}', '{agent}')",
                world.tenant
            ))
            .await;
    }
    let mut other = world.fact(Said::Open, 5, Some("8"), Some(1));
    other.agent_id = "other".to_owned();
    world.observe(&[world.fact(Said::Open, 5, Some("7"), Some(1)), other]).await;
    let events = world.drain().await;
    let assets: Vec<_> = events.iter().filter_map(|event| event.asset_id).collect();
    assert_eq!((events.len(), assets), (2, vec![asset_id]));
}

#[tokio::test]
async fn a_deleted_asset_is_forgotten_and_its_successor_linked_with_the_next_fact() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let old = world.asset("agent").await;
    world.observe(&[world.fact(Said::Open, 5, Some("7"), Some(1))]).await;
    assert_eq!(world.row().await.asset_id, Some(old));
    world.run(&format!("delete from assets where asset_id = '{old}'")).await;
    world.observe(&[world.fact(Said::Open, 6, Some("7"), Some(1))]).await;
    assert_eq!(world.row().await.asset_id, None);
    let new = world.asset("agent").await;
    world.observe(&[world.fact(Said::Resolve, 9, Some("7"), Some(1))]).await;
    assert_eq!((world.row().await.asset_id, world.row().await.rev), (Some(new), 7));
}

#[tokio::test]
async fn a_later_alert_of_nobody_under_the_same_number_lets_the_asset_go() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let asset_id = world.asset("agent").await;
    world.observe(&[world.fact(Said::Open, 5, Some("7"), Some(1))]).await;
    assert_eq!(world.row().await.asset_id, Some(asset_id));
    let mut later = world.fact(Said::PolledOpen, 20, Some("7"), Some(15));
    later.agent_id = String::new();
    world.observe(&[later]).await;
    let row = world.row().await;
    assert_eq!((row.agent_id, row.asset_id), (None, None));
}
