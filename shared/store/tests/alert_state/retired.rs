//! Alerts whose past was let go: a late copy of what they were told of meets the same row and changes nothing in it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use contract::event::Transition;
use store::alert::{Details, Fact, Said};
use store::retention::{self, Ages, Sweep};
use store::testing::TestDatabase;

use crate::world::World;

const DAYS: i64 = 90;

async fn sweep(world: &World, what: Sweep) -> u64 {
    let age = Duration::from_secs(u64::try_from(DAYS).unwrap() * 24 * 60 * 60);
    let ages = Ages {
        alerts: age,
        runs: age,
        scheduled_runs: age,
        parked: age,
        outbox: age,
        audit: age,
        software: age,
        tokens: age,
    };
    retention::sweep(&world.store, what, &ages, "a test").await.unwrap().rows
}

/// So many days before now, less some seconds.
async fn ago(world: &World, days: i64, seconds: i64) -> DateTime<Utc> {
    world.store.database_now().await.unwrap() - TimeDelta::days(days) + TimeDelta::seconds(seconds)
}

fn told(world: &World, said: Said, at: DateTime<Utc>, number: Option<&str>, alert_time: Option<DateTime<Utc>>) -> Fact {
    let details = Details { message: Some("disk full".to_owned()), ..world.fact(said, 0, None, None).details };
    Fact { at, alert_time, details, ..world.fact(said, 0, number, None) }
}

/// An alert by number and time, and one by its time alone; both opened and resolved so long ago. What they were told of.
async fn ended(world: &World, days: i64, seconds: i64) -> Vec<Fact> {
    let opened = ago(world, days, seconds - 3_600).await;
    let over = ago(world, days, seconds).await;
    let other = opened - TimeDelta::seconds(7);
    let facts = vec![
        told(world, Said::Open, opened, Some("7"), Some(opened)),
        told(world, Said::Resolve, over, Some("7"), None),
        // the same alert by its time alone
        told(world, Said::Resolve, over, None, Some(opened)),
        told(world, Said::Open, opened, None, Some(other)),
        told(world, Said::Resolve, over, None, Some(other)),
    ];
    for fact in &facts {
        world.observe(std::slice::from_ref(fact)).await;
    }
    facts
}

#[tokio::test]
async fn an_ended_alert_loses_its_details_after_its_age_and_not_before() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    ended(&world, DAYS, 60).await;
    assert_eq!(sweep(&world, Sweep::RetiredAlerts).await, 0, "a minute is missing");
    world.run("update rmm_alerts set resolved_at = resolved_at - interval '61 s'").await;
    let before = world.rows().await;
    assert_eq!(sweep(&world, Sweep::RetiredAlerts).await, 2);
    assert_eq!(world.rows().await, before, "nothing that a reader sees has changed");
    let bytes =
        "select sum(length(details::text) + length(loose_details::text) + length(digests)) from muster.alert_state";
    assert_eq!(world.number(bytes).await, 8, "two empty objects each, and no digest");
    assert_eq!(sweep(&world, Sweep::RetiredAlerts).await, 0);
}

#[tokio::test]
async fn an_open_alert_is_never_too_old() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let opened = ago(&world, 4 * DAYS, 0).await;
    world.observe(&[told(&world, Said::Open, opened, Some("7"), Some(opened))]).await;
    for status in ["active", "acknowledged", "suppressed"] {
        world.run(&format!("update rmm_alerts set status = '{status}', updated_at = now() - interval '1 year'")).await;
        assert_eq!(sweep(&world, Sweep::RetiredAlerts).await, 0, "{status}");
    }
    // AlgaPSA closes it and does not say when
    world.run("update rmm_alerts set status = 'auto_resolved'").await;
    assert_eq!(sweep(&world, Sweep::RetiredAlerts).await, 1);
}

