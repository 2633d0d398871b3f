//! sync-worker: reads Tactical's clients and devices and writes them to Postgres.
//!
//! A run is planned by [`jobs::sync_devices`] into parts, one for each mapped client; each part streams its devices into
//! batches that `store::device` merges. What an agent's fields mean is in [`device`] and [`os`], both pure; whether the server
//! is still the same one in [`connection::identity`].

pub mod device;
pub mod jobs;
pub mod os;
pub mod plan;
mod pull;
mod sink;
mod text;

use connection::{Connections, VaultCheck};
use store::Store;
use vault::Vault;
use worker::Registry;

pub use jobs::registry;

/// What this worker can be told beside what every worker can.
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

/// The jobs with what they need: the vault's key must fit what is sealed.
///
/// # Errors
/// One line: no key, or one that opens nothing that is stored. A database that is away is no error here: the key is checked
/// once it answers, and with a wrong one the worker then drains and ends.
pub async fn start(store: &Store, flags: &Flags) -> Result<Registry, String> {
    let vault = Vault::open(&flags.vault).map_err(|error| fault::chain(&error))?;
    let checked = connection::check_vault(store, &vault).await.map_err(|error| fault::chain(&error))?;
    let connections = Connections::new(store.clone(), vault.clone(), flags.tactical.clone());
    let registry = registry(store, &connections);
    Ok(match checked {
        VaultCheck::Sound => registry,
        VaultCheck::DatabaseAway => registry.until_misfit(connection::wrong_key(store.clone(), vault)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        worker::command::<Flags>().debug_assert();
    }
}
