//! Of what waits: late and slow schedules, the outbox, parked messages, pauses, connections that need a person.

use std::time::Duration;

use store::tenant::{self, NewConnection};
use uuid::Uuid;

use super::Ward;

/// A connected tenant.
async fn connected(ward: &Ward) -> Uuid {
    let tenant = Uuid::new_v4();
    let new = NewConnection {
        tenant,
        client_name: "A client".to_owned(),
        instance_url: Some("https://api.example.com".to_owned()),
        digest: Some([7; 32]),
        grace: Duration::ZERO,
    };
    tenant::connect(&ward.database.store(), &new, "a test").await.expect("the database takes a tenant");
    tenant
}

#[tokio::test]
async fn schedules_that_nobody_takes_and_those_that_failures_have_slowed_down_are_told() {
    let ward = Ward::new().await;
    let tenant = connected(&ward).await;
    ward.only("schedules").await.is_well();
    let step = "make_interval(secs => coalesce(interval_s, default_interval_s))";
    // two steps late is not yet late
    ward.database
        .execute(&format!("update muster.schedule set next_due_at = now() - 2 * {step} + interval '20 s'"))
        .await;
    ward.only("schedules").await.is_well();
    let late =
        format!("update muster.schedule set next_due_at = now() - 2 * {step} - interval '1 s' where kind = 'alerts'");
    ward.database.execute(&late).await;
    let report = ward.only("schedules").await;
    report.says(
        "schedules",
        "wrong",
        &format!("1 schedules are late by more than two steps: alerts of tenant {tenant}"),
        "ingest-gateway",
    );

    // one that fails steps once an hour
    ward.database
        .execute(
            "update muster.schedule set next_due_at = now() - interval '1 hour', attention_at = now(),
                           failing_cause = 'the key \u{1b}[31m may not list', failing_since = now(), failing_count = 3
                           where kind = 'alerts'",
        )
        .await;
    let report = ward.only("schedules").await;
    report.says("schedules", "wrong", "once an hour only", "muster test --tenant");
    assert!(report.text.contains("may not list") && !report.text.contains("late by"), "{}", report.text);
    // a suspended tenant's do not tick, and that is right: neither a slow nor a late one is for a person to mend
    ward.database.execute("update tenants set suspended_at = now()").await;
    ward.only("schedules").await.is_well();
    ward.database
        .execute(
            "update muster.schedule set attention_at = null, failing_cause = null, failing_since = null,
                           failing_count = 0, next_due_at = now() - interval '7 days'",
        )
        .await;
    ward.only("schedules").await.is_well();
}

#[tokio::test]
async fn an_outbox_that_nobody_publishes_is_told_after_a_minute() {
    let ward = Ward::new().await;
    let row = |age: &str| {
        format!("insert into muster.outbox (tenant, exchange, routing_key, kind, message_id, dedup, body, available_at)
                 values (gen_random_uuid(), 'muster.events', 'x', 'x', 'x', gen_random_uuid(), '', now() - interval '{age}')")
    };
    ward.database.execute(&row("30 s")).await;
    ward.database.execute(&row("-1 hour")).await;
    ward.only("outbox").await.is_well();
    ward.database.execute(&row("5 min")).await;
    let report = ward.only("outbox").await;
    report.says("outbox", "wrong", "2 messages wait to be published, the oldest for 5 min", "a worker runs");
}

#[tokio::test]
async fn parked_messages_are_a_warning_by_class_and_held_ones_are_not() {
    let ward = Ward::new().await;
    let row = |class: &str, state: &str| {
        format!(
            "insert into muster.parked (dedup, class, reason, attempt, worker_version, state, exchange, routing_key,
                                            headers, body)
                 values (gen_random_uuid(), '{class}', 'canary', 1, 'test', '{state}', 'muster.work', 'x', '{{}}', '')"
        )
    };
    ward.database.execute(&row("retryable", "held")).await;
    ward.only("parked").await.is_well();
    for class in ["poison", "permanent", "permanent"] {
        ward.database.execute(&row(class, "parked")).await;
    }
    let report = ward.only("parked").await;
    report.says("parked", "warning", "2 messages are parked as permanent", "--class permanent");
    report.says("parked", "warning", "1 messages are parked as poison", "--class poison");
    assert!(!report.text.contains("canary"), "{}", report.text);
}

#[tokio::test]
async fn a_kind_that_stopped_by_itself_is_wrong_and_a_persons_pause_is_a_warning() {
    let ward = Ward::new().await;
    ward.only("pauses").await.is_well();
    ward.database
        .execute("insert into muster.pause (kind, cause, paused_by) values ('a.kind.v1', 'person', 'Ann')")
        .await;
    let report = ward.only("pauses").await;
    report.says(
        "pauses",
        "warning",
        "by Ann: --all-tenants --kind a.kind.v1",
        "muster resume --all-tenants --kind a.kind.v1",
    );
    let tenant = Uuid::new_v4();
    let stopped =
        format!("insert into muster.pause (tenant, cause, paused_by) values ('{tenant}', 'parks', 'a worker')");
    ward.database.execute(&stopped).await;
    let report = ward.only("pauses").await;
    report.says("pauses", "wrong", "stopped by itself", &format!("muster resume --tenant {tenant}"));
    ward.database.execute("update muster.pause set resumed_at = now(), resumed_by = 'Ann'").await;
    ward.only("pauses").await.is_well();
}

