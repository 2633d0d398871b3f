//! The fleet tests: one binary, a module per subject, each test on its own database and vhost.

mod lapin;
mod runner;
mod simulator;
mod topology;
