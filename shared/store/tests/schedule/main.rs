//! Schedules against a real Postgres: when they are due, what a tick does, who may tick at once, and what slows them down.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod attention;
mod life;
mod patch;
mod race;
mod role;
mod tick;
mod world;
