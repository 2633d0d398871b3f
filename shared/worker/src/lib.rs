//! What a job is and how a worker runs one: registry, batches, execution, disposition, relay and parker.
//!
//! A job takes a batch of messages of one kind, writes idempotently and answers one result per message. It never acks,
//! nacks or publishes: the runner settles once the job has committed, the relay publishes what the transaction left in
//! the outbox, and the parker moves dead letters into a table. One worker a round lets go what is too old to be kept.

mod alone;
pub mod config;
pub mod disposition;
pub mod entry;
mod execute;
mod gate;
mod hands;
mod hold;
pub mod job;
mod lane;
pub mod parker;
mod pauses;
mod process;
pub mod registry;
pub mod relay;
pub mod retention;
pub mod run;
mod settle;
mod trace;

pub use config::Config;
pub use entry::{EXIT_CONFIG, NoFlags, command, main};
pub use job::{Done, Job, OneByOne, Outcome, Received, SingleJob};
pub use registry::Registry;
pub use run::{Program, run};