#[tokio::test]
async fn a_spool_that_refuses_that_is_not_emptied_or_that_nobody_has_is_told() {
    let ward = Ward::new().await;
    let row = |folder: &str, rest: &str| {
        format!(
            "insert into muster.spool
                 (host, folder, records, set_aside, bytes, oldest_at, refusal, is_spooling, seen_at)
             values ('gw1', '{folder}', {rest})"
        )
    };
    // one that works, and one that was stopped when it was empty
    ward.database.execute(&row("a", "5, 0, 9, now() - interval '4 min', null, true, now()")).await;
    ward.database.execute(&row("b", "0, 0, 0, null, null, false, now() - interval '1 hour'")).await;
    ward.only("spools").await.is_well();
    for (folder, rest, state, finding, remedy) in [
        ("c", "5, 0, 9, now(), 'quota', true, now()", "wrong", "gw1:c takes no more (quota)", "--spool-bytes-max"),
        (
            "d",
            "5, 0, 9, now() - interval '6 min', null, true, now()",
            "warning",
            "oldest for 6 min",
            "look at RabbitMQ",
        ),
        ("e", "0, 2, 9, null, null, false, now()", "warning", "2 messages that the broker refused", "--set-aside"),
        (
            "f",
            "3, 0, 9, now(), null, true, now() - interval '1 hour'",
            "wrong",
            "was heard of 60 min ago",
            "drain --dir f",
        ),
    ] {
        ward.database.execute(&row(folder, rest)).await;
        let report = ward.only("spools").await;
        report.says("spools", state, finding, remedy);
        assert_eq!(report.of("spools").len(), 1, "{}", report.text);
        ward.database.execute(&format!("delete from muster.spool where folder = '{folder}'")).await;
    }
}

#[tokio::test]
async fn each_connection_that_needs_a_person_is_told_with_what_mends_it() {
    let ward = Ward::new().await;
    let tenant = connected(&ward).await;
    ward.only("integrations").await.is_well();
    let remedy = |words: &str| words.replace("TENANT", &tenant.to_string());
    for (fault, mended, state, finding, words) in [
        (
            "update muster.connection set held_at = now(), held = '{}'",
            "update muster.connection set held_at = null, held = null",
            "wrong",
            "another server",
            "muster mappings confirm",
        ),
        (
            "update muster.connection set code_wanted_at = now()",
            "update muster.connection set code_wanted_at = null",
            "wrong",
            "a person's code",
            "muster test --tenant TENANT",
        ),
        (
            "update muster.connection set login_refused_at = now()",
            "update muster.connection set login_refused_at = null",
            "wrong",
            "refused user name and password",
            "muster connect --tenant TENANT",
        ),
        (
            "update rmm_integrations set sync_status = 'error', sync_error = 'no answer'",
            "update rmm_integrations set sync_status = 'completed', sync_error = null, last_sync_at = now()",
            "wrong",
            "never read: its last sync failed: no answer",
            "muster test --tenant TENANT",
        ),
        (
            "insert into muster.alert_poll (tenant, integration_id, undelivered)
             select tenant, integration_id, 4 from rmm_integrations",
            "update muster.alert_poll set undelivered = 0",
            "warning",
            "could not deliver the webhooks of 4 open alerts",
            "reaches the gateway's URL",
        ),
        (
            "insert into muster.webhook_finding
             select tenant, integration_id, 'quoted', now(), now(), 1 from rmm_integrations",
            "update muster.webhook_finding set last_seen_at = now() - interval '25 hours'",
            "warning",
            "template has mistakes: quoted",
            "muster tenant connect",
        ),
        (
            "update rmm_integrations set is_active = false, connected_at = now()",
            "update rmm_integrations set is_active = true",
            "warning",
            "it is disconnected",
            "muster connect --tenant TENANT",
        ),
    ] {
        ward.database.execute(fault).await;
        let report = ward.only("integrations").await;
        report.says("integrations", state, finding, &remedy(words));
        report.says("integrations", state, &format!("tenant {tenant}"), "");
        ward.database.execute(mended).await;
        ward.only("integrations").await.is_well();
    }
    ward.database.execute("delete from muster.hook").await;
    ward.only("integrations").await.says("integrations", "warning", "no webhook secret", "muster webhook rotate");
}

#[tokio::test]
async fn only_the_first_of_many_are_named() {
    let ward = Ward::new().await;
    for _ in 0..8 {
        connected(&ward).await;
    }
    ward.database.execute("update rmm_integrations set sync_status = 'error'").await;
    let report = ward.only("integrations").await;
    report.says("integrations", "warning", "and 3 more connections need a person", "");
    assert_eq!(report.of("integrations").len(), 6, "{}", report.text);
}
