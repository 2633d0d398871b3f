//! The sync-worker's program; everything that all workers share is in `worker`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let program = worker::Program { name: "sync-worker", version: env!("CARGO_PKG_VERSION") };
    worker::main::<sync_worker::Flags>(program, sync_worker::start)
}
