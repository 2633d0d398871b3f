//! The pool: one per process, made without a connection, with a limit on every wait.
//!
//! The server's own limits (statement, lock, idle in transaction, TCP) travel as options of the connection, so they hold
//! from its first statement. The driver opens its sockets itself and has no TCP timeout of its own; so that a hanging
//! network cannot hold a caller, every statement here also runs under a deadline that is longer than all of those.
//! A pooler in front must pass such options on (PgBouncer: session mode); tests, `./dev` and production connect directly.

use std::borrow::Cow;
use std::future::Future;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection};
use tokio::time::Instant;

use crate::{Config, Error};

/// What the deadline of a call allows beyond the waits that are limited already.
const GRACE: Duration = Duration::from_secs(2);
/// Longest work of a job, all its transactions together. A runner gives a job 30 s and counts what takes longer against its
/// messages; a network that swallows packets must have shown by then, the look at whether it is one included.
const WORK_MAX: Duration = Duration::from_secs(20);

/// How long the database's clock is waited for where the process's own would do.
const CLOCK_MAX: Duration = Duration::from_secs(1);
/// How long a goodbye may take.
const CLOSE_MAX: Duration = Duration::from_secs(3);

/// A handle on the database; cheap to clone, all clones share one pool.
#[derive(Clone)]
pub struct Store {
    pool: PgPool,
    inner: Arc<Inner>,
}

struct Inner {
    /// Where and as whom, without the limits: for connections that must not have them (migrations).
    options: PgConnectOptions,
    acquire_timeout: Duration,
    deadline: Duration,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // the options hold the password
        f.debug_struct("Store").field("connections", &self.pool.size()).finish_non_exhaustive()
    }
}

impl Store {
    /// A store that connects when it is first used, so that a process starts while the database is away.
    ///
    /// `application_name` is what `pg_stat_activity` shows. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Setup`] when the URL is not one of PostgreSQL; the text never holds the URL.
    pub fn lazy(config: &Config, application_name: &str) -> Result<Self, Error> {
        let options = parse(config.database_url.expose_secret())?.application_name(application_name);
        let acquire_timeout = Duration::from_millis(config.acquire_timeout_ms.into());
        let pool = PgPoolOptions::new()
            .max_connections(config.connections_max)
            .acquire_timeout(acquire_timeout)
            // a ping before each use doubles the round trips; a broken connection shows as an outage, which is repeated,
            // and the driver pings when a connection is handed back
            .test_before_acquire(false)
            // that ping has no limit of its own: without this one a connection that a dead network swallowed would keep its
            // place in the pool until TCP gives up, a quarter of an hour later
            .after_release(move |connection, _| {
                Box::pin(async move {
                    let ping = tokio::time::timeout(acquire_timeout, connection.ping());
                    ping.await.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map(|()| true)
                })
            })
            .connect_lazy_with(limited(options.clone(), config));
        let deadline = acquire_timeout + Duration::from_millis(config.statement_timeout_ms.into()) + GRACE;
        Ok(Self { pool, inner: Arc::new(Inner { options, acquire_timeout, deadline }) })
    }

    /// One round trip; for probes.
    ///
    /// # Errors
    /// [`Error`] when the database does not answer.
    pub async fn ping(&self) -> Result<(), Error> {
        self.run("ping the database", async {
            sqlx::query!(r#"select 1 as "one!""#).fetch_one(&self.pool).await.map(drop)
        })
        .await
    }

    /// The database's clock, which every stamp that is compared is on.
    ///
    /// # Errors
    /// [`Error`] when the database does not answer.
    pub async fn database_now(&self) -> Result<DateTime<Utc>, Error> {
        self.run("read the database's clock", async {
            sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(&self.pool).await
        })
        .await
    }

    /// How long ago that was, on the database's clock, which is everybody's; on the process's own where the database does not
    /// say within a second. Nothing where it is still to come.
    pub async fn age(&self, since: DateTime<Utc>) -> Duration {
        let now = match tokio::time::timeout(CLOCK_MAX, self.database_now()).await {
            Ok(Ok(now)) => now,
            _ => Utc::now(),
        };
        (now - since).to_std().unwrap_or_default()
    }

    /// Waits a little for the statements under way, then closes every connection. Later calls fail as an outage. A database
    /// that hangs is not waited for: the process is to end.
    pub async fn close(&self) {
        if tokio::time::timeout(CLOSE_MAX, self.pool.close()).await.is_err() {
            tracing::warn!("the database does not answer the goodbye, its connections are dropped");
        }
    }

    /// The pool, for the statements of this crate.
    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Where and as whom, without the limits of the pool's connections.
    pub(crate) fn options(&self) -> &PgConnectOptions {
        &self.inner.options
    }

    /// A connection of its own, outside the pool.
    pub(crate) async fn connect(
        &self,
        options: &PgConnectOptions,
        what: impl Into<Cow<'static, str>>,
    ) -> Result<PgConnection, Error> {
        let connect = async {
            tokio::time::timeout(self.inner.acquire_timeout, options.connect())
                .await
                .unwrap_or(Err(sqlx::Error::PoolTimedOut))
        };
        self.run(what, connect).await
    }

    /// The longest that a statement, or a transaction that runs as one, takes here; then it fails.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.inner.deadline
    }

