//! Why there is no client, or why it was not answered: each class says who can do something about it.

use std::time::Duration;

use fault::{Class, Classify};
use uuid::Uuid;

/// What went wrong between a tenant and an answer of its server. No text of it holds a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The tenant has no such connection.
    #[error("tenant {tenant} has no such connection to Tactical")]
    NoSuchConnection {
        /// Whose.
        tenant: Uuid,
    },
    /// It was disconnected, or its test has never succeeded.
    #[error("the connection is not active: save its settings and test it")]
    Inactive,
    /// The tenant is suspended.
    #[error("the tenant is suspended")]
    Suspended,
    /// No URL was saved.
    #[error("the connection has no URL: save its settings")]
    NoUrl,
    /// A secret that its way to authenticate needs is not there.
    #[error("the connection has no {name}: save its settings")]
    NoSecret {
        /// The secret's name.
        name: &'static str,
    },
    /// The session has ended, and the account has a second factor.
    #[error("the session has ended and a new one needs a TOTP code: test the connection with one")]
    NeedsCode,
    /// User and password were refused; nobody tries them again before they are changed.
    #[error("user and password were refused: save others, or test the connection")]
    LoginRefused,
    /// No login before then: the server throttles, or our own budget is spent.
    #[error("no login for another {} s: the server allows few of them", .after.as_secs())]
    LoginLater {
        /// From now.
        after: Duration,
    },
    /// Secrets are sealed, and this program holds none of their keys.
    #[error(
        "the vault's key is the wrong one: secrets are sealed with {in_use}, this program holds {held}; give the right key in \
         MUSTER_VAULT_KEY_FILE or MUSTER_VAULT_KEY, or the one before in --vault-old-keys-file"
    )]
    WrongKey {
        /// Key ids with the number of secrets each.
        in_use: String,
        /// Key ids of this program.
        held: String,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] vault::Error),
    /// Tactical.
    #[error(transparent)]
    Tactical(#[from] tactical::Error),
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Self::NoSuchConnection { .. } | Self::Inactive | Self::Suspended => Class::Permanent,
            Self::NoUrl | Self::NoSecret { .. } | Self::NeedsCode | Self::LoginRefused => Class::NeedsAttention,
            Self::LoginLater { after } => Class::Retryable { after: Some(*after) },
            Self::WrongKey { .. } => Class::Outage,
            Self::Store(error) => error.class(),
            Self::Vault(error) => error.class(),
            Self::Tactical(error) => error.class(),
        }
    }
}
