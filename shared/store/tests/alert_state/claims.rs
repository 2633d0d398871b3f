//! One claim for each mistake about alerts that is not to be repeated, and for each rule of the state.

use contract::event::Transition::{Opened, Reopened, Resolved, Updated};
use store::alert::{Fact, Odd, Outcome, Said, Severity, observe};
use store::testing::TestDatabase;

use crate::world::{World, time};

#[tokio::test]
async fn resolving_one_alert_leaves_the_others_of_its_device_open() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let open = |number| world.fact(Said::Open, 1, Some(number), None);
    world.observe(&[open("1"), open("2"), world.fact(Said::Resolve, 2, Some("1"), None)]).await;
    let rows = world.rows().await;
    assert_eq!((rows["1"].status.as_str(), rows["2"].status.as_str()), ("resolved", "active"));
    assert_eq!(rows["1"].dedup_key, rows["2"].dedup_key);
}

#[tokio::test]
async fn a_verbatim_template_resolves_nothing_and_is_counted_once_per_webhook() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let mut fact = world.fact(Said::Open, 1, Some("1"), None);
    fact.odd = vec![Odd::VerbatimEvent];
    fact.raw = b"{\"event\":\"trigger|resolve\"}".to_vec();
    let later = Fact { at: time(9), ..fact.clone() };
    world.observe(&[fact.clone(), later.clone()]).await;
    world.observe(&[fact, later]).await;
    assert_eq!(world.row().await.status, "active");
    let found = world.number("select seen_count from muster.webhook_finding where finding = 'verbatim_event'").await;
    assert_eq!(found, 2);
    assert_eq!(
        world.number("select count(*) from muster.alert_raw where raw = '{\"event\":\"trigger|resolve\"}'").await,
        2
    );
}

#[tokio::test]
async fn tacticals_severities_and_algapsas_own_mean_the_same_by_webhook_and_poll() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    for (word, stored) in [
        ("error", "critical"),
        ("WARNING", "moderate"),
        ("info", "minor"),
        ("critical", "critical"),
        ("major", "major"),
        ("moderate", "moderate"),
        ("minor", "minor"),
        ("none", "none"),
        ("PC-17", "none"),
    ] {
        for (said, by) in [(Said::Open, "webhook"), (Said::PolledOpen, "poll")] {
            let number = format!("{word} {by}");
            let mut fact = world.fact(said, 1, Some(&number), None);
            fact.details.severity = Some(Severity::of(word));
            world.observe(&[fact]).await;
            assert_eq!(world.rows().await[&number].severity, stored, "{number}");
        }
    }
}

#[tokio::test]
async fn without_a_number_open_and_resolve_meet_by_agent_and_time() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.observe(&[world.fact(Said::Open, 5, None, Some(1))]).await;
    world.observe(&[world.fact(Said::Resolve, 9, None, Some(1))]).await;
    assert_eq!(world.row().await.status, "resolved");
    assert_eq!(world.heard().await, [(2, Opened), (4, Resolved)]);
}

#[tokio::test]
async fn an_open_with_a_time_and_a_resolve_with_a_number_become_one_alert() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.observe(&[world.fact(Said::Open, 5, None, Some(1))]).await;
    world.observe(&[world.fact(Said::Resolve, 9, Some("7"), None)]).await;
    assert_eq!(world.rows().await.len(), 2);
    world.drain().await;
    world.observe(&[world.fact(Said::PolledOpen, 7, Some("7"), Some(1))]).await;
    assert_eq!(world.rows().await.keys().collect::<Vec<_>>(), ["7"]);
    let row = world.row().await;
    assert_eq!((row.status.as_str(), row.rev, row.resolved_at), ("resolved", 6, Some(time(9))));
    assert_eq!(world.heard().await, [(4, Resolved), (6, Updated)]);
    assert_eq!(world.number("select count(distinct alert_id) from muster.alert_key").await, 1);
}

