//! Consuming: one channel per queue on one supervised connection, settlements by runs, and a stop that loses nothing.
//!
//! `multiple` is per channel, so two queues never share one. A delivery is settled on the channel that brought it or not
//! at all; once that channel is gone the broker has given the delivery out again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::delivery::{self, Delivery};
use crate::headers;
use crate::ledger::Ledger;
use crate::link::{LinkError, Session, check, request, supervise};
use crate::topology::{self, Settle};

/// What becomes of a delivery at the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// Done with: forgotten.
    Ack,
    /// Given back, to be delivered again at once; counts towards the delivery limit.
    Requeue,
}

/// A queue to consume and how many deliveries may be in hand at once.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// The queue's name.
    pub queue: String,
    /// Unsettled deliveries at most; one to two batches.
    pub prefetch: u16,
}

/// The deliveries of one queue, across as many connections as it takes.
#[derive(Debug)]
pub struct Consumer {
    deliveries: mpsc::UnboundedReceiver<Delivery>,
    settler: Settler,
    /// How many have paused it.
    pauses: watch::Sender<usize>,
    attached: watch::Receiver<bool>,
    idle: watch::Receiver<bool>,
}

/// Stops new deliveries of one queue and lets them come again. Each pauser is for itself: they come again once none stops
/// them. What was prefetched still comes. One that is dropped stops nothing any more.
#[derive(Debug)]
pub struct Pauser {
    pauses: watch::Sender<usize>,
    is_paused: AtomicBool,
}

impl Pauser {
    /// Stops new deliveries (`true`), or does so no longer.
    pub fn pause(&self, is_paused: bool) {
        if self.is_paused.swap(is_paused, Ordering::Relaxed) != is_paused {
            self.pauses.send_modify(|pauses| if is_paused { *pauses += 1 } else { *pauses -= 1 });
        }
    }
}

impl Drop for Pauser {
    fn drop(&mut self) {
        self.pause(false);
    }
}

/// Settles deliveries of one queue; a cheap handle.
#[derive(Debug, Clone)]
pub struct Settler(mpsc::UnboundedSender<Vec<Settled>>);

#[derive(Debug)]
struct Settled {
    session: u64,
    tag: u64,
    settlement: Settlement,
}

impl Settler {
    /// Settles deliveries once what they asked for is done. Those of a channel that is gone are ignored.
    pub fn settle<'a>(&self, deliveries: impl IntoIterator<Item = (&'a Delivery, Settlement)>) {
        let settled = deliveries
            .into_iter()
            .map(|(delivery, settlement)| Settled { session: delivery.session.number, tag: delivery.tag, settlement })
            .collect();
        // Nobody listens once the consumer has stopped, and then the broker gives the deliveries out again.
        let _ = self.0.send(settled);
    }
}

impl Consumer {
    /// The next delivery; `None` once the consumer has stopped and everything it had prefetched was given out.
    pub async fn next(&mut self) -> Option<Delivery> {
        self.deliveries.recv().await
    }

    /// A handle that settles.
    #[must_use]
    pub fn settler(&self) -> Settler {
        self.settler.clone()
    }

    /// A handle of its own that stops new deliveries.
    #[must_use]
    pub fn pauser(&self) -> Pauser {
        Pauser { pauses: self.pauses.clone(), is_paused: AtomicBool::new(false) }
    }

    /// Whether the queue is being consumed right now; follows connections and pauses.
    #[must_use]
    pub fn attached(&self) -> watch::Receiver<bool> {
        self.attached.clone()
    }

    /// Whether nothing comes and nothing that came is unsettled at the broker: what a pause comes to.
    #[must_use]
    pub fn idle(&self) -> watch::Receiver<bool> {
        self.idle.clone()
    }
}

/// Consumes the queues on one connection until `stop`; after that every delivery that was prefetched is still given out
/// and its settlement sent before the task ends.
#[must_use]
pub fn consume(
    config: &Config,
    name: &str,
    subscriptions: &[Subscription],
    stop: CancellationToken,
) -> (Vec<Consumer>, JoinHandle<()>) {
    let (mut consumers, mut lanes) = (Vec::new(), Vec::new());
    for subscription in subscriptions {
        let (consumer, lane) = pair(config, subscription, &stop);
        consumers.push(consumer);
        lanes.push(lane);
    }
    let session = AllLanes { config: config.clone(), settle: Settle::Always, lanes };
    let (config, name) = (config.clone(), name.to_owned());
    let task = tokio::spawn(async move { supervise(&config, &name, &stop, session).await });
    (consumers, task)
}

