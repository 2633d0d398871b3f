//! Turns Tactical's webhooks into messages: understands them leniently, publishes them with confirm, and keeps on local
//! disk what the broker does not take at once; starts what is due by the schedules; runs no jobs.
//!
//! [`run`] is the program; [`start`] the same in a world of the caller's choice. A request goes through `webhook.rs`:
//! secret ([`hooks`]), body, [`parse`](parse::parse), [`publish`] or the spool, answer.

mod answer;
pub mod config;
mod drain;
pub mod hooks;
mod keep;
pub mod parse;
pub mod publish;
mod run;
mod spooled;
mod tick;
mod webhook;

pub use config::Config;
pub use run::{Outside, RunError, Running, run, start};
