//! Puts the console together and runs it until it is told to stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use connection::{Connections, VaultCheck};
use store::Store;
use telemetry::probe::{self, Readiness};
use telemetry::{MetricsHandle, watchdog};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vault::Vault;

use crate::app::App;
use crate::config::Config;
use crate::router::router;

/// How often Postgres is asked whether it is there; a probe every few seconds finds it fresh enough.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Why the console did not start, or not end well.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A flag that only shows to be wrong when it is used; the text names it.
    #[error("{0}")]
    Config(String),
    /// The vault's key is not the one that the secrets are sealed with.
    #[error("{0}")]
    Key(String),
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

/// A console that listens.
#[derive(Debug)]
pub struct Running {
    /// Where the API is served.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Running {
    /// Waits for the end of the drain, after `cancel`.
    pub async fn stopped(self) {
        // its panic has been told, and has stopped the console
        let _ = self.task.await;
    }
}

/// Runs the console against Postgres until `cancel`, then drains.
///
/// # Errors
/// [`RunError`]; nothing is left bound.
pub async fn run(config: Config, metrics: MetricsHandle, cancel: CancellationToken) -> Result<(), RunError> {
    let store = Store::lazy(&config.database, "console")
        .map_err(|error| RunError::Config(format!("--database-url (MUSTER_DATABASE_URL): {error}")))?;
    let vault = Vault::open(&config.vault).map_err(|error| RunError::Config(fault::chain(&error)))?;
    let app = Arc::new(App::new(&config, store.clone(), vault.clone())?);
    let checked = connection::check_vault(&store, &vault).await.map_err(|error| RunError::Key(fault::chain(&error)))?;
    let running = start(&config, app, metrics, cancel.clone()).await?;
    telemetry::notify::ready();
    let watching = async {
        if checked == VaultCheck::DatabaseAway
            && let Err(error) = connection::check_vault_when_back(&store, &vault).await
        {
            return error;
        }
        std::future::pending().await
    };
    let stopped = running.stopped();
    tokio::pin!(stopped);
    let ended = tokio::select! {
        () = &mut stopped => Ok(()),
        error = watching => {
            tracing::error!(error = fault::chain(&error), "shutting down: the vault's key is the wrong one");
            cancel.cancel();
            stopped.await;
            Err(RunError::Key(fault::chain(&error)))
        }
    };
    store.close().await;
    ended
}

/// Starts a console in the given world.
///
/// # Errors
/// [`RunError::Listen`]; nothing is left bound.
pub async fn start(
    config: &Config,
    app: Arc<App>,
    metrics: MetricsHandle,
    cancel: CancellationToken,
) -> Result<Running, RunError> {
    let address = config.listen;
    let listener = TcpListener::bind(address).await.map_err(|cause| RunError::Listen {
        flag: "listen",
        variable: "MUSTER_CONSOLE_LISTEN",
        address,
        cause,
    })?;
    let address = listener.local_addr().expect("a bound listener has an address");
    let is_there = Arc::new(AtomicBool::new(false));
    let ready = {
        let is_there = Arc::clone(&is_there);
        move || Readiness::of([("postgres", is_there.load(Ordering::Relaxed))])
    };
    tracing::info!(listen.address = %address, "listening");
    // metrics are shown until the drain is over
    let drained = CancellationToken::new();
    let probes = config.telemetry.probe_listen;
    probe::serve(probes, metrics, ready.clone(), drained.clone()).await.map_err(|cause| RunError::Listen {
        flag: "probe-listen",
        variable: "MUSTER_PROBE_LISTEN",
        address: probes,
        cause,
    })?;
    let looking = watchdog::part("the look at postgres", &cancel, look(app.store.clone(), is_there));
    let limits = config.limits.listener();
    let router = router(app).merge(probe::health(ready));
    let stop = cancel.clone();
    let task = watchdog::part("the API", &stop, async move {
        listener::serve(listener, router, &limits, cancel).await;
        looking.abort();
        drained.cancel();
    });
    Ok(Running { address, task })
}

/// Keeps an eye on Postgres for the probes.
async fn look(store: Store, is_there: Arc<AtomicBool>) {
    loop {
        is_there.store(store.ping().await.is_ok(), Ordering::Relaxed);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

impl App {
    /// The console's world as its flags describe it.
    ///
    /// # Errors
    /// [`RunError::Config`]: the pepper cannot be read.
    pub fn new(config: &Config, store: Store, vault: Vault) -> Result<Self, RunError> {
        Ok(Self {
            connections: Connections::new(store.clone(), vault, config.tactical.clone()),
            store,
            tactical: config.tactical.clone(),
            pepper: config.pepper.read().map_err(RunError::Config)?,
            gateway_url: config.public_gateway_url.clone(),
            webhook_grace: Duration::from_secs(config.webhook_grace_s),
            limits: config.limits.clone(),
        })
    }
}
