//! Consumes client and device sync and writes it to Postgres.
