//! The place of an alert among the openings of its key, whatever order they come in and whoever dies.

use fault::{Class, Classify};
use store::alert::{Said, observe, observe_again};
use store::testing::TestDatabase;

use crate::world::World;

#[tokio::test]
async fn flapping_shows_as_occurrences_and_a_late_opening_moves_the_later_ones() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let open = |number: &str, at_s| world.fact(Said::Open, at_s, Some(number), Some(at_s));
    world.observe(&[open("1", 10), open("2", 20)]).await;
    world.observe(&[open("4", 40)]).await;
    let counts = async || -> Vec<i32> { world.rows().await.values().map(|row| row.occurrence_count).collect() };
    assert_eq!(counts().await, [1, 2, 3]);
    world.observe(&[open("3", 30)]).await;
    assert_eq!(counts().await, [1, 2, 3, 4]);
    let last: Vec<i32> = world.drain().await.iter().map(|event| event.occurrence_count).collect();
    assert_eq!(last.iter().max(), Some(&3));
}

#[tokio::test]
async fn the_number_of_an_opening_whose_worker_died_after_its_commit_is_set_right_by_the_redelivery() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let open = |number: &str, at_s| world.fact(Said::Open, at_s, Some(number), Some(at_s));
    world.observe(&[open("1", 10), open("2", 20)]).await;
    // two that did not see each other, and the later one died before it looked again
    let died = "update rmm_alerts set occurrence_count = 1";
    for redelivered in [vec![open("2", 20)], vec![open("2", 20), world.fact(Said::Resolve, 30, Some("2"), Some(20))]] {
        world.run(died).await;
        world.observe(&redelivered).await;
        assert_eq!(world.rows().await["2"].occurrence_count, 2, "{redelivered:?}");
    }
}

#[tokio::test]
async fn an_alert_that_leaves_a_dedup_key_closes_the_gap() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let open = |number: &str, at_s| world.fact(Said::Open, at_s, Some(number), Some(at_s));
    world.observe(&[open("1", 10), open("2", 20), open("3", 30)]).await;
    let mut told = world.fact(Said::PolledOpen, 50, Some("2"), Some(20));
    told.details.check_id = Some("17".to_owned());
    world.observe(&[told]).await;
    let rows = world.rows().await;
    assert_eq!((rows["1"].occurrence_count, rows["2"].occurrence_count, rows["3"].occurrence_count), (1, 1, 2));
    assert_eq!(rows["2"].dedup_key, "agent|check:17");
    assert_eq!(world.number("select count(*) from muster.alert_recount").await, 0);
}

#[tokio::test]
async fn numbers_that_cannot_be_set_right_fail_a_stored_batch_for_lack_of_time_only_and_only_once() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    // only the step after the commit takes this lock; 57014 is a statement's timeout, 53100 a full disk
    let table = [
        ("57014", Some(Class::RETRY), None),
        ("23514", None, None),
        ("40P01", Some(Class::Contention), Some(Class::Contention)),
        ("53100", Some(Class::Outage), Some(Class::Outage)),
    ];
    for (n, (sqlstate, class, class_again)) in (0_i64..).zip(table) {
        world
            .run(&format!(
                "create or replace function fail() returns trigger language plpgsql as
                 $$ begin raise exception 'no' using errcode = '{sqlstate}'; end $$;
                 create or replace trigger fail before insert on muster.alert_dedup execute function fail()"
            ))
            .await;
        let open = [world.fact(Said::Open, n, Some(&n.to_string()), Some(n))];
        let observed = observe(&world.store, &open).await;
        assert_eq!(observed.as_ref().err().map(Classify::class), class, "{sqlstate}: {observed:?}");
        assert_eq!(world.rows().await.len() as i64, n + 1, "{sqlstate}: the alert was committed before");
        let again = observe_again(&world.store, &open).await;
        assert_eq!(again.as_ref().err().map(Classify::class), class_again, "{sqlstate}: {again:?}");
    }
}
