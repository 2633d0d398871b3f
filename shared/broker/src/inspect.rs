//! Looks at a broker from beside the programs: who it is, whom it lets in, and where its exchanges, queues and bindings are
//! not those that a program would declare. It declares nothing that stays and takes no message. For `muster doctor`.
//!
//! Everything is asked over AMQP: the management API need not be there. What exists is declared once more with our own
//! arguments, which the broker refuses with the name of the one that differs; what does not exist is not declared.

mod banner;
mod binding;

use std::fmt;
use std::time::Duration;

use contract::topology::{Lane, Worker, queue as queue_name};
use futures_util::{FutureExt as _, StreamExt as _};
use lapin::message::BasicGetMessage;
use lapin::options::{
    BasicGetOptions, BasicNackOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::protocol::{AMQPError, AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ErrorKind, Event};
use uuid::Uuid;

pub use banner::{Server, server};

use crate::Config;
use crate::link::{LinkError, connect, request};
use crate::topology::{self, ExchangeDeclaration, QueueDeclaration};

/// Queues that may leave a question without an answer before the rest is not asked: each costs the whole request timeout.
const SILENT_MAX: usize = 3;
/// A scratch queue goes by itself after this time where it could not be deleted.
const SCRATCH_EXPIRES: Duration = Duration::from_secs(60);
/// Where a publish that is to be dropped goes; nobody has such a queue.
const NOWHERE: &str = "muster.doctor.nowhere";

/// Why there is nothing to look at.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Nobody answers at the address, or not as a broker.
    #[error(transparent)]
    Away(#[from] LinkError),
    /// The broker knows no such user with that password.
    #[error("the broker refuses the login: {0}")]
    Login(String),
    /// There is no such vhost, or the user may not enter it.
    #[error("the broker refuses the vhost: {0}")]
    Vhost(String),
}

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thing {
    /// The exchange of that name.
    Exchange(String),
    /// The queue of that name.
    Queue(String),
}

/// What is wrong with it. The texts are the broker's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It is not there.
    Missing,
    /// It is there with another type or other arguments.
    Differs(String),
    /// The user lacks a right on it.
    NotAllowed(String),
    /// It does not answer: a queue without a leader, or one whose node is down.
    Silent(String),
    /// It is there, and no message reaches it: its exchange has no binding for it.
    Unbound,
    /// Anything else.
    Odd(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent(text) | Self::Odd(text) | Self::Differs(text) | Self::NotAllowed(text) => text,
            Self::Missing => "it is missing",
            Self::Unbound => "it is not bound",
        })
    }
}

/// Why a broker that answers takes no message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TakesNothing {
    /// An alarm of its memory or disk; the text is its reason.
    Alarm(String),
    /// It raised no alarm, and a publish was not answered, or with an error; the text says which.
    Unanswered(String),
}

/// What waits in one queue of a worker, and who consumes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    /// Whose queue.
    pub worker: Worker,
    /// Its name.
    pub queue: String,
    /// Messages that nobody has in hand.
    pub messages: u32,
    /// Who consumes it.
    pub consumers: u32,
}

/// One thing that is not as a program would declare it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub thing: Thing,
    /// What is wrong with it.
    pub trouble: Trouble,
}

/// What a look at every exchange and queue gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topology {
    /// What is not as it must be.
    pub findings: Vec<Finding>,
    /// Exchanges and queues that were looked at.
    pub seen: usize,
    /// Queues that were not asked, since too many before them did not answer.
    pub not_asked: usize,
    /// Why the bindings are not known, where they were looked at.
    pub bindings_unknown: Option<Trouble>,
}

/// A connection that looks.
#[derive(Debug)]
pub struct Inspection<'a> {
    config: &'a Config,
    name: &'a str,
    connection: Connection,
}

