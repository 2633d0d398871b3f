//! A list at the limits of what is written, or asked for, at once.

use std::ops::RangeInclusive;

use serde_json::{Value, json};
use tests::Fleet;
use tests::simulator::FaultKind;

use super::{connected, fault_once, open, reconciled};

/// Open alerts of these numbers, none of which the simulator itself knows.
fn rows(numbers: RangeInclusive<i64>, agent_id: Option<&str>, place: (&str, &str)) -> Vec<Value> {
    let row = |number| {
        json!({"id": number, "agent_id": agent_id, "client": place.0, "site": place.1, "resolved": false,
               "severity": "error", "alert_type": "custom", "alert_time": "2026-11-22T01:02:03Z"})
    };
    numbers.map(row).collect()
}

/// The next list of alerts is this one.
fn list(fleet: &Fleet, rows: &[Value]) {
    fault_once(fleet, "/alerts/", FaultKind::Json { body: json!(rows).to_string() });
}

/// How many alerts were asked for one by one since the simulator forgot.
fn looks(fleet: &Fleet) -> usize {
    let asked = fleet.simulator().control().asked();
    asked.iter().filter(|target| target.starts_with("/alerts/") && target.len() > "/alerts/".len()).count()
}

#[tokio::test]
async fn a_batch_and_one_more_are_written_and_twenty_stand_for_all_that_end() {
    let fleet = connected(20).await;
    for (count, expected) in [(20, 20), (21, 20), (500, 20), (501, 20)] {
        list(&fleet, &rows(1_000..=999 + count, None, ("", "")));
        let run = reconciled(&fleet).await;
        assert_eq!((run.counts.seen, open(&fleet).await.len() as i64), (count, count));
        fleet.simulator().control().forget_served();
        let run = reconciled(&fleet).await;
        assert_eq!((run.counts.missing, looks(&fleet)), (count, expected), "of {count}");
        assert_eq!(open(&fleet).await, [0; 0]);
    }
}

#[tokio::test]
async fn fifty_whose_agent_is_gone_and_twenty_of_no_known_place_are_asked_for_in_one_run() {
    let fleet = connected(20).await;
    let place = fleet.simulator().control().agents().swap_remove(0);
    let gone = "g".repeat(40);
    let shown = (place.client.1.as_str(), place.site.1.as_str());
    for (agents_gone, strays, left) in [(50, 20, 0), (51, 21, 2)] {
        let mut all = rows(1_000..=999 + agents_gone, Some(&gone), shown);
        all.extend(rows(2_000..=1_999 + strays, Some(&gone), ("nobody", "nowhere")));
        list(&fleet, &all);
        reconciled(&fleet).await;
        fleet.simulator().control().forget_served();
        let run = reconciled(&fleet).await;
        assert_eq!((run.counts.missing, run.counts.unverifiable, looks(&fleet)), (70, left, 70));
        let run = reconciled(&fleet).await;
        assert_eq!((run.counts.missing, run.counts.unverifiable), (left, 0), "the others wait for the next");
    }
}
