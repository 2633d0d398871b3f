//! What a case works with: a fleet with two tenants under load, everything that is needed to harm it, and its judge.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use contract::topology;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use uuid::Uuid;

use super::checks::Change;
use super::load::Load;
use super::{Ground, Side};
use crate::fleet::Builder;
use crate::otlp::OtlpReceiver;
use crate::process::Process;
use crate::proxy::Fault;
use crate::{DEADLINE, Fleet, Proxy, until};

/// Everything of ours in detail: what a log should not tell, it tells there.
const FILTER: &str = "info,lapin=off,sqlx=warn,tactical=debug,connection=debug,store=debug,vault=debug,ingest_gateway=debug,\
                      alert_worker=debug,sync_worker=debug,inventory_worker=debug,worker=debug,broker=debug,listener=debug";
/// A batch of spans leaves after so long, so that a kill takes few of them along.
const SPANS_DELAY_MS: u32 = 50;
/// What a dead worker has claimed of the outbox is another one's after so long.
const RELAY_LEASE_MS: u32 = 1_000;
/// The product's own; the harness's is long, for tests that mind a second copy.
const SPOOL_AFTER_MS: u32 = 100;
/// Receives every event about alerts.
pub(super) const EVENTS: &str = "trial.events";

/// A fleet that is being tried.
#[derive(Debug)]
pub struct Trial {
    pub(super) ground: Ground,
    pub(super) load: Option<Load>,
    // before the fleet: whoever sends ends before whoever receives
    pub(super) sides: [Side; 2],
    pub(super) fleet: Fleet,
    pub(super) gateway: Proxy,
    pub(super) receiver: OtlpReceiver,
    pub(super) sql: PgPool,
    pub(super) fault_ended: Option<Instant>,
    pub(super) slowest: Option<Duration>,
    pub(super) may_refuse: bool,
    /// What webhooks told until then may have been told by polls.
    pub(super) polled_until: DateTime<Utc>,
    /// When processes were killed, in nanoseconds since 1970.
    pub(super) kills_ns: Vec<u64>,
    /// Of webhooks that were answered until then spans may be lost.
    pub(super) spans_lost_until_ns: u64,
    pub(super) are_traces_checked: bool,
    /// Events that were taken before the end.
    pub(super) changes: Vec<Change>,
    /// The revisions up to which alerts may not have been told.
    pub(super) untold: BTreeMap<Uuid, i64>,
    pub(super) parked: u64,
}

/// What came of a trial.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Webhooks that the servers sent.
    pub sent: u64,
    /// Those that were answered 2xx.
    pub taken: u64,
    /// Those whose effect Postgres shows.
    pub reflected: u64,
    /// Effects that came twice.
    pub duplicated: u64,
    /// From the end of a fault until everything answered 2xx by then was reflected; None where nothing was measured.
    pub slowest: Option<Duration>,
    /// What is wrong, each with the invariant that it breaks.
    pub findings: Vec<String>,
}

/// An alert worker that reaches its servers through proxies of its own: its connections can be held where nobody else's are.
#[derive(Debug)]
pub struct Victim {
    /// Its place in [`Fleet::worker`].
    pub place: usize,
    /// Between it and RabbitMQ.
    pub amqp: Proxy,
    /// Between it and Postgres.
    pub database: Proxy,
}

impl Victim {
    /// Lets everything pass again, on new connections only: what was held is lost.
    pub fn let_go(&self) {
        for proxy in [&self.amqp, &self.database] {
            proxy.cut();
            proxy.set(Fault::NONE);
        }
    }
}

