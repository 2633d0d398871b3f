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

use store::Store;
use worker::Registry;

pub use jobs::registry;
pub use runs::Flags;

/// The jobs with what they need: the vault's key must fit what is sealed.
///
/// # Errors
/// As [`runs::start`].
pub async fn start(store: &Store, flags: &Flags) -> Result<Registry, String> {
    runs::start(store, flags, |connections| registry(store, connections)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        worker::command::<Flags>().debug_assert();
    }
}
