//! ingest-gateway
fn main() {}
