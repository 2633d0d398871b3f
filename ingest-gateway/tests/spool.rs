//! The spool behind the hedge: what the broker does not take is accepted all the same, and published later.
#![allow(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

mod http_support;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http_support::{BODY, FakeBroker, FakeSource, PEPPER, Shared, SharedBroker, World, config, until};
use ingest_gateway::{Outside, RunError, start};
use secrecy::SecretString;
use spool::{Limits, Record, Spool};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

fn body(agent: &str) -> String {
    BODY.replace("AgentOne", agent)
}

/// The agents of what the broker has, each once.
fn agents(world: &World) -> Vec<String> {
    let mut agents: Vec<String> = world.published().into_iter().map(|(_, alert)| alert.agent_id).collect();
    agents.sort();
    agents.dedup();
    agents
}

/// The spool of a gateway that has ended.
fn left(folder: &Arc<TempDir>) -> Spool {
    Spool::open(&folder.path().join("spool"), Limits::default()).unwrap().0
}

fn agent(record: &Record) -> String {
    serde_json::from_slice::<contract::AlertObserved>(&record.body).unwrap().agent_id
}

#[tokio::test]
async fn what_the_broker_does_not_take_is_accepted_and_published_once_it_does() {
    let world = World::start(&[]).await;
    world.broker.not_ready.store(true, Ordering::SeqCst);
    world.broker.fails.store(true, Ordering::SeqCst);
    let mut ids = Vec::new();
    for agent in ["a", "b", "c"] {
        let answer = world.post_good(&body(agent)).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        ids.push(answer.json["event_id"].as_str().unwrap().to_owned());
    }
    assert!(world.published().is_empty());
    assert_eq!(world.get("/readyz").await.0, 200, "a broker that is away makes no gateway unready");

    let back = chrono::Utc::now();
    world.broker.fails.store(false, Ordering::SeqCst);
    world.broker.not_ready.store(false, Ordering::SeqCst);
    until("the spool is empty", async || world.published().len() == 3).await;
    assert!(world.published().iter().all(|(meta, _)| meta.first_published_at >= back), "nobody finds them old");
    let mut published: Vec<String> = world.published().into_iter().map(|(meta, _)| meta.message_id).collect();
    published.sort();
    ids.sort();
    assert_eq!(published, ids);
    assert!(world.published().iter().all(|(meta, _)| meta.traceparent.is_some()), "the trace goes on");
    assert!(left(&world.stop().await).is_empty());
}

#[tokio::test]
async fn a_gateway_whose_drain_dies_drains_what_it_can_and_ends_and_keeps_its_spool() {
    let mut world = World::start(&[]).await;
    world.broker.fails.store(true, Ordering::SeqCst);
    assert_eq!(world.post_good(&body("a")).await.status, 202);
    world.broker.panics.store(true, Ordering::SeqCst);
    until("it stops by itself", async || world.cancel.is_cancelled()).await;
    world.running.take().unwrap().stopped().await;
    assert!(!left(&world.folder).is_empty());
}

#[tokio::test]
async fn nobody_waits_for_a_broker_that_hangs_once_it_has_missed_three_times() {
    let world = World::start(&["--spool-after-ms", "50"]).await;
    world.broker.hold.store(true, Ordering::SeqCst);
    for number in 0..20 {
        assert_eq!(world.post_good(&body(&format!("{number:02}"))).await.status, 202);
    }
    // three that somebody waited for, and one that the drain tries
    let offers = world.broker.offers.load(Ordering::SeqCst);
    assert!(offers <= 4, "{offers} publishes for 20 webhooks");
    world.broker.hold.store(false, Ordering::SeqCst);
    until("all are published, some twice", async || {
        world.broker.release.notify_waiters();
        agents(&world).len() == 20
    })
    .await;
    // a confirm has come: the broker is asked first again
    let before = world.broker.offers.load(Ordering::SeqCst);
    until("the spool is empty", async || world.get("/metrics").await.1.contains("muster_spool_records 0")).await;
    assert_eq!(world.post_good(&body("last")).await.status, 202);
    assert!(world.broker.offers.load(Ordering::SeqCst) > before);
    assert!(left(&world.stop().await).is_empty());
}

