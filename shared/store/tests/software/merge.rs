//! What a list writes, and what it does not.

use chrono::TimeDelta;
use store::run::{self, Scope};
use store::software::{self, Batch, Merged, Outcome, Report, SECOND_REPORT_AFTER};
use store::testing::TestDatabase;
use store::{Left, connection};

use crate::world::{World, line, program, report};

#[tokio::test]
async fn a_first_list_is_what_a_device_has_and_no_history() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let merged =
        world.ingest(&[report("a", &[("Firefox", "1.0"), ("7-Zip", "24")]), report("b", &[("firefox", "2")])]).await;
    assert_eq!(merged, Merged { first: 2, ..Merged::default() });
    let expected = [line("a", "7-Zip", "24", true), line("a", "Firefox", "1.0", true), line("b", "Firefox", "2", true)];
    assert_eq!(world.lines().await, expected, "one program, whatever size its letters have");
    assert!(world.history().await.is_empty());
    assert_eq!(world.number("select count(*) from software_catalog").await, 2);
}

#[tokio::test]
async fn the_same_list_again_writes_nothing_in_any_order_with_any_duplicates() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.ingest(&[report("a", &[("Firefox", "1.0"), ("7-Zip", "24")])]).await;
    let fence = world.begun(Scope::Software).await;
    let batch = world.batch(&fence, &[report("a", &[("7-Zip", "24"), ("Firefox", "1.0"), ("7-Zip", "24")])]).await;
    let before = world.versions().await;
    assert_eq!(world.merge(&batch).await, Merged { unchanged: 1, ..Merged::default() });
    assert_eq!(world.merge(&batch).await, Merged { unchanged: 1, ..Merged::default() });
    assert_eq!(world.versions().await, before);
}

#[tokio::test]
async fn what_appears_changes_or_goes_is_written_once_and_remembered() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.ingest(&[report("a", &[("Firefox", "1.9"), ("7-Zip", "24"), ("Git", "2")])]).await;
    let changed = report("a", &[("Firefox", "1.10"), ("Git", "2"), ("VLC", "3")]);
    assert_eq!(world.ingest(std::slice::from_ref(&changed)).await, Merged { changed: 1, ..Merged::default() });
    let now = [
        line("a", "7-Zip", "24", false),
        line("a", "Firefox", "1.10", true),
        line("a", "Git", "2", true),
        line("a", "VLC", "3", true),
    ];
    assert_eq!(world.lines().await, now);
    let history = ["a removed 7-Zip 24", "a updated Firefox 1.9 1.10", "a installed VLC 3"];
    assert_eq!(world.history().await, history);
    assert_eq!(world.ingest(std::slice::from_ref(&changed)).await.unchanged, 1);
    assert_eq!(world.history().await, history);
    // what comes back keeps its first day
    let first =
        "select count(*) from asset_software where first_seen_at = (select min(first_seen_at) from asset_software)";
    assert_eq!(world.number(first).await, 3);
    world.ingest(&[report("a", &[("Firefox", "1.10"), ("Git", "2"), ("VLC", "3"), ("7-Zip", "25")])]).await;
    assert_eq!(world.lines().await[0], line("a", "7-Zip", "25", true));
    assert_eq!(world.number(first).await, 3);
    assert_eq!(world.number("select count(*) from asset_software where uninstalled_at is not null").await, 0);
    assert_eq!(world.history().await.last().map(String::as_str), Some("a installed 7-Zip 25"));
}

#[tokio::test]
async fn of_two_versions_side_by_side_the_highest_shows_and_both_stand() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.ingest(&[report("a", &[("Java", "8.0.9"), ("Java", "8.0.10")])]).await;
    assert_eq!(world.lines().await, [line("a", "Java", "8.0.10", true)]);
    let asset_id = world.asset("a").await;
    let installed = software::installed(&world.store, world.tenant, asset_id, false, None, 10).await.unwrap();
    let versions: Vec<&str> = installed[0].versions.iter().map(|version| version.version.as_str()).collect();
    assert_eq!(versions, ["8.0.10", "8.0.9"]);
    world.ingest(&[report("a", &[("Java", "8.0.9")])]).await;
    assert_eq!(world.lines().await, [line("a", "Java", "8.0.9", true)], "the lower one is the highest there is now");
    assert_eq!(world.history().await, ["a removed Java 8.0.10"]);
}

