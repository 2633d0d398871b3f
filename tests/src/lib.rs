//! tests

pub mod otlp;
