//! Retention: what is old enough goes and what is younger stays, in bounded batches, whoever else does the same.
//!
//! A row that stays is a minute younger than its age, since the test takes time itself; one that goes is a second older.

mod plans;

use std::time::Duration;

use fault::chain;
use store::Store;
use store::outbox;
use store::parked;
use store::retention::{self, Ages, BATCH_ROWS_MAX, Sweep};
use store::testing::TestDatabase;

use self::plans::explain;
use crate::{connected, execute, text, within};

const DAY: u64 = 24 * 60 * 60;

/// Each its own, so that a mix-up shows.
fn ages() -> Ages {
    let days = |days| Duration::from_secs(days * DAY);
    Ages {
        alerts: days(90),
        runs: days(30),
        scheduled_runs: days(3),
        parked: days(31),
        outbox: days(32),
        audit: days(365),
        software: days(366),
        tokens: days(33),
    }
}

async fn sweep(store: &Store, what: Sweep) -> u64 {
    let swept = retention::sweep(store, what, &ages(), "a test").await;
    let swept = swept.unwrap_or_else(|error| panic!("{}: {}", what.as_str(), chain(&error)));
    assert!(!swept.is_more, "{}", what.as_str());
    swept.rows
}

/// What goes by its own stamp: how rows of that stamp are made, each with a number, and how the numbers are read again.
const BY_STAMP: [(Sweep, u64, &str, &str); 6] = [
    (
        Sweep::RawWebhooks,
        90,
        "insert into muster.alert_raw (tenant, integration_id, digest, received_at, agent_id, reasons, raw)
         values (gen_random_uuid(), gen_random_uuid(), $number, $stamp, 'a', '{hint}', 'raw')",
        "select digest::text from muster.alert_raw",
    ),
    (
        Sweep::Parked,
        31,
        "insert into muster.parked (dedup, class, reason, attempt, worker_version, exchange, routing_key, headers, body, parked_at)
         values ('$number', 'poison', '', 0, '', '', '', '{}', '', $stamp)",
        "select dedup from muster.parked",
    ),
    (
        Sweep::Audit,
        365,
        "insert into muster.audit (at, actor, action) values ($stamp, 'a test', '$number')",
        "select action from muster.audit",
    ),
    (
        Sweep::Pauses,
        365,
        "insert into muster.pause (kind, cause, paused_by, resumed_by, resumed_at)
         values ('alert.observed.v1', 'person', '$number', 'a test', $stamp)",
        "select paused_by from muster.pause",
    ),
    (
        Sweep::Tokens,
        33,
        "insert into muster.token (token_id, name, digest, permissions, revoked_at, expires_at)
         values (gen_random_uuid(), 'revoked $number', sha256('r$number'), '{}', $stamp, null),
                (gen_random_uuid(), 'expired $number', sha256('e$number'), '{}', null, $stamp),
                (gen_random_uuid(), 'revoked long before its end $number', sha256('b$number'), '{}', $stamp, now())",
        "select distinct right(name, 1) from muster.token",
    ),
    (
        Sweep::SoftwareChanges,
        366,
        "insert into muster.software_change (tenant, asset_id, software_id, change, version, rev, noticed_at)
         values (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'removed', '$number', 1, $stamp)",
        "select version from muster.software_change",
    ),
];

#[tokio::test]
async fn a_row_goes_a_second_after_its_age_and_stays_before() {
    let database = TestDatabase::create().await;
    let store = database.store();
    for (what, days, insert, left) in BY_STAMP {
        for (number, distance) in [("1", "- interval '1 minute'"), ("2", "+ interval '1 second'")] {
            let stamp = format!("now() - (interval '{days} days' {distance})");
            database.execute(&insert.replace("$number", number).replace("$stamp", &stamp)).await;
        }
        let rows = if what == Sweep::Tokens { 3 } else { 1 };
        assert_eq!(sweep(&store, what).await, rows, "{}", what.as_str());
        assert_eq!(text(&database, left).await, "1", "{}", what.as_str());
        assert_eq!(sweep(&store, what).await, 0, "{}", what.as_str());
    }
}

#[tokio::test]
async fn what_has_no_end_or_waits_for_its_tenant_has_no_age() {
    let database = TestDatabase::create().await;
    execute(
        &database,
        "insert into muster.token (token_id, name, digest, permissions, created_at)
             values (gen_random_uuid(), 'for good', sha256('a'), '{}', now() - interval '10 years');
         insert into muster.parked (dedup, class, reason, attempt, worker_version, state, exchange, routing_key, headers, body,
                                    parked_at)
             values ('a', 'held', '', 0, '', 'held', '', '', '{}', '', now() - interval '10 years');
         insert into muster.pause (kind, cause, paused_by, paused_at)
             values ('alert.observed.v1', 'person', 'a test', now() - interval '10 years')",
    )
    .await;
    for what in Sweep::ALL {
        assert_eq!(sweep(&database.store(), what).await, 0, "{}", what.as_str());
    }
}

