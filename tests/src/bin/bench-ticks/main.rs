//! `bench-ticks`: many schedules on one real gateway; prints how late their runs begin beside the limits that must be kept.
//!
//! `./dev bench ticks` starts it with servers of its own. Schedules at the shortest interval there is, their slots spread over
//! it; then all of them due at once, as after an outage; then the same rows by the bare taking statements, the fastest that
//! this Postgres can take them, in the same run. Each slot must have exactly one run, and each run one message.

mod baseline;
mod drain;
mod measure;
mod report;
mod stage;

use std::process::ExitCode;

use clap::Parser;

use crate::report::Report;
use crate::stage::Stage;

/// Many schedules on one real gateway.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Tenants; each has one connection, with a schedule for each of the four kinds of run
    #[arg(long, default_value_t = 12_500, value_parser = clap::value_parser!(u32).range(1..=250_000))]
    tenants: u32,
    /// The interval of all schedules, over which their slots are spread
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(60..=3_600))]
    interval_s: u32,
    /// Slots of each schedule
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    stage::say("making tenants and connections");
    let mut stage = Stage::set(&arguments).await?;
    let mut report = Report::new(&arguments, stage.sql()).await?;

    stage::say("slots spread over the interval");
    report.spread(stage.spread(&arguments).await?);

    stage::say("everything due at once");
    report.at_once(stage.at_once().await?);

    stage::say("the same rows by the bare statements");
    stage.clear().await;
    report.baseline(&baseline::measure(stage.sql()).await?);

    let passed = report.print()?;
    stage.strike();
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
