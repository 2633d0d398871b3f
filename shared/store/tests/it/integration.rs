//! Findings and reconcile wishes.

use chrono::{DateTime, TimeDelta, Utc};
use store::integration::{Finding, note_findings, note_reconcile};
use store::testing::TestDatabase;
use uuid::Uuid;

use crate::{execute, text};

fn at(second: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
}

fn finding(second: i64) -> Finding {
    Finding { tenant: Uuid::nil(), integration_id: Uuid::nil(), finding: "verbatim_event", seen_at: at(second) }
}

#[tokio::test]
async fn mistakes_are_counted_with_their_first_and_last_sight_in_any_order() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    note_findings(&mut connection, &[finding(5), finding(9)]).await.unwrap();
    note_findings(&mut connection, &[finding(7)]).await.unwrap();
    note_findings(&mut connection, &[finding(1)]).await.unwrap();
    note_findings(&mut connection, &[]).await.unwrap();
    let row =
        "select concat_ws(' ', finding, extract(epoch from first_seen_at)::int, extract(epoch from last_seen_at)::int,
               seen_count) from muster.webhook_finding";
    assert_eq!(text(&database, row).await, "verbatim_event 1 9 4");
}

#[tokio::test]
async fn a_wish_that_stands_is_not_moved_and_a_taken_one_comes_back() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    let wish = [(Uuid::nil(), Uuid::nil()), (Uuid::nil(), Uuid::nil())];
    note_reconcile(&mut connection, &wish).await.unwrap();
    let row = "select xmin::text || wished_at::text from muster.reconcile_wish";
    let before = text(&database, row).await;
    note_reconcile(&mut connection, &wish).await.unwrap();
    assert_eq!(text(&database, row).await, before);
    execute(&database, "update muster.reconcile_wish set wished_at = null").await;
    note_reconcile(&mut connection, &wish).await.unwrap();
    assert_eq!(text(&database, "select (wished_at is not null)::text from muster.reconcile_wish").await, "true");
}
