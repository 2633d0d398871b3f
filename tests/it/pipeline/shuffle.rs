//! What a broker is allowed to do to a stream of messages between gateway and worker: any order, any number of copies.

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::FieldTable;
use rand::seq::SliceRandom as _;
use rand::{SeedableRng as _, rngs::StdRng};
use tests::{Client, Got};

/// Takes everything out of a queue and publishes it again in another order, every third message twice; how many copies.
pub(super) async fn shuffle_and_double(client: &Client, queue: &str, seed: u64) -> usize {
    let mut messages = client.get_all(queue).await;
    let doubles: Vec<Got> = messages.iter().skip(2).step_by(3).cloned().collect();
    messages.extend(doubles);
    messages.shuffle(&mut StdRng::seed_from_u64(seed));
    let copies = messages.len();
    publish_all(client, messages).await;
    copies
}

/// Publishes messages as they were, without what the broker wrote on them, and waits for all confirms.
pub(super) async fn publish_all(client: &Client, messages: Vec<Got>) {
    let channel = client.try_channel().await.expect("the broker is there");
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("the broker confirms");
    let mut confirms = Vec::with_capacity(messages.len());
    for message in messages {
        let mut headers = FieldTable::default();
        for (name, value) in message.properties.headers().iter().flat_map(FieldTable::inner) {
            if !name.as_str().starts_with("x-d") && !name.as_str().starts_with("x-first-death") {
                headers.insert(name.clone(), value.clone());
            }
        }
        let properties = message.properties.with_headers(headers);
        let (exchange, key) = (message.exchange.as_str().into(), message.routing_key.as_str().into());
        let options = BasicPublishOptions::default();
        let sent = channel.basic_publish(exchange, key, options, &message.body, properties).await;
        confirms.push(sent.expect("the channel is open"));
    }
    for confirm in confirms {
        assert!(confirm.await.expect("the broker answers").is_ack(), "the broker refused a message");
    }
}
