//! Whether each queue is bound, which AMQP tells nobody: an empty message goes the way of the others, and what has no way
//! comes out of the alternate exchange, where it is waited for.
//!
//! Such a probe expires at once where nobody waits for it: its queue hands it on to the landing queue as a dead letter, and
//! whoever meets it there or on its way drops it (see [`contract::topology::PROBE`]). In the landing exchange a probe that
//! had no way is told from one that had by the death that only the latter has died.

use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::options::{
    BasicCancelOptions, BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation};
use uuid::Uuid;

use contract::topology::{LANDING, PROBE, RETRY};

use crate::topology::QueueDeclaration;

/// The header of whoever has been dead-lettered.
const DEATH: &str = "x-death";
/// Milliseconds after which a probe expires.
const EXPIRATION_MS: &str = "0";
/// A dead letter that found its way to the scratch queue just before that was unbound is there after so long.
const UNDER_WAY: Duration = Duration::from_millis(300);

/// The queues of `all` that their exchange has no binding for. The exchanges and the queues are there.
pub(super) async fn unbound(channel: Channel, all: &[QueueDeclaration]) -> lapin::Result<Vec<String>> {
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let mut unbound = Vec::new();
    for queue in all.iter().filter(|queue| queue.exchange == LANDING) {
        // the last of all exchanges has no alternate: who finds no way here comes back
        if publish(&channel, queue).await?.take_message().is_some() {
            unbound.push(queue.name.clone());
        }
    }
    let scratch = scratch(&channel).await?;
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let tag = ShortString::from("doctor");
    let mut back = channel.basic_consume(scratch.clone(), tag.clone(), options, FieldTable::default()).await?;
    for queue in all.iter().filter(|queue| queue.exchange != LANDING) {
        publish(&channel, queue).await?;
    }
    // the queue answers it after everything that it has delivered
    channel.basic_cancel(tag, BasicCancelOptions::default()).await?;
    while let Some(delivery) = back.next().await {
        let properties = delivery?.properties;
        let is_probe = properties.kind().as_ref().is_some_and(|kind| kind.as_str() == PROBE);
        let has_died = properties.headers().as_ref().is_some_and(|headers| headers.contains_key(DEATH));
        let name = properties.message_id().as_ref().map(ToString::to_string).unwrap_or_default();
        // another doctor's probes come here, too, and may be of queues that this one does not look at
        if is_probe && !has_died && all.iter().any(|queue| queue.name == name) && !unbound.contains(&name) {
            unbound.push(name);
        }
    }
    let none = FieldTable::default();
    channel.queue_unbind(scratch, LANDING.into(), "".into(), none).await?;
    tokio::time::sleep(UNDER_WAY).await;
    Ok(unbound)
}

/// A queue of this connection's own behind the landing exchange; it goes with the connection, and not before: dead letters
/// come here, too, and one that a queue does not confirm before it goes is under way for ever.
async fn scratch(channel: &Channel) -> lapin::Result<ShortString> {
    let name = ShortString::from(format!("muster.doctor.{}", Uuid::new_v4().simple()));
    let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(name.clone(), options, FieldTable::default()).await?;
    let none = FieldTable::default();
    channel.queue_bind(name.clone(), LANDING.into(), "".into(), QueueBindOptions::default(), none).await?;
    Ok(name)
}

/// Sends a probe the way of the queue's messages.
async fn publish(channel: &Channel, queue: &QueueDeclaration) -> lapin::Result<Confirmation> {
    // a rung's message comes home by its key, and this one is to have no home
    let key = match queue.exchange {
        RETRY => PROBE.to_owned(),
        _ => queue.routing_key.replace('#', PROBE),
    };
    let mut headers = FieldTable::default();
    // all but how the binding matches
    for (name, value) in queue.binding.inner().iter().filter(|(name, _)| name.as_str() != "x-match") {
        headers.insert(name.clone(), value.clone());
    }
    let properties = BasicProperties::default()
        .with_type(PROBE.into())
        .with_message_id(queue.name.as_str().into())
        .with_expiration(EXPIRATION_MS.into())
        .with_app_id(contract::envelope::APP_ID.into())
        .with_headers(headers);
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let sending = channel.basic_publish(queue.exchange.into(), key.into(), options, b"", properties).await?;
    sending.await
}
