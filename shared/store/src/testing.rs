//! A database per test, cloned in milliseconds from a template that is migrated once per set of migrations.
//!
//! Any number of tests, threads and processes may do this at once: the template is made under an advisory lock and named
//! after the hash of the migrations, so that two builds never share one. A database is dropped with its handle; what a
//! killed test left behind is dropped by a later one, after a day.

mod wal;

use std::fmt::Write as _;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::audit::Entry;
use crate::migrate::MIGRATOR;
use crate::run::Kind;
use crate::{Config, Store};

pub use wal::{Wal, wal_bytes};

/// Connections of a test's store; the server's `max_connections` is shared by all tests at once.
const CONNECTIONS_MAX: u32 = 10;
/// What a killed test left behind is dropped after this time.
const LEFTOVER_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// Advisory lock under which templates are made and leftovers dropped; the letters of `muster`.
const LOCK: i64 = 0x6d_75_73_74_65_72;

/// A database of this test's own; dropped with the handle.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    url: String,
    store: Store,
    /// False where the server is thrown away with everything in it.
    is_dropped: bool,
}

impl TestDatabase {
    /// A migrated database.
    ///
    /// # Panics
    /// When `MUSTER_DATABASE_URL` is unset or its role may not create databases.
    pub async fn create() -> Self {
        Self::from(template().await).await
    }

    /// An empty database: nothing was migrated.
    ///
    /// # Panics
    /// As [`TestDatabase::create`].
    pub async fn empty() -> Self {
        Self::from("template0").await
    }

    async fn from(template: &str) -> Self {
        let name = format!("muster_test_{}_{:016x}", unix_s(), rand::random::<u64>());
        let mut admin = admin().await;
        execute(&mut admin, &format!("create database {name} template {template}")).await;
        admin.close().await.expect("the server is there, it has just answered");
        let url = server().database(&name).to_url_lossy().to_string();
        let store = Store::lazy(&config(&url), "test").expect("the driver reads the url that it wrote");
        Self { name, url, store, is_dropped: true }
    }

    /// A migrated database on a server of the test's own, by its URL; it stays there.
    ///
    /// # Panics
    /// When the server is away or its role may not create databases.
    pub async fn create_on(server_url: &str) -> Self {
        let server = PgConnectOptions::from_str(server_url).expect("it is a URL of PostgreSQL");
        let name = format!("muster_{:016x}", rand::random::<u64>());
        let mut admin = server.connect().await.unwrap_or_else(|error| panic!("cannot connect to the server: {error}"));
        execute(&mut admin, &format!("create database {name} template template0")).await;
        admin.close().await.expect("the server is there, it has just answered");
        let url = server.database(&name).to_url_lossy().to_string();
        let store = Store::lazy(&config(&url), "test").expect("the driver reads the url that it wrote");
        crate::migrate::run(&store).await.unwrap_or_else(|error| panic!("{}", fault::chain(&error)));
        Self { name, url, store, is_dropped: false }
    }

    /// A store on it; all clones share one pool.
    #[must_use]
    pub fn store(&self) -> Store {
        self.store.clone()
    }

    /// Opens all connections that the stores of [`TestDatabase::store`] share, for a test that minds a login in its midst.
    ///
    /// # Panics
    /// When the server has no more connections to give.
    pub async fn fill_pool(&self) {
        let mut connections = Vec::new();
        for _ in 0..self.store.pool().options().get_max_connections() {
            connections.push(self.store.pool().acquire().await.expect("the server has connections to give"));
        }
    }

    /// Its URL, for a process or a pool of the test's own.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A store with a pool of its own, as a second process would have.
    #[must_use]
    pub fn second_store(&self) -> Store {
        Store::lazy(&config(&self.url), "test").expect("the driver reads the url that it wrote")
    }

    /// Runs statements that only a test needs.
    ///
    /// # Panics
    /// When one of them fails.
    pub async fn execute(&self, sql: &str) {
        execute(&mut self.connect().await, sql).await;
    }

