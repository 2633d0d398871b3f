//! A part that is done in steps.

use store::run::{self, Scope, State};
use store::software::{self, Batch, Merged, Outcome};
use store::testing::TestDatabase;

use crate::world::{World, report};

#[tokio::test]
async fn only_devices_that_may_have_software_are_asked_in_the_order_of_their_ids() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.devices("1", &["linux-1", "d"]).await;
    world.run("update muster.agent set missing_since = now() where agent_id = 'b'").await;
    let next = async |after: Option<&str>| {
        software::next_agents(&world.store, world.tenant, world.integration_id, after, 2).await.unwrap()
    };
    assert_eq!(next(None).await, ["a", "c"]);
    assert_eq!(next(Some("c")).await, ["d"]);
    assert_eq!(next(Some("d")).await, [""; 0]);
    let count = async || software::count_agents(&world.store, world.tenant, world.integration_id).await.unwrap();
    assert_eq!(count().await, 3);
    world.run("update rmm_organization_mappings set metadata = jsonb_build_object('vanished_at', now())").await;
    assert_eq!((next(None).await, count().await), (vec![], 0), "a client that is no longer shown");
}

#[tokio::test]
async fn a_step_leaves_its_cursor_and_the_next_steps_message_in_its_own_transaction() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let messages = "select count(*) from muster.outbox where kind = 'software.ingest.v1'";
    let fence = world.begun(Scope::SoftwareByAgent).await;
    assert_eq!(world.number(messages).await, 2, "the run's own and the part's first");
    let first = world.batch(&fence, &[report("a", &[("Git", "1")])]).await;
    let first = Batch { cursor: Some("a".to_owned()), silent: 1, refused: 1, ..first };
    assert_eq!(world.merge(&first).await, Merged { first: 1, ..Merged::default() });
    assert_eq!(world.number(messages).await, 3);
    // the next step goes on from there, with the counts so far
    let part = world.begin(&fence.run, "software:agents").await;
    assert_eq!((part.cursor.as_deref(), part.seen, part.unverifiable), (Some("a"), 2, 1));
    assert_eq!(software::merge(&world.store, &first).await.unwrap(), Outcome::Fenced, "the step before is over");
    assert_eq!(world.number(messages).await, 3);
    let last = world.batch(&part.fence, &[report("b", &[("Git", "1")])]).await;
    world.merge(&last).await;
    assert_eq!(run::finish_part(&world.store, &part.fence).await.unwrap(), Some(State::Completed));
    let (view, _) = run::get(&world.store, world.tenant, fence.run.run_id).await.unwrap().unwrap();
    assert_eq!((view.counts.seen, view.counts.created), (3, 2));
}

#[tokio::test]
async fn a_list_that_cannot_be_read_becomes_a_walk_of_the_same_run() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let fence = world.begun(Scope::Software).await;
    let walk = run::NewPart {
        scope: Scope::SoftwareByAgent,
        label: "Software, agent by agent".to_owned(),
        expected: Some(3),
        fails: None,
    };
    assert!(run::plan(&world.store, &fence.run, &[walk]).await.unwrap());
    assert_eq!(run::begin_part(&world.store, &fence.run, "software").await.unwrap(), None);
    let part = world.begin(&fence.run, "software:agents").await;
    assert_eq!(run::finish_part(&world.store, &part.fence).await.unwrap(), Some(State::Completed));
}
