//! A simulated Tactical RMM 1.5.1: its API with every quirk that was measured, its webhooks, and the truth behind them.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use tests::simulator::{Severity, Simulator, SimulatorConfig, WebhookSettings};
//!
//! let webhook = WebhookSettings::muster("http://127.0.0.1:8080/api/webhooks/tacticalrmm?tenant=t", "secret");
//! let tactical = Simulator::start(SimulatorConfig { webhook: Some(webhook), ..SimulatorConfig::default() }).await?;
//! let alert = tactical.control().fail_check(1, 1, Severity::Error);
//! println!("{} sent {alert:?}", tactical.base_url());
//! # Ok(()) }
//! ```
//!
//! Agents, clients, sites and software follow from a seed and are computed when they are asked for (`machine`,
//! `world`); only changes are stored. Time moves with a clock that can be pushed ([`Clock`]). Alerts open and close
//! by Tactical's rules (`alerting`), webhooks are rendered and sent as Python would ([`template`], `webhook`), and
//! the `ledger` keeps what was sent and what is true. A [`Control`] moves the world from Rust, [`command`] over HTTP.
//!
//! Not simulated: endpoints that Muster does not call (they are unknown URLs), the creation of clients, sites and
//! scripts (405), nginx in front (its TLS, its redirect from port 80), and the age of cached values (roles, check
//! counts), which are always fresh here.

mod accounts;
mod actions;
mod agent_id;
mod agents;
mod alert;
mod alerting;
mod alerts;
mod beta;
mod catalogue;
mod clients;
mod clock;
pub mod command;
mod config;
mod control;
mod core;
mod dice;
mod estate;
mod faults;
mod ledger;
mod login;
mod machine;
mod oracle;
mod presence;
pub mod python;
mod reply;
mod routes;
mod server;
mod software;
mod steer;
mod storm;
mod subjects;
pub mod template;
mod throttle;
mod traffic;
mod webhook;
mod world;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use self::accounts::{PASSWORD, Role, TOTP_SECRET, key, totp_code};
pub use self::alert::{ResolvedBy, Severity, Source};
pub use self::alerting::Outcome;
pub use self::clock::{Clock, iso};
pub use self::config::{Notify, SimulatorConfig, UrlAction, WebhookSettings};
pub use self::control::{AgentTruth, Control, NoSuch, Replacement};
pub use self::core::SERVER_VERSION;
pub use self::estate::Backup;
pub use self::faults::{Fault, FaultKind};
pub use self::ledger::{AlertTruth, Occasion, SentWebhook};
pub use self::software::Program;
pub use self::traffic::Served;
pub use contract::webhook::{FAILURE_BODY, RESOLVED_BODY};

use self::server::Shared;
use self::world::World;

/// How often the beats are looked at, in real time.
const TICK: Duration = Duration::from_millis(200);
/// How long [`Simulator::stop`] waits for requests under way.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// A running simulated server; dropping it stops it.
#[derive(Debug)]
pub struct Simulator {
    address: SocketAddr,
    control: Control,
    stop: CancellationToken,
    server: Option<JoinHandle<()>>,
}

impl Simulator {
    /// Starts a server of its own on `config.listen`. Many can run in one process.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start(config: SimulatorConfig) -> std::io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let clock = Arc::new(Clock::new(config.start.unwrap_or_else(Utc::now), config.speed));
        let (outgoing, queue) = tokio::sync::mpsc::unbounded_channel();
        let shared = Arc::new(Shared::new(World::new(config, clock, outgoing)));
        let stop = CancellationToken::new();
        let lanes = Arc::clone(&shared.lanes);
        tokio::spawn(webhook::send_all(queue, Arc::clone(&shared), lanes, stop.clone()));
        tokio::spawn(tick(Arc::clone(&shared), stop.clone()));
        let app = command::router().fallback(server::handle).with_state(Arc::clone(&shared));
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        let stopped = stop.clone().cancelled_owned();
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(stopped).await {
                tracing::error!(%error, "the simulator's listener failed");
            }
        });
        Ok(Self { address, control: Control(shared), stop, server: Some(server) })
    }

    /// `http://127.0.0.1:<port>`, without a slash at the end.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The handle that moves this server; cheap to clone, but not alive beyond the server.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Stops listening and sending, and waits up to two seconds for requests under way.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(mut server) = self.server.take()
            && tokio::time::timeout(DRAIN_MAX, &mut server).await.is_err()
        {
            server.abort();
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Runs the beats as they become due.
async fn tick(shared: Arc<Shared>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            _ = ticks.tick() => shared.world().beat(),
            () = stop.cancelled() => return,
        }
    }
}
