//! Puts the gateway together and runs it until it is told to stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::routing::any;
use broker::Publisher;
use contract::webhook::PATH;
use listener::serve;
use secrecy::SecretString;
use store::Store;
use telemetry::MetricsHandle;
use telemetry::probe::{self, Readiness};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::answer::Answer;
use crate::config::Config;
use crate::hooks::Hooks;
use crate::hooks::source::HookSource;
use crate::publish::Publish;
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
}

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
    task: JoinHandle<()>,
}

impl Running {
    /// Waits for the end of the drain, after `cancel`.
    pub async fn stopped(self) {
        // a panic in there has been logged by the panic hook
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
    let outside = Outside { hooks: Arc::new(store.clone()), publisher: Arc::new(publisher), metrics };
    let started = start(&config, pepper, outside, cancel.clone()).await;
    let ended = match started {
        Ok(running) => {
            telemetry::notify::ready();
            let ticks = config.ticks;
            let ticking = ticks.ticks.then(|| tokio::spawn(tick::run(store.clone(), ticks, cancel)));
            running.stopped().await;
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
    // a panic in there has been logged by the panic hook
    let _ = publisher_task.await;
    store.close().await;
    ended
}

/// Starts a gateway in the given world.
///
/// # Errors
/// [`RunError::Listen`]; nothing is left bound.
pub async fn start(
    config: &Config,
    pepper: SecretString,
    outside: Outside,
    cancel: CancellationToken,
) -> Result<Running, RunError> {
    let listener = bind("listen", "MUSTER_GATEWAY_LISTEN", config.listen).await?;
    let admin = match config.admin_listen {
        Some(address) => Some(bind("admin-listen", "MUSTER_GATEWAY_ADMIN_LISTEN", address).await?),
        None => None,
    };
    let local = |listener: &TcpListener| listener.local_addr().expect("a bound listener has an address");
    let (address, admin_address) = (local(&listener), admin.as_ref().map(local));
    let hooks = Arc::new(Hooks::open(outside.hooks, pepper, config.state_dir.clone(), &config.limits));
    let gateway = Arc::new(Gateway {
        hooks: Arc::clone(&hooks),
        publisher: outside.publisher,
        limits: config.limits.clone(),
        publishing: TaskTracker::new(),
    });
    let (public, admin_router) = routers(&gateway, outside.metrics, admin.is_some());
    let admin = admin.map(|listener| (listener, admin_router));
    tracing::info!(listen.address = %address, "listening");
    if let Some(address) = admin_address {
        tracing::info!(listen.address = %address, "listening for /metrics");
    }
    let task = tokio::spawn(live(gateway, (listener, public), admin, cancel));
    Ok(Running { address, admin_address, task })
}

/// Everything that runs, until the drain is over.
async fn live(
    gateway: Arc<Gateway>,
    (listener, router): (TcpListener, Router),
    admin: Option<(TcpListener, Router)>,
    cancel: CancellationToken,
) {
    let reloading = tokio::spawn({
        let (hooks, cancel) = (Arc::clone(&gateway.hooks), cancel.clone());
        async move { hooks.keep_current(cancel).await }
    });
    // metrics are shown until the drain is over
    let drained = CancellationToken::new();
    let limits = &gateway.limits.listener();
    let admin_serving = async {
        if let Some((listener, router)) = admin {
            serve(listener, router, limits, drained.clone()).await;
        }
    };
    let serving = async {
        serve(listener, router, limits, cancel).await;
        gateway.publishing.close();
        gateway.publishing.wait().await;
        drained.cancel();
    };
    tokio::join!(serving, admin_serving);
    // a question to a database that hangs is not waited for, what is being written to the disk is
    reloading.abort();
    let _ = reloading.await;
    gateway.hooks.saved().await;
}

/// The webhooks' routes and those for the operators. The probes are on both; metrics only on the latter, if any.
fn routers(gateway: &Arc<Gateway>, metrics: MetricsHandle, has_admin: bool) -> (Router, Router) {
    let readiness = {
        let gateway = Arc::clone(gateway);
        move || Readiness::of([("hooks", gateway.hooks.is_loaded()), ("broker", gateway.publisher.is_ready())])
    };
    let operators = probe::router(metrics.clone(), readiness.clone());
    let webhooks = Router::new().route(PATH, any(receive)).with_state(Arc::clone(gateway));
    let public = if has_admin { webhooks.merge(probe::health(readiness)) } else { webhooks.merge(operators.clone()) };
    (public.fallback(async || Answer::not_found()), operators)
}

async fn bind(flag: &'static str, variable: &'static str, address: SocketAddr) -> Result<TcpListener, RunError> {
    TcpListener::bind(address).await.map_err(|cause| RunError::Listen { flag, variable, address, cause })
}