#[tokio::test]
async fn an_empty_list_counts_only_once_a_second_report_is_empty_too() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let full = report("a", &[("Firefox", "1.0")]);
    let empty = report("a", &[]);
    // an agent that has never found anything has nothing to lose, and is not known to have nothing
    world.ingest(&[report("b", &[])]).await;
    assert_eq!(world.number("select count(*) from muster.software_report").await, 0);
    world.ingest(std::slice::from_ref(&full)).await;
    let began = world.now().await;
    world.heard("a", began, TimeDelta::hours(30)).await;
    assert_eq!(world.ingest_in(1, std::slice::from_ref(&empty)).await.emptied, 1);
    assert_eq!(world.ingest_in(1, std::slice::from_ref(&empty)).await.unchanged, 1, "the same report, read twice");
    assert!(world.lines().await[0].4);
    // it was the agent's look that had failed
    assert_eq!(world.ingest_in(2, std::slice::from_ref(&full)).await.unchanged, 1);
    assert_eq!(world.ingest_in(24, std::slice::from_ref(&empty)).await.emptied, 1);
    assert!(world.lines().await[0].4);
    assert_eq!(world.ingest_in(26, std::slice::from_ref(&empty)).await.changed, 1);
    assert_eq!(world.lines().await, [line("a", "Firefox", "1.0", false)]);
    assert_eq!(world.history().await, ["a removed Firefox 1.0"]);
    assert_eq!(world.ingest_in(27, &[empty]).await.unchanged, 1);
    assert_eq!(world.ingest_in(28, &[full]).await.changed, 1);
    assert!(world.lines().await[0].4);
}

#[tokio::test]
async fn the_list_of_an_agent_that_is_off_stays_whatever_time_goes_by() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let (full, empty) = ([report("a", &[("Firefox", "1.0")])], [report("a", &[])]);
    world.ingest(&full).await;
    assert_eq!(world.ingest_in(1, &empty).await.emptied, 1);
    let sql = "select emptied_at from muster.software_report where tenant = $1";
    let emptied_at = sqlx::query_scalar(sql).bind(world.tenant).fetch_one(&world.pool).await.unwrap();
    // never heard of, heard of before its list came empty, and almost long enough after it
    assert_eq!(world.ingest_in(24, &empty).await.unchanged, 1);
    for after in [-TimeDelta::minutes(1), SECOND_REPORT_AFTER - TimeDelta::microseconds(1)] {
        world.heard("a", emptied_at, after).await;
        assert_eq!(world.ingest_in(24 * 30, &empty).await.unchanged, 1, "{after}");
    }
    assert!(world.lines().await[0].4 && world.history().await.is_empty());
    world.heard("a", emptied_at, SECOND_REPORT_AFTER).await;
    assert_eq!(world.ingest_in(24 * 30, &empty).await.changed, 1, "it has reported a second time");
    assert_eq!(world.history().await, ["a removed Firefox 1.0"]);
}

#[tokio::test]
async fn a_servers_clock_that_is_ahead_makes_no_second_report() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.ingest(&[report("a", &[("Firefox", "1.0")])]).await;
    let began = world.now().await;
    world.heard("a", began, TimeDelta::days(1)).await;
    assert_eq!(world.ingest(&[report("a", &[])]).await.emptied, 1);
    assert_eq!(world.ingest(&[report("a", &[])]).await.unchanged, 1);
    assert!(world.lines().await[0].4);
}

#[tokio::test]
async fn only_imported_devices_are_written_and_the_first_of_two_reports_counts() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let reports = [
        report("nobody", &[("Git", "1")]),
        report("off", &[("Git", "1")]),
        report("a", &[("Git", "1")]),
        report("a", &[("Git", "2")]),
    ];
    assert_eq!(world.ingest(&reports).await, Merged { first: 1, unknown: 2, ..Merged::default() });
    assert_eq!(world.lines().await, [line("a", "Git", "1", true)]);
}

