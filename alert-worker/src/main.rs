//! alert-worker
fn main() {}
