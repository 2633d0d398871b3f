//! A plain AMQP client of the harness: looks at queues, publishes and fetches from outside, without Muster's own crate
//! and its rules.

use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind};
use tokio::sync::Mutex;

use crate::until::DEADLINE;

/// Longest handshake; an idle machine takes 10 ms.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// One vhost seen from outside. Its connection is made when it is needed, and anew where it broke.
#[derive(Debug)]
pub struct Client {
    url: String,
    connection: Mutex<Option<Connection>>,
}

/// A message as it lay in a queue.
#[derive(Debug, Clone, PartialEq)]
pub struct Got {
    /// The payload.
    pub body: Vec<u8>,
    /// AMQP's own properties, headers among them.
    pub properties: BasicProperties,
    /// The exchange that it was published to last.
    pub exchange: String,
    /// The key that it was published with.
    pub routing_key: String,
}

impl Got {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&AMQPValue> {
        self.properties.headers().as_ref()?.inner().get(name)
    }

    /// How often it was delivered before and came back.
    #[must_use]
    pub fn delivery_count(&self) -> i64 {
        match self.header("x-delivery-count") {
            Some(AMQPValue::LongLongInt(count)) => *count,
            _ => 0,
        }
    }

    /// The names of all headers, sorted.
    #[must_use]
    pub fn header_names(&self) -> Vec<String> {
        let headers = self.properties.headers().iter().flat_map(FieldTable::inner);
        headers.map(|(name, _)| name.to_string()).collect()
    }

    /// The message id, empty where there is none.
    #[must_use]
    pub fn message_id(&self) -> String {
        self.properties.message_id().as_ref().map(ToString::to_string).unwrap_or_default()
    }
}

impl Client {
    /// A client of the vhost that the URL names.
    #[must_use]
    pub fn at(url: &str) -> Self {
        Self { url: url.to_owned(), connection: Mutex::new(None) }
    }

    /// The URL, with its password: for a process under test.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A new channel of its own: a request that the broker refuses costs the channel, and nothing else.
    ///
    /// # Errors
    /// When the broker is away.
    pub async fn try_channel(&self) -> lapin::Result<Channel> {
        let mut connection = self.connection.lock().await;
        if !connection.as_ref().is_some_and(|made| made.status().connected()) {
            *connection = Some(connect(&self.url, "harness").await?);
        }
        connection.as_ref().expect("it was made just above").create_channel().await
    }

    async fn channel(&self) -> Channel {
        self.try_channel().await.unwrap_or_else(|error| panic!("open a channel from the harness: {error}"))
    }