#[tokio::test]
async fn an_older_fetch_never_overwrites_a_newer_one() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let fence = world.begun(Scope::Software).await;
    let newer = world.batch(&fence, &[report("a", &[("Git", "2")])]).await;
    let older = Batch {
        fetched_at: newer.fetched_at - TimeDelta::minutes(1),
        reports: vec![report("a", &[("Git", "1")])],
        ..newer.clone()
    };
    world.merge(&newer).await;
    let before = world.versions().await;
    assert_eq!(world.merge(&older).await, Merged { older: 1, ..Merged::default() });
    assert_eq!(world.versions().await, before);
}

#[tokio::test]
async fn who_has_lost_the_run_the_part_or_the_connection_writes_nothing() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let old = world.begun(Scope::Software).await;
    let batch = world.batch(&old, &[report("a", &[("Git", "1")])]).await;
    let new = world.begin(&old.run, "software").await.fence;
    assert_eq!(software::merge(&world.store, &batch).await.unwrap(), Outcome::Fenced);
    run::take_over(&world.store, world.tenant, old.run.run_id).await.unwrap().unwrap();
    let batch = Batch { fence: new, ..batch };
    assert_eq!(software::merge(&world.store, &batch).await.unwrap(), Outcome::Fenced);
    let fence = world.begun(Scope::Software).await;
    let batch = Batch { fence, ..batch };
    world.run("update tenants set suspended_at = now()").await;
    assert_eq!(world.left(&batch).await, Left::Suspended);
    world.run("update tenants set suspended_at = null").await;
    assert!(connection::disconnect(&world.store, world.tenant, &store::testing::entry("test")).await.unwrap());
    assert_eq!(software::merge(&world.store, &batch).await.unwrap(), Outcome::Fenced);
    assert!(world.lines().await.is_empty());
}

#[tokio::test]
async fn a_catalogue_that_others_fill_too_is_used_as_it_is() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let tenant = world.tenant;
    world
        .run(&format!(
            "insert into software_catalog (tenant, name, normalized_name, publisher, category) values
                 ('{tenant}', 'FIREFOX', 'firefox', 'Mozilla', 'browser'), ('{tenant}', 'Putty', 'putty', null, 'tool')"
        ))
        .await;
    let putty = store::software::Program { publisher: None, ..program("PuTTY", "0.8") };
    let reports = [Report { agent_id: "a".to_owned(), programs: vec![putty, program("Firefox", "1")] }];
    world.ingest(&reports).await;
    assert_eq!(world.number("select count(*) from software_catalog").await, 2, "a publisher that is null is none");
    assert_eq!(world.number("select count(*) from asset_software").await, 2);
    assert_eq!(
        world.number("select count(*) from software_catalog where name = 'FIREFOX' and category = 'browser'").await,
        1
    );
}

#[tokio::test]
async fn an_asset_that_a_merge_drops_takes_its_software_along() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.ingest(&[report("a", &[("Git", "1")]), report("b", &[("Git", "2")])]).await;
    let (tenant, integration) = (world.tenant, world.integration_id);
    let proposal = uuid::Uuid::now_v7();
    world
        .run(&format!(
            "insert into muster.merge_proposal (tenant, proposal_id, integration_id, agent_id, old_agent_id, serial_number)
                 values ('{tenant}', '{proposal}', '{integration}', 'b', 'a', 'x');
             update muster.agent set missing_since = now() where agent_id = 'a'"
        ))
        .await;
    let accepted = store::merge::accept(&world.store, tenant, proposal, &store::testing::entry("test")).await.unwrap();
    assert!(accepted.is_some());
    assert_eq!(world.number("select count(*) from muster.software_report").await, 1);
    // the machine's next list is compared with what it had before it was installed anew
    world.ingest(&[report("b", &[("Git", "2")])]).await;
    assert_eq!(world.history().await, ["b updated Git 1 2"]);
}
