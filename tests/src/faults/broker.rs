//! A broker that dies, hangs, blocks its publishers or has lost what was declared. The gateway takes webhooks meanwhile.

use std::time::Duration;

use contract::topology::{self, Lane, Worker};
use lapin::options::ExchangeDeleteOptions;
use lapin::types::FieldTable;
use store::parked::{self, Selection};
use store::testing;

use super::{Case, Ground, Outcome, Side, Trial};
use crate::fleet::Builder;
use crate::proxy::{Fault, Link};
use crate::{DEADLINE, Fleet, PrivateBroker, Proxy, until};

pub(super) const CASES: &[Case] = &[
    Case::new("broker-killed", "kill -9 of RabbitMQ, later than a second after the last declare", |ground| {
        Box::pin(killed(ground))
    }),
    Case::new("broker-restarted", "RabbitMQ stopped in order and started again", |ground| Box::pin(restarted(ground))),
    Case::new("broker-frozen", "RabbitMQ stopped (SIGSTOP) for 30 s: connections stand, nobody answers", |ground| {
        Box::pin(frozen(ground))
    }),
    Case::new("broker-memory-alarm", "the memory alarm blocks whoever publishes", |ground| {
        Box::pin(memory_alarm(ground))
    }),
    Case::new("broker-disk-alarm", "the disk alarm blocks whoever publishes", |ground| Box::pin(disk_alarm(ground))),
    Case::new("broker-half-open", "nothing comes back from RabbitMQ any more, not even an end", |ground| {
        Box::pin(half_open(ground))
    })
    .everyday(),
    Case::new("broker-exchange-deleted", "the exchanges of work, retries and the landing are deleted", |ground| {
        Box::pin(exchange_deleted(ground))
    })
    .everyday(),
    Case::new(
        "broker-queue-deleted",
        "a work queue is deleted with all that lies in it; polls bring it back",
        |ground| Box::pin(queue_deleted(ground)),
    ),
    Case::new(
        "broker-binding-missing",
        "a work queue gets nothing any more; what was parked is sent again",
        |ground| Box::pin(binding_missing(ground)),
    ),
    Case::new("broker-disk-full", "no byte is left on the disk of RabbitMQ (takes root: a small tmpfs)", |ground| {
        Box::pin(disk_full(ground))
    }),
    Case::new(
        "broker-half-open-forever",
        "connections to RabbitMQ fall silent and never end; new ones work",
        |ground| Box::pin(half_open_forever(ground)),
    )
    .recovers_within_s(2 * NOTICED_S + 15),
    Case::new("broker-events-exchange-deleted", "the exchange of events is deleted; readers bind again", |ground| {
        Box::pin(events_exchange_deleted(ground))
    })
    .everyday(),
];

/// Webhooks in a second.
pub(super) const RATE: u32 = 40;
/// More than any case sends: the load ends with the case.
pub(super) const ENDLESS: u64 = 100_000;
/// Before the fault.
pub(super) const BEFORE: usize = 100;
/// Two heartbeats: a silence that nobody ends is noticed after them. First by the program, which connects anew; then by the
/// broker, which gives to others what it had sent over the silent connection.
const NOTICED_S: u64 = 20;
/// Of what a proxy carries at once.
const PIECE_BYTES_MAX: u64 = 16 << 10;
/// Of a disk that gets full: what a node writes in a minute and more.
const DISK_MIB: u32 = 256;

fn fleet() -> Builder {
    Fleet::builder().workers(2)
}

pub(super) async fn under_load(ground: Ground, fleet: Builder) -> Trial {
    let mut trial = Trial::start(ground, fleet).await;
    trial.load(RATE, ENDLESS);
    trial.under_way(BEFORE).await;
    trial
}

/// Goes on for so many seconds, as the load counts it: webhooks are taken meanwhile, whatever the fault.
pub(super) async fn meanwhile(trial: &Trial, time: Duration) {
    trial.until_taken(trial.taken() + RATE as usize * time.as_secs() as usize).await;
}

async fn killed(ground: Ground) -> Outcome {
    let away = Duration::from_secs(ground.pick(2, 10));
    let mut trial = under_load(ground, fleet().private_broker()).await;
    trial.fleet().broker().kill().await;
    trial.until_spooling().await;
    meanwhile(&trial, away).await;
    trial.fleet().broker().start_again().await;
    trial.healed().await;
    trial.finish().await
}

async fn restarted(ground: Ground) -> Outcome {
    let away = Duration::from_secs(ground.pick(2, 10));
    let mut trial = under_load(ground, fleet().private_broker()).await;
    trial.fleet().broker().stop().await;
    trial.until_spooling().await;
    meanwhile(&trial, away).await;
    trial.fleet().broker().start_again().await;
    trial.healed().await;
    trial.finish().await
}

