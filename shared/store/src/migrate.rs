//! Migrations: one deliberate command, never a side effect of a start.
//!
//! The record of what was applied is `muster.migration`, so that AlgaPSA's schema gets no table of ours. Two commands at
//! once are safe: the second waits for the first by an advisory lock, then finds nothing to do.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use sqlx::Connection;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgConnection;

use crate::error::Attempt;
use crate::{Error, Store};

/// Longest wait for another migration's lock, in milliseconds; a migration sets a shorter one for the tables it touches.
const LOCK_TIMEOUT_MS: u32 = 60_000;

/// The migrations that this build knows.
pub(crate) static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = sqlx::migrate!("./migrations");
    migrator.dangerous_set_table_name("muster.migration");
    migrator.create_schema("muster");
    migrator
});

/// How the database's migrations compare with this build's; versions, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Applied to the database.
    pub applied: Vec<i64>,
    /// Known to this build.
    pub known: Vec<i64>,
    /// Applied, and unknown to this build: the database is ahead, this build is old.
    pub ahead: Vec<i64>,
    /// Known, and not applied: the database is behind, run `muster migrate`.
    pub behind: Vec<i64>,
    /// Applied with another text than this build's.
    pub changed: Vec<i64>,
}

impl State {
    /// The database has exactly this build's migrations.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.ahead.is_empty() && self.behind.is_empty() && self.changed.is_empty()
    }
}

/// Applies what is missing. On a current database it does nothing.
///
/// # Errors
/// [`Error::Setup`] when the database is ahead of this build or an applied migration has changed; otherwise what the
/// database said. A migration that fails is rolled back as a whole.
pub async fn run(store: &Store) -> Result<(), Error> {
    // its own connection: index builds and waits for another migration are longer than the pool's limits allow
    let options =
        store.options().clone().options([("lock_timeout", LOCK_TIMEOUT_MS)]).options([("statement_timeout", 0)]);
    let mut connection = store.connect(&options, "connect for the migrations").await?;
    let result = MIGRATOR.run_direct(None, &mut connection, false).await;
    // closing gives the advisory lock back also when a migration failed
    let closed = connection.close().await;
    result.map_err(from_migrate)?;
    closed.attempt("close the migrations' connection")
}

/// Compares the database with this build, without changing anything.
///
/// # Errors
/// [`Error`] when the database does not answer.
pub async fn state(store: &Store) -> Result<State, Error> {
    let mut connection = store.connect(store.options(), "connect for the migrations' state").await?;
    let applied = applied(&mut connection).await.attempt("read the applied migrations");
    connection.close().await.attempt("close the migrations' connection")?;
    Ok(compare(&applied?))
}

/// Checksums by version; empty where nothing was ever migrated.
async fn applied(connection: &mut PgConnection) -> Result<BTreeMap<i64, Vec<u8>>, sqlx::Error> {
    // not a checked statement: the migrator makes this table itself
    let known: Option<String> =
        sqlx::query_scalar("select to_regclass('muster.migration')::text").fetch_one(&mut *connection).await?;
    if known.is_none() {
        return Ok(BTreeMap::new());
    }
    let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as("select version, checksum from muster.migration where success")
        .fetch_all(&mut *connection)
        .await?;
    Ok(rows.into_iter().collect())
}

fn compare(applied: &BTreeMap<i64, Vec<u8>>) -> State {
    let known: BTreeMap<i64, &[u8]> =
        MIGRATOR.iter().map(|migration| (migration.version, migration.checksum.as_ref())).collect();
    State {
        applied: applied.keys().copied().collect(),
        known: known.keys().copied().collect(),
        ahead: applied.keys().copied().filter(|version| !known.contains_key(version)).collect(),
        behind: known.keys().copied().filter(|version| !applied.contains_key(version)).collect(),
        changed: known
            .iter()
            .filter(|(version, checksum)| applied.get(version).is_some_and(|applied| applied != *checksum))
            .map(|(version, _)| *version)
            .collect(),
    }
}

fn from_migrate(error: MigrateError) -> Error {
    let setup = |reason: String| Error::Setup { what: "migrate the database".into(), reason };
    match error {
        MigrateError::Execute(source) => Error::from_sqlx("migrate the database", source),
        MigrateError::ExecuteMigration(source, version) => {
            Error::from_sqlx(format!("apply migration {version}"), source)
        }
        MigrateError::VersionMissing(version) => {
            setup(format!("it has migration {version}, which this build does not know; use the newer build"))
        }
        MigrateError::VersionMismatch(version) => setup(format!("its migration {version} differs from this build's")),
        other => setup(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestDatabase;

    #[tokio::test]
    async fn the_schema_before_the_last_migration_is_brought_up_with_its_rows() {
        let database = TestDatabase::empty().await;
        let store = database.store();
        let versions: Vec<i64> = MIGRATOR.iter().map(|migration| migration.version).collect();
        let previous = versions[versions.len() - 2];
        let mut connection = database.connect().await;
        MIGRATOR.run_direct(Some(previous), &mut connection, false).await.unwrap();
        assert_eq!(state(&store).await.unwrap().behind, versions[versions.len() - 1..]);
        sqlx::raw_sql("insert into tenants (tenant) values (gen_random_uuid())")
            .execute(&mut connection)
            .await
            .unwrap();
        run(&store).await.unwrap();
        assert!(state(&store).await.unwrap().is_current());
        let tenants: i64 = sqlx::query_scalar("select count(*) from tenants").fetch_one(&mut connection).await.unwrap();
        assert_eq!(tenants, 1);
    }

    #[test]
    fn versions_are_unique_and_ascending() {
        let versions: Vec<i64> = MIGRATOR.iter().map(|migration| migration.version).collect();
        assert!(versions.is_sorted_by(|one, other| one < other), "{versions:?}");
    }
}
