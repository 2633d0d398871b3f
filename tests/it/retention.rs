//! Retention in a fleet of real programs: workers let go what is too old, tell of it, and leave the rest alone.

use store::parked;
use telemetry::metric;
use tests::{DEADLINE, Fleet, until};

/// One row too old of each of three sorts, and one that is not.
const ROWS: &str = "
    insert into muster.audit (at, actor, action) values
        (now() - interval '31 days', 'a test', 'old'), (now() - interval '29 days', 'a test', 'young');
    insert into muster.parked (dedup, class, reason, attempt, worker_version, exchange, routing_key, headers, body, parked_at)
        values ('old', 'poison', '', 0, '', '', '', '{}', '', now() - interval '31 days');
    insert into muster.outbox (tenant, exchange, routing_key, kind, message_id, dedup, body, available_at, claimed_until)
        values (gen_random_uuid(), 'muster.events', 'rmm.alert', 'rmm.alert.opened', 'ahead', 'ahead', '',
                now() + interval '1 day', null)";

#[tokio::test]
async fn two_workers_let_old_rows_go_once_and_count_them() {
    let fleet = Fleet::builder()
        .without_gateway()
        .workers(2)
        .set("MUSTER_RETENTION_INTERVAL_S", 1)
        .set("MUSTER_RETAIN_AUDIT_DAYS", 30)
        .start()
        .await;
    fleet.database().execute(ROWS).await;
    until(DEADLINE, async || {
        let left = parked::count(&fleet.store()).await.map_err(|error| error.to_string())?;
        let counted = counted(&fleet).await;
        if left == 0 && counted == [("audit".to_owned(), 1), ("parked".to_owned(), 1)] {
            Ok(())
        } else {
            Err(format!("{left} parked, {counted:?}"))
        }
    })
    .await;
    let left: Vec<String> = sqlx::query_scalar("select action from muster.audit where action in ('old', 'young')")
        .fetch_all(&mut fleet.database().connect().await)
        .await
        .expect("the audit can be read");
    assert_eq!(left, ["young"]);
    assert_eq!(store::outbox::count(&fleet.store()).await.expect("it answers"), 1, "what is not due yet waits");
}

/// Rows that went by the metrics of both workers, by table.
async fn counted(fleet: &Fleet) -> Vec<(String, u64)> {
    let mut counted = std::collections::BTreeMap::new();
    for place in 0..2 {
        let answer = reqwest::get(format!("{}/metrics", fleet.worker_url(place))).await.expect("it serves metrics");
        for line in answer.text().await.expect("it is text").lines() {
            let Some(rest) = line.strip_prefix(metric::RETENTION_ROWS_TOTAL) else { continue };
            let mut parts = rest.split('"').skip(1);
            let (Some(table), Some(number)) = (parts.next(), parts.next()) else { continue };
            let number: u64 = number.trim_start_matches('}').trim().parse().expect("a counter is a number");
            if number > 0 {
                *counted.entry(table.to_owned()).or_default() += number;
            }
        }
    }
    counted.into_iter().collect()
}
