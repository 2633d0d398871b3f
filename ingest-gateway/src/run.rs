//! Puts the gateway together and runs it until it is told to stop.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use broker::Publisher;
use contract::webhook::PATH;
use listener::serve;
use listenfd::ListenFd;
use secrecy::SecretString;
use spool::{OpenError, Spool, Writer};
use store::Store;
use store::spool::Holding;
use telemetry::probe::{self, Readiness};
use telemetry::{MetricsHandle, watchdog};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::answer::Answer;
use crate::config::Config;
use crate::drain::Drain;
use crate::hooks::Hooks;
use crate::hooks::source::HookSource;
use crate::keep::Keep;
use crate::publish::Publish;
use crate::spooled;
use crate::tick;
use crate::webhook::{Gateway, receive};

/// Why the gateway did not start, or not end well.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A flag that only shows to be wrong when it is used; the text names it.
    #[error("{0}")]
    Config(String),
    /// An address cannot be listened on.
    #[error("--{flag} ({variable}): listen on {address}: {cause}")]
    Listen {
        /// Without its dashes.
        flag: &'static str,
        /// The flag's variable.
        variable: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        cause: io::Error,
    },
    /// There is no spool.
    #[error("--spool-dir (MUSTER_GATEWAY_SPOOL_DIR): {0}")]
    Spool(#[from] OpenError),
}

/// Patience for each step of an end whose callers wait at a held socket: Tactical waits for eight seconds, and the process
/// that comes next goes on with the spool.
const HANDOVER_MAX: Duration = Duration::from_millis(500);

/// The outside world, so that tests can put another one in its place.
pub struct Outside {
    /// Where hooks come from.
    pub hooks: Arc<dyn HookSource>,
    /// Where alerts go.
    pub publisher: Arc<dyn Publish>,
    /// What `/metrics` shows.
    pub metrics: MetricsHandle,
}

/// A gateway that listens.
#[derive(Debug)]
pub struct Running {
    /// Where webhooks are taken.
    pub address: SocketAddr,
    /// Where metrics are served, if not there.
    pub admin_address: Option<SocketAddr>,
    /// What the spool holds, at most a second old; `None` before the first look. Its sender goes with the gateway.
    holding: watch::Receiver<Option<Holding>>,
    /// For each step of an end.
    patience: Duration,
    task: JoinHandle<()>,
}

impl Running {
    /// Waits for the end of the drain, after `cancel`.
    pub async fn stopped(self) {
        // its panic has been told, and has stopped the gateway
        let _ = self.task.await;
    }
}

/// Runs the gateway against Postgres and RabbitMQ until `cancel`, then drains.
///
/// # Errors
/// [`RunError`]; nothing is left bound.
pub async fn run(config: Config, metrics: MetricsHandle, cancel: CancellationToken) -> Result<(), RunError> {
    let pepper = config.pepper.read().map_err(RunError::Config)?;
    let store = Store::lazy(&config.database, "ingest-gateway")
        .map_err(|error| RunError::Config(format!("--database-url (MUSTER_DATABASE_URL): {error}")))?;
    // it outlives the requests: what they still publish is confirmed first
    let publishing = CancellationToken::new();
    let (publisher, publisher_task) = Publisher::start(&config.broker, "ingest-gateway publish", publishing.clone());
    let publisher_task = watchdog::part("the publisher", &cancel, watchdog::joined(publisher_task));
    let outside = Outside { hooks: Arc::new(store.clone()), publisher: Arc::new(publisher), metrics };
    let started = start(&config, pepper, outside, cancel.clone()).await;
    let ended = match started {
        Ok(running) => {
            telemetry::notify::ready();
            let ticks = config.ticks;
            let ticking = ticks.ticks.then(|| {
                let ticking = tick::run(store.clone(), ticks, cancel.clone());
                watchdog::part("the ticker", &cancel, ticking)
            });
            let telling = spooled::tell(store.clone(), running.holding.clone());
            let telling = watchdog::part("what tells of the spool", &cancel, telling);
            let patience = running.patience;
            running.stopped().await;
            // it ends by itself, unless the database hangs
            let _ = tokio::time::timeout(patience, telling).await;
            if let Some(ticking) = ticking {
                // a look under way is not waited for: what it has not committed stays due
                ticking.abort();
                let _ = ticking.await;
            }
            Ok(())
        }
        Err(error) => Err(error),
    };
    publishing.cancel();
    // its panic has been told, and has stopped the gateway
    let _ = publisher_task.await;
    store.close().await;
    ended
}

