//! The operators' API: connect, test, map, sync, look.
//!
//! [`run`] is the program; [`start`] the same in a world of the caller's choice. Everything begins in `table.rs`: one row a
//! route, with its permission. `router.rs` is the way of a request, `api/` what is done and shown.

mod api;
mod app;
mod call;
mod complaint;
pub mod config;
mod cursor;
pub mod openapi;
mod problem;
mod redact;
mod route;
mod router;
mod run;
mod table;

pub use app::App;
pub use config::Config;
pub use route::{Method, Needs, Route};
pub use router::router;
pub use run::{RunError, Running, run, start};
pub use table::TABLE;
