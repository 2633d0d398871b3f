//! Assets that AlgaPSA made.

use store::device::{Batch, DeviceType};
use store::testing::TestDatabase;
use uuid::Uuid;

use crate::world::{World, device};

/// An asset as AlgaPSA writes one, with or without its mapping.
async fn algapsa(world: &World, id: u128, agent: &str, realm: &str, is_mapped: bool) -> Uuid {
    let (tenant, client, asset) = (world.tenant, world.clients[0], Uuid::from_u128(id));
    world
        .run(&format!(
            "insert into assets (tenant, asset_id, client_id, asset_tag, name, status, asset_type, rmm_provider,
                 rmm_device_id, rmm_organization_id, agent_status)
             values ('{tenant}', '{asset}', '{client}', 'tactical:{agent}', 'named by hand', 'active', 'workstation',
                 'tacticalrmm', '{agent}', '{realm}', 'online');
             insert into workstation_assets (tenant, asset_id, os_type) values ('{tenant}', '{asset}', 'Microsoft')"
        ))
        .await;
    if is_mapped {
        world
            .run(&format!(
                "insert into tenant_external_entity_mappings
                     (tenant, integration_type, alga_entity_type, alga_entity_id, external_entity_id, external_realm_id)
                 values ('{tenant}', 'tacticalrmm', 'asset', '{asset}', '{agent}', '{realm}')"
            ))
            .await;
    }
    asset
}

#[tokio::test]
async fn algapsas_assets_are_adopted_by_their_mapping_and_by_their_agent() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let mapped = algapsa(&world, 1, "mapped", "1", true).await;
    let bare = algapsa(&world, 2, "bare", "1", false).await;
    let merged = world.merge(&world.batch(&[device("mapped"), device("bare"), device("new")])).await;
    assert_eq!(merged.created, 3);
    let seen = world.seen().await;
    assert_eq!((seen["mapped"].asset_id, seen["bare"].asset_id), (mapped, bare));
    assert_eq!(world.number("select count(*) from assets").await, 3);
    assert!(seen.values().all(|seen| seen.mappings == 1 && seen.extensions == 1), "{seen:#?}");
    // what it never wrote is there now, what a person may have written stands
    assert_eq!(seen["bare"].name.as_deref(), Some("named by hand"));
    assert_eq!(seen["bare"].serial_number.as_deref(), Some("SERIAL-bare"));
    assert_eq!(world.number("select count(*) from workstation_assets where os_type = 'Windows'").await, 3);
}

#[tokio::test]
async fn of_the_two_assets_of_a_moved_agent_that_of_its_client_is_adopted_and_the_link_of_the_other_gives_way() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let old = algapsa(&world, 1, "a", "2", true).await;
    let new = algapsa(&world, 2, "a", "1", true).await;
    world.merge(&world.batch(&[device("a")])).await;
    assert_eq!(world.one().await.asset_id, new);
    let there = Batch { external_client_id: "2".to_owned(), ..world.batch(&[device("a")]) };
    assert_eq!(world.merge(&there).await.moved, 1);
    let seen = world.one().await;
    assert_eq!((seen.asset_id, seen.realm.as_deref(), seen.mappings), (new, Some("2"), 1));
    assert_eq!(
        world.number(&format!("select count(*) from assets where asset_id = '{old}'")).await,
        1,
        "nothing is lost"
    );
}

#[tokio::test]
async fn an_adopted_linux_server_is_no_workstation_any_more() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    algapsa(&world, 1, "a", "1", true).await;
    let mut server = device("a");
    server.kind = DeviceType::Server;
    world.merge(&world.batch(&[server])).await;
    assert_eq!(world.number("select count(*) from workstation_assets").await, 0);
    assert_eq!(world.one().await.asset_type.as_deref(), Some("server"));
}

#[tokio::test]
async fn an_asset_that_is_another_agents_is_not_adopted() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.merge(&world.batch(&[device("a")])).await;
    world.run("update assets set rmm_device_id = 'b'").await;
    world.merge(&world.batch(&[device("b")])).await;
    assert_eq!(world.number("select count(*) from assets").await, 2);
}

#[tokio::test]
async fn of_two_agents_that_claim_one_asset_the_one_that_its_mapping_names_has_it() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let asset = algapsa(&world, 1, "b", "1", true).await;
    world.run("update assets set rmm_device_id = 'a'").await;
    let merged = world.merge(&world.batch(&[device("a"), device("b")])).await;
    assert_eq!(merged.created, 2);
    let seen = world.seen().await;
    assert_eq!(seen["b"].asset_id, asset);
    assert_ne!(seen["a"].asset_id, asset);
    assert!(seen.values().all(|seen| seen.mappings == 1 && seen.extensions == 1), "{seen:#?}");
    assert_eq!(world.number("select count(*) from tenant_external_entity_mappings").await, 2);
    // and so it stays
    let again = world.merge(&world.batch(&[device("a"), device("b")])).await;
    assert_eq!((again.created, again.unchanged), (0, 2));
}