async fn frozen(ground: Ground) -> Outcome {
    let frozen = Duration::from_secs(ground.pick(6, 30));
    let mut trial = under_load(ground, fleet().private_broker()).await;
    trial.fleet().broker().freeze();
    trial.until_spooling().await;
    meanwhile(&trial, frozen).await;
    trial.fleet().broker().thaw();
    trial.healed().await;
    trial.finish().await
}

async fn memory_alarm(ground: Ground) -> Outcome {
    alarmed(ground, PrivateBroker::alarm_on, PrivateBroker::alarm_off).await
}

async fn disk_alarm(ground: Ground) -> Outcome {
    alarmed(ground, PrivateBroker::disk_alarm_on, PrivateBroker::disk_alarm_off).await
}

async fn alarmed(ground: Ground, on: impl AsyncFn(&PrivateBroker), off: impl AsyncFn(&PrivateBroker)) -> Outcome {
    let blocked = Duration::from_secs(ground.pick(3, 15));
    let mut trial = under_load(ground, fleet().private_broker()).await;
    on(trial.fleet().broker()).await;
    trial.until_spooling().await;
    meanwhile(&trial, blocked).await;
    off(trial.fleet().broker()).await;
    trial.healed().await;
    trial.finish().await
}

/// At the end the old connections are reset, as by the router that has forgotten them.
async fn half_open(ground: Ground) -> Outcome {
    // the long one outlasts two heartbeats, the short one the wait for a confirm
    let deaf = Duration::from_secs(ground.pick(6, 25));
    let mut trial = under_load(ground, fleet().proxies()).await;
    trial.fleet().amqp_proxy().set(Fault::HALF_OPEN);
    trial.until_spooling().await;
    meanwhile(&trial, deaf).await;
    trial.fleet().amqp_proxy().reset();
    trial.fleet().amqp_proxy().set(Fault::NONE);
    trial.healed().await;
    trial.finish().await
}

/// Not the exchange of events: what is bound there is its readers' to bind again. What somebody publishes between the
/// declaration of an exchange and that of its bindings is parked as `unrouted`.
async fn exchange_deleted(ground: Ground) -> Outcome {
    let exchanges = [topology::WORK, topology::RETRY, topology::LANDING].repeat(ground.pick(1, 3));
    let mut trial = Trial::start(ground, fleet()).await;
    trial.load(RATE, BEFORE as u64 + u64::from(RATE) * (exchanges.len() as u64 + 3));
    trial.under_way(BEFORE).await;
    for exchange in exchanges {
        let channel = trial.fleet().amqp().try_channel().await.expect("the broker is there");
        let deleted = channel.exchange_delete(exchange.into(), ExchangeDeleteOptions::default()).await;
        deleted.expect("the exchange can be deleted");
        trial.fault_ended();
        meanwhile(&trial, Duration::from_secs(1)).await;
    }
    trial.all_sent().await;
    send_parked_again(&trial).await;
    trial.healed().await;
    trial.finish().await
}

pub(super) fn main_queue() -> String {
    topology::queue(Worker::Alert, Lane::Main)
}

/// Workers stand still while the queue with new openings goes; openings alone, for what a poll does not show any more is lost.
async fn queue_deleted(ground: Ground) -> Outcome {
    let mut trial = Trial::start(ground, fleet()).await;
    trial.load(RATE, BEFORE as u64);
    trial.all_sent().await;
    trial.fleet.until_idle().await;
    for place in 0..2 {
        trial.fleet().worker(place).signal("STOP");
    }
    trial.sides().iter().for_each(open_a_few);
    trial.all_sent().await;
    // there is nothing of theirs in any worker
    trial.spans_are_lost();
    trial.polls_may_tell();
    trial.fleet().amqp().delete_queue(&main_queue()).await;
    for place in 0..2 {
        trial.fleet().worker(place).signal("CONT");
    }
    trial.fault_ended();
    trial.load(RATE, BEFORE as u64);
    let queue = main_queue();
    until(DEADLINE, async || trial.fleet.amqp().depth(&queue).await.ok_or("nobody has declared it")).await;
    trial.all_sent().await;
    send_parked_again(&trial).await;
    for side in trial.sides() {
        side.reconcile(&trial.fleet).await;
    }
    trial.healed().await;
    trial.finish().await
}

/// As `muster park redrive` does.
pub(super) async fn send_parked_again(trial: &Trial) {
    trial.fleet.until_idle().await;
    let (store, all) = (trial.fleet.store(), Selection::default());
    until(DEADLINE, async || {
        let newest = parked::newest(&store).await.map_err(|error| error.chain())?;
        let by = testing::entry("parked.redrive");
        let sent = parked::redrive(&store, &all, newest, parked::BATCH_ROWS_MAX, &by).await;
        match sent.map_err(|error| error.chain())? {
            0 => Ok(()),
            sent => Err(format!("{sent} more were sent again")),
        }
    })
    .await;
}

