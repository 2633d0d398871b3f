//! alert-worker: turns alert messages into rows, and keeps the rows true to Tactical.
//!
//! An alert becomes a row here: [`jobs::observe_alert`] maps a message to a fact, `store::alert` adds the fact to its alert. A
//! webhook is a hint: [`jobs::reconcile_alerts`] reads what is open in Tactical. What a row of Tactical's says is in [`polled`],
//! what an absence means in [`absence`]; both are pure.

pub mod absence;
mod ask;
pub mod jobs;
pub mod place;
mod poll;
pub mod polled;

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
