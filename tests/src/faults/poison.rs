//! Messages that nobody can read, webhooks that are odd in every way, and messages that kill whoever reads them.

use contract::topology::{self, Lane, Worker};
use contract::{AlertObserved, Message as _, Meta, alert_observed::Said};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use uuid::Uuid;

use super::{Case, Ground, Outcome, Trial};
use crate::{DEADLINE, Fleet, until};

pub(super) const CASES: &[Case] = &[
    Case::new("poison-unreadable", "messages of every unreadable sort beside the load: parked, once each", |ground| {
        Box::pin(unreadable(ground))
    })
    .everyday(),
    Case::new("poison-webhooks", "webhooks of 16 MiB, of no UTF-8, with NUL, surrogates, depth, long ids", |ground| {
        Box::pin(webhooks(ground))
    })
    .everyday(),
    Case::new(
        "poison-panic",
        "messages whose job panics: parked after their attempts, neighbours unharmed",
        |ground| Box::pin(panic(ground)),
    ),
    Case::new("poison-abort", "a message that ends its worker's process each time", |ground| {
        Box::pin(kills(ground, "aborts"))
    }),
    Case::new("poison-out-of-memory", "a message whose job takes memory without end", |ground| {
        Box::pin(kills(ground, "eats"))
    }),
    Case::new("poison-endless-loop", "a message whose job never ends and never waits", |ground| {
        Box::pin(kills(ground, "loops"))
    }),
];

/// Deeper than any reader goes.
const DEPTH: usize = 100_000;
/// Three as one of many, six alone, and then it is parked; a death between two runs may count for none.
const DEATHS_MIN: usize = 6;
/// Deaths after which a message is parked, and then some.
const DEATHS_MAX: usize = 30;
/// Of a worker that loops; the product's own are 30 s each.
const STUCK_MS_MAX: u32 = 2_000;
const JOB_MS_MAX: u32 = 3_000;
/// Of the ladder, so that ten attempts take seconds.
const RETRY_BASE_MS: u32 = 1;
/// Far above what a worker needs, and nothing to a job that eats without end.
const MEMORY_BYTES_MAX: u64 = 8 << 30;
const MIB: usize = 1 << 20;

async fn unreadable(ground: Ground) -> Outcome {
    let mut trial = Trial::start(ground, Fleet::builder().workers(2)).await;
    let (own, other) = (trial.sides()[0].tenant, trial.sides()[1].integration_id);
    let foreign = AlertObserved::bare(other, chrono::Utc::now(), Said::Open, "agent");
    let bodies: Vec<Vec<u8>> = vec![
        b"\xff\xfe\xfd".to_vec(),
        b"\0\0\0".to_vec(),
        Vec::new(),
        b"[]".to_vec(),
        "[".repeat(DEPTH).into_bytes(),
        br#"{"agent_id":"\ud800"}"#.to_vec(),
        vec![b'x'; 16 * MIB],
        // another tenant's connection
        serde_json::to_vec(&foreign).expect("it is JSON"),
    ];
    trial.expect_parked(bodies.len() as u64);
    trial.load(100, 1_000);
    for body in bodies {
        trial.under_way(20).await;
        publish(&trial, own, &body).await;
    }
    trial.healed().await;
    trial.until_parked().await;
    trial.finish().await
}

/// Publishes a message of the alert worker's own kind, whatever its body.
async fn publish(trial: &Trial, tenant: Uuid, body: &[u8]) {
    let meta = Meta::first::<AlertObserved>(tenant, &[body], chrono::Utc::now(), None);
    let mut headers = FieldTable::default();
    headers.insert("x-muster-tenant".into(), AMQPValue::LongString(tenant.to_string().into()));
    headers.insert("x-muster-attempt".into(), AMQPValue::LongInt(0));
    let first_ms = meta.first_published_at.timestamp_millis();
    headers.insert("x-muster-first-published".into(), AMQPValue::LongLongInt(first_ms));
    let properties = BasicProperties::default()
        .with_message_id(meta.message_id.as_str().into())
        .with_type(AlertObserved::KIND.into())
        .with_delivery_mode(2)
        .with_headers(headers);
    let key = topology::routing_key(Worker::Alert, Lane::Main, AlertObserved::KIND);
    assert!(trial.fleet.amqp().publish(topology::WORK, &key, properties, body).await, "the broker takes it");
}

