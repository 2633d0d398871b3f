//! What a connection's first poll finds is imported and not told.

use contract::event::Transition::{Opened, Resolved, Updated};
use store::alert::{Details, Fact, Said, Severity};
use store::testing::TestDatabase;

use crate::world::World;

#[tokio::test]
async fn alerts_that_only_the_first_poll_tells_of_are_not_told_and_all_others_are() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.run("delete from muster.imported").await;
    let poll = |at_s, number| world.fact(Said::PolledOpen, at_s, Some(number), Some(1));
    assert_eq!(world.observe(&[poll(10, "1"), world.fact(Said::Open, 5, Some("2"), Some(1))]).await, 1);
    world.observe(&[poll(10, "2"), poll(10, "3"), world.fact(Said::Open, 5, Some("3"), Some(1))]).await;
    let told = world.heard().await;
    assert_eq!(
        told.iter().filter(|(_, transition)| *transition == Opened).count(),
        2,
        "webhooks told of 2 and 3: {told:?}"
    );
    // what becomes of one that was imported is told
    let details = Details { severity: Some(Severity::Minor), ..Details::default() };
    world.observe(&[Fact { details, ..poll(20, "1") }]).await;
    assert_eq!(world.heard().await.last().map(|told| told.1), Some(Updated));
    world.observe(&[world.fact(Said::Resolve, 30, Some("1"), Some(1))]).await;
    assert_eq!(world.heard().await.last().map(|told| told.1), Some(Resolved));
    // and once the first poll has come to its end, so is what a poll finds
    let imported = format!(
        "insert into muster.imported (tenant, integration_id, kind, scope) values ('{}', '{}', 'alerts', '')",
        world.tenant, world.integration_id
    );
    world.run(&imported).await;
    world.observe(&[poll(40, "4")]).await;
    assert_eq!(world.heard().await.last().map(|told| told.1), Some(Opened));
    assert_eq!(world.number("select count(*) from rmm_alerts").await, 4, "all of them are written");
}
