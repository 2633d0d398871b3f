//! How the statements of a round find what is old.

use serde_json::Value;
use sqlx::postgres::PgConnection;
use store::testing::TestDatabase;

use crate::execute;

/// Which index each statement must begin at; a table that is read whole would be read whole each hour.
const PLANS: [(&str, &str, &str, &str); 8] = [
    (
        "retire_alerts",
        include_str!("../../../sql/retention/retire_alerts.sql"),
        "7776000, 1000",
        "alert_state_not_retired",
    ),
    ("drop_raw", include_str!("../../../sql/retention/drop_raw.sql"), "7776000, 1000", "alert_raw_received"),
    ("find_runs", include_str!("../../../sql/retention/find_runs.sql"), "2592000, 1000", "run_finished"),
    (
        "find_scheduled_runs",
        include_str!("../../../sql/retention/find_scheduled_runs.sql"),
        "259200, 1000",
        "run_finished_scheduled",
    ),
    ("drop_parked", include_str!("../../../sql/retention/drop_parked.sql"), "2592000, 1000", "parked_at"),
    ("drop_audit", include_str!("../../../sql/retention/drop_audit.sql"), "31536000, 1000", "audit_at"),
    ("drop_pauses", include_str!("../../../sql/retention/drop_pauses.sql"), "31536000, 1000", "pause_resumed"),
    (
        "drop_changes",
        include_str!("../../../sql/retention/drop_changes.sql"),
        "31536000, 1000",
        "software_change_noticed",
    ),
];

const MANY: &str = "
insert into muster.alert_raw (tenant, integration_id, digest, received_at, agent_id, reasons, raw)
    select gen_random_uuid(), gen_random_uuid(), n, now(), 'a', '{hint}', 'raw' from generate_series(1, 20000) n;
insert into muster.alert_state (tenant, alert_id, integration_id, opening_at, external_alert_id)
    select gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), now(), n::text from generate_series(1, 20000) n;
insert into muster.run (tenant, run_id, integration_id, kind, slot, state, requested_by, finished_at)
    select gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'alerts', now(), 'completed', 'x', now()
    from generate_series(1, 20000) n;
insert into muster.parked (dedup, class, reason, attempt, worker_version, exchange, routing_key, headers, body)
    select n, 'poison', '', 0, '', '', '', '{}', '' from generate_series(1, 20000) n;
insert into muster.pause (kind, cause, paused_by, resumed_by, resumed_at)
    select 'k', 'person', 'a test', 'a test', now() from generate_series(1, 20000);
insert into muster.audit (actor, action) select 'a test', 'x' from generate_series(1, 20000);
insert into muster.software_change (tenant, asset_id, software_id, change, version, rev, noticed_at)
    select gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'removed', '1', 1, now() from generate_series(1, 20000);
analyze muster.alert_raw, muster.alert_state, muster.run, muster.parked, muster.pause, muster.audit, muster.software_change";

#[tokio::test]
async fn a_round_that_finds_nothing_reads_no_table() {
    let database = TestDatabase::create().await;
    execute(&database, MANY).await;
    let mut connection = database.connect().await;
    for (name, statement, arguments, index) in PLANS {
        let (shown, rows) = explain(&mut connection, name, statement, arguments).await;
        assert!(shown.contains(index), "{name} does not use {index}\n{shown}");
        assert!(rows < 100.0, "{name}\n{shown}");
    }
}

/// How a statement is done, and the rows that it looks at.
pub(super) async fn explain(
    connection: &mut PgConnection,
    name: &str,
    statement: &str,
    arguments: &str,
) -> (String, f64) {
    let prepare = format!("prepare {name} as {statement}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(prepare)).execute(&mut *connection).await.expect("it can be prepared");
    let explain = format!("explain (analyze, timing off, format json) execute {name}({arguments})");
    let explained = sqlx::query_scalar(sqlx::AssertSqlSafe(explain)).persistent(false);
    let plan: Value = explained.fetch_one(connection).await.expect("it is explained");
    (format!("{plan:#}"), rows_of(&plan[0]["Plan"]))
}

/// Rows that a plan's nodes made or looked at in vain.
fn rows_of(node: &Value) -> f64 {
    let number = |name: &str| node[name].as_f64().unwrap_or_default();
    let touched = number("Actual Rows") + number("Rows Removed by Filter") + number("Rows Removed by Join Filter");
    touched * number("Actual Loops") + node["Plans"].as_array().into_iter().flatten().map(rows_of).sum::<f64>()
}