#[tokio::test]
async fn what_people_wrote_on_a_double_stays_with_the_alert() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.observe(&[world.fact(Said::Open, 5, None, Some(1))]).await;
    let ticket = uuid::Uuid::now_v7();
    world.run(&format!("update rmm_alerts set status = 'acknowledged', ticket_id = '{ticket}'")).await;
    world.observe(&[world.fact(Said::Open, 6, Some("7"), None)]).await;
    world.observe(&[world.fact(Said::PolledOpen, 7, Some("7"), Some(1))]).await;
    assert_eq!(world.row().await.status, "acknowledged");
    assert_eq!(world.number(&format!("select count(*) from rmm_alerts where ticket_id = '{ticket}'")).await, 1);
}

#[tokio::test]
async fn two_numbers_stay_two_alerts_whatever_time_their_template_claims() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let fact = |said, number| world.fact(said, 5, Some(number), Some(1));
    world.observe(&[fact(Said::Open, "7"), fact(Said::Open, "8")]).await;
    world.observe(&[fact(Said::Open, "9")]).await;
    world.observe(&[fact(Said::Resolve, "8")]).await;
    let open: Vec<String> =
        world.rows().await.into_iter().filter(|(_, row)| row.status == "active").map(|(number, _)| number).collect();
    assert_eq!(open, ["7", "9"]);
}

#[tokio::test]
async fn a_resolve_before_its_open_is_kept_and_the_late_open_reopens_nothing() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.observe(&[world.fact(Said::Resolve, 5, Some("7"), Some(1))]).await;
    assert_eq!(world.row().await.status, "resolved");
    assert_eq!(world.heard().await, [(2, Resolved)]);
    let mut late = world.fact(Said::Open, 9, Some("7"), Some(1));
    late.details.message = Some("disk".to_owned());
    world.observe(&[late]).await;
    let row = world.row().await;
    assert_eq!((row.status.as_str(), row.message.as_deref()), ("resolved", Some("disk")));
    assert_eq!(world.heard().await, [(4, Updated)]);
}

#[tokio::test]
async fn a_resolve_says_how_bad_it_was_also_where_it_overtakes_its_open() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let fact = |said, at, number, severity| {
        let mut fact = world.fact(said, at, Some(number), Some(1));
        fact.details.severity = Some(severity);
        fact
    };
    // escalated without a webhook, as Tactical does: only the resolve knows
    let told = |number, opened, resolved| {
        [
            fact(Said::Open, opened, number, Severity::Moderate),
            fact(Said::Resolve, resolved, number, Severity::Critical),
        ]
    };
    world.observe(&told("7", 5, 9)).await;
    world.observe(&told("8", 9, 5)).await;
    let [open, resolve] = told("9", 9, 5);
    world.observe(&[resolve]).await;
    world.observe(&[open]).await;
    let rows = world.rows().await;
    let shown = ["7", "8", "9"].map(|number| (rows[number].severity.as_str(), rows[number].status.as_str()));
    assert_eq!(shown, [("critical", "resolved"); 3]);
    // and what a poll saw counts more than either
    world.observe(&[fact(Said::PolledClosed, 7, "9", Severity::Minor)]).await;
    assert_eq!(world.rows().await["9"].severity, "minor");
}

#[tokio::test]
async fn a_missed_resolve_is_healed_by_the_alerts_absence_from_a_poll() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.observe(&[world.fact(Said::Open, 5, Some("7"), Some(1))]).await;
    world.observe(&[world.fact(Said::Absent, 300, Some("7"), None)]).await;
    let row = world.row().await;
    assert_eq!((row.status.as_str(), row.resolved_at), ("resolved", Some(time(300))));
}

#[tokio::test]
async fn a_poll_that_began_after_a_wrong_resolve_reopens_and_one_that_began_before_does_not() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world
        .observe(&[world.fact(Said::Open, 5, Some("7"), Some(1)), world.fact(Said::Resolve, 9, Some("7"), Some(1))])
        .await;
    world.observe(&[world.fact(Said::PolledOpen, 8, Some("7"), Some(1))]).await;
    assert_eq!(world.row().await.status, "resolved");
    world.drain().await;
    world.observe(&[world.fact(Said::PolledOpen, 10, Some("7"), Some(1))]).await;
    assert_eq!(world.row().await.status, "active");
    assert_eq!(world.heard().await, [(8, Reopened)]);
}

