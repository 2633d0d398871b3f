//! A worker's life: connect, run until shutdown, drain.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use broker::consumer::{Subscription, consume};
use broker::{Consumer, Publisher};
use contract::topology::{self, Lane};
use store::Store;
use telemetry::probe::{self, Readiness};
pub use telemetry::program::Program;
use telemetry::{field, watchdog};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::alone::Alone;
use crate::config::Config;
use crate::disposition::Limits;
use crate::gate::Gate;
use crate::hands::Hands;
use crate::parker::Parker;
use crate::pauses::Pauses;
use crate::process::Runner;
use crate::registry::Registry;
use crate::relay::{Relay, Wake};
use crate::{lane, parker, retention};

/// Everything that a worker can be told. A bad value is one line on stderr that names flag and variable, exit code 2.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Args {
    #[command(flatten)]
    #[allow(missing_docs, reason = "its own type says it")]
    pub broker: broker::Config,
    #[command(flatten)]
    #[allow(missing_docs, reason = "its own type says it")]
    pub store: store::Config,
    #[command(flatten)]
    #[allow(missing_docs, reason = "its own type says it")]
    pub worker: Config,
    #[command(flatten)]
    #[allow(missing_docs, reason = "its own type says it")]
    pub telemetry: telemetry::Config,
}

/// Why a worker could not start, or did not end in order.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The store's configuration is unusable.
    #[error("--database-url (MUSTER_DATABASE_URL): {0}")]
    Store(#[from] store::Error),
    /// The probes' address cannot be bound.
    #[error("--probe-listen (MUSTER_PROBE_LISTEN): cannot listen on {address}: {cause}")]
    Probe {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The jobs cannot be made, or cannot go on: a flag of the worker's own is unusable.
    #[error("{0}")]
    Jobs(String),
    /// What was in hand could not be finished in time; the broker gives it to the next process.
    #[error("still busy {} ms after the signal to stop (--grace-ms, MUSTER_GRACE_MS)", .0.as_millis())]
    GraceOver(Duration),
}

/// Runs a worker until `stop`, or until its configuration turns out not to work ([`Registry::until_misfit`]), then drains it.
/// A part of it that dies by a panic cancels `stop`.
///
/// # Errors
/// [`RunError`]; nothing is consumed where it could not start.
pub async fn run(
    program: Program,
    args: &Args,
    jobs: impl AsyncFnOnce(&Store) -> Result<Registry, String>,
    metrics: telemetry::MetricsHandle,
    stop: CancellationToken,
) -> Result<(), RunError> {
    let store = Store::lazy(&args.store, program.name)?;
    let mut registry = jobs(&store).await.map_err(RunError::Jobs)?;
    let misfit = registry.take_misfit();
    let ended = CancellationToken::new();
    let _probes_end = ended.clone().drop_guard();
    // The address first: a worker that cannot be probed consumes nothing.
    let parts_ready = Arc::new(OnceLock::<Ready>::new());
    let ready = Arc::clone(&parts_ready);
    let readiness = move || ready.get().map_or(Readiness::NotReady("starting".to_owned()), |ready| ready());
    let address = args.telemetry.probe_listen;
    let bound = probe::serve(address, metrics, readiness, ended).await;
    bound.map_err(|cause| RunError::Probe { address, cause })?;
    let parts = Parts::start(program, args, registry, store, &stop);
    let _ = parts_ready.set(Box::new(parts.readiness()));
    telemetry::notify::ready();
    let misfit = tokio::select! {
        () = stop.cancelled() => None,
        line = misfit => Some(line),
    };
    if let Some(line) = &misfit {
        tracing::error!({ field::ERROR } = line, "the configuration cannot work");
        stop.cancel();
    }
    tracing::info!("stopping: what is in hand is finished first");
    let grace = Duration::from_millis(args.worker.grace_ms);
    let drained = tokio::time::timeout(grace, parts.drained()).await;
    // why it stops comes before how it went: the exit code is for whoever would start it again
    if let Some(line) = misfit {
        return Err(RunError::Jobs(line));
    }
    drained.map_err(|_| RunError::GraceOver(grace))?;
    tracing::info!("stopped");
    Ok(())
}

type Ready = Box<dyn Fn() -> Readiness + Send + Sync>;

/// The running pieces, in the order in which they end.
struct Parts {
    lanes: Vec<JoinHandle<()>>,
    moving: TaskTracker,
    consuming: JoinHandle<()>,
    retaining: JoinHandle<()>,
    pausing: JoinHandle<()>,
    relaying: JoinHandle<()>,
    relay_stop: CancellationToken,
    publishing: JoinHandle<()>,
    publish_stop: CancellationToken,
    publisher: Publisher,
    gate: Gate,
    attached: Vec<watch::Receiver<bool>>,
    store: Store,
}

impl Parts {
    fn start(program: Program, args: &Args, registry: Registry, store: Store, stop: &CancellationToken) -> Self {
        let me = format!("{} {}", program.name, program.version);
        let worker = registry.worker();
        let (publish_stop, relay_stop) = (CancellationToken::new(), CancellationToken::new());
        let (publisher, publishing) =
            Publisher::start(&args.broker, &format!("{} publish", program.name), publish_stop.clone());
        let (consumers, consuming) = consume(
            &args.broker,
            &format!("{} consume", program.name),
            &subscriptions(&registry, &args.worker),
            stop.clone(),
        );
        let publishing = watchdog::part("the publisher", stop, watchdog::joined(publishing));
        let consuming = watchdog::part("the consumer", stop, watchdog::joined(consuming));
        let gate = Gate::new(store.clone(), consumers.iter().map(Consumer::pauser).collect(), stop.clone());
        let attached = consumers.iter().map(Consumer::attached).collect();
        let (wake, pauses) = (Wake::default(), Pauses::new(store.clone()));
        let runner = Arc::new(Runner {
            registry,
            config: args.worker.clone(),
            limits: limits(args),
            hands: Hands { publisher: publisher.clone(), worker, me: me.clone(), stop: stop.clone() },
            gate: gate.clone(),
            relay: wake.clone(),
            alone: Alone::of(
                Lane::ALL.iter().zip(&consumers).filter(|(lane, _)| **lane != Lane::Suspect).map(|(_, it)| it),
            ),
            store: store.clone(),
            pauses: pauses.clone(),
            moving: TaskTracker::new(),
            stop: stop.clone(),
        });
        let (moving, probed) = (runner.moving.clone(), gate.clone());
        watchdog::part("the first look at postgres", stop, async move { probed.probe().await });
        let mut lanes = Vec::new();
        let mut consumers = consumers.into_iter();
        for (lane, consumer) in Lane::ALL.iter().zip(&mut consumers) {
            lanes.push(watchdog::part(
                format!("the lane {lane}"),
                stop,
                lane::run(Arc::clone(&runner), *lane, consumer),
            ));
        }
        let parks_per_minute_max = args.worker.parks_per_minute_max;
        let parker = Parker { store: store.clone(), me: me.clone(), parks_per_minute_max, broker: args.broker.clone() };
        let parking = |landing| watchdog::part("the parker", stop, parker::run(parker.clone(), landing, stop.clone()));
        lanes.extend(consumers.map(parking));
        let retaining = retention::run(store.clone(), args.worker.retention.clone(), me.clone(), stop.clone());
        let retaining = watchdog::part("the retention", stop, retaining);
        let pausing =
            watchdog::part("the look at pauses", stop, pauses.follow(gate.clone(), wake.clone(), stop.clone()));
        let relay = Relay::new(store.clone(), publisher.clone(), wake, &args.worker, &me);
        let relaying = watchdog::part("the relay", stop, relay.run(relay_stop.clone()));
        Self {
            lanes,
            moving,
            consuming,
            retaining,
            pausing,
            relaying,
            relay_stop,
            publishing,
            publish_stop,
            publisher,
            gate,
            attached,
            store,
        }
    }

    fn readiness(&self) -> impl Fn() -> Readiness + Send + Sync + 'static {
        let (publisher, gate, attached) = (self.publisher.clone(), self.gate.clone(), self.attached.clone());
        move || {
            Readiness::of([
                ("publisher", publisher.is_ready()),
                ("consumers", attached.iter().all(|attached| *attached.borrow())),
                ("postgres", gate.is_ready()),
            ])
        }
    }

    /// Lanes first, then the copies that they began; then the connection that both settle on, the relay, and the publisher
    /// last.
    async fn drained(self) {
        for lane in self.lanes {
            join(lane).await;
        }
        self.moving.close();
        self.moving.wait().await;
        join(self.consuming).await;
        join(self.retaining).await;
        join(self.pausing).await;
        self.relay_stop.cancel();
        join(self.relaying).await;
        self.publish_stop.cancel();
        join(self.publishing).await;
        self.store.close().await;
    }
}

