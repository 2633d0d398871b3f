//! What gateways tell of their spools.

use std::time::Duration;

use store::spool::{self, Holding, Refusal};
use store::testing::TestDatabase;

use crate::{execute, within};

fn holding(host: &str, records: u64) -> Holding {
    Holding {
        host: host.to_owned(),
        folder: "/var/lib/muster/spool".to_owned(),
        records,
        set_aside: 1,
        bytes: 4_096,
        oldest_age: (records > 0).then_some(Duration::from_secs(3_600)),
        refusal: Some(Refusal::Quota),
        is_spooling: true,
    }
}

async fn hosts(database: &TestDatabase) -> Vec<String> {
    spool::list(&database.store()).await.expect("the database answers").into_iter().map(|seen| seen.host).collect()
}

#[tokio::test]
async fn a_spool_has_one_row_that_tells_the_last_that_was_heard() {
    let database = TestDatabase::create().await;
    let store = database.store();
    spool::note(&store, &holding("a", 7)).await.unwrap();
    let first = spool::list(&store).await.unwrap().remove(0);
    assert_eq!((first.records, first.set_aside, first.bytes), (7, 1, 4_096));
    assert_eq!((first.refusal.as_deref(), first.is_spooling), (Some("quota"), true));
    assert_eq!((first.seen_at - first.oldest_at.unwrap()).num_seconds(), 3_600);

    let empty = Holding { set_aside: 0, bytes: 0, refusal: None, is_spooling: false, ..holding("a", 0) };
    spool::note(&store, &empty).await.unwrap();
    let seen = spool::list(&store).await.unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].records, seen[0].oldest_at, seen[0].refusal.as_deref()), (0, None, None));
    assert!(seen[0].seen_at > first.seen_at && seen[0].now >= seen[0].seen_at);
}

#[tokio::test]
async fn an_empty_spool_is_forgotten_after_a_day_and_one_that_held_something_after_thirty() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let empty = |host| Holding { set_aside: 0, ..holding(host, 0) };
    for (host, records, age) in [
        ("empty, just not a day", 0, "1 day' - interval '1 minute"),
        ("empty, a day", 0, "1 day"),
        ("full, a day", 3, "1 day"),
        ("full, just not thirty", 3, "30 days' - interval '1 minute"),
        ("full, thirty", 3, "30 days"),
    ] {
        let told = if records == 0 { empty(host) } else { holding(host, records) };
        spool::note(&store, &told).await.unwrap();
        let old = format!("update muster.spool set seen_at = now() - (interval '{age}') where host = '{host}'");
        database.execute(&old).await;
    }
    spool::note(&store, &empty("now")).await.unwrap();
    assert_eq!(hosts(&database).await, ["empty, just not a day", "full, a day", "full, just not thirty", "now"]);
}

#[tokio::test]
async fn a_gateway_that_comes_back_after_a_month_finds_its_row_or_makes_it_anew() {
    let database = TestDatabase::create().await;
    let store = database.store();
    spool::note(&store, &holding("a", 1)).await.unwrap();
    execute(&database, "update muster.spool set seen_at = now() - interval '40 days'").await;
    spool::note(&store, &holding("a", 2)).await.unwrap();
    assert_eq!(spool::list(&store).await.unwrap()[0].records, 2);
}

#[tokio::test]
async fn many_gateways_that_tell_at_once_wait_for_nobody() {
    let database = TestDatabase::create().await;
    let store = database.store();
    for number in 0..8 {
        spool::note(&store, &Holding { set_aside: 0, ..holding(&number.to_string(), 0) }).await.unwrap();
    }
    execute(&database, "update muster.spool set seen_at = now() - interval '2 days'").await;
    let telling: Vec<_> = (0..8)
        .map(|number: i32| {
            let store = database.second_store();
            tokio::spawn(async move { spool::note(&store, &holding(&number.to_string(), 1)).await })
        })
        .collect();
    for one in telling {
        within(one).await.unwrap().unwrap();
    }
    assert_eq!(hosts(&database).await.len(), 8);
}

#[tokio::test]
async fn a_name_or_a_path_of_any_length_is_taken() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let long = Holding { host: "ä".repeat(300), folder: format!("/{}", "é".repeat(2_000)), ..holding("", 1) };
    spool::note(&store, &long).await.unwrap();
    let seen = spool::list(&store).await.unwrap().remove(0);
    assert!(long.host.ends_with(&seen.host) && long.folder.ends_with(&seen.folder));
    assert!(spool::forget(&store, &long.host, &long.folder).await.unwrap());
    assert!(!spool::forget(&store, &long.host, &long.folder).await.unwrap());
    assert!(spool::list(&store).await.unwrap().is_empty());
}
