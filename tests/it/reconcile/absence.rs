//! A key that does not see an alert never resolves it.

use tests::Fleet;
use tests::simulator::{Role, Severity, key};

use super::{assert_true, connected, open, opened, reconciled, refused, with_key};

/// An agent of a client.
fn agent_of(fleet: &Fleet, client: i64) -> i64 {
    let agents = fleet.simulator().control().agents();
    agents.into_iter().find(|agent| agent.client.0 == client).expect("every client has one").pk
}

#[tokio::test]
async fn what_the_key_does_not_see_is_counted_and_left_open() {
    let fleet = with_key(40, key::LIMITED).await;
    let control = fleet.simulator().control();
    // the webhooks tell of every client, the key sees only the first
    let seen = opened(&fleet, agent_of(&fleet, 1)).await;
    let hidden = opened(&fleet, agent_of(&fleet, 2)).await;
    let run = reconciled(&fleet).await;
    assert_eq!((run.counts.seen, run.counts.missing, run.counts.unverifiable), (1, 0, 1));
    assert_eq!(open(&fleet).await, [seen, hidden]);
    // not even where it truly is over: nobody can tell
    control.resolve_by_hand(hidden).expect("it exists");
    control.resolve_by_hand(seen).expect("it exists");
    let run = reconciled(&fleet).await;
    assert_eq!((run.counts.missing, run.counts.unverifiable), (1, 1));
    assert_eq!(open(&fleet).await, [hidden]);
}

#[tokio::test]
async fn a_role_that_is_narrowed_resolves_nothing_and_is_told_of_and_one_that_is_widened_heals() {
    let fleet = connected(60).await;
    let control = fleet.simulator().control();
    let kept = opened(&fleet, agent_of(&fleet, 1)).await;
    let hidden = opened(&fleet, agent_of(&fleet, 2)).await;
    let over = opened(&fleet, agent_of(&fleet, 3)).await;
    reconciled(&fleet).await;
    let role = control.role("sync").expect("it exists");
    control.set_role("sync", Role { view_clients: [1].into(), ..role.clone() }).expect("it exists");
    control.resolve_by_hand(over).expect("it exists");
    let (_, cause) = refused(&fleet).await;
    assert!(cause.contains("devices where the poll before saw 60: no alert was resolved"), "{cause}");
    assert_eq!(open(&fleet).await, [kept, hidden, over]);
    // the second poll that says so is believed, and still resolves nothing that it does not see
    let run = reconciled(&fleet).await;
    assert_eq!((run.counts.missing, run.counts.unverifiable), (0, 2));
    assert_eq!(open(&fleet).await, [kept, hidden, over]);
    control.set_role("sync", role).expect("it exists");
    let run = reconciled(&fleet).await;
    assert_eq!((run.counts.missing, run.counts.unverifiable), (1, 0));
    assert_true(&fleet).await;
}

#[tokio::test]
async fn an_agent_that_moved_to_where_the_key_does_not_see_is_not_taken_for_deleted() {
    let fleet = with_key(40, key::LIMITED).await;
    let control = fleet.simulator().control();
    let agent = agent_of(&fleet, 1);
    let number = opened(&fleet, agent).await;
    reconciled(&fleet).await;
    let elsewhere = control.agent(agent_of(&fleet, 2)).expect("it exists").site.0;
    control.move_agent(agent, elsewhere).expect("it exists");
    let run = reconciled(&fleet).await;
    assert_eq!((run.counts.missing, run.counts.unverifiable), (0, 1));
    assert_eq!(open(&fleet).await, [number]);
    control.delete_agent(agent).expect("it exists");
    let run = reconciled(&fleet).await;
    assert_eq!((run.counts.missing, run.counts.unverifiable), (1, 0), "now the alert itself is gone");
    assert_eq!(open(&fleet).await, [0; 0]);
}

#[tokio::test]
async fn what_has_no_number_of_tacticals_is_never_resolved_by_a_list() {
    let fleet = connected(20).await;
    let control = fleet.simulator().control();
    let agent_id = control.agent(3).expect("it exists").agent_id;
    let body = serde_json::json!({"event": "trigger", "agent_id": agent_id, "alert_time": "2026-11-22T01:02:03Z"});
    let sent = reqwest::Client::new().post(fleet.webhook_url());
    let sent = sent.header("X-Alga-Webhook-Secret", &fleet.connection().secret).json(&body).send().await;
    assert_eq!(sent.expect("it answers").status(), 202);
    fleet.until_idle().await;
    control.fail_check(4, 1, Severity::Error).expect("it exists").expect("it opens");
    let run = reconciled(&fleet).await;
    assert_eq!((run.counts.missing, run.counts.unverifiable), (0, 1));
}

/// Its client is not shown, as where the client itself was deleted: 404 and 403 tell the two apart.
#[tokio::test]
async fn what_went_with_a_place_that_is_not_shown_ends_and_what_is_hidden_there_stays() {
    let fleet = with_key(40, key::LIMITED).await;
    let control = fleet.simulator().control();
    let (gone, kept) = (agent_of(&fleet, 2), agent_of(&fleet, 3));
    opened(&fleet, gone).await;
    let hidden = opened(&fleet, kept).await;
    reconciled(&fleet).await;
    control.delete_agent(gone).expect("it exists");
    let run = reconciled(&fleet).await;
    assert_eq!((run.counts.missing, run.counts.unverifiable), (1, 1));
    assert_eq!(open(&fleet).await, [hidden]);
}