    /// How many messages lie ready in a queue, exactly and now; those in a consumer's hands are not counted. None where
    /// there is no such queue, or nobody answers.
    pub async fn depth(&self, queue: &str) -> Option<u32> {
        let channel = self.try_channel().await.ok()?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::durable() };
        let asked = channel.queue_declare(queue.into(), passive, FieldTable::default()).await.ok()?;
        // closed by the next look at the latest; an open channel is only memory
        let _ = channel.close(200, "looked".into()).await;
        Some(asked.message_count())
    }

    /// Whether there is an exchange of that name.
    pub async fn has_exchange(&self, exchange: &str) -> bool {
        let Ok(channel) = self.try_channel().await else { return false };
        let passive = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        // the type is not compared
        let asked = channel.exchange_declare(exchange.into(), ExchangeKind::Topic, passive, FieldTable::default());
        asked.await.is_ok()
    }

    /// Publishes and waits for the confirm; whether the broker took it.
    ///
    /// # Panics
    /// When the broker is away or closes the channel.
    pub async fn publish(&self, exchange: &str, key: &str, properties: BasicProperties, body: &[u8]) -> bool {
        let channel = self.channel().await;
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("the broker confirms");
        let sent = channel.basic_publish(exchange.into(), key.into(), BasicPublishOptions::default(), body, properties);
        let confirmed = sent.await.expect("the channel is open").await.expect("the broker answers");
        matches!(confirmed, Confirmation::Ack(_))
    }

    /// Takes everything that lies ready in a queue, in order. Nobody else may take from it meanwhile.
    ///
    /// # Panics
    /// When the broker is away, there is no such queue, or its messages went elsewhere.
    pub async fn get_all(&self, queue: &str) -> Vec<Got> {
        let mut all = Vec::new();
        loop {
            let ready = self.depth(queue).await.unwrap_or_else(|| panic!("there is no queue {queue}"));
            if ready == 0 {
                return all;
            }
            self.get(queue, u16::try_from(ready).unwrap_or(u16::MAX), &mut all).await;
        }
    }

    /// Takes so many messages that lie ready; in one stream, for a question for each of thousands takes minutes.
    async fn get(&self, queue: &str, count: u16, all: &mut Vec<Got>) {
        let channel = self.channel().await;
        channel.basic_qos(count, BasicQosOptions::default()).await.expect("the channel is open");
        let (tag, none) = (ShortString::from("get"), FieldTable::default());
        let consuming = channel.basic_consume(queue.into(), tag.clone(), BasicConsumeOptions::default(), none);
        let mut messages = consuming.await.unwrap_or_else(|error| panic!("get from {queue}: {error}"));
        for place in 1..=count {
            let one = tokio::time::timeout(DEADLINE, messages.next()).await;
            let one = one.unwrap_or_else(|_| panic!("somebody else takes from {queue}"));
            let one = one.expect("the consumer is there").expect("the channel is open");
            if place == count {
                // before the acknowledgement makes room for more
                channel.basic_cancel(tag.clone(), BasicCancelOptions::default()).await.expect("the channel is open");
                one.acker.ack(BasicAckOptions { multiple: true }).await.expect("the channel is open");
            }
            all.push(Got {
                exchange: one.exchange.to_string(),
                routing_key: one.routing_key.to_string(),
                properties: one.properties,
                body: one.data,
            });
        }
        // its answer says that the acknowledgement before it has arrived
        let _ = channel.close(200, "got all".into()).await;
    }

    /// Declares a durable queue of the given arguments.
    ///
    /// # Panics
    /// When the broker is away or refuses.
    pub async fn declare_queue(&self, queue: &str, arguments: FieldTable) {
        let declaring = self.channel().await;
        let declared = declaring.queue_declare(queue.into(), QueueDeclareOptions::durable(), arguments).await;
        declared.unwrap_or_else(|error| panic!("declare {queue}: {error}"));
    }

    /// Declares a quorum queue whose messages die at once and whose dead letters no target takes.
    ///
    /// # Panics
    /// When the broker is away or refuses.
    pub async fn declare_undeliverable(&self, queue: &str) {
        let text = |text: &str| AMQPValue::LongString(text.into());
        let mut arguments = FieldTable::default();
        for (name, value) in [
            ("x-queue-type", text("quorum")),
            ("x-dead-letter-exchange", text("nowhere")),
            ("x-dead-letter-strategy", text("at-least-once")),
            ("x-overflow", text("reject-publish")),
            ("x-message-ttl", AMQPValue::LongInt(1)),
        ] {
            arguments.insert(name.into(), value);
        }
        self.declare_queue(queue, arguments).await;
    }

    /// A queue of the test's own that receives what is published to `exchange` with a matching key.
    ///
    /// # Panics
    /// When the broker is away or there is no such exchange.
    pub async fn bind_queue(&self, queue: &str, exchange: &str, key: &str) {
        self.declare_queue(queue, FieldTable::default()).await;
        let (options, none) = (QueueBindOptions::default(), FieldTable::default());
        let binding = self.channel().await;
        let bound = binding.queue_bind(queue.into(), exchange.into(), key.into(), options, none).await;
        bound.unwrap_or_else(|error| panic!("bind {queue} to {exchange}: {error}"));
    }

    /// Deletes a queue with everything in it.
    ///
    /// # Panics
    /// When the broker is away.
    pub async fn delete_queue(&self, queue: &str) {
        let deleting = self.channel().await;
        let deleted = deleting.queue_delete(queue.into(), QueueDeleteOptions::default()).await;
        deleted.unwrap_or_else(|error| panic!("delete {queue}: {error}"));
    }

    /// Declares Muster's topology as a process would.
    ///
    /// # Errors
    /// What a process would report, as text.
    ///
    /// # Panics
    /// When the broker is away.
    pub async fn declare_topology(&self, config: &broker::Config) -> Result<(), String> {
        let connection = connect(&self.url, "harness-topology").await.expect("the broker answers");
        let declared = broker::topology::declare(&connection, config, broker::topology::Settle::IfNew).await;
        let _ = connection.close(200, "declared".into()).await;
        declared.map_err(|error| error.to_string())
    }
}

/// Connects within [`CONNECT_TIMEOUT`]: a node that starts up accepts before it answers, and lapin would wait for ever.
async fn connect(url: &str, name: &str) -> lapin::Result<Connection> {
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let connecting = Connection::connect(url, properties);
    tokio::time::timeout(CONNECT_TIMEOUT, connecting)
        .await
        .unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
}