#[tokio::test]
async fn a_poll_reopens_also_what_somebody_resolved_without_a_word() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.observe(&[world.fact(Said::Open, 5, Some("7"), Some(1))]).await;
    world.run("update rmm_alerts set status = 'resolved', resolved_at = last_occurrence_at + interval '60 s'").await;
    world.drain().await;
    world.observe(&[world.fact(Said::PolledOpen, 30, Some("7"), Some(1))]).await;
    assert_eq!(world.row().await.status, "resolved");
    world.observe(&[world.fact(Said::PolledOpen, 90, Some("7"), Some(1))]).await;
    assert_eq!(world.row().await.status, "active");
    assert_eq!(world.heard().await, [(6, Reopened)]);
}

#[tokio::test]
async fn a_salvaged_resolve_is_never_final_and_asks_for_a_read() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let salvaged = |number| {
        let mut fact = world.fact(Said::Resolve, 9, Some(number), None);
        (fact.needs_fetch, fact.odd) = (true, vec![Odd::Salvaged]);
        fact
    };
    world.observe(&[world.fact(Said::Open, 5, Some("7"), None), salvaged("7"), salvaged("8")]).await;
    let rows = world.rows().await;
    assert_eq!(rows.keys().collect::<Vec<_>>(), ["7"]);
    assert_eq!(rows["7"].status, "active");
    assert_eq!(world.hidden_revs().await, [2]);
    assert_eq!(world.number("select count(*) from muster.alert_state where fetch_wanted_at is not null").await, 2);
    assert_eq!(world.number("select count(*) from muster.reconcile_wish where wished_at is not null").await, 1);
    world.drain().await;
    world.observe(&[world.fact(Said::Open, 12, Some("8"), None)]).await;
    assert_eq!(world.heard().await, [(4, Opened)]);
}

#[tokio::test]
async fn a_number_of_a_restored_server_is_a_new_incarnation_in_the_same_row() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let first = [world.fact(Said::Open, 5, Some("7"), Some(1)), world.fact(Said::Resolve, 9, Some("7"), Some(1))];
    world.observe(&first).await;
    world.drain().await;
    world.observe(&[world.fact(Said::Open, 105, Some("7"), Some(100))]).await;
    let row = world.row().await;
    assert_eq!((row.status.as_str(), row.triggered_at), ("active", time(100)));
    assert_eq!(world.heard().await, [(6, Reopened)]);
    // a late word about the first life is counted and changes nothing
    world.observe(&[world.fact(Said::Resolve, 200, Some("7"), Some(1))]).await;
    assert_eq!((world.row().await.status.as_str(), world.row().await.rev), ("active", 8));
    assert_eq!(world.heard().await, []);
}

#[tokio::test]
async fn with_neither_number_nor_time_a_webhook_is_a_hint_that_asks_for_a_reconciliation() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let mut hint = world.fact(Said::Open, 5, None, None);
    hint.raw = b"\x00\xff".to_vec();
    let observed = observe(&world.store, &[hint.clone()]).await.unwrap();
    assert_eq!(observed.outcomes, [Outcome::Hint]);
    assert!(world.rows().await.is_empty());
    assert_eq!(
        world.number("select count(*) from muster.alert_raw where raw = '\\x00ff' and reasons = '{hint}'").await,
        1
    );
    assert_eq!(world.number("select count(*) from muster.reconcile_wish where wished_at is not null").await, 1);
    assert_eq!(world.number("select count(*) from muster.agent where refresh_due_at is not null").await, 1);
    let before = world.versions().await;
    world.observe(&[hint]).await;
    assert_eq!(world.versions().await, before);
}