impl<'a> Inspection<'a> {
    /// Connects once.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn open(config: &'a Config, name: &'a str) -> Result<Self, Refused> {
        match connect(config, name).await {
            Ok(connection) => Ok(Self { config, name, connection }),
            Err(error) => Err(refused(error)),
        }
    }

    /// Whether the broker takes publishes; otherwise why not.
    ///
    /// # Errors
    /// [`LinkError`]: the connection broke.
    pub async fn takes_nothing(&self) -> Result<Option<TakesNothing>, LinkError> {
        let limit = self.config.request_timeout();
        let mut events = std::pin::pin!(self.connection.events_listener());
        let channel = request(limit, "open a channel", self.connection.create_channel()).await?;
        let publish = async {
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            let options = BasicPublishOptions::default();
            let sent = channel.basic_publish("".into(), NOWHERE.into(), options, b"", BasicProperties::default());
            sent.await?.await
        };
        let answer = request(limit, "publish to nowhere", publish).await;
        if !self.connection.status().blocked() {
            // a user who may not publish there was answered, too
            return answer.map(|_| None).or_else(|error| match trouble(error)? {
                Trouble::NotAllowed(_) => Ok(None),
                other => Ok(Some(TakesNothing::Unanswered(other.to_string()))),
            });
        }
        while let Some(Some(event)) = events.next().now_or_never() {
            if let Event::ConnectionBlocked(reason) = event {
                return Ok(Some(TakesNothing::Alarm(reason)));
            }
        }
        Ok(Some(TakesNothing::Alarm("it does not say which alarm".to_owned())))
    }

    /// Looks at every exchange and queue that a program declares.
    ///
    /// # Errors
    /// [`LinkError`]: the broker went away meanwhile.
    pub async fn topology(&mut self) -> Result<Topology, LinkError> {
        let mut topology = Topology::default();
        for declaration in topology::exchanges() {
            topology.seen += 1;
            let thing = Thing::Exchange(declaration.name.to_owned());
            let trouble = self.exchange(declaration).await?;
            topology.findings.extend(trouble.map(|trouble| Finding { thing, trouble }));
        }
        let mut silent = 0;
        for declaration in topology::queues(&self.config.ladder()) {
            if silent >= SILENT_MAX {
                topology.not_asked += 1;
                continue;
            }
            topology.seen += 1;
            let thing = Thing::Queue(declaration.name.clone());
            let trouble = self.queue(declaration).await?;
            silent += usize::from(matches!(trouble, Some(Trouble::Silent(_))));
            topology.findings.extend(trouble.map(|trouble| Finding { thing, trouble }));
        }
        self.bindings(&mut topology).await?;
        Ok(topology)
    }

    /// Looks at the bindings of the queues that nothing else is wrong with.
    async fn bindings(&mut self, topology: &mut Topology) -> Result<(), LinkError> {
        let found = &topology.findings;
        if found.iter().any(|it| matches!(it.thing, Thing::Exchange(_))) || topology.not_asked > 0 {
            return Ok(());
        }
        let is_sound = |name: &str| !found.iter().any(|it| it.thing == Thing::Queue(name.to_owned()));
        let sound: Vec<QueueDeclaration> =
            topology::queues(&self.config.ladder()).into_iter().filter(|queue| is_sound(&queue.name)).collect();
        match self.ask("look at the bindings", async |channel| binding::unbound(channel, &sound).await).await? {
            Ok(names) => topology
                .findings
                .extend(names.into_iter().map(|name| Finding { thing: Thing::Queue(name), trouble: Trouble::Unbound })),
            Err(trouble) => topology.bindings_unknown = Some(trouble),
        }
        Ok(())
    }

    /// Whether a quorum queue can be declared at all, by declaring one and deleting it; otherwise what the broker says.
    ///
    /// # Errors
    /// [`LinkError`]: the broker went away meanwhile.
    pub async fn quorum(&mut self) -> Result<Option<Trouble>, LinkError> {
        let name = format!("muster.doctor.{}", Uuid::new_v4().simple());
        let expires_ms = i64::try_from(SCRATCH_EXPIRES.as_millis()).unwrap_or(i64::MAX);
        let arguments = topology::quorum(&[("x-expires", AMQPValue::LongLongInt(expires_ms))]);
        self.ask("declare a scratch queue", async |channel| {
            channel.queue_declare(name.as_str().into(), QueueDeclareOptions::durable(), arguments).await?;
            channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await
        })
        .await
        .map(Result::err)
    }

    async fn exchange(&mut self, it: ExchangeDeclaration) -> Result<Option<Trouble>, LinkError> {
        let passive = ExchangeDeclareOptions { passive: true, durable: true, ..ExchangeDeclareOptions::default() };
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let what = format!("look at the exchange {}", it.name);
        let (name, kind, arguments) = (it.name, it.kind.clone(), it.arguments());
        self.ask(&what, async |channel| {
            channel.exchange_declare(name.into(), kind.clone(), passive, FieldTable::default()).await?;
            channel.exchange_declare(name.into(), kind, options, arguments).await?;
            // whether it may be published to is judged at once, and what is rolled back was never there
            channel.tx_select().await?;
            let (plain, nothing) = (BasicPublishOptions::default(), BasicProperties::default());
            drop(channel.basic_publish(name.into(), NOWHERE.into(), plain, b"", nothing).await?);
            channel.tx_rollback().await
        })
        .await
        .map(Result::err)
    }

    async fn queue(&mut self, it: QueueDeclaration) -> Result<Option<Trouble>, LinkError> {
        let name = it.name.as_str();
        let what = format!("look at the queue {name}");
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::durable() };
        let ready = self.ask(&what, async |channel| {
            let found = channel.queue_declare(name.into(), passive, FieldTable::default()).await?;
            channel.queue_declare(name.into(), QueueDeclareOptions::durable(), it.arguments).await?;
            Ok((found.message_count(), found.consumer_count()))
        });
        match ready.await? {
            Err(trouble) => Ok(Some(trouble)),
            // the counts are its leader's; a queue without one says that it is empty and that nobody consumes it
            Ok((0, 0)) => self.leader(name).await,
            Ok(_) => Ok(None),
        }
    }

    /// What waits in each queue of each worker, and how many consume it. Queues that do not answer, or are missing, are left
    /// out: [`Self::topology`] tells of them.
    ///
    /// # Errors
    /// [`LinkError`]: the broker went away meanwhile.
    pub async fn backlogs(&mut self) -> Result<Vec<Backlog>, LinkError> {
        let (mut backlogs, mut silent) = (Vec::new(), 0);
        for (worker, lane) in Worker::ALL.iter().flat_map(|worker| Lane::ALL.iter().map(move |lane| (*worker, *lane))) {
            if silent >= SILENT_MAX {
                break;
            }
            let queue = queue_name(worker, lane);
            let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::durable() };
            let what = format!("look at the queue {queue}");
            let asked = self.ask(&what, async |channel| {
                channel.queue_declare(queue.as_str().into(), passive, FieldTable::default()).await
            });
            match asked.await? {
                Ok(found) => {
                    let (messages, consumers) = (found.message_count(), found.consumer_count());
                    backlogs.push(Backlog { worker, queue, messages, consumers });
                }
                Err(Trouble::Silent(_)) => silent += 1,
                Err(_) => {}
            }
        }
        Ok(backlogs)
    }

    /// Fetches from a queue that is empty and that nobody consumes, as only a leader can answer. What comes in this very
    /// moment is given back, which counts as one return of it; a queue that a worker consumes is spared that.
    async fn leader(&mut self, name: &str) -> Result<Option<Trouble>, LinkError> {
        let what = format!("fetch from the queue {name}");
        let fetched = self.ask(&what, async |channel| {
            let got: Option<BasicGetMessage> = channel.basic_get(name.into(), BasicGetOptions::default()).await?;
            // it came just now: back with it
            match got {
                Some(message) => message.acker.nack(BasicNackOptions { requeue: true, ..Default::default() }).await,
                None => Ok(true),
            }
        });
        Ok(match fetched.await? {
            Ok(_) => None,
            // somebody consumes from it alone
            Err(Trouble::Odd(text)) if text.contains("RESOURCE_LOCKED") => None,
            Err(trouble) => Some(trouble),
        })
    }

    /// One question on a channel of its own, which a refusal costs; some cost the connection.
    async fn ask<T>(
        &mut self,
        what: &str,
        question: impl AsyncFnOnce(Channel) -> lapin::Result<T>,
    ) -> Result<Result<T, Trouble>, LinkError> {
        if !self.connection.status().connected() {
            self.connection = connect(self.config, self.name).await?;
        }
        let limit = self.config.request_timeout();
        let channel = request(limit, "cannot open a channel", self.connection.create_channel()).await?;
        match request(limit, format!("cannot {what}"), question(channel.clone())).await {
            Ok(answer) => {
                request(limit, "cannot close a channel", channel.close(200, "looked".into())).await?;
                Ok(Ok(answer))
            }
            Err(error) => trouble(error).map(Err),
        }
    }

    /// Says goodbye, shortly.
    pub async fn close(self) {
        let _ = tokio::time::timeout(Duration::from_secs(1), self.connection.close(200, "looked".into())).await;
    }
}

