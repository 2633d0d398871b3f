//! The client of Tactical, held against recorded answers, hand-kept fixtures and the simulator.

mod agrees;
mod mistakes;
mod replay;
mod replayer;
mod simulated;
mod table;

use ::tactical::{Client, Config, Credential, Gate};

/// Settings that let a test speak to this machine.
pub(crate) fn local() -> Config {
    let loopback = "127.0.0.0/8".parse().expect("a network");
    Config { allow_http: true, allow_networks: vec![loopback], ..Config::default() }
}

/// A client of its own, with a gate of its own; an empty key is none.
pub(crate) fn client(config: &Config, url: &str, key: &str) -> Client {
    let credential = (!key.is_empty()).then(|| Credential::ApiKey(key.into()));
    Client::new(config, url, credential, Gate::new()).expect("the settings allow it")
}
