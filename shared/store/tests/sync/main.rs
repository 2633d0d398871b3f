//! Devices, organisations, runs and merges against a real Postgres: one claim for each thing that must hold.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod adopt;
mod event;
mod fence;
mod identity;
mod limits;
mod merge;
mod missing;
mod organization;
mod race;
mod run;
mod sites;
mod strays;
mod values;
mod wal;
mod world;
mod write;
