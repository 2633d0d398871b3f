//! What a fleet has for syncing: sync workers.

use super::Fleet;
use crate::process::Process;

impl Fleet {
    /// Starts one more sync worker; its place in [`Fleet::sync_worker`].
    ///
    /// # Panics
    /// If it does not become ready.
    pub async fn add_sync_worker(&mut self) -> usize {
        let mut worker = self.begin_worker("sync-worker", self.sync_workers.len());
        worker.ready().await;
        self.sync_workers.push(worker);
        self.sync_workers.len() - 1
    }

    /// A sync worker, by the order of starting; one that was ended keeps its place.
    ///
    /// # Panics
    /// If there is none.
    pub fn sync_worker(&mut self, place: usize) -> &mut Process {
        self.sync_workers[place].process()
    }

    /// Where a sync worker serves its probes: `http://127.0.0.1:1234`.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn sync_worker_url(&self, place: usize) -> String {
        self.sync_workers[place].url()
    }
}