/// What the broker said, sorted; an error of the connection itself stays one.
fn trouble(error: LinkError) -> Result<Trouble, LinkError> {
    let LinkError::Amqp { cause, .. } = &error else {
        return match error {
            LinkError::Silent { waited, .. } => Ok(Trouble::Silent(format!("no answer in {} ms", waited.as_millis()))),
            other => Err(other),
        };
    };
    let ErrorKind::ProtocolError(said) = cause.kind() else { return Err(error) };
    let text = said.get_message().to_string();
    Ok(match said.kind() {
        AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) if text.contains("home node") => Trouble::Silent(text),
        AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => Trouble::Missing,
        AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) => Trouble::Differs(text),
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => Trouble::NotAllowed(text),
        // how a quorum queue's lack of a leader is told to who fetches
        AMQPErrorKind::Hard(AMQPHardError::INTERNALERROR) => Trouble::Silent(text),
        _ => Trouble::Odd(text),
    })
}

fn refused(error: LinkError) -> Refused {
    let said = |error: &AMQPError| error.get_message().to_string();
    if let LinkError::Amqp { cause, .. } = &error
        && let ErrorKind::ProtocolError(told) = cause.kind()
    {
        match told.kind() {
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => return Refused::Login(said(told)),
            AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED | AMQPHardError::INVALIDPATH) => {
                return Refused::Vhost(said(told));
            }
            _ => {}
        }
    }
    Refused::Away(error)
}