#[tokio::test]
async fn the_digest_of_a_replaced_secret_goes_when_it_is_no_longer_good() {
    let database = TestDatabase::create().await;
    let store = database.store();
    for seed in [1, 2] {
        connected(&store, seed).await;
    }
    execute(
        &database,
        "update muster.hook set previous_digest = digest, previous_valid_until =
             case when digest = decode(repeat('01', 32), 'hex') then now() - interval '1 s' else now() + interval '1 min' end",
    )
    .await;
    assert_eq!(sweep(&store, Sweep::ReplacedSecrets).await, 1);
    let left = "select encode(digest, 'hex') from muster.hook where previous_digest is not null";
    assert_eq!(text(&database, left).await, "02".repeat(32));
}

/// Runs of one connection: kind, state, age in days, a second more. Each has a part.
async fn runs(database: &TestDatabase, runs: &[(&str, &str, i32)]) {
    for (kind, state, days) in runs {
        let ended = format!("now() - interval '{days} days' - interval '1 s'");
        let finished = if matches!(*state, "queued" | "running") { "null" } else { &ended };
        database
            .execute(&format!(
                "with made as (
                     insert into muster.run (tenant, run_id, integration_id, kind, slot, state, requested_by, finished_at)
                     select tenant, gen_random_uuid(), integration_id, '{kind}', {ended}, '{state}', '{kind} {state} {days}', {finished}
                     from rmm_integrations returning tenant, run_id
                 )
                 insert into muster.run_part (tenant, run_id, name, label) select tenant, run_id, 'p', 'P' from made"
            ))
            .await;
    }
}

#[tokio::test]
async fn an_old_run_goes_with_its_parts_but_never_the_last_of_its_kind_nor_an_open_one() {
    let database = TestDatabase::create().await;
    let store = database.store();
    connected(&store, 1).await;
    runs(
        &database,
        &[
            ("devices", "running", 400),
            ("devices", "completed", 31),
            ("devices", "failed", 30),
            ("devices", "partial", 29),
            ("clients", "failed", 90),
            ("clients", "completed", 60),
            ("software", "queued", 31),
            ("software", "completed", 45),
        ],
    )
    .await;
    assert_eq!(sweep(&store, Sweep::ScheduledRuns).await, 0, "no schedule began them");
    assert_eq!(sweep(&store, Sweep::Runs).await, 6, "three runs and their parts");
    for left in [
        "select string_agg(requested_by, ', ' order by requested_by) from muster.run",
        "select string_agg(requested_by, ', ' order by requested_by) from muster.run join muster.run_part using (tenant, run_id)",
    ] {
        let expected =
            "clients completed 60, devices partial 29, devices running 400, software completed 45, software queued 31";
        assert_eq!(text(&database, left).await, expected);
    }
}

/// Complete ones that nobody asked for are nearly all that there are.
#[tokio::test]
async fn a_complete_run_of_a_schedule_goes_after_days_and_one_that_failed_stays_as_long_as_a_persons() {
    let database = TestDatabase::create().await;
    let store = database.store();
    connected(&store, 1).await;
    runs(
        &database,
        &[
            ("devices", "completed", 4),
            ("devices", "completed", 3),
            ("devices", "partial", 5),
            ("devices", "failed", 29),
            ("alerts", "completed", 3),
        ],
    )
    .await;
    execute(&database, "update muster.run set requested_by = 'schedule'").await;
    runs(&database, &[("devices", "completed", 20), ("devices", "completed", 2)]).await;
    assert_eq!(sweep(&store, Sweep::Runs).await, 0);
    assert_eq!(sweep(&store, Sweep::ScheduledRuns).await, 4, "two runs and their parts");
    let left =
        "select string_agg(kind || ' ' || state || ' ' || requested_by, ', ' order by finished_at) from muster.run";
    let expected = "devices failed schedule, devices completed devices completed 20, devices partial schedule, \
                    alerts completed schedule, devices completed devices completed 2";
    assert_eq!(text(&database, left).await, expected, "the last one of each kind stays");
}

/// 20,000 runs of one connection that are due, of two parts each, and one with more parts than a batch has rows.
const OLD_RUNS: &str = "
with made as (
    insert into muster.run (tenant, run_id, integration_id, kind, slot, state, requested_by, finished_at)
    select tenant, gen_random_uuid(), integration_id, 'devices', now() - n * interval '1 min', 'completed', 'x',
        now() - interval '31 days' - n * interval '1 min'
    from rmm_integrations, generate_series(0, 20000) n
    returning tenant, run_id, slot
)
insert into muster.run_part (tenant, run_id, name, label)
select tenant, run_id, p, 'P' from made, generate_series(1, 2) p
union all
select tenant, run_id, 2 + p, 'P' from (select * from made order by slot limit 1) oldest, generate_series(1, 1500) p;
analyze muster.run, muster.run_part";

