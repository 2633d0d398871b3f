//! alert-worker: turns alert messages into rows.
//!
//! An alert becomes a row here: [`jobs::observe_alert`] maps a message to a fact, `store::alert` adds the fact to its alert.

pub mod jobs;

pub use jobs::registry;
