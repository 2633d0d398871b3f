//! Gateways whose clocks are wrong by an hour in both directions.
//!
//! How: [`tests::clock_shim`]. That the programs believe it is shown by their own log.

use chrono::{DateTime, TimeDelta, Utc};
use store::run::Kind;
use tests::{Fleet, clock_shim};

use super::{due, ended, number, runs, settle, taken};

const HOUR_S: i64 = 60 * 60;

/// By how much the clock of a process is off, as its log tells; to the minute.
fn offset_minutes(log: &[String]) -> i64 {
    let line = log.last().expect("a program that is ready has logged");
    let line: serde_json::Value = serde_json::from_str(line).expect("the fleet's programs log JSON");
    let stamp: DateTime<Utc> = line["timestamp"].as_str().expect("every line has one").parse().expect("it is a time");
    // the line is some seconds old
    (stamp - Utc::now() + TimeDelta::seconds(30)).num_minutes()
}

#[tokio::test]
async fn a_gateway_whose_clock_is_wrong_by_an_hour_ticks_by_the_databases() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let library = clock_shim::build(folder.path());
    let library = library.to_str().expect("a temporary folder's name is text");
    for hours in [1, -1] {
        let mut fleet = Fleet::builder().ticks().start().await;
        fleet.gateway().kill();
        settle(&fleet).await;
        let offset = (hours * HOUR_S).to_string();
        let wrong = fleet.add_gateway(&[("LD_PRELOAD", library), (clock_shim::OFFSET, &offset)]).await;
        let believed = offset_minutes(&fleet.further_gateway(wrong).log());
        assert!((believed - hours * 60).abs() <= 5, "its clock is off by {believed} minutes");
        ticks_by_the_database(&fleet, 0).await;
        // beside one whose clock is right
        fleet.add_gateway(&[]).await;
        ticks_by_the_database(&fleet, 2).await;
    }
}

/// A slot that lies ahead is not taken before its time, one that is there is taken, and the next one is in its time.
async fn ticks_by_the_database(fleet: &Fleet, before: i64) {
    let ahead = "update muster.schedule set next_due_at = clock_timestamp() + interval '2 s' where kind = 'alerts'";
    fleet.database().execute(ahead).await;
    let mut sql = fleet.database().connect().await;
    let taken_by_then =
        "select count(*) from muster.schedule where kind = 'alerts' and next_due_at > now() + interval '1 minute'";
    tests::until(tests::DEADLINE, async || match number(&mut sql, taken_by_then).await {
        1 => Ok(()),
        _ => Err("it is not taken yet"),
    })
    .await;
    assert_eq!(runs(fleet, Kind::Alerts).await, before + 1);
    let too_soon = "select count(*) from muster.run where requested_at < slot";
    assert_eq!(number(&mut sql, too_soon).await, 0, "no slot is taken before it is there");
    ended(fleet).await;
    due(fleet, Kind::Alerts).await;
    taken(fleet).await;
    assert_eq!(runs(fleet, Kind::Alerts).await, before + 2);
    let next = "select count(*) from muster.schedule
                where kind = 'alerts' and next_due_at > now() and next_due_at <= now() + interval '7 days'";
    assert_eq!(number(&mut sql, next).await, 1);
    ended(fleet).await;
}
