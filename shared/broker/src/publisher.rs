//! Publishing with confirms: one task owns the channel, callers wait for their own message's answer.
//!
//! Tasks that share a confirm channel in lapin get each other's answers, and a confirm that is awaited before the next
//! publish costs a round trip each. So there is one owner with many publishes in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation, Connection, PublisherConfirm};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::link::{LinkError, Session, check, request, supervise};
use crate::outgoing::{InvalidMessage, Outgoing};
use crate::topology::{self, Settle};

/// Why a message is not known to be with the broker. Only [`PublishError::Invalid`] is about the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// There is no connection, or it broke before the confirm came. The broker may have the message all the same.
    #[error("cannot publish: the broker is away")]
    NotConnected,
    /// The broker refused it.
    #[error("cannot publish: the broker refused the message")]
    Nacked,
    /// No confirm in time. The broker may have the message all the same.
    #[error("cannot publish: no confirm in time")]
    TimedOut,
    /// No broker would take it.
    #[error(transparent)]
    Invalid(#[from] InvalidMessage),
}

struct Request {
    message: Outgoing,
    reply: oneshot::Sender<Result<(), PublishError>>,
}

/// A cheap handle; every clone publishes through the same channel.
#[derive(Debug, Clone)]
pub struct Publisher {
    requests: mpsc::Sender<Request>,
    ready: Arc<AtomicBool>,
    confirm_timeout: Duration,
    stop: CancellationToken,
}

impl Publisher {
    /// The longest that a publish takes; then it has failed.
    #[must_use]
    pub fn confirm_timeout(&self) -> Duration {
        self.confirm_timeout
    }

    /// Starts the connection's supervisor. The handle ends once `stop` is cancelled and what is in flight is answered.
    #[must_use]
    pub fn start(config: &Config, name: &str, stop: CancellationToken) -> (Self, JoinHandle<()>) {
        let confirm_timeout = config.confirm_timeout();
        let window = usize::from(config.amqp_confirm_window);
        let (requests, inbox) = mpsc::channel(window);
        let ready = Arc::new(AtomicBool::new(false));
        let (settle, shared) = (Settle::Always, Arc::clone(&ready));
        let owner = Owner { config: config.clone(), settle, inbox, ready: shared, stop: stop.clone() };
        let (config, name, ended) = (config.clone(), name.to_owned(), stop.clone());
        let task = tokio::spawn(async move { supervise(&config, &name, &ended, owner).await });
        (Self { requests, ready, confirm_timeout, stop }, task)
    }

    /// Publishes and returns once the broker has the message on its disks.
    ///
    /// # Errors
    /// [`PublishError`]; at once where the broker is away.
    pub async fn publish(&self, message: Outgoing) -> Result<(), PublishError> {
        if !self.is_ready() {
            return Err(PublishError::NotConnected);
        }
        let (reply, answer) = oneshot::channel();
        let waiting = async {
            self.requests.send(Request { message, reply }).await.map_err(|_| PublishError::NotConnected)?;
            answer.await.unwrap_or(Err(PublishError::NotConnected))
        };
        let begun = Instant::now();
        let outcome = tokio::time::timeout(self.confirm_timeout, waiting).await.unwrap_or(Err(PublishError::TimedOut));
        record(&outcome, begun.elapsed());
        outcome
    }

    /// Whether the connection is up and its topology declared. Says nothing of a broker that has just hung.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire) && !self.stop.is_cancelled()
    }
}

fn record(outcome: &Result<(), PublishError>, took: Duration) {
    let word = match outcome {
        Ok(()) => "confirmed",
        Err(PublishError::Nacked | PublishError::Invalid(_)) => "refused",
        Err(PublishError::TimedOut) => "timeout",
        Err(PublishError::NotConnected) => "lost",
    };
    metrics::counter!("muster_published_total", "outcome" => word).increment(1);
    metrics::histogram!("muster_publish_seconds").record(took);
}

