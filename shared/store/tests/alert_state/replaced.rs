//! Another server is confirmed behind the connection: the old one's alerts are over, and their numbers mean the new one's.

use std::time::{Duration, Instant};

use contract::event::Transition;
use store::alert::{Fact, Said, observe};
use store::organization::{self, Decision, Held};
use store::testing::{TestDatabase, entry};

use crate::world::{World, time};

/// A person says that another server stands there.
async fn replace(world: &World) {
    let (store, tenant, integration_id) = (&world.store, world.tenant, world.integration_id);
    assert!(organization::hold(store, tenant, integration_id, &Held::default()).await.unwrap());
    confirm(world).await;
}

async fn confirm(world: &World) {
    let (store, tenant, integration_id) = (&world.store, world.tenant, world.integration_id);
    let done = organization::confirm(store, tenant, integration_id, Decision::Other, None, &entry("test")).await;
    assert!(done.unwrap());
}

/// Every alert with its status and its agent.
async fn shown(world: &World) -> Vec<(String, String, Option<String>)> {
    let rows = world.rows().await.into_iter();
    rows.map(|(name, row)| (name, row.status, row.agent_id)).collect()
}

fn row(name: &str, status: &str, agent_id: Option<&str>) -> (String, String, Option<String>) {
    (name.to_owned(), status.to_owned(), agent_id.map(str::to_owned))
}

#[tokio::test]
async fn the_old_ones_alerts_end_and_their_numbers_are_free() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let open = |number| world.fact(Said::Open, 5, Some(number), Some(100));
    world.observe(&[open("7"), open("8"), open("9"), world.fact(Said::Open, 5, None, Some(50))]).await;
    world.observe(&[world.fact(Said::Resolve, 9, Some("9"), Some(100))]).await;
    world.run("update rmm_alerts set status = 'acknowledged' where external_alert_id = '8'").await;
    // known to AlgaPSA alone
    world
        .run(&format!(
            "insert into rmm_alerts (tenant, alert_id, integration_id, external_alert_id, severity, status, triggered_at)
             values ('{}', gen_random_uuid(), '{}', '4', 'none', 'active', now())",
            world.tenant, world.integration_id
        ))
        .await;
    // a broken resolve of which nothing is to be seen
    world.observe(&[Fact { needs_fetch: true, ..world.fact(Said::Resolve, 5, Some("6"), None) }]).await;
    world.drain().await;
    replace(&world).await;
    let place = format!("was:0|at:agent|{}", time(50).timestamp_micros());
    let old = ["was:0|4", "was:0|7", "was:0|8", "was:0|9", &place];
    let agents = [None, Some("agent"), Some("agent"), Some("agent"), Some("agent")];
    let old: Vec<_> = old.iter().zip(agents).map(|(name, agent_id)| row(name, "resolved", agent_id)).collect();
    assert_eq!(shown(&world).await, old);
    let heard = world.heard().await;
    assert_eq!(heard.iter().filter(|(_, transition)| *transition == Transition::Resolved).count(), 4, "{heard:?}");
    assert_eq!((heard.len(), world.hidden_revs().await.len()), (4, 0));
    assert_eq!(world.number("select count(*) from muster.alert_key").await, 0);
    // an earlier alert of the new server, and one that the old server's webhook would have named by its time
    let mut new = world.fact(Said::PolledOpen, 10, Some("7"), Some(1));
    new.agent_id = "new".to_owned();
    world.observe(&[new, world.fact(Said::Open, 10, None, Some(50))]).await;
    let mut all = vec![row("7", "active", Some("new")), row(&place[6..], "active", Some("agent"))];
    all.extend(old);
    assert_eq!(shown(&world).await, all);
    // and once more
    replace(&world).await;
    let names: Vec<String> = shown(&world).await.into_iter().map(|(name, ..)| name).collect();
    assert!(names.contains(&"was:1|7".to_owned()) && names.contains(&"was:0|7".to_owned()), "{names:?}");
    assert!(shown(&world).await.iter().all(|(_, status, _)| status == "resolved"));
}

#[tokio::test]
async fn names_that_fill_their_column_stay_two() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    for last in ["a", "b"] {
        let number = format!("{}{last}", "x".repeat(254));
        world.observe(&[world.fact(Said::Open, 5, Some(&number), Some(100))]).await;
    }
    world.observe(&[world.fact(Said::Open, 5, Some(&"y".repeat(200)), Some(100))]).await;
    world.observe(&[world.fact(Said::Open, 5, Some(&"y".repeat(201)), Some(100))]).await;
    replace(&world).await;
    let rows = world.rows().await;
    assert_eq!(rows.len(), 4);
    assert!(rows.contains_key(&format!("was:0|{}", "y".repeat(200))), "what fits is not cut");
}

#[tokio::test]
async fn more_that_are_over_than_one_transaction_renames_are_renamed() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let left =
        async || world.number("select count(*) from rmm_alerts where not starts_with(external_alert_id, 'was:')").await;
    for count in [5_000, 5_001] {
        let sql = format!(
            "insert into rmm_alerts (tenant, alert_id, integration_id, external_alert_id, severity, status, triggered_at)
             select '{}', gen_random_uuid(), '{}', n::text, 'none', 'resolved', now() from generate_series(1, {count}) n",
            world.tenant, world.integration_id
        );
        world.run(&sql).await;
        replace(&world).await;
        assert_eq!(left().await, 0, "of {count}");
    }
}

#[tokio::test]
async fn what_the_polls_of_the_old_server_saw_is_forgotten() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.run(&format!(
        "insert into muster.alert_poll (tenant, integration_id, polled_at, agents_listed) values ('{}', '{}', now(), 9)",
        world.tenant, world.integration_id
    ))
    .await;
    replace(&world).await;
    let last = store::alert::last_poll(&world.store, world.tenant, world.integration_id).await.unwrap();
    assert_eq!(last, store::alert::LastPoll::default());
}

/// Who has waited for a lock until now, in this database.
async fn until_waiting(world: &World, count: i64) {
    let waiting =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    let ends = Instant::now() + Duration::from_secs(20);
    while world.number(waiting).await < count {
        assert!(Instant::now() < ends, "nobody waits");
        tokio::task::yield_now().await;
    }
}

/// The webhook finds the name before the old server is gone, and the alert after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_comes_meanwhile_is_about_an_alert_of_the_new_server() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.observe(&[world.fact(Said::Open, 5, Some("7"), Some(100))]).await;
    let (store, tenant, integration_id) = (&world.store, world.tenant, world.integration_id);
    assert!(organization::hold(store, tenant, integration_id, &Held::default()).await.unwrap());
    let mut lock = world.pool.begin().await.unwrap();
    sqlx::query("select from muster.alert_state for update").execute(&mut *lock).await.unwrap();
    let webhook = world.fact(Said::Open, 8, Some("7"), Some(1));
    let (other, name) = (database.second_store(), webhook.clone());
    let confirmed = async {
        confirm(&world).await;
    };
    let told = async {
        until_waiting(&world, 1).await;
        let observed = tokio::spawn(async move { observe(&other, &[name]).await });
        until_waiting(&world, 2).await;
        lock.rollback().await.unwrap();
        observed.await.unwrap().unwrap();
    };
    tokio::join!(confirmed, told);
    let statuses: Vec<_> = shown(&world).await;
    assert_eq!(statuses, [row("7", "active", Some("agent")), row("was:0|7", "resolved", Some("agent"))]);
}
