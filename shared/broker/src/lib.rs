//! The only crate that speaks AMQP: it supervises connections, declares the topology, publishes with confirm, consumes
//! and settles.
//!
//! Two connections per process, one that publishes and one that consumes: a broker that blocks publishers must not
//! freeze acknowledgements. `docs/adr/0002-rules-for-lapin.md` tells what lapin does wrong and which rule answers it;
//! `tests/it/lapin.rs` holds a test for each.

pub mod backoff;
pub mod config;
pub mod consumer;
pub mod delivery;
mod headers;
pub mod inspect;
mod ledger;
mod link;
pub mod outgoing;
pub mod publisher;
pub mod topology;

pub use config::Config;
pub use consumer::{Consumer, Pauser, Settlement};
pub use delivery::Delivery;
pub use link::LinkError;
pub use outgoing::Outgoing;
pub use publisher::{PublishError, Publisher};

/// Makes rustls with aws-lc-rs the process's TLS provider. Call it first in `main`; later calls change nothing.
pub fn install_tls_provider() {
    // An error only says that a provider is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
