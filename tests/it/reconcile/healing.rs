//! What sends no webhook reaches Postgres all the same, and what a webhook said wrongly is put right.

use serde_json::json;
use tests::simulator::{FaultKind, Replacement, Severity, SimulatorConfig, Source, WebhookSettings, key};
use tests::{DEADLINE, Fleet, until};

use super::{
    assert_true, connected, fault, open, opened, quiet, reconciled, refused, rows, truly_open, until_status, versions,
};

#[tokio::test]
async fn alerts_that_were_open_before_the_connection_come_and_a_second_look_writes_nothing() {
    let config = SimulatorConfig { alerts: 400, ..quiet(60) };
    let fleet = Fleet::builder().workers(1).simulator(config).start().await;
    fleet.connect_tactical(key::SYNC).await;
    let count = truly_open(&fleet.simulator().control()).len() as i64;
    assert!(count > 5, "the test needs open alerts: {count}");
    let run = reconciled(&fleet).await;
    assert_eq!((run.counts.seen, run.counts.created, run.counts.missing), (count, count, 0));
    assert_true(&fleet).await;
    assert_eq!(rows(&fleet).await.len() as i64, count, "what was resolved long ago is nobody's news");
    let before = versions(&fleet).await;
    let again = reconciled(&fleet).await;
    assert_eq!((again.counts.seen, again.counts.unchanged, again.counts.unverifiable), (count, count, 0));
    assert_eq!(versions(&fleet).await, before, "what does not change costs no write");
}

/// (3) of what the incumbent gets wrong: its poll downloads every alert ever.
#[tokio::test]
async fn a_poll_asks_for_the_open_alerts_only() {
    let config = SimulatorConfig { alerts: 2_000, ..quiet(60) };
    let fleet = Fleet::builder().workers(1).simulator(config).start().await;
    fleet.connect_tactical(key::SYNC).await;
    let control = fleet.simulator().control();
    control.forget_served();
    let run = reconciled(&fleet).await;
    let lists: Vec<u64> =
        control.served().into_iter().filter(|one| one.target == "/alerts/").map(|one| one.bytes).collect();
    assert_eq!(lists.len(), 1);
    let count = truly_open(&control).len();
    assert!(count < 1_000, "the test needs resolved alerts, too: {count} of 2,000 are open");
    assert_eq!(run.counts.seen, count as i64);
    assert!(lists[0] < 1_000 * count as u64, "{lists:?} bytes for {count} alerts");
}

/// (13) of what the incumbent gets wrong.
#[tokio::test]
async fn what_a_person_resolves_or_deletes_in_tactical_is_resolved_here() {
    let fleet = connected(40).await;
    let control = fleet.simulator().control();
    let mut numbers = Vec::new();
    for agent in 1..=5 {
        numbers.push(opened(&fleet, agent).await);
    }
    control.resolve_by_hand(numbers[0]).expect("it exists");
    control.resolve_bulk(&numbers[1..2]);
    control.delete_alert(numbers[2]).expect("it exists");
    control.delete_agent(4).expect("it exists");
    assert_eq!(open(&fleet).await, numbers, "none of it sends a webhook");
    let run = reconciled(&fleet).await;
    assert_eq!((run.counts.seen, run.counts.missing, run.counts.unverifiable), (1, 4, 0));
    assert_true(&fleet).await;
    assert_eq!(open(&fleet).await, numbers[4..]);
}