/// The copy may come years later: out of `muster.parked`, or from a broker's backup.
#[tokio::test]
async fn a_copy_that_comes_after_retention_changes_nothing_and_makes_no_second_row() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let facts = ended(&world, DAYS, -1).await;
    let before = world.rows().await;
    assert_eq!(before.len(), 2);
    world.drain().await;
    assert_eq!(sweep(&world, Sweep::RetiredAlerts).await, 2);
    assert_eq!(sweep(&world, Sweep::StrayAlerts).await, 0, "their rows stand");
    let versions = world.versions().await;
    world.observe(&facts).await;
    for fact in &facts {
        world.observe(std::slice::from_ref(fact)).await;
    }
    assert_eq!(world.rows().await, before);
    assert_eq!(world.drain().await, [], "nobody hears of it");
    let after = world.versions().await;
    let written: Vec<_> = after.difference(&versions).filter(|row| !row.contains("alert_dedup")).collect();
    assert!(written.is_empty(), "{written:?}");
}

#[tokio::test]
async fn what_was_never_told_of_a_retired_alert_s_past_is_let_go_too() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    ended(&world, DAYS, -1).await;
    let before = world.rows().await;
    world.drain().await;
    sweep(&world, Sweep::RetiredAlerts).await;
    // an open that waited among the parked messages and is later than all that was known
    let late = ago(&world, DAYS, 0).await;
    world.observe(&[told(&world, Said::Open, late, Some("7"), None)]).await;
    assert_eq!(world.rows().await, before);
    assert_eq!(world.drain().await, []);
}

#[tokio::test]
async fn a_retired_alert_that_is_shown_open_again_reopens_with_a_higher_rev() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    ended(&world, DAYS, -1).await;
    let before = world.rows().await["7"].clone();
    world.drain().await;
    sweep(&world, Sweep::RetiredAlerts).await;
    let now = world.store.database_now().await.unwrap();
    let polled = told(&world, Said::PolledOpen, now, Some("7"), Some(before.triggered_at));
    let news = store::alert::news(&world.store, vec![polled.clone()]).await.unwrap();
    assert_eq!(news.len(), 1, "a poll tells of it");
    world.observe(&[polled]).await;
    let after = world.rows().await["7"].clone();
    assert_eq!((after.status.as_str(), after.message.as_deref()), ("active", Some("disk full")));
    let heard = world.heard().await;
    assert_eq!(heard, [(after.rev, Transition::Reopened)]);
    assert!(after.rev > before.rev, "{} after {}", after.rev, before.rev);
    assert_eq!(world.number("select count(*) from muster.alert_state where retired_at is null").await, 1);
}

/// A restored server counts its alerts from the start.
#[tokio::test]
async fn a_later_failure_under_a_retired_number_is_news_even_if_it_comes_late() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    ended(&world, DAYS, -1).await;
    world.drain().await;
    sweep(&world, Sweep::RetiredAlerts).await;
    let before = ago(&world, 1, 0).await;
    world.observe(&[told(&world, Said::Open, before, Some("7"), Some(before))]).await;
    let row = world.rows().await["7"].clone();
    assert_eq!((row.status.as_str(), row.triggered_at), ("active", before));
    assert_eq!(world.heard().await, [(row.rev, Transition::Reopened)]);
}

#[tokio::test]
async fn a_new_alert_is_numbered_after_retired_ones() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    ended(&world, DAYS, -1).await;
    sweep(&world, Sweep::RetiredAlerts).await;
    let now = world.store.database_now().await.unwrap();
    world.observe(&[told(&world, Said::Open, now, Some("8"), Some(now))]).await;
    assert_eq!(world.rows().await["8"].occurrence_count, 3);
}

#[tokio::test]
async fn an_alert_whose_row_somebody_deleted_goes_whole_after_its_age() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    ended(&world, DAYS, 60).await;
    world.run("delete from rmm_alerts").await;
    assert_eq!(sweep(&world, Sweep::StrayAlerts).await, 0, "a minute is missing");
    world
        .run(
            "update muster.alert_state set resolve_said_at = resolve_said_at - interval '61 s', \
               loose_resolve_said_at = loose_resolve_said_at - interval '61 s'",
        )
        .await;
    assert_eq!(sweep(&world, Sweep::StrayAlerts).await, 2);
    for table in ["alert_state", "alert_key", "alert_dedup"] {
        assert_eq!(world.number(&format!("select count(*) from muster.{table}")).await, 0, "{table}");
    }
}