fn pair(config: &Config, subscription: &Subscription, stop: &CancellationToken) -> (Consumer, LaneSession) {
    // Unbounded in type only: the prefetch bounds what can be in it.
    let (given, deliveries) = mpsc::unbounded_channel();
    let (settler, settlements) = mpsc::unbounded_channel();
    let (pauses, paused_by) = watch::channel(0);
    let (is_attached, attached) = watch::channel(false);
    let (is_idle, idle) = watch::channel(true);
    let lane = LaneSession {
        subscription: subscription.clone(),
        limit: config.request_timeout(),
        hole: Duration::from_millis(config.amqp_hole_ms),
        given: Some(given),
        settlements,
        paused_by,
        is_attached,
        is_idle,
        stop: stop.clone(),
        sessions: 0,
    };
    (Consumer { deliveries, settler: Settler(settler), pauses, attached, idle }, lane)
}

struct AllLanes {
    config: Config,
    settle: Settle,
    lanes: Vec<LaneSession>,
}

impl Session for AllLanes {
    async fn run(&mut self, connection: &Connection) -> Result<(), LinkError> {
        topology::declare(connection, &self.config, self.settle).await?;
        self.settle = Settle::IfNew;
        let mut events = std::pin::pin!(connection.events_listener());
        let mut running: FuturesUnordered<_> = self.lanes.iter_mut().map(|lane| lane.run(connection)).collect();
        loop {
            tokio::select! {
                ended = running.next() => match ended {
                    Some(ended) => ended?,
                    None => return Ok(()),
                },
                // a paused lane would not notice that its connection is gone
                Some(event) = events.next() => check(event)?,
            }
        }
    }
}

/// One queue's side of the connection.
struct LaneSession {
    subscription: Subscription,
    limit: Duration,
    hole: Duration,
    /// Gone once the consumer has stopped: that is how the reader learns that nothing more will come.
    given: Option<mpsc::UnboundedSender<Delivery>>,
    settlements: mpsc::UnboundedReceiver<Vec<Settled>>,
    paused_by: watch::Receiver<usize>,
    is_attached: watch::Sender<bool>,
    is_idle: watch::Sender<bool>,
    stop: CancellationToken,
    sessions: u64,
}

/// What one channel's life adds.
struct Life {
    channel: Channel,
    session: delivery::Session,
    ledger: Ledger,
    stream: Option<lapin::Consumer>,
    /// `basic.cancel` was sent: the stream's end is ours.
    cancelling: bool,
}

/// Says that the queue is no longer consumed and that nothing of it is in hand, however its session ends.
struct Detached {
    is_attached: watch::Sender<bool>,
    is_idle: watch::Sender<bool>,
    unsettled: metrics::Gauge,
}

impl Drop for Detached {
    fn drop(&mut self) {
        self.is_attached.send_replace(false);
        self.is_idle.send_replace(true);
        self.unsettled.set(0.0);
    }
}

impl LaneSession {
    async fn run(&mut self, connection: &Connection) -> Result<(), LinkError> {
        let queue = self.subscription.queue.clone();
        let channel = request(self.limit, "cannot open a channel", connection.create_channel()).await?;
        let qos = channel.basic_qos(self.subscription.prefetch, BasicQosOptions::default());
        request(self.limit, format!("cannot set the prefetch of {queue}"), qos).await?;
        self.sessions += 1;
        let session = delivery::Session { number: self.sessions, over: CancellationToken::new() };
        // guards, because another lane or the connection may end this one wherever it waits
        let _over = session.over.clone().drop_guard();
        let unsettled = metrics::gauge!("muster_unsettled", "queue" => queue);
        let (is_attached, is_idle) = (self.is_attached.clone(), self.is_idle.clone());
        let _detached = Detached { is_attached, is_idle, unsettled: unsettled.clone() };
        let ledger = Ledger::new(self.hole);
        let mut life = Life { channel, session, ledger, stream: None, cancelling: false };
        self.live(&mut life, &unsettled).await
    }

    async fn live(&mut self, life: &mut Life, unsettled: &metrics::Gauge) -> Result<(), LinkError> {
        loop {
            unsettled.set(u32::try_from(life.ledger.len()).unwrap_or(u32::MAX));
            self.attach_or_cancel(life).await?;
            let is_idle = life.stream.is_none() && life.ledger.is_empty();
            self.is_idle.send_if_modified(|idle| std::mem::replace(idle, is_idle) != is_idle);
            // nobody is left who could settle: what is in hand goes to another process
            let is_abandoned = self.settlements.is_closed() && self.settlements.is_empty();
            if self.stop.is_cancelled() && life.stream.is_none() {
                self.given = None;
                if life.ledger.is_empty() || is_abandoned {
                    return Ok(());
                }
            }
            let hole_due = life.ledger.next_due();
            tokio::select! {
                next = next_of(&mut life.stream) => self.take(life, next)?,
                settled = self.settlements.recv(), if !is_abandoned => {
                    self.settle(life, settled.unwrap_or_default()).await?;
                }
                () = at(hole_due) => self.acknowledge(life).await?,
                Ok(()) = self.paused_by.changed() => {}
                () = self.stop.cancelled(), if !life.cancelling && self.given.is_some() => {}
            }
        }
    }