impl Trial {
    /// Starts a fleet with two tenants. It has a gateway; workers and the rest are the case's to say. One alert
    /// worker at least must be there, for both servers are polled once.
    ///
    /// # Panics
    /// If something does not start.
    pub async fn start(ground: Ground, fleet: Builder) -> Self {
        let receiver = OtlpReceiver::start();
        let mut fleet = fleet
            .logs(ground.logs.clone())
            .unless_set("MUSTER_OTLP_URL", receiver.url())
            .unless_set("MUSTER_OTLP_DELAY_MS", SPANS_DELAY_MS)
            .unless_set("MUSTER_LOG", FILTER)
            .unless_set("MUSTER_RELAY_LEASE_MS", RELAY_LEASE_MS)
            .unless_set("MUSTER_GATEWAY_SPOOL_AFTER_MS", SPOOL_AFTER_MS)
            .start()
            .await;
        fleet.expect_every_queue();
        let gateway = Proxy::start(address(&fleet.gateway_url())).await;
        let url = format!("http://{}", gateway.address());
        let sql = PgPoolOptions::new().max_connections(2).acquire_timeout(DEADLINE);
        let sql = sql.connect_lazy(fleet.database().url()).expect("it is a URL");
        fleet.amqp().bind_queue(EVENTS, topology::EVENTS, "rmm.alert.#").await;
        // the same numbers of alerts, other agents: whatever crosses is seen
        let seeds = [ground.seed.wrapping_mul(2), ground.seed.wrapping_mul(2).wrapping_add(1)];
        let (one, other) =
            tokio::join!(Side::start(&fleet, "A", seeds[0], &url), Side::start(&fleet, "B", seeds[1], &url));
        let (sides, load, slowest) = ([one, other], None, None);
        Self {
            ground,
            load,
            sides,
            fleet,
            gateway,
            receiver,
            sql,
            fault_ended: None,
            slowest,
            may_refuse: false,
            polled_until: DateTime::UNIX_EPOCH,
            kills_ns: Vec::new(),
            spans_lost_until_ns: 0,
            are_traces_checked: true,
            changes: Vec::new(),
            untold: BTreeMap::new(),
            parked: 0,
        }
    }

    /// The fleet.
    pub fn fleet(&mut self) -> &mut Fleet {
        &mut self.fleet
    }

    /// The two tenants.
    #[must_use]
    pub fn sides(&self) -> &[Side; 2] {
        &self.sides
    }

    /// Between the servers and the gateway.
    #[must_use]
    pub fn gateway_proxy(&self) -> &Proxy {
        &self.gateway
    }

    /// A pool on the database of the trial's own, for statements that only a case needs.
    #[must_use]
    pub fn sql(&self) -> &PgPool {
        &self.sql
    }

    /// So many messages may lie in `muster.parked` at the end, no more and no fewer.
    pub fn expect_parked(&mut self, count: u64) {
        self.parked = count;
        self.fleet.expect_parked(count);
    }

    /// The gateway itself is harmed: it may refuse webhooks, and Tactical's next poll tells what they said. Elsewhere a
    /// webhook that was not answered 2xx breaks I1, whatever is away behind the gateway.
    pub fn may_refuse(&mut self) {
        self.may_refuse = true;
    }

    /// What webhooks told until now may be lost where a poll tells it.
    pub fn polls_may_tell(&mut self) {
        self.polled_until = Utc::now();
    }

    /// Programs' clocks differ from the servers': nobody can say whether a webhook or a poll told a thing first.
    pub fn clocks_differ(&mut self) {
        self.polled_until = DateTime::<Utc>::MAX_UTC;
    }

    /// Takes the events that have come, so that the broker need not keep them until the end.
    ///
    /// # Panics
    /// If the broker is away.
    pub async fn keep_events(&mut self) {
        let came = self.fleet.amqp().get_all(EVENTS).await;
        self.changes.extend(came.into_iter().map(|got| (got.message_id(), got.body)));
    }

    /// Binds the trial's own queue of events after its exchange was deleted. What was told until now need not have come.
    ///
    /// # Panics
    /// If there is no such exchange, or the database does not answer.
    pub async fn bind_events_again(&mut self) {
        self.fleet.amqp().bind_queue(EVENTS, topology::EVENTS, "rmm.alert.#").await;
        for side in &self.sides {
            let rows = side.rows(&self.sql).await.expect("the database answers");
            self.untold.extend(rows.values().map(|row| (row.alert_id, row.rev())));
        }
    }

    /// Of webhooks that were answered until now spans, or what spans tell of, may be lost by other hands than
    /// [`Trial::kill_worker`] and [`Trial::kill_gateway`].
    pub fn spans_are_lost(&mut self) {
        self.spans_lost_until_ns = now_ns();
    }
}

/// What becomes of it.
impl Trial {
    /// Polls both servers once (`sync alerts`).
    ///
    /// # Panics
    /// If a poll does not complete.
    pub async fn poll(&self) {
        for side in &self.sides {
            side.reconcile(&self.fleet).await;
        }
    }

