//! What a broker and a network may do to the order of things: any of it, and any number of copies.

use contract::topology::{self, Lane, Worker};
use lapin::ExchangeKind;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions};
use lapin::types::FieldTable;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};

use super::{Case, Ground, Outcome, Trial};
use crate::{Client, Fleet, Got};

pub(super) const CASES: &[Case] = &[
    Case::new("order-shuffled", "every message three times in any order, to four workers; 100 seeds", |ground| {
        Box::pin(shuffled(ground))
    })
    .everyday(),
    Case::new("order-resolve-first", "every resolve long before its open", |ground| Box::pin(resolve_first(ground)))
        .everyday(),
];

/// What the gateway publishes lies here instead of in the worker's queue.
const CAUGHT: &str = "trial.caught";
/// Leads to the worker's queue by any key.
const AGAIN: &str = "trial.again";
/// Webhooks of each server in one round.
const ROUND: u64 = 20;

async fn shuffled(ground: Ground) -> Outcome {
    let (rounds, seed) = (ground.pick(3, 100), ground.seed);
    let mut trial = Trial::start(ground, Fleet::builder().workers(4)).await;
    catch(trial.fleet().amqp()).await;
    for round in 0..rounds {
        storm(&trial, ROUND).await;
        let caught = caught(trial.fleet().amqp()).await;
        let mut copies: Vec<Got> = caught.iter().cycle().take(caught.len() * 3).cloned().collect();
        let mut rng = StdRng::seed_from_u64(seed.wrapping_mul(1_000).wrapping_add(round));
        copies.shuffle(&mut rng);
        // some of them only with the next round
        let later = copies.split_off(copies.len() - rng.random_range(0..=copies.len() / 4));
        publish_to(trial.fleet().amqp(), AGAIN, copies).await;
        publish_to(trial.fleet().amqp(), AGAIN, later).await;
    }
    trial.healed().await;
    release(trial.fleet().amqp()).await;
    trial.finish().await
}

async fn resolve_first(ground: Ground) -> Outcome {
    let webhooks = ground.pick(100, 1_000);
    let mut trial = Trial::start(ground, Fleet::builder().workers(2)).await;
    catch(trial.fleet().amqp()).await;
    storm(&trial, webhooks).await;
    let caught = caught(trial.fleet().amqp()).await;
    let (resolves, opens): (Vec<Got>, Vec<Got>) = caught.into_iter().partition(is_resolve);
    assert!(!resolves.is_empty() && !opens.is_empty(), "a storm has both");
    publish_to(trial.fleet().amqp(), AGAIN, resolves).await;
    trial.fleet.until_idle().await;
    publish_to(trial.fleet().amqp(), AGAIN, opens).await;
    trial.healed().await;
    release(trial.fleet().amqp()).await;
    trial.finish().await
}

fn is_resolve(got: &Got) -> bool {
    let body: serde_json::Value = serde_json::from_slice(&got.body).expect("the gateway publishes JSON");
    body["event"] == "resolve"
}

/// So many webhooks of each server, all answered.
pub(super) async fn storm(trial: &Trial, webhooks: u64) {
    for side in trial.sides() {
        side.control().storm(webhooks);
    }
    for side in trial.sides() {
        side.until_answered().await;
    }
}

fn main_queue() -> String {
    topology::queue(Worker::Alert, Lane::Main)
}

/// The keys of the alert worker's main lane.
fn keys() -> String {
    format!("{}.{}.#", Worker::Alert.as_str(), Lane::Main.as_str())
}

/// From now on what is published for the alert worker's main lane is caught.
pub(super) async fn catch(client: &Client) {
    client.bind_queue(CAUGHT, topology::WORK, &keys()).await;
    let channel = client.try_channel().await.expect("the broker is there");
    let none = FieldTable::default;
    let unbound = channel.queue_unbind(main_queue().into(), topology::WORK.into(), keys().into(), none()).await;
    unbound.expect("it was bound");
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let declared = channel.exchange_declare(AGAIN.into(), ExchangeKind::Topic, options, none()).await;
    declared.expect("there is no such exchange yet");
    let bound =
        channel.queue_bind(main_queue().into(), AGAIN.into(), "#".into(), QueueBindOptions::default(), none()).await;
    bound.expect("the queue is there");
}

/// Ends [`catch`].
pub(super) async fn release(client: &Client) {
    let channel = client.try_channel().await.expect("the broker is there");
    let none = FieldTable::default();
    let options = QueueBindOptions::default();
    let bound = channel.queue_bind(main_queue().into(), topology::WORK.into(), keys().into(), options, none).await;
    bound.expect("the queue is there");
    client.delete_queue(CAUGHT).await;
}

/// Takes what was caught so far.
pub(super) async fn caught(client: &Client) -> Vec<Got> {
    client.get_all(CAUGHT).await
}

/// Publishes what was caught as it was, and waits for all confirms.
pub(super) async fn publish_to(client: &Client, exchange: &str, messages: Vec<Got>) {
    let channel = client.try_channel().await.expect("the broker is there");
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("the broker confirms");
    let mut confirms = Vec::with_capacity(messages.len());
    for Got { body, properties, routing_key, .. } in messages {
        let options = BasicPublishOptions::default();
        let sent =
            channel.basic_publish(exchange.into(), routing_key.as_str().into(), options, &body, properties).await;
        confirms.push(sent.expect("the channel is open"));
    }
    for confirm in confirms {
        assert!(confirm.await.expect("the broker answers").is_ack(), "the broker refused a message");
    }
}
