//! Turns Tactical's webhooks into messages: understands them leniently and publishes them with confirm; runs no jobs.

pub mod parse;
