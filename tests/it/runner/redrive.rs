//! Parked messages that are sent again, by a worker that runs meanwhile.

use contract::topology::{self, Lane, Worker};
use serde_json::json;
use store::parked::{self, BATCH_ROWS_MAX, Parked, ParkedState, Selection};
use store::testing::entry;
use tests::{DEADLINE, until};
use uuid::Uuid;

use super::scripted::{KIND, Scripted, TENANT, observed};
use super::suspect;

/// A message as it stands in the table.
pub(crate) fn row(tenant: Uuid, agent: &str, state: ParkedState) -> Parked {
    Parked {
        tenant: Some(tenant),
        kind: Some(KIND.to_owned()),
        message_id: Some(agent.to_owned()),
        class: "retryable".to_owned(),
        reason: "retryable: no".to_owned(),
        attempt: 9,
        worker_version: "scripted 0".to_owned(),
        state,
        exchange: topology::WORK.to_owned(),
        routing_key: topology::routing_key(Worker::Alert, Lane::Main, KIND),
        queue: Some(topology::queue(Worker::Alert, Lane::Main)),
        headers: json!({"x-death": "[count=1]"}),
        body: serde_json::to_vec(&observed(agent)).expect("it is JSON"),
        traceparent: None,
        // far over the age at which a message that fails is parked
        first_published_at: Some(chrono::DateTime::UNIX_EPOCH),
    }
}

/// Parks so many, each of an agent of its own: made by the server from one row, as inserts would be the slowest part.
async fn park(world: &Scripted, messages: usize) {
    let first = [row(TENANT, "agent 0", ParkedState::Parked)];
    parked::insert(&world.database().store(), &first).await.expect("the database answers");
    let more = format!(
        "insert into muster.parked
            (dedup, tenant, kind, message_id, class, reason, attempt, worker_version, exchange, routing_key, headers, body)
         select n::text, p.tenant, p.kind, 'agent ' || n, p.class, p.reason, p.attempt, p.worker_version, p.exchange,
                p.routing_key, p.headers, convert_to(replace(convert_from(p.body, 'UTF8'), 'agent 0', 'agent ' || n), 'UTF8')
         from muster.parked p, generate_series(1, {}) n",
        messages - 1
    );
    world.database().execute(&more).await;
}

#[tokio::test]
async fn a_redriven_message_has_all_its_attempts_and_its_age_anew() {
    let worker = Scripted::start(|args| args.worker.attempts_max = 3).await;
    let store = worker.database().store();
    parked::insert(&store, &[row(TENANT, "fails", ParkedState::Parked)]).await.expect("the database answers");
    let first = worker.until_parked(1).await.remove(0).parked_id;
    let sent = parked::redrive(&store, &Selection::default(), first, 1, &entry("parked.redrive")).await;
    assert_eq!(sent.expect("the database answers"), 1);
    let again = until(DEADLINE, async || {
        let rows = parked::list(&store, 2).await.map_err(|error| error.to_string())?;
        rows.into_iter().find(|row| row.parked_id != first).ok_or("not parked again".to_owned())
    })
    .await;
    assert_eq!((again.class.as_str(), again.attempt, worker.runs_of("fails")), ("retryable", 2, 3));
    worker.stop_empty().await;
}

#[tokio::test]
async fn twenty_thousand_parked_messages_are_sent_again_and_each_is_applied() {
    const MESSAGES: usize = 20_000;
    let worker = Scripted::start(|_| {}).await;
    let store = worker.database().store();
    park(&worker, MESSAGES).await;
    let (all, entry) = (Selection::default(), entry("parked.redrive"));
    let matched = parked::matched(&store, &all).await.expect("the database answers");
    assert_eq!((matched.total, matched.sendable), (MESSAGES as i64, MESSAGES as i64));
    let mut batches = 0;
    while parked::redrive(&store, &all, matched.up_to, BATCH_ROWS_MAX, &entry).await.expect("the database answers") > 0
    {
        batches += 1;
    }
    assert_eq!(batches, MESSAGES / usize::from(BATCH_ROWS_MAX));
    let mut applied = 0;
    while applied < MESSAGES {
        // however slow the machine is, it goes on
        applied = until(DEADLINE, async || match worker.applied_count() {
            more if more > applied => Ok(more),
            same => Err(same),
        })
        .await;
    }
    until(DEADLINE, async || match worker.applied().len() {
        MESSAGES => Ok(()),
        distinct => Err(distinct),
    })
    .await;
    worker.until_parked(0).await;
    worker.stop_empty().await;
}

#[tokio::test]
async fn a_redrive_whose_worker_is_killed_in_every_batch_loses_nothing() {
    const MESSAGES: usize = 1_000;
    const BATCH: u16 = 200;
    let world = Scripted::declared(|_| {}).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("applied");
    park(&world, MESSAGES).await;
    let (store, all, entry) = (world.database().store(), Selection::default(), entry("parked.redrive"));
    let up_to = parked::newest(&store).await.expect("the database answers");
    let mut worker = suspect::start(&world, &file);
    for _ in 0..MESSAGES / usize::from(BATCH) {
        let before = suspect::applied(&file).len();
        let sent = parked::redrive(&store, &all, up_to, BATCH, &entry).await.expect("the database answers");
        assert_eq!(sent, u64::from(BATCH));
        until(DEADLINE, async || match suspect::applied(&file).len() {
            more if more > before => Ok(()),
            same => Err(same),
        })
        .await;
        // somewhere between the claim of the batch and its last acknowledgement
        worker.kill();
        worker = suspect::start(&world, &file);
    }
    until(DEADLINE * 2, async || match suspect::applied(&file).len() {
        MESSAGES => Ok(()),
        applied => Err(applied),
    })
    .await;
    world.until_parked(0).await;
    until(DEADLINE, async || match store::outbox::count(&store).await.map_err(|error| error.to_string())? {
        0 => Ok(()),
        left => Err(format!("{left} rows in the outbox")),
    })
    .await;
    world.until_empty().await;
    assert!(worker.terminate(DEADLINE * 2).await.success());
    world.assert_empty().await;
}