#[tokio::test]
async fn a_later_batch_of_runs_looks_at_no_more_than_the_first() {
    let database = TestDatabase::create().await;
    let store = database.store();
    connected(&store, 1).await;
    execute(&database, OLD_RUNS).await;
    let mut connection = database.connect().await;
    let mut looked = Vec::new();
    let mut gone = 0;
    for batch in 0..10 {
        if matches!(batch, 0 | 9) {
            let find = include_str!("../../sql/retention/find_runs.sql");
            looked.push(explain(&mut connection, &format!("runs{batch}"), find, "2592000, 1000").await.1);
        }
        let swept = retention::sweep(&store, Sweep::Runs, &ages(), "a test").await.unwrap();
        assert!(swept.is_more);
        assert!(swept.rows <= 2 * BATCH_ROWS_MAX as u64, "{swept:?}");
        gone += swept.rows;
    }
    assert!(gone > 9_000, "{gone}");
    assert!(looked[1] <= looked[0], "{looked:?}");
}

/// Messages of the outbox: what tells them apart, due so many days ago and a second, in hand or not.
async fn unpublished(database: &TestDatabase, messages: &[(&str, i32, &str)]) {
    for (name, days, claimed) in messages {
        database
            .execute(&format!(
                "insert into muster.outbox (tenant, exchange, routing_key, kind, message_id, dedup, body, available_at, created_at,
                                            claimed_until)
                 values ('00000000-0000-0000-0000-000000000001', 'muster.events', 'rmm.alert', 'rmm.alert.opened', '{name}',
                         '{name}', 'body of {name}', now() - interval '{days} days' - interval '1 s',
                         now() - interval '{days} days' - interval '1 s', {claimed})"
            ))
            .await;
    }
}

#[tokio::test]
async fn a_message_that_nobody_published_is_parked_whole_and_never_just_deleted() {
    let database = TestDatabase::create().await;
    let store = database.store();
    let in_hand = "now() + interval '1 min'";
    unpublished(&database, &[("old", 32, "null"), ("in hand", 40, in_hand), ("young", 31, "null")]).await;
    unpublished(&database, &[("given back", 33, "now() - interval '1 s'")]).await;
    assert_eq!(sweep(&store, Sweep::OutboxLeftovers).await, 2);
    let left = "select string_agg(message_id, ', ' order by message_id) from muster.outbox";
    assert_eq!(text(&database, left).await, "in hand, young");
    let parked = parked::list(&store, 10).await.unwrap();
    let told: Vec<_> = parked.iter().map(|row| (row.class.as_str(), row.reason.as_str())).collect();
    assert_eq!(told, [("unpublished", "nobody published it for 32 days"); 2]);
    let mut bodies: Vec<_> = parked.iter().map(|row| String::from_utf8_lossy(&row.body).into_owned()).collect();
    bodies.sort();
    assert_eq!(bodies, ["body of given back", "body of old"]);
    // what was parked just now is young there
    assert_eq!(sweep(&store, Sweep::Parked).await, 0);
    assert_eq!(outbox::count(&store).await.unwrap(), 2);
}

const AUDIT: &str = "insert into muster.audit (at, actor, action)
    select now() - interval '400 days', 'a test', 'x' from generate_series(1, 2500)";

#[tokio::test]
async fn a_batch_is_a_thousand_rows_at_most() {
    let database = TestDatabase::create().await;
    execute(&database, AUDIT).await;
    let mut rows = Vec::new();
    for _ in 0..3 {
        let swept = retention::sweep(&database.store(), Sweep::Audit, &ages(), "a test").await.unwrap();
        rows.push((swept.rows, swept.is_more));
    }
    assert_eq!(rows, [(1_000, true), (1_000, true), (500, false)]);
    assert_eq!(BATCH_ROWS_MAX, 1_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn any_number_at_once_take_each_row_once_and_wait_for_nobody() {
    let database = TestDatabase::create().await;
    execute(&database, AUDIT).await;
    // somebody holds one of the rows and does not let go
    let mut holder = database.connect().await;
    sqlx::raw_sql("begin; select from muster.audit order by audit_id limit 1 for update")
        .execute(&mut holder)
        .await
        .unwrap();
    let all: Vec<_> = (0..4)
        .map(|_| {
            let store = database.second_store();
            tokio::spawn(async move {
                let mut rows = 0;
                for _ in 0..4 {
                    rows += retention::sweep(&store, Sweep::Audit, &ages(), "a test").await.expect("no conflict").rows;
                }
                rows
            })
        })
        .collect();
    let mut rows = 0;
    for one in all {
        rows += within(one).await.unwrap();
    }
    assert_eq!(rows, 2_499);
    assert_eq!(text(&database, "select count(*)::text from muster.audit").await, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_round_is_begun_by_one_of_all_and_not_again_before_its_time() {
    let database = TestDatabase::create().await;
    let hour = Duration::from_secs(3_600);
    let all: Vec<_> = (0..6)
        .map(|_| {
            let store = database.second_store();
            tokio::spawn(async move { retention::begin_round(&store, hour).await.expect("it answers") })
        })
        .collect();
    let mut begun = 0;
    for one in all {
        begun += usize::from(within(one).await.unwrap());
    }
    assert_eq!(begun, 1);
    execute(&database, "update muster.retention set begun_at = now() - interval '59 min'").await;
    assert!(!retention::begin_round(&database.store(), hour).await.unwrap());
    execute(&database, "update muster.retention set begun_at = now() - interval '60 min'").await;
    assert!(retention::begin_round(&database.store(), hour).await.unwrap());
}
