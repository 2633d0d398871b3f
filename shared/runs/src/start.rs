//! The settings and the start of a worker that opens the connections of tenants.

use connection::{Connections, VaultCheck};
use store::Store;
use vault::Vault;
use worker::Registry;

/// What such a worker can be told beside what every worker can.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Flags {
    #[command(flatten)]
    #[allow(missing_docs, reason = "its own type says it")]
    pub vault: vault::Config,
    #[command(flatten)]
    #[allow(missing_docs, reason = "its own type says it")]
    pub tactical: tactical::Config,
}

/// The jobs that `registry` makes of the connections: the vault's key must fit what is sealed.
///
/// # Errors
/// One line: no key, or one that opens nothing that is stored. A database that is away is no error here: the key is checked
/// once it answers, and with a wrong one the worker then drains and ends.
pub async fn start(
    store: &Store,
    flags: &Flags,
    registry: impl FnOnce(&Connections) -> Registry,
) -> Result<Registry, String> {
    let vault = Vault::open(&flags.vault).map_err(|error| fault::chain(&error))?;
    let checked = connection::check_vault(store, &vault).await.map_err(|error| fault::chain(&error))?;
    let registry = registry(&Connections::new(store.clone(), vault.clone(), flags.tactical.clone()));
    Ok(match checked {
        VaultCheck::Sound => registry,
        VaultCheck::DatabaseAway => registry.until_misfit(connection::wrong_key(store.clone(), vault)),
    })
}
