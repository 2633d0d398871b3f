//! What a poll asks of the store: which of its facts are news, and what it should have shown.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use store::alert::{
    self, Fact, Found, OPEN_ALERTS_PAGE, OpenAlert, Polled, Said, Severity, Snooze, Under, end_backfill, end_poll,
    last_poll, news, note_agents,
};
use store::testing::TestDatabase;
use uuid::Uuid;

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

/// What was open before the test's second 20.
async fn shown(world: &World) -> Vec<OpenAlert> {
    let mut shown = Vec::new();
    let show = |alert| shown.push(alert);
    alert::each_open_before(&world.store, world.tenant, world.integration_id, time(20), show).await.unwrap();
    shown
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
    let shown = shown(&world).await;
    let mut shown: Vec<(&str, bool)> =
        shown.iter().map(|alert| (&*alert.external_alert_id, alert.alert_time.is_some())).collect();
    shown.sort_unstable();
    assert_eq!(shown, [("1", true), ("4", false)]);
    // its end is noted in the row that it has
    world.observe(&[world.fact(Said::Absent, 20, Some("4"), None)]).await;
    assert_eq!(world.rows().await["4"].status, "resolved");
}

#[tokio::test]
async fn open_alerts_beyond_a_page_are_shown_as_well() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let fill = |from: i64, to: i64| {
        format!(
            "insert into rmm_alerts (tenant, alert_id, integration_id, external_alert_id, severity, status, triggered_at,
                                     created_at)
             select '{}', gen_random_uuid(), '{}', n::text, 'none', 'active', now(), '2020-01-01'
             from generate_series({from}, {to}) n",
            world.tenant, world.integration_id
        )
    };
    let mut filled = 0;
    for count in [OPEN_ALERTS_PAGE, OPEN_ALERTS_PAGE + 1] {
        world.run(&fill(filled + 1, count)).await;
        filled = count;
        let shown = shown(&world).await;
        let alerts: BTreeSet<Uuid> = shown.iter().map(|alert| alert.alert_id).collect();
        assert_eq!((shown.len() as i64, alerts.len() as i64), (count, count), "each of them once");
    }
}

#[tokio::test]
async fn a_later_alert_under_the_number_of_one_that_is_over_is_news_even_where_it_is_over_too() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.observe(&[world.fact(Said::Open, 5, Some("7"), Some(1))]).await;
    world.observe(&[world.fact(Said::Resolve, 6, Some("7"), Some(1))]).await;
    let closed = |alert_time_s| world.fact(Said::PolledClosed, 20, Some("7"), Some(alert_time_s));
    assert_eq!(told(&world, vec![closed(1)]).await, []);
    assert_eq!(told(&world, vec![closed(0)]).await, []);
    assert_eq!(told(&world, vec![closed(10)]).await, [("7".to_owned(), false)]);
    world.observe(&[closed(10)]).await;
    let row = world.row().await;
    assert_eq!((row.status.as_str(), row.triggered_at, row.resolved_at), ("resolved", time(10), Some(time(20))));
    assert_eq!(told(&world, vec![closed(10)]).await, []);
}

fn found(polled_at_s: i64, undelivered: usize, undelivered_at_s: Option<i64>, is_gap: bool) -> Found {
    let undelivered_at = undelivered_at_s.map(time);
    Found { polled_at: time(polled_at_s), undelivered, undelivered_at, is_gap }
}

#[tokio::test]
async fn what_the_last_poll_found_is_kept_and_an_earlier_one_does_not_overwrite_it() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let (store, tenant, integration_id) = (&world.store, world.tenant, world.integration_id);
    let under = Under::Server { tenant, integration_id, server_epoch: 0 };
    assert_eq!(last_poll(store, tenant, integration_id).await.unwrap(), store::alert::LastPoll::default());
    assert_eq!(note_agents(store, &under, 40).await.unwrap(), None);
    for found in [found(10, 2, Some(3), false), found(9, 7, None, true), found(11, 0, Some(2), false)] {
        assert_eq!(end_poll(store, &under, &found).await.unwrap(), None);
    }
    let last = last_poll(store, tenant, integration_id).await.unwrap();
    assert_eq!((last.polled_at, last.agents_listed), (Some(time(11)), Some(40)));
    assert_eq!((last.undelivered, last.undelivered_at), (0, Some(time(3))), "when it last happened stays known");
    assert_eq!(last.backfill_wanted_at, None);
}

#[tokio::test]
async fn a_gap_stays_known_until_it_was_looked_at() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let (store, tenant, integration_id) = (&world.store, world.tenant, world.integration_id);
    let under = Under::Server { tenant, integration_id, server_epoch: 0 };
    let wanted = async || last_poll(store, tenant, integration_id).await.unwrap().backfill_wanted_at;
    end_poll(store, &under, &found(10, 0, None, true)).await.unwrap();
    end_poll(store, &under, &found(20, 0, None, false)).await.unwrap();
    end_poll(store, &under, &found(30, 0, None, true)).await.unwrap();
    assert_eq!(wanted().await, Some(time(10)));
    // what was looked at before it was noticed is not it
    end_backfill(store, &under, time(9), None).await.unwrap();
    assert_eq!(wanted().await, Some(time(10)));
    end_backfill(store, &under, time(10), Some(time(25))).await.unwrap();
    assert_eq!(wanted().await, None);
    assert_eq!(last_poll(store, tenant, integration_id).await.unwrap().undelivered_at, Some(time(25)));
}

#[tokio::test]
async fn a_wish_for_a_poll_is_fulfilled_by_one_that_asked_later_and_came_to_its_end() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let (store, tenant, integration_id) = (&world.store, world.tenant, world.integration_id);
    let under = Under::Server { tenant, integration_id, server_epoch: 0 };
    let wish = async |at: DateTime<Utc>| {
        let sql = format!(
            "insert into muster.reconcile_wish (tenant, integration_id, wished_at) values ('{tenant}', '{integration_id}', '{at}')"
        );
        world.run(&sql).await
    };
    let wishes = async || world.number("select count(*) from muster.reconcile_wish where wished_at is not null").await;
    wish(time(15)).await;
    end_poll(store, &under, &found(14, 0, None, false)).await.unwrap();
    assert_eq!(wishes().await, 1, "it had asked before");
    world.run("update muster.connection set held_at = now(), held = '{}'").await;
    assert!(end_poll(store, &under, &found(16, 0, None, false)).await.unwrap().is_some());
    assert_eq!(wishes().await, 1, "it wrote nothing");
    world.run("update muster.connection set held_at = null, held = null").await;
    end_poll(store, &under, &found(15, 0, None, false)).await.unwrap();
    assert_eq!(wishes().await, 0);
}
