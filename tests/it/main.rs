//! The fleet tests: one binary, a module per subject, each test on its own database and vhost.

mod connection;
mod contract;
mod harness;
mod lapin;
mod pipeline;
mod runner;
mod simulator;
mod sync;
mod tidy;
mod topology;
