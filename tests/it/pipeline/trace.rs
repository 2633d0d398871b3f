//! One trace from the webhook to the SQL statement, and its id in the logs.

use std::collections::BTreeMap;

use lapin::types::AMQPValue;
use tests::otlp::{OtlpReceiver, ReceivedSpan};
use tests::simulator::Severity;
use tests::{DEADLINE, Fleet, until};

use super::events::Events;
use super::quiet;

#[tokio::test]
async fn one_trace_leads_from_the_webhook_to_the_sql_statement() {
    let receiver = OtlpReceiver::start();
    let fleet = Fleet::builder()
        .workers(1)
        .simulator(quiet(20))
        .set("MUSTER_OTLP_URL", receiver.url())
        .set("MUSTER_OTLP_DELAY_MS", 50)
        .start()
        .await;
    let events = Events::bind(fleet.amqp()).await;
    fleet.simulator().control().fail_check(3, 1, Severity::Error).expect("the agent exists").expect("it opens");
    let chain = [
        "POST /api/webhooks/tacticalrmm",
        "send muster.work",
        "process alert-worker.main",
        "flush alert.observed.v1",
        "INSERT rmm_alerts",
    ];
    let spans =
        receiver.until(DEADLINE, |spans| chain.iter().all(|name| spans.iter().any(|span| span.name == *name))).await;
    let by_name: BTreeMap<&str, &ReceivedSpan> = spans.iter().map(|span| (span.name.as_str(), span)).collect();
    let trace_id = &by_name[chain[0]].trace_id;
    for name in chain {
        assert_eq!(by_name[name].trace_id, *trace_id, "{name} is in another trace");
    }
    for pair in chain[..4].windows(2) {
        let (parent, child) = (by_name[pair[0]], by_name[pair[1]]);
        assert_eq!(child.parent_span_id.as_ref(), Some(&parent.span_id), "{} is not a child of {}", pair[1], pair[0]);
    }
    assert!(is_below(by_name["INSERT rmm_alerts"], by_name[chain[3]], &spans), "the statement is not below the flush");
    assert_eq!(by_name[chain[0]].service, "ingest-gateway");
    assert_eq!(by_name["INSERT rmm_alerts"].service, "alert-worker");

    // the event that leaves belongs to it too
    until(DEADLINE, async || if events.count(fleet.amqp()).await == 1 { Ok(()) } else { Err("no event") }).await;
    let event = events.take(fleet.amqp()).await.remove(0);
    let Some(AMQPValue::LongString(traceparent)) = event.header("traceparent") else { panic!("no traceparent") };
    assert!(traceparent.to_string().contains(trace_id.as_str()), "{traceparent} is another trace");
    let body: serde_json::Value = serde_json::from_slice(&event.body).expect("an event is JSON");
    let attribute = body["traceparent"].as_str().expect("a webhook caused it");
    assert!(attribute.contains(trace_id.as_str()), "{attribute} is another trace");
    fleet.until_idle().await;
}

fn is_below(span: &ReceivedSpan, above: &ReceivedSpan, spans: &[ReceivedSpan]) -> bool {
    let Some(parent_id) = &span.parent_span_id else { return false };
    let parent = spans.iter().find(|other| other.span_id == *parent_id);
    *parent_id == above.span_id || parent.is_some_and(|parent| is_below(parent, above, spans))
}

#[tokio::test]
async fn the_log_of_a_failure_carries_the_trace_of_its_webhook() {
    let mut fleet = Fleet::builder().workers(1).simulator(quiet(20)).start().await;
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let webhook = reqwest::Client::new()
        .post(fleet.webhook_url())
        .header("X-Alga-Webhook-Secret", &fleet.connection().secret)
        .header("traceparent", traceparent)
        .body(r#"{"event":"trigger","alert_id":1,"agent_id":"AgentOfTheTraceTestAAAAAAAAAAAAAAAAAAAAAA"}"#);
    // its connection disappears between the webhook and the job
    let mut connection = fleet.database().connect().await;
    fleet.worker(0).signal("STOP");
    assert_eq!(webhook.send().await.expect("the gateway answers").status(), 202);
    let gone = "delete from rmm_integrations where tenant = $1";
    sqlx::query(gone).bind(fleet.connection().tenant).execute(&mut connection).await.expect("it can be deleted");
    fleet.worker(0).signal("CONT");
    let line = fleet.worker(0).until_log(DEADLINE, "parked a message").await;
    assert!(line.contains("4bf92f3577b34da6a3ce929d0e0e4736"), "{line}");
    let store = fleet.store();
    until(DEADLINE, async || match store::parked::count(&store).await {
        Ok(1) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    fleet.expect_parked(1);
}