/// (17) of what the incumbent gets wrong.
#[tokio::test]
async fn an_escalation_a_snooze_and_a_hidden_alert_are_recorded() {
    let fleet = connected(40).await;
    let control = fleet.simulator().control();
    let number = control.fail_check(3, 1, Severity::Warning).expect("it exists").expect("it opens");
    until_status(&fleet, number, "active").await;
    assert_eq!(rows(&fleet).await[&number].severity, "moderate");
    control.fail_check(3, 1, Severity::Error).expect("it exists");
    control.snooze(number, Some(3)).expect("it exists");
    fleet.tactical_put(&format!("/alerts/{number}/"), key::ADMIN, &json!({"hidden": true})).await;
    let run = reconciled(&fleet).await;
    assert_eq!((run.counts.created, run.counts.updated), (0, 1));
    let row = rows(&fleet).await.remove(&number).expect("it is there");
    assert_eq!((row.severity.as_str(), row.status.as_str()), ("critical", "active"));
    assert_eq!((&row.metadata["snoozed"], &row.metadata["hidden"]), (&json!(true), &json!(true)));
    assert!(row.metadata["snoozed_until"].is_string(), "{}", row.metadata);
    control.snooze(number, None).expect("it exists");
    reconciled(&fleet).await;
    let row = rows(&fleet).await.remove(&number).expect("it is there");
    assert_eq!((&row.metadata["snoozed"], &row.metadata["snoozed_until"]), (&json!(false), &json!(null)));
}

#[tokio::test]
async fn an_alert_without_an_agent_is_kept_and_ends() {
    let fleet = connected(20).await;
    let control = fleet.simulator().control();
    let url = format!("{}/alerts/", fleet.simulator().base_url());
    let body = json!({"alert_type": "custom", "severity": "error", "message": "the cellar is wet"});
    let made = reqwest::Client::new().post(url).header("X-API-KEY", key::ADMIN).json(&body).send().await;
    assert!(made.expect("it answers").status().is_success());
    reconciled(&fleet).await;
    let (number, row) = rows(&fleet).await.pop_first().expect("it is kept");
    assert_eq!((row.agent_id, row.message.as_deref()), (None, Some("the cellar is wet")));
    control.resolve_by_hand(number).expect("it exists");
    assert_eq!(reconciled(&fleet).await.counts.missing, 1);
    assert_true(&fleet).await;
}

#[tokio::test]
async fn a_wrong_resolve_is_undone_by_the_next_poll() {
    let fleet = connected(20).await;
    let number = opened(&fleet, 3).await;
    let agent_id = fleet.simulator().control().agent(3).expect("it exists").agent_id;
    let body = json!({"event": "resolve", "alert_id": number, "agent_id": agent_id});
    let sent = reqwest::Client::new().post(fleet.webhook_url());
    let sent = sent.header("X-Alga-Webhook-Secret", &fleet.connection().secret).json(&body).send().await;
    assert_eq!(sent.expect("it answers").status(), 202);
    until_status(&fleet, number, "resolved").await;
    assert_eq!(reconciled(&fleet).await.counts.updated, 1);
    assert_eq!(open(&fleet).await, [number]);
}

#[tokio::test]
async fn a_webhook_that_tactical_could_not_deliver_is_counted_and_its_alert_comes_all_the_same() {
    let fleet = connected(20).await;
    let control = fleet.simulator().control();
    reconciled(&fleet).await;
    // nobody listens there
    control.set_webhook(Some(WebhookSettings::muster("http://127.0.0.1:1/", "secret")));
    let lasting = control.fail_check(3, 1, Severity::Error).expect("it exists").expect("it opens");
    let short = control.fail_check(4, 1, Severity::Error).expect("it exists").expect("it opens");
    control.pass(4, Source::Check(1)).expect("it exists");
    assert!(control.webhooks_finished(DEADLINE).await);
    reconciled(&fleet).await;
    let rows = rows(&fleet).await;
    assert_eq!(rows[&lasting].status, "active");
    assert_eq!(rows[&short].status, "resolved", "lost webhooks are a reason to look at what is over, too");
    let webhook = store::view::webhook(&fleet.store(), fleet.connection().tenant).await.expect("the database answers");
    let poll = webhook.expect("there is a connection").poll;
    assert_eq!(poll.undelivered, 1);
    assert!(poll.undelivered_at.is_some() && poll.polled_at.is_some());
}

