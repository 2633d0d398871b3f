//! Logs, traces, metrics, probes and signals: what every process of Muster says about itself, set up in one call.
//!
//! `main` calls [`init`] once and [`Guard::shutdown`] last. Everything else in the workspace only uses the `tracing` and
//! `metrics` macros with the names of [`field`] and [`metric`], and [`trace`] where a trace crosses the broker.
//! [`command`] reads the flags before that, [`program`] is the frame of a `main`, and [`watchdog`] ends a process that is stuck.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on has failed"))]

mod config;
mod export;
mod init;
mod log;
mod prometheus;

pub mod command;
pub mod field;
pub mod metric;
pub mod notify;
pub mod probe;
pub mod program;
pub mod signal;
pub mod trace;
pub mod watchdog;

pub use config::{Config, LogFormat};
pub use init::{Guard, InitError, init, scoped};
pub use prometheus::MetricsHandle;