    /// Runs one statement or a short transaction under the deadline, and says what it attempted when it fails.
    pub(crate) async fn run<T>(
        &self,
        what: impl Into<Cow<'static, str>>,
        work: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(self.inner.deadline, work).await {
            Ok(result) => result.map_err(|source| Error::from_sqlx(what, source)),
            Err(_) => Err(Error::NoAnswer { what: what.into(), after_ms: millis(self.inner.deadline) }),
        }
    }

    /// When the work of a job that begins now must be done.
    pub(crate) fn work_ends(&self) -> Instant {
        Instant::now() + self.work_max()
    }

    fn work_max(&self) -> Duration {
        self.inner.deadline.min(WORK_MAX)
    }

    /// Runs a transaction of several statements, or several of them, until then; see [`Store::work_ends`].
    ///
    /// The database is asked once more where it comes too late: silence is [`Error::NoAnswer`], an outage, and an answer
    /// means that the work was [`Error::TooSlow`].
    pub(crate) async fn within<T>(
        &self,
        what: impl Into<Cow<'static, str>>,
        ends: Instant,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        if let Ok(result) = tokio::time::timeout_at(ends, work).await {
            return result;
        }
        let (what, after_ms) = (what.into(), millis(self.work_max()));
        match tokio::time::timeout(GRACE, self.ping()).await {
            Ok(Ok(())) => Err(Error::TooSlow { what, after_ms }),
            _ => Err(Error::NoAnswer { what, after_ms }),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn parse(url: &str) -> Result<PgConnectOptions, Error> {
    let refused = |reason: &str| Error::Setup { what: "read the database url".into(), reason: reason.to_owned() };
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(refused("it must begin with postgres://"));
    }
    // the driver's own text may hold parts of the URL, and so of the password
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| refused("it is not of the form postgres://user:password@host:port/database"))?;
    // a role that is called like our schema would otherwise find its tables there first ("$user")
    let options = options.options([("search_path", "public")]);
    // after each statement the driver asks whether its log line is wanted without writing one; with a collector the answer
    // stays behind in the thread and swallows our own next line
    Ok(options.disable_statement_logging())
}

fn limited(options: PgConnectOptions, config: &Config) -> PgConnectOptions {
    options.options([
        ("statement_timeout", config.statement_timeout_ms),
        ("lock_timeout", config.lock_timeout_ms),
        ("idle_in_transaction_session_timeout", config.idle_in_transaction_timeout_ms),
        ("tcp_user_timeout", config.tcp_user_timeout_ms),
    ])
}

#[cfg(test)]
mod tests {
    use fault::{Class, Classify};

    use super::*;
    use crate::testing::TestDatabase;

    #[tokio::test]
    async fn a_bad_url_is_refused_without_its_password() {
        for url in ["", "canary", "mysql://u:canary@h/d", "postgres://u:canary@h:port/d", "postgres://u:canary@[::/d"] {
            let error = Store::lazy(&Config::for_url(url), "test").expect_err(url);
            assert!(matches!(error, Error::Setup { .. }), "{error:?}");
            assert!(!format!("{error:?}{error}").contains("canary"), "{error:?}");
        }
    }

    #[tokio::test]
    async fn a_database_that_is_away_is_an_outage_and_not_an_error_at_the_start() {
        // port 1 of the loopback: nobody listens there
        let mut config = Config::for_url("postgres://muster:canary@127.0.0.1:1/muster");
        config.acquire_timeout_ms = 200;
        let store = Store::lazy(&config, "test").expect("no connection is needed");
        let error = store.ping().await.expect_err("nobody listens");
        assert_eq!(error.class(), Class::Outage);
        assert!(!format!("{error:?}{error}{store:?}").contains("canary"), "{error:?}");
    }

