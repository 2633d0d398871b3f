//! A webhook whose body is broken has its alert read; nothing is written where that cannot be, and nothing is left behind.

use tests::simulator::{FaultKind, Severity, key};
use tests::{DEADLINE, Fleet, until};

use super::{connected, fault, open, opened, rows, send, until_status, with_key};

/// A body in which a quote stands where none may.
fn broken(event: &str, number: i64, agent_id: &str) -> String {
    format!(r#"{{"event":"{event}","alert_id":{number},"agent_id":"{agent_id}","message":"a "word""}}"#)
}

#[tokio::test]
async fn a_broken_webhook_has_its_alert_read() {
    let fleet = connected(20).await;
    let control = fleet.simulator().control();
    control.set_webhook(None);
    let number = control.fail_check(3, 1, Severity::Error).expect("it exists").expect("it opens");
    let agent_id = control.agent(3).expect("it exists").agent_id;
    let send = async |event: &str, number: i64| send(&fleet, broken(event, number, &agent_id)).await;
    send("trigger", number).await;
    until(DEADLINE, async || match rows(&fleet).await.remove(&number) {
        Some(row) if row.severity == "critical" && row.message.is_some() => Ok(()),
        other => Err(other),
    })
    .await;
    // a broken resolve is not believed, and what it says is looked up as well
    send("resolve", number).await;
    fleet.until_idle().await;
    assert_eq!(open(&fleet).await, [number]);
    control.resolve_by_hand(number).expect("it exists");
    send("resolve", number).await;
    until_status(&fleet, number, "resolved").await;
    // another agent's alert, and one that does not exist, change nothing
    let other = control.fail_check(5, 1, Severity::Error).expect("it exists").expect("it opens");
    send("resolve", other).await;
    send("resolve", 99_999).await;
    fleet.until_idle().await;
    assert_eq!(rows(&fleet).await.len(), 1);
}

/// An open alert that ends without a webhook, and the broken resolve of which nothing is believed.
async fn over(fleet: &Fleet, agent: i64) -> (i64, String) {
    let control = fleet.simulator().control();
    let number = opened(fleet, agent).await;
    let agent_id = control.agent(agent).expect("it exists").agent_id;
    control.resolve_by_hand(number).expect("it exists");
    (number, broken("resolve", number, &agent_id))
}

#[tokio::test]
async fn while_another_server_may_answer_nothing_is_believed() {
    let fleet = connected(20).await;
    let (number, body) = over(&fleet, 3).await;
    fleet.database().execute("update muster.connection set held_at = now(), held = '{}'").await;
    send(&fleet, body.clone()).await;
    fleet.until_idle().await;
    assert_eq!(open(&fleet).await, [number]);
    fleet.database().execute("update muster.connection set held_at = null, held = null").await;
    send(&fleet, body).await;
    until_status(&fleet, number, "resolved").await;
}

#[tokio::test]
async fn an_alert_that_the_key_does_not_see_stays_as_it_is() {
    let fleet = with_key(40, key::LIMITED).await;
    let agents = fleet.simulator().control().agents();
    let hidden = agents.into_iter().find(|agent| agent.client.0 == 2).expect("every client has one").pk;
    let (number, body) = over(&fleet, hidden).await;
    send(&fleet, body).await;
    fleet.until_idle().await;
    assert_eq!(open(&fleet).await, [number]);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_and_nothing_is_parked() {
    let fleet = connected(20).await;
    let (number, body) = over(&fleet, 3).await;
    let path = format!("/alerts/{number}/");
    fault(&fleet, &path, FaultKind::ServerError { status: 500 });
    fleet.simulator().control().forget_served();
    send(&fleet, body).await;
    let asked = || fleet.simulator().control().asked().into_iter().filter(|target| *target == path).count();
    until(DEADLINE, async || if asked() >= 4 { Ok(()) } else { Err(asked()) }).await;
    fleet.until_idle().await;
    assert_eq!((asked(), open(&fleet).await), (4, vec![number]));
}
