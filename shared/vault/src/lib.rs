//! Seals the secrets of tenants: what stands in the database can only be read by a program that holds the key.
//!
//! XChaCha20-Poly1305 with a random nonce. Tenant, name and key id are the associated data, so that a row copied to another
//! tenant, name or key cannot be opened. The key's id is a hash of the key, so that a wrong key is found without opening
//! anything. During a rotation a program holds the old keys too; it seals with the present one only.

mod config;
mod error;
mod key;
mod seal;

pub use config::Config;
pub use error::Error;
pub use key::generate;
pub use seal::{Sealed, Vault};
