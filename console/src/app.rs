//! What every handler may use.

use std::time::Duration;

use connection::Connections;
use secrecy::SecretString;
use store::Store;
use url::Url;

use crate::config::Limits;

/// The console's world.
pub struct App {
    /// Postgres.
    pub store: Store,
    /// Seals what is entered, tests it, and opens it to ask Tactical.
    pub connections: Connections,
    /// What URLs may lead to.
    pub tactical: tactical::Config,
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
