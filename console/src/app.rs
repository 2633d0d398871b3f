//! What every handler may use.

use std::time::Duration;

use secrecy::SecretString;
use store::Store;
use url::Url;
use vault::Vault;

use crate::config::Limits;

/// The console's world.
pub struct App {
    /// Postgres.
    pub store: Store,
    /// Seals what is entered, and opens it to show its last four characters.
    pub vault: Vault,
    /// The key of the webhook secrets' digests.
    pub pepper: SecretString,
    /// Where Tactical reaches the gateway.
    pub gateway_url: Url,
    /// How long a webhook's old secret stays good after a rotation.
    pub webhook_grace: Duration,
    /// Every limit of the console.
    pub limits: Limits,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // nothing of what is in here belongs in a log
        f.debug_struct("App").finish_non_exhaustive()
    }
}
