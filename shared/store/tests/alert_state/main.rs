//! Alert identity and state against a real Postgres: the properties, and one claim for each mistake not to repeat.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod claims;
mod import;
mod limits;
mod linking;
mod model;
mod numbers;
mod poll;
mod property;
mod race;
mod replaced;
mod retired;
mod under;
mod world;
