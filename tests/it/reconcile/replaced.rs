//! Another server behind the same connection: its alerts are others, whatever their numbers.

use store::audit::Entry;
use store::organization::{self, Decision};
use tests::Fleet;
use tests::simulator::{Replacement, Severity, key};

use super::{assert_true, opened, quiet, reconciled, refused, rows};

async fn confirm_other(fleet: &Fleet) {
    let (tenant, integration_id) = (fleet.connection().tenant, fleet.connection().integration_id);
    let entry = Entry {
        tenant: Some(tenant),
        actor: "a person".to_owned(),
        action: "test",
        subject: None,
        detail: serde_json::json!({}),
    };
    let url = fleet.simulator().base_url();
    let done = organization::confirm(&fleet.store(), tenant, integration_id, Decision::Other, Some(&url), &entry).await;
    assert!(done.expect("the database answers"), "it was held");
}

#[tokio::test]
async fn the_alerts_of_another_server_are_shown_and_those_of_the_old_one_are_over() {
    let fleet = Fleet::builder().workers(1).sync_workers(1).simulator(quiet(20)).start().await;
    fleet.connect_tactical(key::SYNC).await;
    fleet.map_clients().await;
    let control = fleet.simulator().control();
    let open = opened(&fleet, 3).await;
    let over = opened(&fleet, 4).await;
    control.resolve_by_hand(over).expect("it exists");
    reconciled(&fleet).await;
    control.set_webhook(None);
    control.replace_server(Replacement::Other);
    // under the same numbers, and raised before those of the old server
    fleet.database().execute("update muster.alert_state set alert_time = alert_time + interval '7 days'").await;
    let first = control.agents()[5].pk;
    for agent in [first, first + 1] {
        control.fail_check(agent, 1, Severity::Warning).expect("it exists").expect("it opens");
    }
    let (_, cause) = refused(&fleet).await;
    assert!(cause.contains("another Tactical server"), "{cause}");
    assert_eq!(rows(&fleet).await[&open].status, "active", "a person is to decide");
    confirm_other(&fleet).await;
    assert!(rows(&fleet).await.is_empty());
    assert_eq!(reconciled(&fleet).await.counts.created, 2);
    assert_true(&fleet).await;
    let left: i64 = sqlx::query_scalar(
        "select count(*) from rmm_alerts where status = 'resolved' and external_alert_id like 'was:%'",
    )
    .fetch_one(&mut fleet.database().connect().await)
    .await
    .expect("it answers");
    assert_eq!(left, 2, "the old ones stay, and are over");
}