#[tokio::test]
async fn a_late_confirm_makes_a_second_copy_with_the_same_id() {
    let world = World::start(&["--spool-after-ms", "50"]).await;
    world.broker.hold.store(true, Ordering::SeqCst);
    let answer = world.post_good(BODY).await;
    assert_eq!(answer.status, 202);
    world.broker.hold.store(false, Ordering::SeqCst);
    until("both copies are published", async || {
        world.broker.release.notify_waiters();
        world.published().len() == 2
    })
    .await;
    for (meta, _) in world.published() {
        assert_eq!(meta.message_id, answer.json["event_id"].as_str().unwrap());
    }
}

#[tokio::test]
async fn a_confirm_that_is_late_is_waited_for_where_the_spool_is_full() {
    let world = World::start(&["--spool-after-ms", "50", "--spool-bytes-max", "1"]).await;
    world.broker.hold.store(true, Ordering::SeqCst);
    let release = async {
        until("it was offered", async || world.broker.offers.load(Ordering::SeqCst) == 1).await;
        until("the wait is over", async || world.get("/metrics").await.1.contains("outcome=\"full\"")).await;
        world.broker.hold.store(false, Ordering::SeqCst);
        world.broker.release.notify_waiters();
    };
    let (answer, ()) = tokio::join!(world.post_good(BODY), release);
    assert_eq!(answer.status, 202, "{answer:?}");
}

#[tokio::test]
async fn a_broker_that_answers_again_is_noticed_although_the_spool_takes_nothing() {
    let world = World::start(&["--spool-after-ms", "5", "--spool-bytes-max", "1"]).await;
    world.broker.hold.store(true, Ordering::SeqCst);
    // each is given up once told to
    world.broker.fails.store(true, Ordering::SeqCst);
    for _ in 0..4 {
        let answer = tokio::select! {
            answer = world.post_good(BODY) => answer,
            () = release_all(&world) => unreachable!("it never ends"),
        };
        assert_eq!(answer.status, 503, "{answer:?}");
        assert_eq!(answer.header("retry-after"), Some("5"));
    }
    world.broker.fails.store(false, Ordering::SeqCst);
    world.broker.hold.store(false, Ordering::SeqCst);
    assert_eq!(world.post_good(BODY).await.status, 202);
    assert_eq!(world.post_good(BODY).await.status, 202);
}