    /// Brings the consumer to the state that pause and stop ask for.
    async fn attach_or_cancel(&mut self, life: &mut Life) -> Result<(), LinkError> {
        let wanted = !self.stop.is_cancelled() && *self.paused_by.borrow_and_update() == 0;
        let queue = &self.subscription.queue;
        match &life.stream {
            // a new consumer has a prefetch of its own: it may only come once the last one's deliveries are settled
            None if wanted && life.ledger.is_empty() => {
                // said before it is asked once more: whoever pauses now either sees this, or is seen
                self.is_idle.send_replace(false);
                if *self.paused_by.borrow() > 0 {
                    return Ok(());
                }
                let options = BasicConsumeOptions::default();
                let consuming =
                    life.channel.basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default());
                life.stream = Some(request(self.limit, format!("cannot consume {queue}"), consuming).await?);
                let _ = self.is_attached.send_replace(true);
            }
            Some(stream) if !wanted && !life.cancelling => {
                life.cancelling = true;
                let cancelling = life.channel.basic_cancel(stream.tag(), BasicCancelOptions::default());
                request(self.limit, format!("cannot stop consuming {queue}"), cancelling).await?;
                let _ = self.is_attached.send_replace(false);
            }
            _ => {}
        }
        Ok(())
    }

    fn take(&self, life: &mut Life, next: Option<lapin::Result<lapin::message::Delivery>>) -> Result<(), LinkError> {
        let queue = &self.subscription.queue;
        match next {
            Some(Ok(delivery)) => {
                life.ledger.received(delivery.delivery_tag);
                let delivery = read(delivery, queue, &life.session);
                metrics::counter!("muster_delivered_total", "queue" => queue.clone()).increment(1);
                if delivery.delivery_count > 0 {
                    metrics::counter!("muster_redelivered_total", "queue" => queue.clone()).increment(1);
                }
                if let Some(given) = &self.given {
                    // A reader that is gone settles nothing; the broker gives its deliveries to the next process.
                    let _ = given.send(delivery);
                }
                Ok(())
            }
            Some(Err(cause)) => Err(LinkError::Amqp { what: format!("the consumer of {queue} broke"), cause }),
            None if life.cancelling => {
                life.stream = None;
                life.cancelling = false;
                Ok(())
            }
            None => Err(LinkError::ConsumerEnded { queue: queue.clone() }),
        }
    }

    async fn settle(&self, life: &mut Life, settled: Vec<Settled>) -> Result<(), LinkError> {
        let now = Instant::now();
        for Settled { session, tag, settlement } in settled {
            if session != life.session.number {
                continue;
            }
            match settlement {
                Settlement::Ack => life.ledger.finished(tag, now),
                Settlement::Requeue if life.ledger.returned(tag) => {
                    let options = BasicNackOptions { multiple: false, requeue: true };
                    request(self.limit, "cannot give a delivery back", life.channel.basic_nack(tag, options)).await?;
                }
                Settlement::Requeue => {}
            }
        }
        self.acknowledge(life).await
    }

    async fn acknowledge(&self, life: &mut Life) -> Result<(), LinkError> {
        for ack in life.ledger.take_due(Instant::now()) {
            let options = BasicAckOptions { multiple: ack.multiple };
            request(self.limit, "cannot acknowledge", life.channel.basic_ack(ack.tag, options)).await?;
        }
        Ok(())
    }
}

fn read(delivery: lapin::message::Delivery, queue: &str, session: &delivery::Session) -> Delivery {
    Delivery {
        meta: headers::decode(&delivery.properties),
        body: delivery.data.into(),
        queue: queue.to_owned(),
        routing_key: delivery.routing_key.to_string(),
        delivery_count: headers::delivery_count(&delivery.properties),
        received_at: Instant::now(),
        properties: delivery.properties,
        tag: delivery.delivery_tag,
        session: session.clone(),
    }
}

/// The stream's next item; pending while there is no stream.
async fn next_of(stream: &mut Option<lapin::Consumer>) -> Option<lapin::Result<lapin::message::Delivery>> {
    match stream {
        Some(stream) => stream.next().await,
        None => std::future::pending().await,
    }
}

/// Waits until an instant; for ever where there is none.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}
