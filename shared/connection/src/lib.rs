//! From a tenant to a client of its Tactical server: settings, secret, login, and the test that says what is wrong.
//!
//! [`Connections::open`] gives a client that is logged in; [`Open::call`] asks with it and logs in once more where a session
//! has ended. A login happens once at a time for all programs (a lease in the connection's row), within a budget, and never
//! while a person is needed. No request is sent inside a transaction. [`Connections::test`] is the connection test, and
//! [`Connections::try_out`] the same before anything is saved.

mod error;
pub mod failure;
pub mod identity;
mod login;
mod open;
mod outcome;
mod probe;
mod secrets;
pub mod server;
mod test;
mod vault_check;
mod version;

pub use error::Error;
pub use open::Open;
pub use outcome::Outcome;
pub use secrets::{Shown, seal, unseal};
pub use test::{TestReport, Trial};
pub use vault_check::{VaultCheck, check_vault, check_vault_when_back, wrong_key};

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use store::Store;
use tactical::Gate;
use uuid::Uuid;
use vault::Vault;

/// Opens connections; cheap to clone, all clones share the gates.
#[derive(Clone, Debug)]
pub struct Connections {
    store: Store,
    vault: Vault,
    config: tactical::Config,
    /// One gate per connection, with the URL that it was made for: two requests at once, the breaker.
    gates: Arc<Mutex<HashMap<Uuid, (String, Gate)>>>,
    /// Connections that are being tested.
    testing: Arc<Mutex<HashSet<Uuid>>>,
}

/// The right to test a connection, until it is dropped.
pub(crate) struct Alone {
    testing: Arc<Mutex<HashSet<Uuid>>>,
    integration_id: Uuid,
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.testing.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.integration_id);
    }
}

impl Connections {
    /// Nothing is read or sent yet.
    #[must_use]
    pub fn new(store: Store, vault: Vault, config: tactical::Config) -> Self {
        Self { store, vault, config, gates: Arc::default(), testing: Arc::default() }
    }

    /// The gate of a connection. Another server gets a new one: the breaker of the one before says nothing about it.
    fn gate(&self, integration_id: Uuid, url: &str) -> Gate {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let (made_for, gate) = gates.entry(integration_id).or_insert_with(|| (url.to_owned(), Gate::new()));
        if made_for != url {
            (*made_for, *gate) = (url.to_owned(), Gate::new());
        }
        gate.clone()
    }

    /// The right to test a connection; `None`: somebody else is at it.
    pub(crate) fn test_alone(&self, integration_id: Uuid) -> Option<Alone> {
        let is_first = self.testing.lock().unwrap_or_else(PoisonError::into_inner).insert(integration_id);
        is_first.then(|| Alone { testing: Arc::clone(&self.testing), integration_id })
    }
}