#[tokio::test]
async fn a_resolve_that_was_never_more_than_broken_goes_after_its_age() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let broken = |at| Fact { needs_fetch: true, ..told(&world, Said::Resolve, at, Some("9"), None) };
    world.observe(&[broken(ago(&world, DAYS, 60).await)]).await;
    assert_eq!(sweep(&world, Sweep::StrayAlerts).await, 0);
    world.run("update muster.alert_state set fetch_wanted_at = fetch_wanted_at - interval '61 s'").await;
    assert_eq!(sweep(&world, Sweep::StrayAlerts).await, 1);
    assert_eq!(world.number("select count(*) from muster.alert_key").await, 0);
}

/// The walk goes on where the step before ended, and begins anew after the last.
#[tokio::test]
async fn a_walk_over_more_than_a_batch_comes_round() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let (tenant, integration_id) = (world.tenant, world.integration_id);
    let fill = format!(
        "insert into muster.alert_state (tenant, alert_id, integration_id, fetch_wanted_at)
         select '{tenant}', gen_random_uuid(), '{integration_id}', now() - interval '1 day' * case when n > 1500 then 91 else 1 end
         from generate_series(1, 2000) n"
    );
    world.run(&fill).await;
    let mut gone = 0;
    for _ in 0..3 {
        gone += sweep(&world, Sweep::StrayAlerts).await;
    }
    assert_eq!(gone, 500);
    assert_eq!(world.number("select count(*) from muster.alert_state").await, 1_500);
}

/// A webhook that comes between the walk and the lock: what the walk has found is looked at again.
#[tokio::test]
async fn an_alert_of_which_something_was_said_since_the_walk_is_not_forgotten() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    ended(&world, DAYS, -1).await;
    world.run("delete from rmm_alerts").await;
    let forget = include_str!("../../sql/retention/drop_alerts.sql");
    let forget = || async {
        sqlx::query(forget)
            .bind([world.tenant; 2])
            .bind(sqlx::query_scalar::<_, Vec<uuid::Uuid>>(ALERTS).fetch_one(&world.pool).await.unwrap())
            .bind(90.0 * 86_400.0)
            .fetch_all(&world.pool)
            .await
            .unwrap()
            .len()
    };
    world.run("update muster.alert_state set loose_resolve_said_at = now()").await;
    assert_eq!(forget().await, 0);
    world.run("update muster.alert_state set loose_resolve_said_at = null").await;
    assert_eq!(forget().await, 2);
}

const ALERTS: &str = "select array_agg(alert_id) from muster.alert_state";

/// Retention and batches about the same alerts at once: nobody fails, no alert is left without its names nor a name without
/// its alert, and no second row is made.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn forgetting_beside_late_copies_leaves_whole_alerts() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    for _ in 0..20 {
        let facts = ended(&world, DAYS, -1).await;
        world.run("delete from rmm_alerts").await;
        let observing = async {
            for fact in &facts {
                world.observe(std::slice::from_ref(fact)).await;
            }
        };
        let forgetting = async {
            for _ in 0..5 {
                sweep(&world, Sweep::RetiredAlerts).await;
                sweep(&world, Sweep::StrayAlerts).await;
            }
        };
        tokio::join!(observing, forgetting);
        for lost in [
            "select count(*) from muster.alert_key k left join muster.alert_state s using (tenant, alert_id)
             where s.alert_id is null",
            "select count(*) from muster.alert_state s left join muster.alert_key k using (tenant, alert_id)
             where k.alert_id is null",
            "select count(*) from (select from rmm_alerts group by tenant, integration_id, external_alert_id
             having count(*) > 1) twice",
        ] {
            assert_eq!(world.number(lost).await, 0, "{lost}");
        }
    }
}
