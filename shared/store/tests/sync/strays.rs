//! Devices that no list should show: asked for alone, and missing only where Tactical says that there is no such agent.

use std::collections::HashSet;

use store::device;
use store::run::{self, NewPart, State};
use store::testing::TestDatabase;

use crate::world::{World, device, part};

/// Agents of client 1, of none, of one whose mapping is gone, of one that is mapped and hidden or deleted (2), and of one
/// that is assigned to nobody (3).
async fn strays(world: &World) {
    let all = ["a", "left", "unknown", "hidden", "unmapped"].map(device);
    world.merge(&world.batch(&all)).await;
    for (agent, client) in [("left", "null"), ("unknown", "'99'"), ("hidden", "'2'"), ("unmapped", "'3'")] {
        world.run(&format!("update muster.agent set external_client_id = {client} where agent_id = '{agent}'")).await;
    }
}

/// A run in which client 1 shows its device and client 2 is not shown; its fence.
async fn run_without_two(world: &World) -> run::Fence {
    let fence = world.taken(run::Kind::Devices).await;
    let hidden = NewPart { fails: Some("it is not shown".to_owned()), ..part("client:2") };
    assert!(run::plan(&world.store, &fence, &[part("client:1"), hidden]).await.unwrap());
    let one = world.begin(&fence, "client:1").await;
    world.complete(&one, &[device("a")]).await;
    fence
}

async fn missing(world: &World) -> String {
    world
        .text("select string_agg(agent_id, ' ' order by agent_id) from muster.agent where missing_since is not null")
        .await
}

#[tokio::test]
async fn a_stray_is_missing_when_tactical_says_that_there_is_no_such_agent() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    strays(&world).await;
    let fence = run_without_two(&world).await;
    let confirm = world.begin(&fence, "confirm").await;
    let mut found = device::strays(&world.store, &confirm).await.unwrap().unwrap();
    found.agent_ids.sort();
    assert_eq!(
        (found.agent_ids, found.has_candidates),
        (["hidden", "left", "unknown"].map(str::to_owned).to_vec(), false)
    );
    // no list proves anything about them
    let listed = HashSet::from(["a".to_owned()]);
    assert_eq!(device::confirm_missing(&world.store, &confirm, &listed).await.unwrap(), Some(0));
    assert_eq!(device::forget_hidden(&world.store, &confirm, &[]).await.unwrap(), Some(0));
    assert_eq!(missing(&world).await, "");
    let gone = HashSet::from(["left".to_owned(), "hidden".to_owned()]);
    assert_eq!(device::mark_strays(&world.store, &confirm, &gone).await.unwrap(), Some(2));
    assert_eq!(run::finish_part(&world.store, &confirm).await.unwrap(), Some(State::Partial));
    assert_eq!(missing(&world).await, "hidden left");
    let two = "select count(*) from muster.agent where external_client_id = '2'";
    assert_eq!(world.number(two).await, 1, "what is hidden stays where it was");
}

#[tokio::test]
async fn a_stray_that_was_written_meanwhile_is_not_missing() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    strays(&world).await;
    let fence = run_without_two(&world).await;
    let confirm = world.begin(&fence, "confirm").await;
    let fetched_at = world.store.database_now().await.unwrap();
    world.merge(&device::Batch { fetched_at, ..world.batch(&[device("left")]) }).await;
    let gone = HashSet::from(["left".to_owned()]);
    assert_eq!(device::mark_strays(&world.store, &confirm, &gone).await.unwrap(), Some(0));
    assert_eq!(missing(&world).await, "");
}

#[tokio::test]
async fn strays_are_looked_for_once_an_hour_and_whenever_a_second_list_is_read_anyway() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    strays(&world).await;
    let is_confirming = async |fence: &run::Fence| {
        let (_, parts) = run::get(&world.store, world.tenant, fence.run_id).await.unwrap().unwrap();
        parts.iter().any(|part| part.name == "confirm")
    };
    let first = run_without_two(&world).await;
    assert!(is_confirming(&first).await);
    let confirm = world.begin(&first, "confirm").await;
    run::finish_part(&world.store, &confirm).await.unwrap();
    let second = run_without_two(&world).await;
    assert!(!is_confirming(&second).await, "it was looked a moment ago");
    world.merge(&world.batch(&[device("b")])).await;
    let third = run_without_two(&world).await;
    let confirm = world.begin(&third, "confirm").await;
    let found = device::strays(&world.store, &confirm).await.unwrap().unwrap();
    assert_eq!((found.agent_ids.len(), found.has_candidates), (3, true));
    run::finish_part(&world.store, &confirm).await.unwrap();
    world.run("update muster.run_part set finished_at = finished_at - interval '1 hour'").await;
    assert!(is_confirming(&run_without_two(&world).await).await, "an hour later");
}

#[tokio::test]
async fn a_server_that_answers_nothing_is_not_asked_for_strays() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    strays(&world).await;
    let fence = world.begun(&["client:1"]).await;
    assert_eq!(run::fail_part(&world.store, &fence.run, "client:1", "502").await.unwrap(), Some(State::Failed));
}