/// The one task that touches the channel.
struct Owner {
    config: Config,
    settle: Settle,
    inbox: mpsc::Receiver<Request>,
    ready: Arc<AtomicBool>,
    stop: CancellationToken,
}

/// Confirms on their way; each answers its own caller and ends in `Err` where the channel can no longer be trusted.
type Confirms = FuturesUnordered<BoxFuture<'static, Result<(), LinkError>>>;

impl Session for Owner {
    async fn run(&mut self, connection: &Connection) -> Result<(), LinkError> {
        let limit = self.config.request_timeout();
        topology::declare(connection, &self.config, self.settle).await?;
        self.settle = Settle::IfNew;
        let channel = request(limit, "cannot open a channel", connection.create_channel()).await?;
        let options = ConfirmSelectOptions::default();
        request(limit, "cannot ask for confirms", channel.confirm_select(options)).await?;
        self.ready.store(true, Ordering::Release);
        let mut confirms = Confirms::new();
        let ended = self.publish_all(connection, &channel, &mut confirms).await;
        self.ready.store(false, Ordering::Release);
        // What is still in flight gets its answer by dropping its reply: the caller reads "the broker is away".
        ended
    }
}

impl Owner {
    async fn publish_all(
        &mut self,
        connection: &Connection,
        channel: &Channel,
        confirms: &mut Confirms,
    ) -> Result<(), LinkError> {
        let window = usize::from(self.config.amqp_confirm_window);
        let mut events = std::pin::pin!(connection.events_listener());
        let mut stopping = false;
        loop {
            tokio::select! {
                Some(confirmed) = confirms.next() => confirmed?,
                Some(event) = events.next() => check(event)?,
                () = self.stop.cancelled(), if !stopping => {
                    stopping = true;
                    self.inbox.close();
                }
                next = self.inbox.recv(), if confirms.len() < window => match next {
                    Some(next) if next.reply.is_closed() => {}
                    Some(next) => {
                        let confirm = self.send(channel, next).await?;
                        confirms.push(confirm);
                    }
                    None => return finish(confirms).await,
                },
            }
        }
    }

    async fn send(
        &self,
        channel: &Channel,
        next: Request,
    ) -> Result<BoxFuture<'static, Result<(), LinkError>>, LinkError> {
        let Outgoing { exchange, routing_key, properties, body } = next.message;
        let options = BasicPublishOptions::default();
        let sending = channel.basic_publish(exchange, routing_key, options, &body, properties);
        let confirm = request(self.config.request_timeout(), "cannot publish", sending).await?;
        Ok(Box::pin(answer(confirm, next.reply, self.config.confirm_timeout())))
    }
}

/// Lets what is in flight come to its end before the connection closes.
async fn finish(confirms: &mut Confirms) -> Result<(), LinkError> {
    while let Some(confirmed) = confirms.next().await {
        confirmed?;
    }
    Ok(())
}

/// Waits for one confirm and tells the caller. `Ack` does not mean that a queue was found; the alternate exchange sees
/// to that. A confirm that does not come means that the channel may have lost count, so the connection is given up.
async fn answer(
    confirm: PublisherConfirm,
    reply: oneshot::Sender<Result<(), PublishError>>,
    limit: Duration,
) -> Result<(), LinkError> {
    let (told, ended) = match request(limit, "a publish was not confirmed", confirm).await {
        Ok(Confirmation::Ack(_)) => (Ok(()), Ok(())),
        Ok(Confirmation::Nack(_) | Confirmation::NotRequested) => (Err(PublishError::Nacked), Ok(())),
        Err(error @ LinkError::Silent { .. }) => (Err(PublishError::TimedOut), Err(error)),
        Err(error) => (Err(PublishError::NotConnected), Err(error)),
    };
    // The caller may have stopped waiting; then nobody needs the answer.
    let _ = reply.send(told);
    ended
}
