//! The inventory-worker's program; everything that all workers share is in `worker`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let program = worker::Program { name: "inventory-worker", version: env!("CARGO_PKG_VERSION") };
    worker::main::<inventory_worker::Flags>(program, inventory_worker::start)
}
