//! Software against a real Postgres: one claim for each thing that must hold.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod event;
mod limits;
mod merge;
mod view;
mod walk;
mod world;
