//! The database full of schedules, the gateway that ticks them, and what its runs are measured by.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use store::testing::TestDatabase;
use tempfile::TempDir;
use tests::Vhost;
use tests::fleet::Program;

use crate::Arguments;
use crate::drain::Drain;
use crate::measure::{self, Slots};

/// From the setting of the slots to the first of them.
const LEAD_S: i32 = 3;
/// A gateway that has lost its way is not waited for.
const LATE_MAX: Duration = Duration::from_secs(600);
const STOP_DEADLINE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Everything that runs.
pub(crate) struct Stage {
    gateway: Program,
    drain: Drain,
    sql: PgConnection,
    // after what is connected to them
    _state: TempDir,
    vhost: Vhost,
    database: TestDatabase,
}

impl Stage {
    /// Makes the tenants, and starts the gateway and the drain; nothing is due yet.
    pub(crate) async fn set(arguments: &Arguments) -> anyhow::Result<Self> {
        let (database, vhost, state) = (TestDatabase::create().await, Vhost::create().await, tempfile::tempdir()?);
        let mut sql = database.connect().await;
        let connections = format!(
            "set statement_timeout = 0;
             alter table muster.run add column bench_written_at timestamptz not null default clock_timestamp();
             insert into tenants (tenant) select md5('tenant ' || n)::uuid from generate_series(1, {tenants}) n;
             insert into rmm_integrations (tenant, integration_id, provider, is_active, instance_url)
                 select tenant, md5('connection ' || tenant::text)::uuid, 'tacticalrmm', true, 'https://api.example.com'
                 from tenants;
             insert into muster.agent (tenant, integration_id, agent_id)
                 select tenant, integration_id, 'A' from rmm_integrations;
             update muster.schedule set next_due_at = null",
            tenants = arguments.tenants
        );
        sqlx::raw_sql(AssertSqlSafe(connections)).execute(&mut sql).await.context("make the connections")?;
        settle(&mut sql).await?;
        let drain = Drain::start(&database).await;
        let gateway = gateway(&database, &vhost, &state).await;
        Ok(Self { gateway, drain, sql, _state: state, vhost, database })
    }

    /// The measurement's own connection.
    pub(crate) fn sql(&mut self) -> &mut PgConnection {
        &mut self.sql
    }

    /// Lets every schedule have its slots, spread over the interval.
    pub(crate) async fn spread(&mut self, arguments: &Arguments) -> anyhow::Result<Slots> {
        let (interval_s, rounds) = (arguments.interval_s, arguments.rounds);
        let spread = format!(
            "update muster.schedule s set interval_s = {interval_s}, phase_s = n.number % {interval_s}
             from (select tenant, kind, row_number() over (order by tenant, kind) as number from muster.schedule) n
             where s.tenant = n.tenant and s.kind = n.kind"
        );
        sqlx::raw_sql(AssertSqlSafe(spread)).execute(&mut self.sql).await.context("spread the slots")?;
        settle(&mut self.sql).await?;
        let from: DateTime<Utc> = sqlx::query_scalar(
            "with start as (select date_trunc('second', now()) + make_interval(secs => $1) as at),
             armed as (
                 -- a slot at the very start belongs to it
                 update muster.schedule
                 set next_due_at = muster.next_slot((select at from start) - interval '1 ms', interval_s, phase_s)
             )
             select at from start",
        )
        .bind(f64::from(LEAD_S))
        .fetch_one(&mut self.sql)
        .await
        .context("arm the schedules")?;
        let to = from + chrono::TimeDelta::seconds(i64::from(interval_s) * i64::from(rounds));
        self.until_taken(to).await?;
        measure::expect_slots(&mut self.sql, from, to).await?;
        self.measured().await
    }

    /// Lets every schedule be due in one moment.
    pub(crate) async fn at_once(&mut self) -> anyhow::Result<Slots> {
        // a second later than the last slot of before, else that one's run would do for this one
        tokio::time::sleep(Duration::from_secs(1)).await;
        // a week on, so that no second slot comes
        let slot: DateTime<Utc> = sqlx::query_scalar(
            "with start as (select date_trunc('second', now()) as at),
             armed as (
                 update muster.schedule
                 set interval_s = 604800, phase_s = extract(epoch from (select at from start))::bigint % 604800,
                     next_due_at = (select at from start)
             )
             select at from start",
        )
        .fetch_one(&mut self.sql)
        .await
        .context("let everything be due")?;
        let to = slot + chrono::TimeDelta::seconds(1);
        self.until_taken(to).await?;
        measure::expect_slots(&mut self.sql, slot, to).await?;
        self.measured().await
    }

    /// Waits until no slot before a moment is left, then stops the schedules.
    async fn until_taken(&mut self, to: DateTime<Utc>) -> anyhow::Result<()> {
        loop {
            let (next, is_late): (Option<DateTime<Utc>>, bool) = sqlx::query_as(
                "select min(next_due_at), clock_timestamp() > $1 + make_interval(secs => $2) from muster.schedule",
            )
            .bind(to)
            .bind(LATE_MAX.as_secs_f64())
            .fetch_one(&mut self.sql)
            .await?;
            if next.is_none_or(|next| next >= to) {
                break;
            }
            ensure!(!is_late, "schedules are due since {next:?} and are not taken");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        sqlx::raw_sql("update muster.schedule set next_due_at = null").execute(&mut self.sql).await?;
        Ok(())
    }

    /// The figures of the slots that are expected, once everything that they have started was relayed.
    async fn measured(&mut self) -> anyhow::Result<Slots> {
        let messages = self.drain.messages_of_runs(&mut self.sql).await?;
        let slots = measure::slots(&mut self.sql, messages).await?;
        settle(&mut self.sql).await?;
        Ok(slots)
    }

    /// Ends the gateway and the drain: what comes then is alone.
    pub(crate) async fn clear(&mut self) {
        self.gateway.process().terminate(STOP_DEADLINE).await;
        self.drain.stop();
    }

    /// Ends the rest.
    pub(crate) fn strike(self) {
        drop((self.sql, self.vhost));
        drop(self.database);
    }
}

/// What the server would do by itself some time, now.
pub(crate) async fn settle(sql: &mut PgConnection) -> anyhow::Result<()> {
    for table in ["muster.schedule", "muster.connection", "muster.run", "muster.outbox", "rmm_integrations", "tenants"]
    {
        sqlx::raw_sql(AssertSqlSafe(format!("vacuum (analyze) {table}"))).execute(&mut *sql).await?;
    }
    sqlx::raw_sql("checkpoint").execute(sql).await?;
    Ok(())
}

/// A gateway as it is by default, but for where it listens.
async fn gateway(database: &TestDatabase, vhost: &Vhost, state: &TempDir) -> Program {
    let environment = [
        ("MUSTER_DATABASE_URL", database.url()),
        ("MUSTER_AMQP_URL", vhost.url()),
        ("MUSTER_GATEWAY_LISTEN", "127.0.0.1:0"),
        ("MUSTER_GATEWAY_STATE_DIR", &state.path().display().to_string()),
        ("MUSTER_HOOK_PEPPER", "the pepper of a measurement"),
        ("MUSTER_LOG_FORMAT", "json"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut gateway = Program::begin("ingest-gateway", "ingest-gateway", &environment);
    gateway.ready().await;
    gateway
}

/// A line for whoever waits.
#[expect(clippy::print_stderr, reason = "the measurement is a program, and its progress goes to stderr")]
pub(crate) fn say(text: &str) {
    eprintln!("{}  {text}", Utc::now().format("%H:%M:%S"));
}
