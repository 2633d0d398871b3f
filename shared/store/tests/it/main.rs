//! The store against a real server: statements, constraints, limits at their edges, and both orders of every race.

mod agent;
mod connect;
mod connection;
mod hook;
mod integration;
mod migrate;
mod outbox;
mod park;
mod parked;
mod pause;
mod plan;
mod removal;
mod retention;
mod secret;
mod spool;
mod tenant;
mod token;
mod view;

use std::future::Future;
use std::time::Duration;

use store::Store;
use store::testing::TestDatabase;
use uuid::Uuid;

/// Longer than any sound test waits, shorter than a person does.
const DEADLINE: Duration = Duration::from_secs(60);

/// Fails instead of hanging.
async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work).await.expect("it ends within the deadline")
}

/// A tenant with a connection and a hook; the digest is `[seed; 32]`.
async fn connected(store: &Store, seed: u8) -> store::tenant::Connected {
    let new = store::tenant::NewConnection {
        tenant: Uuid::from_u128(u128::from(seed)),
        client_name: "Acme".to_owned(),
        instance_url: Some("https://api.example.com".to_owned()),
        digest: Some([seed; 32]),
        grace: Duration::from_secs(60),
    };
    store::tenant::connect(store, &new, "a test").await.expect("it connects")
}

/// One value from the database, as text.
async fn text(database: &TestDatabase, sql: &'static str) -> String {
    let mut connection = database.connect().await;
    let value: Option<String> = sqlx::query_scalar(sql).fetch_one(&mut connection).await.expect(sql);
    value.unwrap_or_default()
}

/// Statements that only a test needs.
async fn execute(database: &TestDatabase, sql: &'static str) {
    let mut connection = database.connect().await;
    sqlx::raw_sql(sql).execute(&mut connection).await.expect(sql);
}
