//! The fleet tests: one binary, a module per subject, each test on its own database and vhost.

mod connection;
mod console;
mod contract;
mod dev;
mod doctor;
mod events;
mod faults;
mod harness;
mod lapin;
mod leaving;
mod pipeline;
mod reconcile;
mod recorded;
mod retention;
mod runner;
mod simulator;
mod software;
mod sync;
mod tactical;
mod ticks;
mod tidy;
mod topology;
mod week;
