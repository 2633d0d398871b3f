//! `tactical-simulator`: a simulated Tactical RMM that stands by itself and, on request, lets alerts flow.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use tests::simulator::{Control, Simulator, SimulatorConfig, WebhookSettings};
use tokio::signal::unix::{SignalKind, signal};

/// A simulated Tactical RMM 1.5.1. Every flag can be given as an environment variable.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen; port 0 takes a free one
    #[arg(long, env = "SIMULATOR_LISTEN", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// How many clients
    #[arg(long, env = "SIMULATOR_CLIENTS", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    clients: u32,
    /// How many sites each client has
    #[arg(long, env = "SIMULATOR_SITES_PER_CLIENT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    sites_per_client: u32,
    /// How many agents
    #[arg(long, env = "SIMULATOR_AGENTS", default_value_t = 400, value_parser = clap::value_parser!(u32).range(0..=10_000_000))]
    agents: u32,
    /// How many alerts of the past, beside those of overdue agents
    #[arg(long, env = "SIMULATOR_ALERTS", default_value_t = 0)]
    alerts: u32,
    /// Everything random follows from it
    #[arg(long, env = "SIMULATOR_SEED", default_value_t = 1)]
    seed: u64,
    /// How many of 100 agents check in at the start
    #[arg(long, env = "SIMULATOR_ONLINE_PERCENT", default_value_t = 88, value_parser = clap::value_parser!(u8).range(0..=100))]
    online_percent: u8,
    /// About how many programs a Windows agent reports
    #[arg(long, env = "SIMULATOR_SOFTWARE_PER_AGENT", default_value_t = 40)]
    software_per_agent: u32,
    /// How many services a Windows agent carries (300 = the size of a real one in the beta API)
    #[arg(long, env = "SIMULATOR_SERVICES_PER_AGENT", default_value_t = 4)]
    services_per_agent: u32,
    /// Enable the beta API
    #[arg(long, env = "SIMULATOR_BETA")]
    beta: bool,
    /// Simulated seconds in a real one
    #[arg(long, env = "SIMULATOR_SPEED", default_value_t = 1.0)]
    speed: f64,
    /// Where Muster's webhook is; without it nothing is sent until one is set by the control API
    #[arg(long, env = "SIMULATOR_WEBHOOK_URL")]
    webhook_url: Option<String>,
    /// The webhook's secret header
    #[arg(long, env = "SIMULATOR_WEBHOOK_SECRET", default_value = "", hide_env_values = true)]
    webhook_secret: String,
    /// Every so many milliseconds something fails, heals, goes or comes back; 0 = never
    #[arg(long, env = "SIMULATOR_ALERT_INTERVAL_MS", default_value_t = 0)]
    alert_interval_ms: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let interval_ms = arguments.alert_interval_ms;
    // caught before the line below is printed: whoever reads it may stop us at once
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let listen = arguments.listen;
    let simulator = Simulator::start(config(arguments)).await.with_context(|| format!("listening on {listen}"))?;
    writeln!(std::io::stdout(), "listening on {}", simulator.base_url()).context("writing to stdout")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = demo(simulator.control(), interval_ms) => {}
    }
    simulator.stop().await;
    Ok(())
}

fn config(arguments: Arguments) -> SimulatorConfig {
    SimulatorConfig {
        listen: arguments.listen,
        clients: arguments.clients,
        sites_per_client: arguments.sites_per_client,
        agents: arguments.agents,
        alerts: arguments.alerts,
        seed: arguments.seed,
        online_percent: arguments.online_percent,
        software_per_agent: arguments.software_per_agent,
        services_per_agent: arguments.services_per_agent,
        beta: arguments.beta,
        speed: arguments.speed,
        webhook: arguments.webhook_url.map(|url| WebhookSettings::muster(&url, &arguments.webhook_secret)),
        ..SimulatorConfig::default()
    }
}

/// Lets something happen every `interval_ms`; with 0 it never ends and does nothing.
async fn demo(control: Control, interval_ms: u64) {
    if interval_ms == 0 {
        return std::future::pending().await;
    }
    let mut ticks = tokio::time::interval(Duration::from_millis(interval_ms));
    loop {
        ticks.tick().await;
        control.demo_step();
    }
}