async fn join(task: JoinHandle<()>) {
    if let Err(error) = task.await {
        tracing::error!({ field::ERROR } = %error, "a part of the worker ended badly");
    }
}

/// The worker's lanes in the order of [`Lane::ALL`], then the landing.
fn subscriptions(registry: &Registry, config: &Config) -> Vec<Subscription> {
    // two batches, or one for each that may run at once where they are small
    let prefetch = |lane: &Lane| {
        let size = lane::batch_messages_max(config, registry, *lane);
        let running = size.saturating_mul(usize::from(config.batches_in_flight));
        let most = usize::from(config.batch_messages_max).saturating_mul(2);
        u16::try_from(size.saturating_mul(2).max(running.min(most))).unwrap_or(u16::MAX)
    };
    let mut subscriptions: Vec<Subscription> = Lane::ALL
        .iter()
        .map(|lane| Subscription {
            queue: topology::queue(registry.worker(), *lane),
            prefetch: if *lane == Lane::Suspect { 1 } else { prefetch(lane) },
        })
        .collect();
    subscriptions.push(Subscription { queue: topology::LANDING.to_owned(), prefetch: parker::BATCH_MESSAGES_MAX });
    subscriptions
}

fn limits(args: &Args) -> Limits {
    Limits {
        attempts_max: args.worker.attempts_max,
        age_max: Duration::from_secs(args.worker.age_s_max),
        ladder: args.broker.ladder(),
    }
}
