//! One agent, one asset, whatever happens to either.

use store::device::{Batch, Device, DeviceType, Source};
use store::testing::TestDatabase;

use crate::world::{World, device, opened};

#[tokio::test]
async fn a_new_agent_is_an_asset_with_its_mapping_and_its_own_row() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let merged = world.merge(&world.batch(&[device("a"), device("b")])).await;
    assert_eq!((merged.created, merged.updated, merged.unchanged), (2, 0, 0));
    let seen = world.seen().await["a"].clone();
    assert_eq!((seen.client_id, seen.organization.as_deref()), (world.clients[0], Some("1")));
    assert_eq!((seen.extensions, seen.mappings, seen.realm.as_deref()), (1, 1, Some("1")));
    assert_eq!((seen.location.as_deref(), seen.agent_status.as_deref()), (Some("HQ"), Some("online")));
    let tag = "select asset_tag || ' ' || status || ' ' || rmm_provider from assets where rmm_device_id = 'a'";
    assert_eq!(world.text(tag).await, "tactical:a active tacticalrmm");
}

#[tokio::test]
async fn a_moved_agent_stays_one_asset_and_takes_the_new_client() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.merge(&world.batch(&[device("a")])).await;
    let before = world.one().await;
    let there = Batch { external_client_id: "2".to_owned(), ..world.batch(&[device("a")]) };
    let merged = world.merge(&there).await;
    assert_eq!((merged.created, merged.updated, merged.moved), (0, 1, 1));
    let after = world.one().await;
    assert_eq!((after.asset_id, after.client_id), (before.asset_id, world.clients[1]));
    assert_eq!((after.organization.as_deref(), after.realm.as_deref()), (Some("2"), Some("2")));
    assert_eq!(world.number("select count(*) from assets").await, 1);
    assert_eq!(world.number("select count(*) from tenant_external_entity_mappings").await, 1);
    // and back
    assert_eq!(world.merge(&world.batch(&[device("a")])).await.moved, 1);
    assert_eq!(world.one().await.asset_id, before.asset_id);
}

#[tokio::test]
async fn an_asset_that_a_person_deleted_is_made_anew() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.merge(&world.batch(&[device("a")])).await;
    let before = world.one().await.asset_id;
    world.run("delete from assets").await;
    assert_eq!(world.merge(&world.batch(&[device("a")])).await.created, 1);
    let after = world.one().await;
    assert_ne!(after.asset_id, before);
    assert_eq!((after.mappings, after.extensions), (1, 1));
    assert_eq!(world.number("select count(*) from tenant_external_entity_mappings").await, 1);
}

#[tokio::test]
async fn a_change_of_type_moves_the_row_with_what_it_knows() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let detail = Device { ram_gb: Some(32), ..device("a") };
    world.merge(&Batch { source: Source::Detail, ..world.batch(&[detail]) }).await;
    let server = Device { kind: DeviceType::Server, ..device("a") };
    assert_eq!(world.merge(&world.batch(&[server])).await.updated, 1);
    assert_eq!(world.number("select count(*) from workstation_assets").await, 0);
    assert_eq!(world.number("select ram_gb::int8 from server_assets").await, 32);
    assert_eq!(world.one().await.asset_type.as_deref(), Some("server"));
    world.merge(&world.batch(&[device("a")])).await;
    assert_eq!(world.number("select count(*) from server_assets").await, 0);
    assert_eq!(world.number("select ram_gb::int8 from workstation_assets").await, 32);
}

#[tokio::test]
async fn an_asset_that_is_deleted_before_its_alerts_are_linked_fails_nothing_and_the_others_are_linked() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    store::alert::observe(&world.store, &[opened(&world, "a", "7"), opened(&world, "b", "8")]).await.unwrap();
    // gone with the very commit that made it
    world
        .run(
            "create function vanish() returns trigger language plpgsql as
                 $$ begin delete from assets where asset_id = new.asset_id; return null; end $$;
             create constraint trigger vanish after insert on muster.agent deferrable initially deferred
                 for each row when (new.agent_id = 'a') execute function vanish();
             delete from muster.agent",
        )
        .await;
    assert_eq!(world.merge(&world.batch(&[device("a"), device("b")])).await.created, 2);
    let linked = "select string_agg(external_device_id, ',') from rmm_alerts where asset_id is not null";
    assert_eq!(world.text(linked).await, "b");
}

#[tokio::test]
async fn alerts_that_wait_for_an_asset_are_linked_by_a_sync_and_by_a_refresh_also_where_nothing_was_new() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    for (number, source) in [("7", Source::List), ("8", Source::Detail)] {
        let agent = format!("agent-{number}");
        let linked =
            format!("select count(*) from rmm_alerts where asset_id is not null and external_device_id = '{agent}'");
        store::alert::observe(&world.store, &[opened(&world, &agent, number)]).await.unwrap();
        assert_eq!(world.number(&linked).await, 0);
        world.merge(&Batch { source, ..world.batch(&[device(&agent)]) }).await;
        assert_eq!(world.number(&linked).await, 1);
        // a worker that died between commit and link, and a batch after it that finds nothing new
        world.run("update muster.alert_state set asset_id = null; update rmm_alerts set asset_id = null").await;
        world.merge(&Batch { source, ..world.batch(&[device(&agent)]) }).await;
        assert_eq!(world.number(&linked).await, 1);
    }
}
