//! Declares every exchange and queue, and waits until they may be trusted. Targets come first, so that no message can
//! find its dead-letter exchange missing.
//!
//! Everything that matters is an argument, since policies cannot be set over AMQP. There are no length limits: a full
//! work queue delays retries for minutes and a full dead-letter target fills its source invisibly.

use std::time::Duration;

use contract::topology::{self, Ladder, Lane, Worker};
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ExchangeKind};

use crate::config::Config;
use crate::headers::text;
use crate::link::{LinkError, connect, request};

/// After how many returns the broker gives a message up and dead-letters it. Never -1, which drops it at its first
/// return on 3.10.
pub const DELIVERY_LIMIT: i64 = 50;

/// The landing queue's limit: the last resort gives nothing up, and 4.x would give up after 20 by default.
const LANDING_DELIVERY_LIMIT: i64 = 1_000_000_000;

/// When a declare is followed by the wait that makes its queues safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settle {
    /// Always: on a process's first connection, since another process may have declared the queues just now.
    Always,
    /// Where a queue was missing: on a reconnect.
    IfNew,
}

/// Declares what is missing, proves that the rest is what we would have declared, and waits until it is safe.
///
/// # Errors
/// [`LinkError`]: an existing exchange or queue differs, or one does not answer.
pub async fn declare(connection: &Connection, config: &Config, settle: Settle) -> Result<(), LinkError> {
    let limit = config.request_timeout();
    let ladder = config.ladder();
    let is_new = any_queue_missing(connection, &ladder, limit).await?;
    let channel = request(limit, "cannot open a channel", connection.create_channel()).await?;
    for declaration in exchanges() {
        declare_exchange(&channel, declaration, limit).await?;
    }
    for declaration in queues(&ladder) {
        declare_queue(&channel, declaration, limit).await?;
    }
    request(limit, "cannot close a channel", channel.close(200, "declared".into())).await?;
    if is_new || settle == Settle::Always {
        tokio::time::sleep(Duration::from_millis(config.amqp_settle_ms)).await;
    }
    Ok(())
}

/// Declares, on a connection of its own, what is missing: a binding that somebody took away breaks no connection, so nobody
/// would come to declare it anew.
///
/// # Errors
/// As [`declare`], or there is no connection.
pub async fn heal(config: &Config, name: &str) -> Result<(), LinkError> {
    let connection = connect(config, name).await?;
    declare(&connection, config, Settle::IfNew).await?;
    let _ = tokio::time::timeout(config.request_timeout(), connection.close(200, "declared".into())).await;
    Ok(())
}

pub(crate) struct ExchangeDeclaration {
    pub(crate) name: &'static str,
    pub(crate) kind: ExchangeKind,
    alternate: Option<&'static str>,
}

impl ExchangeDeclaration {
    pub(crate) fn arguments(&self) -> FieldTable {
        let mut arguments = FieldTable::default();
        if let Some(alternate) = self.alternate {
            arguments.insert("alternate-exchange".into(), text(alternate));
        }
        arguments
    }
}

pub(crate) fn exchanges() -> [ExchangeDeclaration; 4] {
    let landing = Some(topology::LANDING);
    [
        ExchangeDeclaration { name: topology::LANDING, kind: ExchangeKind::Fanout, alternate: None },
        ExchangeDeclaration { name: topology::WORK, kind: ExchangeKind::Topic, alternate: landing },
        ExchangeDeclaration { name: topology::RETRY, kind: ExchangeKind::Headers, alternate: landing },
        ExchangeDeclaration { name: topology::EVENTS, kind: ExchangeKind::Topic, alternate: None },
    ]
}

pub(crate) struct QueueDeclaration {
    pub(crate) name: String,
    pub(crate) arguments: FieldTable,
    pub(crate) exchange: &'static str,
    pub(crate) routing_key: String,
    pub(crate) binding: FieldTable,
}

/// The landing queue, the work queues and the rungs, in the order in which they must come to be.
pub(crate) fn queues(ladder: &Ladder) -> Vec<QueueDeclaration> {
    let mut queues = vec![QueueDeclaration {
        name: topology::LANDING.to_owned(),
        arguments: quorum(&[("x-delivery-limit", AMQPValue::LongLongInt(LANDING_DELIVERY_LIMIT))]),
        exchange: topology::LANDING,
        routing_key: String::new(),
        binding: FieldTable::default(),
    }];
    for worker in Worker::ALL {
        queues.extend(Lane::ALL.iter().map(|lane| work_queue(*worker, *lane)));
    }
    queues.extend(ladder.rungs().iter().map(|rung| rung_queue(*rung)));
    queues
}

fn work_queue(worker: Worker, lane: Lane) -> QueueDeclaration {
    QueueDeclaration {
        name: topology::queue(worker, lane),
        arguments: dead_lettering(topology::LANDING, ("x-delivery-limit", AMQPValue::LongLongInt(DELIVERY_LIMIT))),
        exchange: topology::WORK,
        routing_key: topology::binding_key(worker, lane),
        binding: FieldTable::default(),
    }
}

