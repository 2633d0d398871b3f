//! A gateway is stopped (SIGSTOP) and goes on later, as on a machine that is moved or swaps.

use sqlx::Connection as _;
use store::run::Kind;
use tests::{DEADLINE, until};

use super::{due, ended, hanging, number, runs, taken, ticking};

/// Postgres ends a transaction in which nothing happens after 10 s; here after a tenth of that.
const SHORT_IDLE: (&str, &str) = ("MUSTER_DATABASE_IDLE_IN_TRANSACTION_TIMEOUT_MS", "1000");

#[tokio::test]
async fn a_gateway_that_is_stopped_between_two_looks_misses_slots_and_makes_none_up() {
    let mut fleet = ticking().await;
    fleet.add_gateway(&[]).await;
    for round in 1..=3 {
        fleet.gateway().signal("STOP");
        due(&fleet, Kind::Alerts).await;
        taken(&fleet).await;
        assert_eq!(runs(&fleet, Kind::Alerts).await, 2 * round - 1, "the other one has taken it");
        ended(&fleet).await;
        fleet.gateway().signal("CONT");
        due(&fleet, Kind::Alerts).await;
        taken(&fleet).await;
        assert_eq!(runs(&fleet, Kind::Alerts).await, 2 * round);
        ended(&fleet).await;
    }
}

#[tokio::test]
async fn a_gateway_that_is_stopped_in_its_transaction_loses_the_slot_to_another_one() {
    let mut fleet = ticking().await;
    let paused = fleet.add_gateway(&[SHORT_IDLE]).await;
    fleet.gateway().kill();
    let mut sql = fleet.database().connect().await;
    let mut held = sql.begin().await.expect("the database answers");
    sqlx::query("lock table muster.run in share mode").execute(&mut *held).await.expect("nobody else has it");
    due(&fleet, Kind::Alerts).await;
    hanging(&fleet).await;
    fleet.further_gateway(paused).signal("STOP");
    held.rollback().await.expect("the database answers");
    // its run is written and not committed; it would never go on
    let mut watch = fleet.database().connect().await;
    until(DEADLINE, async || {
        let gone = "select count(*) from pg_stat_activity where datname = current_database()
                    and application_name = 'ingest-gateway' and state = 'idle in transaction'";
        match number(&mut watch, gone).await {
            0 => Ok(()),
            open => Err(format!("{open} transactions are open")),
        }
    })
    .await;
    let other = fleet.add_gateway(&[]).await;
    taken(&fleet).await;
    assert_eq!(runs(&fleet, Kind::Alerts).await, 1);
    // it wakes, finds its transaction gone, and goes on ticking
    fleet.further_gateway(paused).signal("CONT");
    fleet.further_gateway(paused).until_log(DEADLINE, "what is due could not be taken").await;
    fleet.further_gateway(other).kill();
    ended(&fleet).await;
    due(&fleet, Kind::Alerts).await;
    taken(&fleet).await;
    assert_eq!(runs(&fleet, Kind::Alerts).await, 2);
}
