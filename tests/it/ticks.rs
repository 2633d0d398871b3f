//! Schedules that real gateways tick: several at once, paused, killed at each step, with wrong clocks, without Postgres. In
//! all of it the next slot comes, one run of a kind is open at most, and no slot has an effect twice.

mod at_once;
mod clocks;
mod killed;
mod needs;
mod outage;
mod paused;
mod whole;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};
use store::run::Kind;
use tests::{DEADLINE, Fleet, until};

/// Longer than a test holds a lock, so that a gateway waits for it: what it has in hand must hang.
const LONG_LOCKS: (&str, &str) = ("MUSTER_DATABASE_LOCK_TIMEOUT_MS", "60000");

/// A fleet of nothing but a gateway that ticks, whose connection has something to read. No slot comes by itself.
async fn ticking() -> Fleet {
    let fleet = Fleet::builder().ticks().set(LONG_LOCKS.0, LONG_LOCKS.1).start().await;
    settle(&fleet).await;
    fleet
}

/// Gives every connection an address and a device, and moves its slots a week away.
async fn settle(fleet: &Fleet) {
    fleet
        .database()
        .execute(
            "update rmm_integrations set instance_url = 'https://api.example.com';
             insert into muster.agent (tenant, integration_id, agent_id)
                 select tenant, integration_id, 'A' from rmm_integrations on conflict do nothing;
             update muster.schedule set interval_s = 604800, phase_s = floor(extract(epoch from now()))::bigint % 604800;
             update muster.schedule set next_due_at = muster.next_slot(now(), interval_s, phase_s)",
        )
        .await;
}

/// Lets a schedule be due.
async fn due(fleet: &Fleet, kind: Kind) {
    store::testing::schedule_due_now(&fleet.store(), fleet.connection().tenant, kind).await;
}

/// Waits until nothing is due any more.
async fn taken(fleet: &Fleet) {
    let mut sql = fleet.database().connect().await;
    until(DEADLINE, async || {
        let left =
            number(&mut sql, "select count(*) from muster.schedule where next_due_at <= clock_timestamp()").await;
        if left == 0 { Ok(()) } else { Err(format!("{left} are due")) }
    })
    .await;
}

/// Ends every open run, as its worker would.
async fn ended(fleet: &Fleet) {
    let end = "update muster.run set state = 'completed', finished_at = now() where state in ('queued', 'running')";
    fleet.database().execute(end).await;
}

/// Runs of a kind. No worker runs, so that every message that was ever written still lies in the outbox: each run has one of
/// its own, each slot one run.
async fn runs(fleet: &Fleet, kind: Kind) -> i64 {
    let mut sql = fleet.database().connect().await;
    let row = sqlx::query(
        "select (select count(*) from muster.run where kind = $1), (select count(*) from muster.run),
                (select count(distinct (tenant, kind, slot)) from muster.run),
                (select count(*) from muster.outbox where exchange = 'muster.work'),
                (select count(distinct convert_from(body, 'UTF8')::jsonb ->> 'run_id') from muster.outbox
                 where exchange = 'muster.work')",
    );
    let row = row.bind(kind.as_str()).fetch_one(&mut sql).await.expect("the database answers");
    let [of_kind, runs, slots, messages, told]: [i64; 5] = std::array::from_fn(|at| row.get(at));
    assert_eq!((slots, messages, told), (runs, runs, runs), "a slot has one run, and a run one message");
    of_kind
}

/// One number.
async fn number(sql: &mut PgConnection, statement: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(statement.to_owned())).fetch_one(sql).await.expect("the database answers")
}

/// Waits until a gateway hangs in a statement, because of a lock that the test holds.
async fn hanging(fleet: &Fleet) {
    let mut sql = fleet.database().connect().await;
    until(DEADLINE, async || {
        let waits = "select count(*) from pg_stat_activity where datname = current_database()
                     and application_name = 'ingest-gateway' and wait_event_type = 'Lock'";
        if number(&mut sql, waits).await > 0 { Ok(()) } else { Err("no gateway hangs") }
    })
    .await;
}