#[tokio::test]
async fn without_an_api_agent_type_and_check_name_the_alert_and_a_later_open_reopens() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    world.run("update rmm_integrations set settings = '{}'").await;
    let fact = |said, at_s| world.fact(said, at_s, None, None);
    world.observe(&[fact(Said::Open, 1)]).await;
    world.observe(&[fact(Said::Resolve, 5)]).await;
    assert_eq!(world.row().await.status, "resolved");
    world.observe(&[fact(Said::Open, 9)]).await;
    assert_eq!(world.row().await.status, "active");
    assert_eq!(world.heard().await, [(2, Opened), (4, Resolved), (6, Reopened)]);
    let salvaged = Fact { needs_fetch: true, odd: vec![Odd::Salvaged], ..fact(Said::Open, 12) };
    world.observe(&[salvaged]).await;
    assert_eq!(world.number("select count(*) from muster.alert_raw").await, 1, "its bytes are kept");
    assert_eq!(world.number("select count(*) from muster.reconcile_wish").await, 0, "nobody can be asked");
}

#[tokio::test]
async fn what_people_set_survives_an_update_and_ends_with_the_resolve() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    for (number, status) in [("1", "acknowledged"), ("2", "suppressed")] {
        world.observe(&[world.fact(Said::Open, 5, Some(number), Some(1))]).await;
        world.run(&format!("update rmm_alerts set status = '{status}' where external_alert_id = '{number}'")).await;
        let mut escalated = world.fact(Said::PolledOpen, 8, Some(number), Some(1));
        escalated.details.severity = Some(Severity::Major);
        world.drain().await;
        world.observe(&[escalated]).await;
        let row = &world.rows().await[number];
        assert_eq!((row.status.as_str(), row.severity.as_str()), (status, "major"));
        assert_eq!(world.drain().await[0].status, status);
        world.observe(&[world.fact(Said::Resolve, 9, Some(number), Some(1))]).await;
        assert_eq!(world.rows().await[number].status, "resolved");
    }
}

#[tokio::test]
async fn a_resolve_without_a_message_does_not_erase_the_opens() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let mut open = world.fact(Said::Open, 5, Some("7"), Some(1));
    open.details.message = Some("disk".to_owned());
    let mut resolve = world.fact(Said::Resolve, 9, Some("7"), Some(1));
    resolve.details.severity = Some(Severity::Minor);
    world.observe(&[open]).await;
    world.observe(&[resolve]).await;
    let row = world.row().await;
    assert_eq!((row.message.as_deref(), row.severity.as_str()), (Some("disk"), "minor"));
}

#[tokio::test]
async fn an_alert_that_algapsa_knew_keeps_its_row() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let alert_id = uuid::Uuid::now_v7();
    world
        .run(&format!(
            "insert into rmm_alerts (tenant, alert_id, integration_id, external_alert_id, severity, status, triggered_at)
             values ('{}', '{alert_id}', '{}', '7', 'none', 'acknowledged', now())",
            world.tenant, world.integration_id
        ))
        .await;
    world.observe(&[world.fact(Said::Open, 5, Some("7"), Some(1))]).await;
    assert_eq!((world.row().await.status.as_str(), world.row().await.severity.as_str()), ("acknowledged", "critical"));
    assert_eq!(world.drain().await[0].alert_id, alert_id);
}

#[tokio::test]
async fn an_inactive_and_a_foreign_connection_write_nothing() {
    let database = TestDatabase::create().await;
    let world = World::new(&database).await;
    let other = World::beside(&world.pool, &world.store).await;
    other.run(&format!("update rmm_integrations set is_active = false where tenant = '{}'", other.tenant)).await;
    let inactive = other.fact(Said::Open, 1, Some("7"), None);
    let foreign = Fact { tenant: other.tenant, ..world.fact(Said::Open, 1, Some("7"), None) };
    let sound = world.fact(Said::Open, 1, Some("7"), None);
    let observed = observe(&world.store, &[inactive, foreign, sound]).await.unwrap();
    assert_eq!(observed.outcomes, [Outcome::Discarded, Outcome::NoSuchConnection, Outcome::Stored]);
    assert!(other.rows().await.is_empty());
    assert_eq!(world.rows().await.len(), 1);
}
