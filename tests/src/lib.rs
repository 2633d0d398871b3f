//! The harness of the fleet tests: private servers, faults, processes, and the Tactical simulator.
//!
//! A test owns its database and its vhost; nothing is shared but the servers, which `./dev test` starts and names in the
//! environment. Nothing sleeps: [`until`] looks until a deadline.

mod account;
pub mod admin;
pub mod amqp;
pub mod clock_shim;
mod disk;
pub mod faults;
pub mod figures;
pub mod fleet;
pub mod otlp;
pub mod pooler;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod rabbit;
pub mod sample;
pub mod simulator;
mod until;
pub mod vhost;

use std::future::Future;

pub use amqp::{Client, Got};
pub use fleet::Fleet;
pub use postgres::PrivatePostgres;
pub use process::{Process, memory_peak_kib};
pub use proxy::Proxy;
pub use rabbit::PrivateBroker;
pub use until::{DEADLINE, soon, until, until_metric, within};
pub use vhost::Vhost;

/// A variable that `./dev test` sets.
fn variable(name: &str, what: &str) -> String {
    let value = std::env::var(name).unwrap_or_default();
    assert!(!value.is_empty(), "{name} is unset: run `./dev test`, or set it to {what}");
    value
}

/// Runs a future to its end on a thread and a runtime of its own: what a `drop` must do, which cannot await. `Err` holds
/// what it panicked with.
fn apart<F: Future<Output = ()>>(future: impl FnOnce() -> F + Send + 'static) -> std::thread::Result<()> {
    let apart = std::thread::spawn(move || {
        if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() {
            runtime.block_on(future());
        }
    });
    apart.join()
}