/// No dead-letter routing key: the message returns to the work exchange with the key that it was first published with.
/// `all-with-x`, because plain `all` ignores headers that begin with `x-`.
fn rung_queue(rung: Duration) -> QueueDeclaration {
    let ttl_ms = i64::try_from(rung.as_millis()).unwrap_or(i64::MAX);
    let mut binding = FieldTable::default();
    binding.insert("x-match".into(), text("all-with-x"));
    binding.insert(contract::envelope::RUNG.into(), text(&topology::rung_header(rung)));
    QueueDeclaration {
        name: topology::rung_queue(rung),
        arguments: dead_lettering(topology::WORK, ("x-message-ttl", AMQPValue::LongLongInt(ttl_ms))),
        exchange: topology::RETRY,
        routing_key: String::new(),
        binding,
    }
}

pub(crate) fn quorum(more: &[(&str, AMQPValue)]) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    for (name, value) in more {
        arguments.insert((*name).into(), value.clone());
    }
    arguments
}

/// At-least-once dead-lettering, which needs `reject-publish`; the default strategy drops on a failover.
fn dead_lettering(target: &str, limit: (&str, AMQPValue)) -> FieldTable {
    quorum(&[
        ("x-dead-letter-exchange", text(target)),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
        limit,
    ])
}

/// Asks for each queue without declaring it; a missing one costs its channel, so the first one ends the search.
async fn any_queue_missing(connection: &Connection, ladder: &Ladder, limit: Duration) -> Result<bool, LinkError> {
    let channel = request(limit, "cannot open a channel", connection.create_channel()).await?;
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::durable() };
    for queue in queues(ladder) {
        let what = format!("cannot look for the queue {}", queue.name);
        let name = queue.name.as_str().into();
        match request(limit, what, channel.queue_declare(name, passive, FieldTable::default())).await {
            Ok(_) => {}
            Err(LinkError::Amqp { .. }) => return Ok(true),
            Err(silent) => return Err(silent),
        }
    }
    request(limit, "cannot close a channel", channel.close(200, "looked".into())).await?;
    Ok(false)
}

async fn declare_exchange(channel: &Channel, it: ExchangeDeclaration, limit: Duration) -> Result<(), LinkError> {
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let arguments = it.arguments();
    let declaring = channel.exchange_declare(it.name.into(), it.kind, options, arguments);
    request(limit, format!("cannot declare the exchange {}", it.name), declaring).await
}

async fn declare_queue(channel: &Channel, it: QueueDeclaration, limit: Duration) -> Result<(), LinkError> {
    let name = it.name.as_str();
    let declaring = channel.queue_declare(name.into(), QueueDeclareOptions::durable(), it.arguments);
    request(limit, format!("cannot declare the queue {name}"), declaring).await?;
    let (exchange, key) = (it.exchange.into(), it.routing_key.as_str().into());
    let binding = channel.queue_bind(name.into(), exchange, key, QueueBindOptions::default(), it.binding);
    request(limit, format!("cannot bind the queue {name} to {}", it.exchange), binding).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argument(queue: &QueueDeclaration, name: &str) -> Option<String> {
        queue.arguments.inner().get(name).map(|value| match value {
            AMQPValue::LongString(text) => text.to_string(),
            AMQPValue::LongLongInt(number) => number.to_string(),
            other => format!("{other:?}"),
        })
    }

    #[test]
    fn every_queue_is_quorum_and_none_has_a_length_limit() {
        for queue in queues(&Ladder::new(Duration::from_secs(1))) {
            assert_eq!(argument(&queue, "x-queue-type").as_deref(), Some("quorum"), "{}", queue.name);
            assert_eq!(argument(&queue, "x-max-length"), None, "{}", queue.name);
            assert_eq!(argument(&queue, "x-max-length-bytes"), None, "{}", queue.name);
        }
    }

    #[test]
    fn work_queues_and_rungs_dead_letter_at_least_once_and_without_a_key() {
        for queue in queues(&Ladder::new(Duration::from_secs(1))).iter().filter(|queue| queue.name != topology::LANDING)
        {
            assert_eq!(argument(queue, "x-dead-letter-strategy").as_deref(), Some("at-least-once"), "{}", queue.name);
            assert_eq!(argument(queue, "x-overflow").as_deref(), Some("reject-publish"), "{}", queue.name);
            assert_eq!(argument(queue, "x-dead-letter-routing-key"), None, "{}", queue.name);
        }
    }

    #[test]
    fn the_landing_comes_before_all_that_dead_letters_into_it() {
        let names: Vec<String> =
            queues(&Ladder::new(Duration::from_secs(1))).into_iter().map(|queue| queue.name).collect();
        assert_eq!(names[0], topology::LANDING);
        assert_eq!(names.len(), 1 + 3 * Worker::ALL.len() + 7);
    }
}
