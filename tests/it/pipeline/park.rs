//! A pause as an operator makes it: webhooks are accepted meanwhile, and nothing of them is lost.

use contract::topology::{self, Lane, Worker};
use contract::{AlertObserved, Message as _};
use reqwest::Method;
use serde_json::{Value, json};
use store::parked;
use store::token::Permission;
use tests::proxy::Fault;
use tests::{DEADLINE, Fleet, until, until_metric};

use super::{quiet, seen};
use crate::runner::scripted::envelope;

/// Asks the console for something that is below no tenant.
async fn ask(fleet: &Fleet, token: &str, path: &str, body: &Value) -> Value {
    let request = reqwest::Client::new().post(format!("{}/api/v1{path}", fleet.console_url()));
    let answer = request.bearer_auth(token).json(body).send().await.expect("the console answers");
    assert!(answer.status().is_success(), "{answer:?}");
    answer.json().await.expect("it is JSON")
}

#[tokio::test]
async fn a_paused_tenants_webhooks_are_accepted_and_become_rows_after_the_resume() {
    let mut fleet = Fleet::builder().workers(1).console().simulator(quiet(20)).start().await;
    let token = fleet.token(&[Permission::SettingsRead, Permission::SettingsUpdate]).await;
    let tenant = fleet.connection().tenant;
    assert_eq!(
        ask(&fleet, &token, "/pauses/pause", &json!({})).await,
        json!({"tenant": tenant, "kind": null, "is_new": true})
    );
    fleet.worker(0).until_log(DEADLINE, "\"pauses\":1").await;
    let control = fleet.simulator().control();
    for agent in 1..=3 {
        control.fail_check(agent, 1, tests::simulator::Severity::Error).expect("the agent exists").expect("it opens");
    }
    let store = fleet.store();
    until(DEADLINE, async || match parked::waiting(&store, tenant).await.map_err(|error| error.to_string())?.held {
        3 => Ok(()),
        held => Err(format!("{held} are held")),
    })
    .await;
    assert!(seen(&fleet).await.is_empty(), "nothing of a paused tenant is written");
    assert!(control.webhooks_finished(DEADLINE).await, "the gateway did not take them in time");
    assert!(
        control.webhooks().iter().all(|webhook| webhook.status == Some(202)),
        "a paused tenant's webhooks are accepted"
    );
    assert_eq!(ask(&fleet, &token, "/pauses/resume", &json!({})).await["is_new"], true);
    until(DEADLINE, async || match seen(&fleet).await.len() {
        3 => Ok(()),
        rows => Err(rows),
    })
    .await;
    fleet.until_idle().await;
}

/// Sends what no job can decode, as of the fleet's tenant.
async fn send_unreadable(fleet: &Fleet, numbers: std::ops::Range<u32>) {
    let key = topology::routing_key(Worker::Alert, Lane::Main, AlertObserved::KIND);
    for number in numbers {
        let body = format!("not JSON {number}").into_bytes();
        let properties = envelope(fleet.connection().tenant, AlertObserved::KIND, &body, 0);
        assert!(fleet.amqp().publish(topology::WORK, &key, properties, &body).await);
    }
}

// two threads: the fleet's end blocks one, and the proxies that its programs hang on need the other
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_worker_was_to_park_is_parked_once_postgres_is_back() {
    let mut fleet = Fleet::builder().without_gateway().workers(1).proxies().start().await;
    fleet.expect_parked(3);
    fleet.database_proxy().set(Fault::REFUSE);
    fleet.database_proxy().cut();
    send_unreadable(&fleet, 0..3).await;
    fleet.worker(0).until_log(DEADLINE, "the landing queue waits for postgres").await;
    fleet.worker(0).kill();
    fleet.database_proxy().set(Fault::NONE);
    fleet.add_worker().await;
    let store = fleet.store();
    until(DEADLINE, async || match parked::count(&store).await.map_err(|error| error.to_string())? {
        3 => Ok(()),
        parked => Err(format!("{parked} are parked")),
    })
    .await;
    fleet.until_idle().await;
}

#[tokio::test]
async fn a_hundred_parks_of_a_kind_change_nothing_and_one_more_stops_it_and_is_told() {
    let mut fleet = Fleet::builder().without_gateway().workers(1).console().start().await;
    fleet.expect_parked(101);
    let token = fleet.token(&[Permission::SettingsRead]).await;
    let (store, tenant) = (fleet.store(), fleet.connection().tenant);
    let until_parked = async |count: i64| {
        until(DEADLINE, async || match parked::waiting(&store, tenant).await.map_err(|error| error.to_string())? {
            waiting if waiting.parked == count => Ok(()),
            waiting => Err(format!("{waiting:?}")),
        })
        .await;
    };
    send_unreadable(&fleet, 0..100).await;
    until_parked(100).await;
    until_metric(&fleet.worker_url(0), r#"muster_kind_paused{kind="alert.observed.v1"} 0"#).await;
    let status = fleet.ask(&token, Method::GET, "/integrations/tacticalrmm", None).await;
    assert_eq!((&status.json["parked"], &status.json["pauses"]), (&json!(100), &json!([])), "{}", status.text);

    send_unreadable(&fleet, 100..101).await;
    until_parked(101).await;
    fleet.worker(0).until_log(DEADLINE, "stopped a kind: more than 100 of its messages").await;
    until_metric(&fleet.worker_url(0), r#"muster_kinds_stopped_total{kind="alert.observed.v1"} 1"#).await;
    until_metric(&fleet.worker_url(0), r#"muster_kind_paused{kind="alert.observed.v1"} 1"#).await;
    let status = fleet.ask(&token, Method::GET, "/integrations/tacticalrmm", None).await;
    let pause = &status.json["pauses"][0];
    assert_eq!((&pause["cause"], &pause["kind"]), (&json!("parks"), &json!("alert.observed.v1")), "{}", status.text);
    fleet.until_idle().await;
}