async fn webhooks(ground: Ground) -> Outcome {
    let mut trial = Trial::start(ground, Fleet::builder().workers(2)).await;
    trial.load(100, 1_000);
    let (long, deep) = ("x".repeat(300), "[".repeat(DEPTH));
    let bodies: Vec<Vec<u8>> = vec![
        vec![b'x'; 16 * MIB],
        b"{\"agent_id\":\"a\xff\xfe\"}".to_vec(),
        br#"{"agent_id":"a\u0000b","alert_id":1,"message":"\u0000"}"#.to_vec(),
        br#"{"agent_id":"a\ud800b","alert_id":2,"message":"\udc00\ud800"}"#.to_vec(),
        format!(r#"{{"agent_id":"a","alert_id":3,"deep":{deep}"#).into_bytes(),
        format!(r#"{{"agent_id":"{long}","alert_id":"{long}","alert_type":"{long}"}}"#).into_bytes(),
        br#"{"agent_id":"a","alert_id":99999999999999999999999999,"alert_time":"the day before"}"#.to_vec(),
        format!(r#"{{"agent_id":"a","alert_id":4,"message":"{}"}}"#, "y".repeat(400_000)).into_bytes(),
    ];
    for body in bodies {
        let begins = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let status = trial.bystander_sends(body).await;
        let is_answered = status.is_none_or(|status| status < 500);
        assert!(is_answered, "{status:?} is the gateway's fault, not that of {begins:?}");
    }
    trial.healed().await;
    trial.finish().await
}

async fn panic(ground: Ground) -> Outcome {
    let (mut trial, _) = poisoned(ground).await;
    trial.expect_parked(2);
    for side in 0..2 {
        plant(&trial, side, "panics").await;
    }
    // its neighbours do not wait for its end
    trial.healed().await;
    trial.under_way(300).await;
    trial.healed().await;
    trial.until_parked().await;
    trial.healed().await;
    trial.finish().await
}

async fn kills(ground: Ground, what: &str) -> Outcome {
    let (mut trial, mut place) = poisoned(ground).await;
    trial.fleet().worker(place).may_end();
    trial.expect_parked(1);
    plant(&trial, 0, what).await;
    let mut deaths = 0;
    let store = trial.fleet().store();
    // it is started again as a service manager does, until what kills it is parked
    until(DEADLINE * 15, async || {
        if trial.fleet().worker(place).ended().is_some() {
            deaths += 1;
            assert!(deaths < DEATHS_MAX, "nobody parks what kills its worker");
            place = begin_poisoned(&mut trial);
            trial.fleet().worker(place).may_end();
        }
        match store::parked::count(&store).await {
            Ok(1) => Ok(()),
            other => Err(format!("{deaths} deaths, parked: {other:?}")),
        }
    })
    .await;
    assert!(deaths >= DEATHS_MIN, "it was parked although it killed its worker {deaths} times only");
    trial.fault_ended();
    trial.fleet().add_worker().await;
    // it may be ending by itself still; where it lives it is short of patience and of memory, which is for the case alone
    let _ = trial.fleet().worker(place).terminate(DEADLINE * 2).await;
    // each death took some along
    trial.spans_are_lost();
    trial.healed().await;
    trial.finish().await
}

/// A trial under load whose only worker does what an alert worker does, and what a message's agent tells it to.
async fn poisoned(ground: Ground) -> (Trial, usize) {
    let builder = Fleet::builder().workers(1).set("MUSTER_RETRY_BASE_MS", RETRY_BASE_MS);
    let mut trial = Trial::start(ground, builder).await;
    let place = begin_poisoned(&mut trial);
    trial.fleet().worker_ready(place).await;
    let status = trial.fleet().worker(0).terminate(DEADLINE * 2).await;
    assert!(status.success(), "a worker that was told to stop ends well");
    trial.load(20, 100_000);
    (trial, place)
}

fn begin_poisoned(trial: &mut Trial) -> usize {
    let (stuck, job) = (STUCK_MS_MAX.to_string(), JOB_MS_MAX.to_string());
    let settings = [("MUSTER_STUCK_MS_MAX", stuck.as_str()), ("MUSTER_JOB_TIMEOUT_MS", job.as_str())];
    let place = trial.fleet().begin_worker_of("trial-worker", &settings);
    trial.fleet().worker(place).limit(&format!("--as={MEMORY_BYTES_MAX}"));
    place
}

/// Publishes a sound message that tells a poisoned worker what to do.
async fn plant(trial: &Trial, side: usize, agent: &str) {
    let side = &trial.sides()[side];
    let alert = AlertObserved::bare(side.integration_id, chrono::Utc::now(), Said::Open, agent);
    publish(trial, side.tenant, &serde_json::to_vec(&alert).expect("it is JSON")).await;
}
