//! Why the vault did not seal or open: each text says what is wrong and what to do, and none holds a secret.

use std::path::PathBuf;

use fault::{Class, Classify};
use uuid::Uuid;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Neither the variable nor the file is given.
    #[error("the vault's key is missing: set MUSTER_VAULT_KEY_FILE or MUSTER_VAULT_KEY; `muster vault key` makes one")]
    NoKey,
    /// A file of keys cannot be read.
    #[error("cannot read a vault key from {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// What is given as a key is none.
    #[error(
        "{place} holds no vault key: give 32 bytes as 64 hexadecimal digits or as base64, as `muster vault key` prints"
    )]
    BadKey {
        /// Where it was given: a variable, or a line of a file.
        place: String,
    },
    /// It was sealed with a key that this program does not hold.
    #[error(
        "secret {name} of tenant {tenant} is sealed with key {key_id}, which this program does not hold: give that key in \
         --vault-old-keys-file, or enter the secret again"
    )]
    UnknownKey {
        /// Whose.
        tenant: Uuid,
        /// Which secret.
        name: String,
        /// The id of the key that is missing.
        key_id: String,
    },
    /// The key is here, and the bytes are not what was sealed for this tenant and name.
    #[error(
        "secret {name} of tenant {tenant} was changed after it was sealed with key {key_id}: enter the secret again"
    )]
    Broken {
        /// Whose.
        tenant: Uuid,
        /// Which secret.
        name: String,
        /// The id of the key that it says.
        key_id: String,
    },
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            // the program's own set-up: nobody's message is at fault
            Self::NoKey | Self::Unreadable { .. } | Self::BadKey { .. } => Class::Outage,
            // one tenant's row: its runs fail with the cause, everybody else's go on
            Self::UnknownKey { .. } | Self::Broken { .. } => Class::NeedsAttention,
        }
    }
}
