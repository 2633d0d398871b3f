//! The only crate that speaks SQL: the pool, the migrations, and one module per table.
//!
//! AlgaPSA's tables stand in schema `public` and are kept letter for letter; Muster's own stand in schema `muster`.
//! Statements name AlgaPSA's tables without a schema (every connection has `search_path = public`) and Muster's own with
//! theirs. Stamps that are compared with each other are always the database's.
//!
//! Statements are checked when the crate is compiled, against the files in `.sqlx` at the root of the workspace;
//! `shared/store/prepare.sh` writes them anew after a statement or a migration has changed.

pub mod agent;
pub mod alert;
pub mod audit;
mod config;
mod connect;
pub mod connection;
pub mod device;
pub mod doctor;
mod error;
pub mod hook;
pub mod integration;
mod lock;
pub mod merge;
pub mod migrate;
pub mod organization;
mod origin;
pub mod outbox;
pub mod parked;
pub mod pause;
pub mod pepper;
pub mod removal;
pub mod retention;
pub mod run;
pub mod schedule;
pub mod secret;
pub mod software;
pub mod spool;
pub mod tenant;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod token;
pub mod view;

pub use config::Config;
pub use connect::Store;
pub use error::Error;
pub use lock::Left;
