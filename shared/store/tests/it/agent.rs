//! Refresh wishes: one pending per agent, none lost, none doubled.

use sqlx::Connection;
use store::agent::note_refresh;
use store::testing::TestDatabase;
use uuid::Uuid;

use crate::{execute, text, within};

const TENANT: Uuid = Uuid::from_u128(1);
const INTEGRATION: Uuid = Uuid::from_u128(2);

fn agent(agent_id: &str) -> (Uuid, Uuid, String) {
    (TENANT, INTEGRATION, agent_id.to_owned())
}

async fn note(database: &TestDatabase, agent_ids: &[&str]) {
    let agents: Vec<_> = agent_ids.iter().map(|agent_id| agent(agent_id)).collect();
    note_refresh(&mut database.connect().await, &agents).await.expect("it is noted");
}

#[tokio::test]
async fn an_unknown_agent_is_made_and_due_at_once() {
    let database = TestDatabase::create().await;
    note(&database, &["a", "b", "a"]).await;
    assert_eq!(text(&database, "select count(*)::text from muster.agent where refresh_due_at <= now()").await, "2");
    assert_eq!(text(&database, "select count(*)::text from muster.agent where asset_id is null").await, "2");
}

#[tokio::test]
async fn a_pending_wish_is_neither_moved_nor_written_again() {
    let database = TestDatabase::create().await;
    note(&database, &["a"]).await;
    let before = text(&database, "select xmin::text || ctid::text || refresh_due_at::text from muster.agent").await;
    note(&database, &["a"]).await;
    assert_eq!(
        text(&database, "select xmin::text || ctid::text || refresh_due_at::text from muster.agent").await,
        before
    );
}

#[tokio::test]
async fn after_a_refresh_the_next_is_due_at_once_or_thirty_seconds_after_the_last() {
    let database = TestDatabase::create().await;
    note(&database, &["long ago", "just now", "never"]).await;
    execute(
        &database,
        "update muster.agent set refresh_due_at = null;
         update muster.agent set last_refresh_at = now() - interval '1 h',
             refresh_not_before = now() - interval '1 h' + interval '30 s' where agent_id = 'long ago';
         update muster.agent set last_refresh_at = now(), refresh_not_before = now() + interval '30 s'
             where agent_id = 'just now'",
    )
    .await;
    note(&database, &["long ago", "just now", "never"]).await;
    let due = "select string_agg(agent_id, ',' order by agent_id) from muster.agent where refresh_due_at <= now()";
    assert_eq!(text(&database, due).await, "long ago,never");
    let exact = "select (refresh_due_at = last_refresh_at + interval '30 s')::text from muster.agent
                 where agent_id = 'just now'";
    assert_eq!(text(&database, exact).await, "true");
}

#[tokio::test]
async fn an_id_at_its_limit_is_an_agent_and_a_longer_or_broken_one_is_none() {
    let database = TestDatabase::create().await;
    note(&database, &[&"é".repeat(255), &"é".repeat(256), "nul\0", ""]).await;
    assert_eq!(
        text(&database, "select string_agg(length(agent_id)::text, ',' order by agent_id) from muster.agent").await,
        "0,255"
    );
}

#[tokio::test]
async fn the_same_agent_id_of_two_tenants_is_two_agents() {
    let database = TestDatabase::create().await;
    let agents = [agent("a"), (Uuid::from_u128(9), INTEGRATION, "a".to_owned())];
    note_refresh(&mut database.connect().await, &agents).await.unwrap();
    assert_eq!(text(&database, "select count(*)::text from muster.agent").await, "2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_of_the_same_agents_in_any_order_never_deadlock() {
    let database = TestDatabase::create().await;
    let writers: Vec<_> = (0..8)
        .map(|n| {
            let mut agents: Vec<_> = (0..200).map(|agent_id| agent(&agent_id.to_string())).collect();
            if n % 2 == 1 {
                agents.reverse();
            }
            let url = database.url().to_owned();
            tokio::spawn(async move {
                let mut connection = sqlx::PgConnection::connect(&url).await.expect("it connects");
                let mut transaction = connection.begin().await.expect("it begins");
                note_refresh(&mut transaction, &agents).await.expect("no deadlock");
                transaction.commit().await.expect("it commits");
            })
        })
        .collect();
    for writer in writers {
        within(writer).await.unwrap();
    }
    assert_eq!(text(&database, "select count(*)::text from muster.agent").await, "200");
}