#[tokio::test]
async fn a_webhook_that_was_lost_in_place_of_another_is_a_gap_too() {
    let fleet = connected(20).await;
    let control = fleet.simulator().control();
    reconciled(&fleet).await;
    control.set_webhook(Some(WebhookSettings::muster("http://127.0.0.1:1/", "secret")));
    control.fail_check(3, 1, Severity::Error).expect("it exists").expect("it opens");
    assert!(control.webhooks_finished(DEADLINE).await);
    reconciled(&fleet).await;
    control.pass(3, Source::Check(1)).expect("it exists");
    let short = control.fail_check(4, 1, Severity::Error).expect("it exists").expect("it opens");
    control.pass(4, Source::Check(1)).expect("it exists");
    let lasting = control.fail_check(5, 1, Severity::Error).expect("it exists").expect("it opens");
    assert!(control.webhooks_finished(DEADLINE).await);
    reconciled(&fleet).await;
    let rows = rows(&fleet).await;
    assert_eq!(rows[&lasting].status, "active");
    assert_eq!(rows[&short].status, "resolved", "one was lost before and one now, and it is another one");
}

#[tokio::test]
async fn after_a_gap_what_opened_and_closed_meanwhile_is_found() {
    let fleet = connected(20).await;
    let control = fleet.simulator().control();
    reconciled(&fleet).await;
    control.set_webhook(None);
    let missed = control.fail_check(3, 1, Severity::Error).expect("it exists").expect("it opens");
    control.pass(3, Source::Check(1)).expect("it exists");
    reconciled(&fleet).await;
    assert!(rows(&fleet).await.is_empty(), "a minute is no gap");
    let back = "update muster.alert_poll set polled_at = polled_at - interval '20 min'";
    sqlx::query(back).execute(&mut fleet.database().connect().await).await.expect("the database takes it");
    assert_eq!(reconciled(&fleet).await.counts.created, 1);
    assert_eq!(rows(&fleet).await[&missed].status, "resolved");
    let before = versions(&fleet).await;
    sqlx::query(back).execute(&mut fleet.database().connect().await).await.expect("the database takes it");
    reconciled(&fleet).await;
    assert_eq!(versions(&fleet).await, before);
}

#[tokio::test]
async fn a_restored_server_gives_old_numbers_a_new_life() {
    let fleet = connected(20).await;
    let control = fleet.simulator().control();
    let first = opened(&fleet, 3).await;
    let second = opened(&fleet, 4).await;
    reconciled(&fleet).await;
    control.replace_server(Replacement::Restored);
    control.set_webhook(None);
    let again = control.fail_check(5, 1, Severity::Error).expect("it exists").expect("it opens");
    assert_eq!(again, first, "the numbers begin anew");
    let run = reconciled(&fleet).await;
    assert_eq!(run.counts.missing, 1, "{second} is nobody's now");
    assert_true(&fleet).await;
    let agent_id = control.agent(5).expect("it exists").agent_id;
    assert_eq!(rows(&fleet).await[&first].agent_id, Some(agent_id));
}

#[tokio::test]
async fn a_wish_for_a_reconciliation_ends_with_the_next_one() {
    let fleet = connected(20).await;
    let hint =
        json!({"event": "trigger", "agent_id": fleet.simulator().control().agent(3).expect("it exists").agent_id});
    let sent = reqwest::Client::new().post(fleet.webhook_url());
    let sent = sent.header("X-Alga-Webhook-Secret", &fleet.connection().secret).json(&hint).send().await;
    assert_eq!(sent.expect("it answers").status(), 202);
    let wishes = async || -> i64 {
        let query = "select count(*) from muster.reconcile_wish where wished_at is not null";
        sqlx::query_scalar(query).fetch_one(&mut fleet.database().connect().await).await.expect("it answers")
    };
    until(DEADLINE, async || if wishes().await == 1 { Ok(()) } else { Err("no wish") }).await;
    // a run that fails has not looked
    fault(&fleet, "/alerts/", FaultKind::Html);
    refused(&fleet).await;
    assert_eq!(wishes().await, 1);
    fleet.simulator().control().clear_faults();
    reconciled(&fleet).await;
    assert_eq!(wishes().await, 0);
}