/// Lets every publish that is held go on, for ever.
async fn release_all(world: &World) {
    loop {
        world.broker.release.notify_waiters();
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_message_that_is_refused_five_times_is_set_aside_and_the_rest_goes_on() {
    let world = World::start(&[]).await;
    *world.broker.refuses.lock().unwrap() = Some("bad".to_owned());
    for agent in ["bad", "good", "bad", "fine"] {
        assert_eq!(world.post_good(&body(agent)).await.status, 202);
    }
    until("it is given up", async || {
        // what shows that the broker refuses these and not everything
        assert_eq!(world.post_good(&body("good")).await.status, 202);
        world.get("/metrics").await.1.contains("muster_spool_set_aside 2")
    })
    .await;
    assert_eq!(agents(&world), ["fine", "good"]);
    let spool = left(&world.stop().await);
    assert!(spool.is_empty());
    let aside = spool.read_aside(0, 10).unwrap();
    let aside: Vec<String> = aside.iter().map(|entry| agent(&Record::decode(&entry.bytes).unwrap())).collect();
    assert_eq!(aside, ["bad", "bad"]);
}

#[tokio::test]
async fn a_broker_that_refuses_everything_for_long_finds_everything_once_it_does_not() {
    const WEBHOOKS: usize = 100;
    let world = World::start(&[]).await;
    *world.broker.refuses.lock().unwrap() = Some("bad".to_owned());
    for _ in 0..WEBHOOKS {
        assert_eq!(world.post_good(&body("bad")).await.status, 202);
    }
    // once by the webhook, and more often by the drain than would set all of them aside
    until("each was refused often", async || world.broker.offers.load(Ordering::SeqCst) > WEBHOOKS * 10).await;
    *world.broker.refuses.lock().unwrap() = None;
    until("all are published", async || world.published().len() >= WEBHOOKS).await;
    let spool = left(&world.stop().await);
    let figures = spool.figures();
    assert_eq!((figures.records, figures.set_aside), (0, 0));
}

#[tokio::test]
async fn at_its_quota_a_gateway_without_broker_stays_unready_and_says_why() {
    // room for one webhook, and some bytes
    let world = World::start(&["--spool-bytes-max", "1200"]).await;
    world.broker.not_ready.store(true, Ordering::SeqCst);
    world.broker.fails.store(true, Ordering::SeqCst);
    assert_eq!(world.post_good(BODY).await.status, 202);
    assert_eq!(world.post_good(BODY).await.status, 503);
    until("it is told", async || world.get("/metrics").await.1.contains("muster_spool_refusing 1")).await;
    assert_eq!(world.get("/readyz").await.0, 503);
    world.broker.fails.store(false, Ordering::SeqCst);
    world.broker.not_ready.store(false, Ordering::SeqCst);
    until("it has room again", async || world.get("/metrics").await.1.contains("muster_spool_refusing 0")).await;
}

#[tokio::test]
async fn a_restart_without_broker_and_postgres_keeps_what_is_spooled_and_takes_more() {
    let world = World::start(&[]).await;
    world.broker.not_ready.store(true, Ordering::SeqCst);
    world.broker.fails.store(true, Ordering::SeqCst);
    assert_eq!(world.post_good(&body("before")).await.status, 202);
    let folder = world.stop().await;

    let world = World::start_with(FakeSource::away(), Some(folder), &[]).await;
    world.broker.not_ready.store(true, Ordering::SeqCst);
    world.broker.fails.store(true, Ordering::SeqCst);
    assert_eq!(world.get("/readyz").await, (200, "ready\n".to_owned()));
    assert_eq!(world.post_good(&body("later")).await.status, 202);
    world.broker.fails.store(false, Ordering::SeqCst);
    world.broker.not_ready.store(false, Ordering::SeqCst);
    until("all are published", async || agents(&world) == ["before", "later"]).await;
}

#[tokio::test]
async fn a_gateway_that_is_told_to_stop_empties_its_spool_first() {
    let world = World::start(&[]).await;
    world.broker.not_ready.store(true, Ordering::SeqCst);
    world.broker.fails.store(true, Ordering::SeqCst);
    for number in 0..200 {
        assert_eq!(world.post_good(&body(&number.to_string())).await.status, 202);
    }
    world.broker.fails.store(false, Ordering::SeqCst);
    world.broker.not_ready.store(false, Ordering::SeqCst);
    let broker = Arc::clone(&world.broker);
    let folder = world.stop().await;
    assert_eq!(broker.published.lock().unwrap().len(), 200);
    assert!(left(&folder).is_empty());
}

#[tokio::test]
async fn a_second_gateway_on_the_same_folder_does_not_start() {
    let world = World::start(&[]).await;
    let outside = Outside {
        hooks: Arc::new(Shared(FakeSource::away())),
        publisher: Arc::new(SharedBroker(Arc::new(FakeBroker::default()))),
        metrics: telemetry::init("ingest-gateway-test", &telemetry::Config::default()).unwrap().metrics(),
    };
    let config = config(world.folder.path(), &[]);
    let second = start(&config, SecretString::from(PEPPER), outside, CancellationToken::new()).await;
    let error = second.unwrap_err();
    assert!(matches!(error, RunError::Spool(_)), "{error}");
    let text = error.to_string();
    assert!(text.contains("--spool-dir") && text.contains("belongs to a process"), "{text}");
}