    /// Waits until no schedule is due any more.
    ///
    /// # Panics
    /// If some stay due.
    pub async fn until_no_schedule_is_due(&self) {
        let due = "select count(*) from muster.schedule where next_due_at <= clock_timestamp()";
        until(DEADLINE, async || match sqlx::query_scalar::<_, i64>(due).fetch_one(&self.sql).await {
            Ok(0) => Ok(()),
            other => Err(format!("{other:?} schedules are due")),
        })
        .await;
    }

    /// Waits until everything is parked that [`Trial::expect_parked`] told of.
    ///
    /// # Panics
    /// If it is not.
    pub async fn until_parked(&self) {
        let store = self.fleet.store();
        until(DEADLINE * 6, async || match store::parked::count(&store).await {
            Ok(count) if count == self.parked => Ok(()),
            other => Err(format!("{other:?} of {} are parked", self.parked)),
        })
        .await;
    }

    /// A third tenant, of which nothing is checked but that it harms nobody, sends a webhook; the answer's status, or None
    /// where the gateway ended the connection instead.
    pub async fn bystander_sends(&self, body: Vec<u8>) -> Option<u16> {
        let connection = self.fleet.connection();
        let url = contract::webhook::url(&format!("http://{}", self.gateway.address()), connection.tenant);
        let request = reqwest::Client::new().post(url).header(contract::webhook::HEADER, &connection.secret);
        request.body(body).send().await.ok().map(|answer| answer.status().as_u16())
    }

    /// Notes that the fault has ended, or that nothing more of it is done. A case that waits for more than
    /// [`Trial::healed`] does calls this first, so that its wait is part of the recovery.
    pub fn fault_ended(&mut self) {
        self.fault_ended = Some(Instant::now());
    }

    /// Waits until everything that was answered 2xx by now is reflected, and notes how long that took since the fault's
    /// end: now, unless [`Trial::fault_ended`] was called.
    ///
    /// # Panics
    /// If it is lost.
    pub async fn healed(&mut self) {
        let began = self.fault_ended.take().unwrap_or_else(Instant::now);
        let facts = self.sides.each_ref().map(|side| side.facts(self.polled_until));
        for (side, facts) in self.sides.iter().zip(&facts) {
            side.until_reflected(&self.sql, facts).await;
        }
        self.slowest = self.slowest.max(Some(began.elapsed()));
    }
}

/// Harm.
impl Trial {
    /// `kill -9`.
    pub fn kill_worker(&mut self, place: usize) {
        self.fleet.worker(place).kill();
        self.kills_ns.push(now_ns());
    }

    /// Starts an alert worker whose connections can be held.
    ///
    /// # Panics
    /// If it does not become ready.
    pub async fn add_victim(&mut self) -> Victim {
        let (amqp, amqp_url) = Proxy::before(self.fleet.amqp().url()).await;
        let (database, database_url) = Proxy::before(self.fleet.database().url()).await;
        let own = [("MUSTER_AMQP_URL", amqp_url.as_str()), ("MUSTER_DATABASE_URL", database_url.as_str())];
        let place = self.fleet.add_worker_with(&own).await;
        Victim { place, amqp, database }
    }

    /// `kill -9` of a victim; its connections end with it, whatever was held on them.
    pub fn kill_victim(&mut self, victim: &Victim) {
        self.kill_worker(victim.place);
        victim.let_go();
    }

    /// The gateway.
    pub fn gateway(&mut self) -> &mut Process {
        self.fleet.gateway()
    }

    /// `kill -9` of the gateway.
    pub fn kill_gateway(&mut self) {
        self.fleet.gateway().kill();
        self.kills_ns.push(now_ns());
    }

    /// Starts the gateway again after it was ended; the servers find it where it was.
    pub async fn restart_gateway(&mut self) {
        self.fleet.restart_gateway().await;
        self.gateway.lead_to(address(&self.fleet.gateway_url()));
    }
}

/// `127.0.0.1:1234` of a URL without a path.
fn address(url: &str) -> &str {
    url.trim_start_matches("http://")
}

pub(super) fn now_ns() -> u64 {
    let now = Utc::now().timestamp_nanos_opt().unwrap_or_default();
    u64::try_from(now).unwrap_or_default()
}