    /// A connection outside every pool, for statements that only a test needs.
    ///
    /// # Panics
    /// When the server is gone.
    pub async fn connect(&self) -> PgConnection {
        self.store.connect(self.store.options(), "connect for a test").await.expect("the server is there")
    }
}

/// Lets the time pass until a schedule of a tenant is due: it is due now, and the next tick is for this moment.
///
/// # Panics
/// When it does not tick: it is switched off, or the connection is not active.
pub async fn schedule_due_now(store: &Store, tenant: Uuid, kind: Kind) {
    let sql = "update muster.schedule set next_due_at = clock_timestamp()
               where tenant = $1 and kind = $2 and next_due_at is not null";
    let moved = sqlx::query(sql).bind(tenant).bind(kind.as_str()).execute(store.pool()).await;
    let moved = moved.expect("the database answers").rows_affected();
    assert_eq!(moved, 1, "the schedule of {} of tenant {tenant} does not tick", kind.as_str());
}

/// An audit entry, for what wants one.
#[must_use]
pub fn entry(action: &'static str) -> Entry {
    Entry { tenant: None, actor: "a test".to_owned(), action, subject: None, detail: serde_json::json!({}) }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if !self.is_dropped {
            return;
        }
        let drop = format!("drop database if exists {} with (force)", self.name);
        // `drop` cannot await, and the test's runtime is busy dropping
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                if let Ok(mut admin) = server().connect().await {
                    // a database that cannot be dropped now is a leftover, which a later test drops
                    let _ = sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut admin).await;
                    let _ = admin.close().await;
                }
            });
        });
        let _ = thread.join();
    }
}

fn config(url: &str) -> Config {
    let mut config = Config::for_url(url);
    config.connections_max = CONNECTIONS_MAX;
    // many tests at once on few cores: a slow answer is no failure here
    config.acquire_timeout_ms = 30_000;
    config
}

/// The server that tests run against.
fn server() -> PgConnectOptions {
    let url = std::env::var("MUSTER_DATABASE_URL").unwrap_or_default();
    assert!(
        !url.is_empty(),
        "set MUSTER_DATABASE_URL to a PostgreSQL server whose role may create databases; `./dev test` starts one"
    );
    PgConnectOptions::from_str(&url).expect("MUSTER_DATABASE_URL is a URL of PostgreSQL")
}

async fn admin() -> PgConnection {
    server().connect().await.expect("the server of MUSTER_DATABASE_URL answers")
}

/// The only connection of all test processes that makes the template or drops leftovers; closing it gives the lock back.
async fn locked_admin() -> PgConnection {
    let mut admin = admin().await;
    sqlx::query("select pg_advisory_lock($1)").bind(LOCK).execute(&mut admin).await.expect("the lock is given");
    admin
}

async fn execute(connection: &mut PgConnection, sql: &str) {
    if let Err(error) = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await {
        panic!("cannot run `{sql}`: {error}");
    }
}

/// The name of the migrated template; made when this process first asks and nobody else has made it.
async fn template() -> &'static str {
    static NAME: OnceCell<String> = OnceCell::const_new();
    NAME.get_or_init(async || {
        let name = template_name();
        let mut admin = locked_admin().await;
        let is_made: Option<bool> = sqlx::query_scalar("select datistemplate from pg_database where datname = $1")
            .bind(&name)
            .fetch_optional(&mut admin)
            .await
            .expect("the catalogue can be read");
        if is_made != Some(true) {
            make_template(&mut admin, &name).await;
        }
        drop_leftovers(&mut admin, &name).await;
        admin.close().await.expect("the server is there, it has just answered");
        name
    })
    .await
}