/// Agents that no storm looks at go away.
fn open_a_few(side: &Side) {
    for agent in side.control().agents().into_iter().skip(10).take(8) {
        side.control().agent_overdue(agent.pk).expect("there is such an agent");
    }
}

/// Nothing breaks, so nobody connects anew. The first message that is parked as `unrouted` has the topology declared anew;
/// what was parked until then a person sends again.
async fn binding_missing(ground: Ground) -> Outcome {
    let mut trial = Trial::start(ground, fleet()).await;
    trial.load(RATE, BEFORE as u64);
    trial.all_sent().await;
    let channel = trial.fleet().amqp().try_channel().await.expect("the broker is there");
    let key = topology::binding_key(Worker::Alert, Lane::Main);
    let unbound =
        channel.queue_unbind(main_queue().into(), topology::WORK.into(), key.into(), FieldTable::default()).await;
    unbound.expect("it was bound");
    trial.fault_ended();
    trial.load(RATE, BEFORE as u64);
    trial.all_sent().await;
    until(DEADLINE, async || match parked::count(&trial.fleet.store()).await {
        Ok(1..) => Ok(()),
        other => Err(format!("{other:?} are parked")),
    })
    .await;
    send_parked_again(&trial).await;
    trial.healed().await;
    trial.finish().await
}

/// The gateway goes on by its spool. What the node makes of it is its own affair: it blocks, or its queues die, and then
/// it must be started anew once there is room.
async fn disk_full(ground: Ground) -> Outcome {
    let full = Duration::from_secs(ground.pick(4, 20));
    let mut trial = under_load(ground, fleet().private_broker().broker_disk(DISK_MIB)).await;
    trial.fleet().broker().fill_disk();
    let before = trial.taken();
    meanwhile(&trial, full).await;
    assert!(!trial.fleet().broker().has_room(), "the disk was never full");
    assert!(trial.taken() - before >= RATE as usize, "the gateway takes nothing: {:?}", trial.refusals());
    trial.fleet().broker().empty_disk().await;
    trial.healed().await;
    trial.finish().await
}

/// Nothing ends the silence of these connections, so recovery begins with it.
async fn half_open_forever(ground: Ground) -> Outcome {
    let rounds = ground.pick(1, 3);
    let mut trial = under_load(ground, fleet().proxies()).await;
    for _ in 0..rounds {
        let silent = silence(trial.fleet().amqp_proxy());
        trial.healed().await;
        // a worker that is alone with the work may have taken all of it
        trial.under_way_more(BEFORE).await;
        trial.healed().await;
        silent.is_still_silent();
    }
    trial.finish().await
}

/// Connections that nothing comes back on any more, and how many bytes did before.
pub(super) struct Silent(Vec<(Link, u64)>);

/// From now on nothing comes back on the connections that there are, not even an end; new ones work.
pub(super) fn silence(proxy: &Proxy) -> Silent {
    let links = proxy.links().into_iter().filter(|link| !link.is_over());
    let silent: Vec<_> = links
        .map(|link| {
            link.set(Fault::HALF_OPEN);
            let bytes = link.to_client_bytes();
            (link, bytes)
        })
        .collect();
    assert!(!silent.is_empty(), "there is no connection");
    Silent(silent)
}

impl Silent {
    /// Fails where any of them has ended, or a byte came back; a piece that was under way may have.
    pub(super) fn is_still_silent(&self) {
        for (link, bytes) in &self.0 {
            assert!(!link.is_over(), "a connection has ended that never should");
            let more = link.to_client_bytes() - bytes;
            assert!(more <= PIECE_BYTES_MAX, "{more} bytes came back on a silent connection");
        }
    }
}

/// What is published between the end of the bindings and new ones reaches nobody, and is not kept: that is the contract.
async fn events_exchange_deleted(ground: Ground) -> Outcome {
    let rounds = ground.pick(1, 5);
    let mut trial = under_load(ground, fleet()).await;
    for _ in 0..rounds {
        let channel = trial.fleet().amqp().try_channel().await.expect("the broker is there");
        let deleted = channel.exchange_delete(topology::EVENTS.into(), ExchangeDeleteOptions::default()).await;
        deleted.expect("the exchange can be deleted");
        let client = trial.fleet.amqp();
        until(DEADLINE, async || match client.has_exchange(topology::EVENTS).await {
            true => Ok(()),
            false => Err("nobody has declared it"),
        })
        .await;
        trial.until_rows(BEFORE as i64 / 10).await;
        trial.bind_events_again().await;
        trial.under_way_more(BEFORE).await;
        trial.healed().await;
    }
    trial.finish().await
}
