//! What a poll asks of the store: which of its facts are news, and what it should have shown.

use store::alert::{Fact, Polled, Said, Severity, Snooze, end_poll, last_poll, news, note_agents, open_before};
use store::testing::TestDatabase;

use crate::world::{World, time};

/// The numbers of those that are news, each with whether its alert is new.
async fn told(world: &World, facts: Vec<Fact>) -> Vec<(String, bool)> {
    let news: Vec<Polled> = news(&world.store, facts).await.unwrap();
    news.into_iter().map(|polled| (polled.fact.number.unwrap(), polled.is_new)).collect()
}

#[tokio::test]
async fn a_poll_that_says_the_same_is_no_news_and_one_that_says_more_is() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let poll = |at_s, number| world.fact(Said::PolledOpen, at_s, Some(number), Some(1));
    assert_eq!(told(&world, vec![poll(10, "7")]).await, [("7".to_owned(), true)]);
    world.observe(&[world.fact(Said::Open, 5, Some("7"), Some(1))]).await;
    assert_eq!(told(&world, vec![poll(10, "7")]).await, [], "the webhook said all of it");
    let mut worse = poll(20, "7");
    worse.details.severity = Some(Severity::Minor);
    let mut snoozed = worse.clone();
    snoozed.details.snooze = Some(Snooze::Until(time(99)));
    let mut hidden = snoozed.clone();
    hidden.details.hidden = Some(true);
    for more in [worse, snoozed, hidden] {
        assert_eq!(told(&world, vec![more.clone()]).await, [("7".to_owned(), false)]);
        world.observe(std::slice::from_ref(&more)).await;
        assert_eq!(told(&world, vec![Fact { at: time(30), ..more }]).await, [], "it is known now");
    }
}

#[tokio::test]
async fn a_poll_undoes_a_resolve_that_is_older_and_no_later_one() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.observe(&[world.fact(Said::Open, 5, Some("7"), Some(1))]).await;
    world.observe(&[world.fact(Said::Resolve, 10, Some("7"), Some(1))]).await;
    let poll = |at_s| vec![world.fact(Said::PolledOpen, at_s, Some("7"), Some(1))];
    assert_eq!(told(&world, poll(9)).await, [], "it asked before the resolve");
    assert_eq!(told(&world, poll(11)).await, [("7".to_owned(), false)]);
    // what is resolved here needs nobody to say so again
    assert_eq!(told(&world, vec![world.fact(Said::PolledClosed, 12, Some("7"), Some(1))]).await, []);
}

#[tokio::test]
async fn a_poll_answers_a_broken_webhook_and_undoes_what_a_person_closed() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let mut broken = world.fact(Said::Open, 5, Some("7"), Some(1));
    broken.needs_fetch = true;
    world.observe(&[broken]).await;
    let poll = |at_s| world.fact(Said::PolledOpen, at_s, Some("7"), Some(1));
    assert_eq!(told(&world, vec![poll(9)]).await, [("7".to_owned(), false)]);
    world.observe(&[poll(9)]).await;
    assert_eq!(told(&world, vec![poll(10)]).await, []);
    world.run("update rmm_alerts set status = 'auto_resolved', resolved_at = now()").await;
    assert_eq!(told(&world, vec![poll(11)]).await, [("7".to_owned(), false)]);
}

#[tokio::test]
async fn what_opened_and_closed_while_nobody_looked_is_one_alert_that_is_over() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let closed = world.fact(Said::PolledClosed, 10, Some("7"), Some(1));
    assert_eq!(told(&world, vec![closed.clone()]).await, [("7".to_owned(), true)]);
    world.observe(std::slice::from_ref(&closed)).await;
    let row = world.row().await;
    assert_eq!((row.status.as_str(), row.triggered_at, row.resolved_at), ("resolved", time(1), Some(time(10))));
    assert_eq!(told(&world, vec![Fact { at: time(20), ..closed }]).await, []);
    // a webhook that was late tells nothing new
    world.observe(&[world.fact(Said::Open, 30, Some("7"), Some(1))]).await;
    assert_eq!(world.row().await.status, "resolved");
}

#[tokio::test]
async fn only_what_was_open_before_the_poll_should_have_been_shown() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let open = |number: &str, at_s| world.fact(Said::Open, at_s, Some(number), Some(at_s));
    world.observe(&[open("1", 1), open("2", 2), open("3", 30)]).await;
    world.observe(&[world.fact(Said::Resolve, 9, Some("2"), Some(2))]).await;
    world.run("update rmm_alerts set status = 'acknowledged' where external_alert_id = '1'").await;
    // known to AlgaPSA alone
    world
        .run(&format!(
            "insert into rmm_alerts (tenant, alert_id, integration_id, external_alert_id, severity, status, triggered_at,
                                     created_at)
             values ('{}', gen_random_uuid(), '{}', '4', 'none', 'active', now(), '2020-01-01')",
            world.tenant, world.integration_id
        ))
        .await;
    let shown = open_before(&world.store, world.tenant, world.integration_id, time(20)).await.unwrap();
    let shown: Vec<(&str, bool)> =
        shown.iter().map(|alert| (&*alert.external_alert_id, alert.alert_time.is_some())).collect();
    assert_eq!(shown, [("1", true), ("4", false)]);
    // its end is noted in the row that it has
    world.observe(&[world.fact(Said::Absent, 20, Some("4"), None)]).await;
    assert_eq!(world.rows().await["4"].status, "resolved");
}

#[tokio::test]
async fn what_the_last_poll_found_is_kept_and_an_earlier_one_does_not_overwrite_it() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let (store, tenant, integration_id) = (&world.store, world.tenant, world.integration_id);
    assert_eq!(last_poll(store, tenant, integration_id).await.unwrap(), store::alert::LastPoll::default());
    note_agents(store, tenant, integration_id, 40).await.unwrap();
    end_poll(store, tenant, integration_id, time(10), (2, Some(time(3))), 1).await.unwrap();
    end_poll(store, tenant, integration_id, time(9), (7, None), 7).await.unwrap();
    end_poll(store, tenant, integration_id, time(11), (0, None), 3).await.unwrap();
    let last = last_poll(store, tenant, integration_id).await.unwrap();
    assert_eq!((last.polled_at, last.agents_listed, last.unverifiable), (Some(time(11)), Some(40), 3));
    assert_eq!((last.undelivered, last.undelivered_at), (0, Some(time(3))), "when it last happened stays known");
}
