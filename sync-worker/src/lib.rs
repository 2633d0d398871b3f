//! sync-worker: reads Tactical's clients and devices and writes them to Postgres.

pub mod identity;
pub mod os;
