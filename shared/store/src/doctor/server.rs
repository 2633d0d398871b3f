//! The server behind the URL: who it is, how it is reached, and what its clock says.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::{Error, Store};

/// A PostgreSQL server, as a session sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// Its version as a number: 15_004 is 15.4 (`server_version_num` by its first two parts).
    pub version_number: i32,
    /// Its version in words.
    pub version: String,
    /// The session is encrypted.
    pub is_encrypted: bool,
    /// The session does not leave the machine: a Unix socket, or the loopback.
    pub is_local: bool,
    /// It is a standby, which takes no writes.
    pub is_standby: bool,
    /// Sessions of every program, and how many there may be.
    pub connections: i64,
    /// How many there may be, those for superusers left out.
    pub connections_max: i64,
    /// Its clock against this machine's: what it is ahead, in seconds; negative: behind. Right to half of [`Server::took`].
    pub ahead_s: f64,
    /// How long it took to ask for the clock.
    pub took: Duration,
}

/// Looks at the server.
///
/// # Errors
/// What the database said, or that it does not answer.
pub async fn server(store: &Store) -> Result<Server, Error> {
    // the login must not count for the clock's round trip
    store.ping().await?;
    let asked_at = Utc::now();
    let now = store.database_now().await?;
    let answered_at = Utc::now();
    let row = sqlx::query_file!("sql/doctor/server.sql");
    let row = store.run("look at the server", row.fetch_one(store.pool())).await?;
    Ok(Server {
        version_number: row.version_number,
        version: row.version,
        is_encrypted: row.is_encrypted,
        is_local: row.is_local,
        is_standby: row.is_standby,
        connections: row.connections,
        connections_max: row.connections_max,
        ahead_s: ahead_s(asked_at, now, answered_at),
        took: (answered_at - asked_at).to_std().unwrap_or_default(),
    })
}

/// By how many seconds `there` is ahead of the middle between `asked` and `answered`.
fn ahead_s(asked: DateTime<Utc>, there: DateTime<Utc>, answered: DateTime<Utc>) -> f64 {
    let middle = asked + (answered - asked) / 2;
    (there - middle).as_seconds_f64()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::testing::TestDatabase;

    #[test]
    fn half_of_the_round_trip_is_no_offset() {
        let at = |millis: i64| DateTime::UNIX_EPOCH + TimeDelta::milliseconds(millis);
        assert!((ahead_s(at(0), at(500), at(1_000)) - 0.0).abs() < 1e-9);
        assert!((ahead_s(at(0), at(3_500), at(1_000)) - 3.0).abs() < 1e-9);
        assert!((ahead_s(at(10_000), at(500), at(11_000)) + 10.0).abs() < 1e-9);
    }

    #[tokio::test]
    async fn the_server_of_the_tests_is_local_and_no_standby() {
        let database = TestDatabase::empty().await;
        let server = server(&database.store()).await.unwrap();
        assert!(server.version_number >= 15_000, "{server:?}");
        assert!(server.is_local && !server.is_standby, "{server:?}");
        assert!(server.connections >= 1 && server.connections_max > server.connections, "{server:?}");
    }
}
