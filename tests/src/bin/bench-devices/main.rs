//! `bench-devices`: a large simulated fleet through the real programs; prints figures beside the limits they must keep.
//!
//! `./dev bench devices` starts it with servers of its own. A first sync, the same sync with the simulated time standing
//! still, and one after every online agent was seen again; then the same rows by COPY and insert-select, the fastest that
//! this Postgres can take them, in the same run; at last the software of some agents, for the inventory-worker's memory.

mod baseline;
mod measure;
mod report;
mod stage;

use anyhow::Context as _;
use clap::Parser;

use crate::measure::Meter;
use crate::report::Report;
use crate::stage::Stage;

/// A large simulated fleet through the real programs.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// How many agents
    #[arg(default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    agents: u32,
    /// How many clients they are spread over
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    clients: u32,
    /// How many of 100 agents check in
    #[arg(long, default_value_t = 88, value_parser = clap::value_parser!(u8).range(1..=100))]
    online_percent: u8,
    /// Of how many agents the software is read, for the inventory-worker's memory
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    software_agents: u32,
}

#[tokio::main]
async fn main() -> anyhow::Result<std::process::ExitCode> {
    let arguments = Arguments::parse();
    let stage = Stage::set(&arguments).await?;
    let mut report = Report::new(&arguments, &stage).await?;
    let mut meter = Meter::new(&stage).await?;

    stage.say("the list alone, read and thrown away");
    report.list_alone(stage.read_list().await?);

    stage.say("first sync");
    report.first(meter.sync(&stage).await.context("the first sync")?);

    stage.say("again, the simulated time standing still");
    report.frozen(meter.sync(&stage).await.context("the sync of what had not changed")?);

    stage.say("again, after every online agent was seen");
    stage.let_everybody_be_seen().await?;
    report.seen_again(meter.sync(&stage).await.context("the sync of agents that were seen again")?);

    stage.say("the same rows by COPY and insert-select");
    report.baseline(baseline::measure(&stage).await.context("the baseline")?);

    report.memory(stage.worker_peak_bytes()?);

    stage.say("the software of some of them, agent by agent");
    report.software_memory(stage.software_peak_bytes(arguments.software_agents).await?);
    let passed = report.print()?;
    stage.strike().await;
    Ok(if passed { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE })
}