    #[tokio::test]
    async fn every_connection_has_the_limits_of_the_configuration() {
        let database = TestDatabase::empty().await;
        let mut config = Config::for_url(database.url());
        config.statement_timeout_ms = 1_234;
        let store = Store::lazy(&config, "limits").expect("the url is sound");
        for (name, value) in [
            ("statement_timeout", "1234ms"),
            ("lock_timeout", "2s"),
            ("idle_in_transaction_session_timeout", "10s"),
            ("tcp_user_timeout", "10000"),
            ("search_path", "public"),
            ("application_name", "limits"),
        ] {
            let shown: String = sqlx::query_scalar("select current_setting($1)")
                .bind(name)
                .fetch_one(store.pool())
                .await
                .expect("it is a setting");
            assert_eq!(shown, value, "{name}");
        }
    }

    #[tokio::test]
    async fn a_statement_over_its_limit_is_tried_again_and_a_lock_over_its_limit_is_contention() {
        let database = TestDatabase::empty().await;
        let mut config = Config::for_url(database.url());
        config.statement_timeout_ms = 100;
        config.lock_timeout_ms = 50;
        let store = Store::lazy(&config, "test").expect("the url is sound");
        let slow = store.run("sleep", sqlx::query("select pg_sleep(5)").execute(store.pool())).await;
        assert_eq!(slow.expect_err("it is cancelled").class(), Class::RETRY);

        let mut holder = store.pool().begin().await.expect("it begins");
        sqlx::query("select pg_advisory_xact_lock(7)").execute(&mut *holder).await.expect("it is free");
        let locked = store.run("lock", sqlx::query("select pg_advisory_lock(7)").execute(store.pool())).await;
        assert_eq!(locked.expect_err("it is taken").class(), Class::Contention);
    }

    #[tokio::test]
    async fn what_never_answers_ends_at_the_deadline_as_an_outage() {
        let mut config = Config::for_url("postgres://muster@127.0.0.1:1/muster");
        config.acquire_timeout_ms = 10;
        config.statement_timeout_ms = 100;
        let store = Store::lazy(&config, "test").expect("the url is sound");
        let error = store.run("wait for ever", std::future::pending::<Result<(), _>>()).await.expect_err("it ends");
        assert!(matches!(error, Error::NoAnswer { after_ms: 2_110, .. }), "{error:?}");
        assert_eq!(error.class(), Class::Outage);
    }

    #[tokio::test]
    async fn work_that_ends_late_is_an_outage_only_where_the_database_is_silent() {
        let late = || std::future::pending::<Result<(), Error>>();
        let mut config = Config::for_url("postgres://muster@127.0.0.1:1/muster");
        config.acquire_timeout_ms = 10;
        let silent = Store::lazy(&config, "test").expect("the url is sound");
        let error = silent.within("wait", Instant::now(), late()).await.expect_err("it ends");
        assert!(matches!(error, Error::NoAnswer { .. }), "{error:?}");
        assert_eq!(error.class(), Class::Outage);

        let database = TestDatabase::empty().await;
        let answering = database.store();
        answering.ping().await.expect("it answers");
        let error = answering.within("wait", Instant::now(), late()).await.expect_err("it ends");
        assert!(matches!(error, Error::TooSlow { .. }), "{error:?}");
        assert_eq!(error.class(), Class::RETRY);
    }

    #[tokio::test]
    async fn a_jobs_work_ends_well_before_its_runner_gives_up() {
        let mut config = Config::for_url("postgres://muster@127.0.0.1:1/muster");
        config.statement_timeout_ms = 600_000;
        let store = Store::lazy(&config, "test").expect("the url is sound");
        assert!(store.work_max() + GRACE <= Duration::from_secs(25));
    }

    #[tokio::test]
    async fn a_closed_store_fails_as_an_outage() {
        let database = TestDatabase::empty().await;
        let store = database.store();
        store.ping().await.expect("it answers");
        store.close().await;
        assert_eq!(store.ping().await.expect_err("it is closed").class(), Class::Outage);
    }

    #[tokio::test]
    async fn the_databases_clock_grows() {
        let database = TestDatabase::empty().await;
        let store = database.store();
        let first = store.database_now().await.expect("it answers");
        let second = store.database_now().await.expect("it answers");
        assert!(first < second);
    }
}
