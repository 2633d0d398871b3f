//! The alert-worker's program; everything that all workers share is in `worker`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let program = worker::Program { name: "alert-worker", version: env!("CARGO_PKG_VERSION") };
    worker::main::<alert_worker::Flags>(program, alert_worker::start)
}