fn template_name() -> String {
    let mut hash = Sha256::new();
    for migration in MIGRATOR.iter() {
        hash.update(migration.version.to_be_bytes());
        hash.update(&migration.checksum);
    }
    let mut name = "muster_template_".to_owned();
    for byte in &hash.finalize()[..8] {
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// Marked as a template last: what a killed test left half made is made anew.
async fn make_template(admin: &mut PgConnection, name: &str) {
    execute(admin, &format!("drop database if exists {name} with (force)")).await;
    execute(admin, &format!("create database {name} template template0")).await;
    let url = server().database(name).to_url_lossy().to_string();
    let store = Store::lazy(&config(&url), "template").expect("the driver reads the url that it wrote");
    crate::migrate::run(&store).await.unwrap_or_else(|error| panic!("{}", fault::chain(&error)));
    store.close().await;
    execute(admin, &format!("comment on database {name} is '{}'", unix_s())).await;
    // nobody may connect: a session on it would make the next clone wait
    execute(admin, &format!("alter database {name} with is_template true allow_connections false")).await;
}

/// Drops old databases of killed tests and old templates of other migrations. Under the lock: to alter a database that
/// another session drops ends the session with a FATAL.
async fn drop_leftovers(admin: &mut PgConnection, current: &str) {
    let databases: Vec<(String, Option<String>)> = sqlx::query_as(
        r"select datname, shobj_description(oid, 'pg_database') from pg_database
          where datname like 'muster\_test\_%' or datname like 'muster\_template\_%'",
    )
    .fetch_all(&mut *admin)
    .await
    .expect("the catalogue can be read");
    for (name, comment) in databases {
        let stamp = match name.strip_prefix("muster_test_") {
            Some(rest) => rest.split('_').next().map(str::to_owned),
            None => comment,
        };
        let born_s = stamp.and_then(|stamp| stamp.parse::<u64>().ok()).unwrap_or_else(unix_s);
        if name == current || unix_s().saturating_sub(born_s) < LEFTOVER_AGE.as_secs() {
            continue;
        }
        if name.starts_with("muster_template_") {
            execute(admin, &format!("alter database {name} with is_template false")).await;
        }
        // one that cannot be dropped, another role's for instance, must not fail every test
        let _ = sqlx::raw_sql(AssertSqlSafe(format!("drop database if exists {name} with (force)")))
            .execute(&mut *admin)
            .await;
    }
}

fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn exists(name: &str) -> bool {
        sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
            .bind(name)
            .fetch_one(&mut admin().await)
            .await
            .expect("the catalogue can be read")
    }

    #[tokio::test]
    async fn a_database_is_migrated_and_dropped_with_its_handle() {
        let database = TestDatabase::create().await;
        let name = database.name.clone();
        assert!(crate::migrate::state(&database.store()).await.expect("it answers").is_current());
        let _held = database.connect().await;
        drop(database);
        assert!(!exists(&name).await, "{name} is left");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn sixteen_at_once_are_sixteen_databases() {
        let all: Vec<_> = (0..16).map(|_| tokio::spawn(TestDatabase::create())).collect();
        let mut names = std::collections::BTreeSet::new();
        let mut databases = Vec::new();
        for one in all {
            let database = one.await.expect("it is made");
            database.store().ping().await.expect("it answers");
            names.insert(database.name.clone());
            databases.push(database);
        }
        assert_eq!(names.len(), 16);
    }

    #[tokio::test]
    async fn what_a_killed_test_left_is_dropped_after_a_day() {
        let old = format!("muster_test_{}_{:016x}", unix_s() - LEFTOVER_AGE.as_secs() - 1, rand::random::<u64>());
        let young = format!("muster_test_{}_{:016x}", unix_s() - 60, rand::random::<u64>());
        let mut admin = locked_admin().await;
        for name in [&old, &young] {
            execute(&mut admin, &format!("create database {name} template template0")).await;
        }
        drop_leftovers(&mut admin, &template_name()).await;
        assert!(!exists(&old).await && exists(&young).await);
        execute(&mut admin, &format!("drop database {young}")).await;
    }
}
