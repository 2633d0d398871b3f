//! A tenant whose connection ticks, and a clock that is moved by moving the stamps.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgPool;
use store::Store;
use store::audit::Entry;
use store::run::{self, Cause, Fence, Kind};
use store::schedule::{self, Outcome, ROWS_MAX, Schedule, Tick};
use store::tenant::{self, NewConnection};
use store::testing::{self, TestDatabase};
use uuid::Uuid;

/// One tenant with a connection that is active and has a URL.
pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) store: Store,
    pub(crate) pool: PgPool,
    pub(crate) tenant: Uuid,
    pub(crate) integration_id: Uuid,
}

impl World {
    pub(crate) async fn new() -> Self {
        let database = TestDatabase::create().await;
        let (store, pool) = (database.store(), PgPool::connect(database.url()).await.unwrap());
        let tenant = Uuid::from_u128(7);
        let integration_id = connect(&store, tenant).await;
        let world = Self { database, store, pool, tenant, integration_id };
        // a device, so that there is software to read
        world
            .run(&format!(
                "insert into muster.agent (tenant, integration_id, agent_id) values ('{tenant}', '{integration_id}', 'A')"
            ))
            .await;
        world.settle().await;
        world
    }

    /// Moves the phases so that a slot has just passed: none comes by itself within the test.
    pub(crate) async fn settle(&self) {
        self.run(
            "update muster.schedule set phase_s = floor(extract(epoch from now()))::bigint % 604800;
             update muster.schedule set next_due_at = muster.next_slot(now(), least(default_interval_s, 3600), phase_s)",
        )
        .await;
    }

    /// Runs statements of the test's own.
    pub(crate) async fn run(&self, sql: &str) -> u64 {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&self.pool).await.unwrap().rows_affected()
    }

    /// One number.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned())).fetch_one(&self.pool).await.unwrap()
    }

    /// One moment.
    pub(crate) async fn time(&self, sql: &str) -> Option<DateTime<Utc>> {
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned())).fetch_one(&self.pool).await.unwrap()
    }

    /// The schedule of a kind.
    pub(crate) async fn schedule(&self, kind: Kind) -> Schedule {
        let found = schedule::list(&self.store, self.tenant).await.unwrap();
        found.into_iter().find(|schedule| schedule.kind == kind).unwrap()
    }

    /// Lets a schedule be due.
    pub(crate) async fn due(&self, kind: Kind) {
        testing::schedule_due_now(&self.store, self.tenant, kind).await;
    }

    /// Takes what is due.
    pub(crate) async fn tick(&self) -> Vec<Tick> {
        schedule::tick(&self.store, ROWS_MAX).await.unwrap()
    }

    /// Lets a schedule be due and takes it alone.
    pub(crate) async fn tick_of(&self, kind: Kind) -> Outcome {
        self.due(kind).await;
        let ticks = self.tick().await;
        assert_eq!(ticks.len(), 1, "{ticks:?}");
        assert_eq!(ticks[0].kind, kind);
        ticks[0].outcome
    }

    /// The open run of a kind, as a worker takes it.
    pub(crate) async fn take(&self, kind: Kind) -> Fence {
        let sql = "select run_id from muster.run where tenant = $1 and kind = $2 and state in ('queued', 'running')";
        let run_id: Uuid =
            sqlx::query_scalar(sql).bind(self.tenant).bind(kind.as_str()).fetch_one(&self.pool).await.unwrap();
        run::take_over(&self.store, self.tenant, run_id).await.unwrap().unwrap().fence
    }

    /// Ends the open run of a kind as complete: there was nothing to do.
    pub(crate) async fn succeed(&self, kind: Kind) {
        let fence = self.take(kind).await;
        assert!(run::plan(&self.store, &fence, &[]).await.unwrap());
    }

    /// Starts a run as a person does and fails it for a cause that needs a person.
    pub(crate) async fn fail(&self, kind: Kind, cause: &str) {
        self.fail_by(kind, Cause { text: cause.to_owned(), needs_attention: true }).await;
    }

    pub(crate) async fn fail_by(&self, kind: Kind, cause: Cause) {
        let started = run::start(&self.store, self.tenant, self.integration_id, kind, "test", &entry()).await.unwrap();
        assert!(run::fail(&self.store, self.tenant, started.run_id, None, cause).await.unwrap());
    }

    /// Lets so many seconds pass since the first failure of a row.
    pub(crate) async fn pass(&self, seconds: i64) {
        self.run(&format!("update muster.schedule set failing_since = failing_since - interval '{seconds} s'")).await;
    }

    /// Runs of a kind.
    pub(crate) async fn runs(&self, kind: Kind) -> i64 {
        self.number(&format!("select count(*) from muster.run where kind = '{}'", kind.as_str())).await
    }

    /// Messages for workers that wait to be sent; events are another matter.
    pub(crate) async fn messages(&self) -> i64 {
        self.number("select count(*) from muster.outbox where exchange = 'muster.work'").await
    }
}

/// Connects a tenant to a Tactical; its integration.
pub(crate) async fn connect(store: &Store, tenant: Uuid) -> Uuid {
    let new = NewConnection {
        tenant,
        client_name: "Acme".to_owned(),
        instance_url: Some("https://api.example.com".to_owned()),
        digest: None,
        grace: std::time::Duration::ZERO,
    };
    tenant::connect(store, &new, "a test").await.unwrap().integration_id
}

pub(crate) fn entry() -> Entry {
    testing::entry("test")
}
