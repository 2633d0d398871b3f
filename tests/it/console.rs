//! The console as a program: what an operator does from the first setting to the devices, and that no secret gets out.

mod canary;
mod connecting;
mod foreign;
mod journey;
