//! A suspect runs alone: nothing of the other lanes is in this process's hands meanwhile, so that a message that kills its
//! worker gives none of its neighbours back with it.

use broker::{Consumer, Pauser};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard, watch};

/// The lanes beside the suspects' one.
pub(crate) struct Alone {
    others: Vec<(Pauser, watch::Receiver<bool>)>,
    /// What runs without a delivery: that of a channel that is gone goes on until its job ends.
    running: RwLock<()>,
}

impl Alone {
    pub(crate) fn of<'a>(others: impl Iterator<Item = &'a Consumer>) -> Self {
        Self { others: others.map(|other| (other.pauser(), other.idle())).collect(), running: RwLock::new(()) }
    }

    /// The right of a batch of the other lanes to run.
    pub(crate) async fn beside(&self) -> RwLockReadGuard<'_, ()> {
        self.running.read().await
    }

    /// Waits until the other lanes have nothing in hand; they take nothing new before the guard is gone.
    pub(crate) async fn quiet(&self) -> Quiet<'_> {
        let paused = Paused(self);
        // all at once: none of them takes more while another one drains
        self.others.iter().for_each(|(pauser, _)| pauser.pause(true));
        for (_, idle) in &self.others {
            // an error says that the consumer has ended: it has nothing in hand
            let _ = idle.clone().wait_for(|idle| *idle).await;
        }
        let running = self.running.write().await;
        Quiet { _running: running, _paused: paused }
    }
}

/// Ends the pauses, also where nobody waited for them to the end.
struct Paused<'a>(&'a Alone);

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        self.0.others.iter().for_each(|(pauser, _)| pauser.pause(false));
    }
}

/// While it stands, its holder is the only one that runs in this process.
pub(crate) struct Quiet<'a> {
    _running: RwLockWriteGuard<'a, ()>,
    _paused: Paused<'a>,
}
