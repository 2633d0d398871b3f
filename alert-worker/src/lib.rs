//! alert-worker: turns alert messages into rows, and keeps the rows true to Tactical.
//!
//! An alert becomes a row here: [`jobs::observe_alert`] maps a message to a fact, `store::alert` adds the fact to its alert. A
//! webhook is a hint: [`jobs::reconcile_alerts`] reads what is open in Tactical. What a row of Tactical's says is in [`polled`],
//! what an absence means in [`absence`]; both are pure.

pub mod absence;
pub mod jobs;
pub mod place;
mod poll;
pub mod polled;

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
