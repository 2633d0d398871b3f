//! Turns Tactical's webhooks into messages: understands them leniently and publishes them with confirm; starts what is due by
//! the schedules; runs no jobs.
//!
//! [`run`] is the program; [`start`] the same in a world of the caller's choice. A request goes through `webhook.rs`:
//! secret ([`hooks`]), body, [`parse`](parse::parse), [`publish`], answer.

mod answer;
pub mod config;
pub mod hooks;
pub mod parse;
pub mod publish;
mod run;
mod tick;
mod webhook;

pub use config::Config;
pub use run::{Outside, RunError, Running, run, start};
