//! An HTTP listener with a limit on everything that a stranger may make it wait for; the gateway's and the console's.
//!
//! `axum::serve` has neither a header timeout nor a cap on connections, which is why this is our own. What the program
//! says about itself (probes, metrics) has a smaller one in `telemetry`, for those who are not strangers.

pub mod body;
mod patience;
mod serve;

pub use serve::{Limits, serve};