/// Starts a gateway in the given world.
///
/// # Errors
/// [`RunError::Listen`] or [`RunError::Spool`]; nothing is left bound.
pub async fn start(
    config: &Config,
    pepper: SecretString,
    outside: Outside,
    cancel: CancellationToken,
) -> Result<Running, RunError> {
    let mut handed = ListenFd::from_env();
    let (listener, is_held) = bind(&mut handed, 0, ("listen", "MUSTER_GATEWAY_LISTEN"), config.listen).await?;
    let admin = match config.admin_listen {
        Some(address) => Some(bind(&mut handed, 1, ("admin-listen", "MUSTER_GATEWAY_ADMIN_LISTEN"), address).await?.0),
        None => None,
    };
    let local = |listener: &TcpListener| listener.local_addr().expect("a bound listener has an address");
    let (address, admin_address) = (local(&listener), admin.as_ref().map(local));
    let hooks = Arc::new(Hooks::open(outside.hooks, pepper, config.state_dir.clone(), &config.limits));
    let (spool, writer) = open(config.spool_folder(), spool::Limits::from(&config.spool)).await?;
    spooled::tell_found(&spool);
    let wait = Duration::from_millis(config.limits.spool_after_ms);
    let keep = Arc::new(Keep::new(outside.publisher, spool, wait));
    let (shown, holding) = watch::channel(None);
    let gateway = Arc::new(Gateway { hooks, keep, limits: config.limits.clone() });
    let (public, admin_router) = routers(&gateway, outside.metrics, admin.is_some());
    let admin = admin.map(|listener| (listener, admin_router));
    tracing::info!(listen.address = %address, "listening");
    if let Some(address) = admin_address {
        tracing::info!(listen.address = %address, "listening for /metrics");
    }
    let drain_timeout = config.limits.listener().drain_timeout;
    // nobody may ever start a gateway on this folder again, unless something holds its socket
    let patience = if is_held { HANDOVER_MAX } else { drain_timeout };
    let stop = cancel.clone();
    let task = watchdog::part("the gateway", &stop, async move {
        live(gateway, (listener, public), admin, shown, (cancel, patience)).await;
        // the lock on the folder is free once the thread has ended
        let joined = tokio::task::spawn_blocking(move || writer.join(patience)).await;
        if !joined.unwrap_or(false) {
            tracing::error!("the spool's disk hangs: it is not waited for any longer");
        }
    });
    Ok(Running { address, admin_address, holding, patience, task })
}

/// Opening reads the disk.
async fn open(folder: PathBuf, limits: spool::Limits) -> Result<(Spool, Writer), OpenError> {
    let opening = tokio::task::spawn_blocking(move || Spool::open(&folder, limits));
    opening.await.unwrap_or_else(|ended| std::panic::resume_unwind(ended.into_panic()))
}

/// Everything that runs, until the drain is over. What has been taken is answered first; then each step of handing over what
/// the spool holds, and of ending, is given so much time.
async fn live(
    gateway: Arc<Gateway>,
    (listener, router): (TcpListener, Router),
    admin: Option<(TcpListener, Router)>,
    shown: watch::Sender<Option<Holding>>,
    (cancel, patience): (CancellationToken, Duration),
) {
    let reloading = watchdog::part("the look at the hooks", &cancel, {
        let (hooks, cancel) = (Arc::clone(&gateway.hooks), cancel.clone());
        async move { hooks.keep_current(cancel).await }
    });
    let watching = spooled::show(Arc::clone(&gateway.keep), shown.clone());
    let watching = watchdog::part("the look at the spool", &cancel, watching);
    // metrics are shown until the drain is over
    let drained = CancellationToken::new();
    let limits = &gateway.limits.listener();
    let admin_serving = async {
        if let Some((listener, router)) = admin {
            serve(listener, router, limits, drained.clone()).await;
        }
    };
    let serving = async {
        let keep = gateway.keep.as_ref();
        let mut drain = Drain::new(keep, Duration::from_millis(gateway.limits.spool_refusal_pause_ms));
        let draining = drain.run(&cancel, patience);
        let draining = watchdog::vital("the spool's drain", cancel.clone(), draining);
        tokio::join!(serve(listener, router, limits, cancel.clone()), draining);
        keep.publishing.close();
        // who is answered needs none of these any more: what was not confirmed is in the spool, and comes twice
        let _ = tokio::time::timeout(patience, keep.publishing.wait()).await;
        watchdog::vital("the spool's last drain", cancel.clone(), empty(&mut drain, patience)).await;
        drained.cancel();
    };
    tokio::join!(serving, admin_serving);
    // a question to a database that hangs is not waited for, what is being written to the disk is
    for task in [reloading, watching] {
        task.abort();
        let _ = task.await;
    }
    // nor for ever the disk
    let _ = tokio::time::timeout(patience, spooled::look(&gateway.keep, &shown)).await;
    gateway.hooks.saved().await;
}

/// What is in the spool is better with the broker.
async fn empty(drain: &mut Drain<'_>, timeout: Duration) {
    let left = tokio::time::timeout(timeout, drain.finish()).await;
    if left != Ok(0) {
        tracing::warn!("messages stay in the spool until a gateway starts on this folder again, or muster spool drain");
    }
}

/// The webhooks' routes and those for the operators. The probes are on both; metrics only on the latter, if any.
fn routers(gateway: &Arc<Gateway>, metrics: MetricsHandle, has_admin: bool) -> (Router, Router) {
    let readiness = {
        let gateway = Arc::clone(gateway);
        move || Readiness::of([("hooks", gateway.hooks.is_loaded()), ("broker or spool", gateway.keep.is_able())])
    };
    let operators = probe::router(metrics.clone(), readiness.clone());
    let webhooks = Router::new().route(PATH, any(receive)).with_state(Arc::clone(gateway));
    let public = if has_admin { webhooks.merge(probe::health(readiness)) } else { webhooks.merge(operators.clone()) };
    (public.fallback(async || Answer::not_found()), operators)
}

/// Takes the socket that systemd holds for us, in the order of its unit (webhooks, then metrics), or binds the address.
/// Held sockets keep their callers while one process ends and the next begins, so that a restart refuses nobody; whether
/// this one is held.
async fn bind(
    handed: &mut ListenFd,
    place: usize,
    (flag, variable): (&'static str, &'static str),
    address: SocketAddr,
) -> Result<(TcpListener, bool), RunError> {
    let refused = |cause| RunError::Listen { flag, variable, address, cause };
    match handed.take_tcp_listener(place).map_err(refused)? {
        Some(held) => {
            held.set_nonblocking(true).map_err(refused)?;
            Ok((TcpListener::from_std(held).map_err(refused)?, true))
        }
        None => Ok((TcpListener::bind(address).await.map_err(refused)?, false)),
    }
}
