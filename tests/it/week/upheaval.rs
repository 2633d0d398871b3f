//! What happens once or twice in a week: a site or a client vanishes, a role is narrowed, a server goes back to a backup.

use std::collections::BTreeSet;

use rand::seq::IndexedRandom as _;

use super::script::Script;

impl Script {
    /// A site vanishes; its agents go to another one of its client, or with it.
    pub(super) fn delete_site(&mut self) -> Option<()> {
        let sites = self.control.sites();
        let (site, client) = self.pick(&sites)?;
        let others: Vec<i64> =
            sites.iter().filter(|other| other.1 == client && other.0 != site).map(|one| one.0).collect();
        let move_to = self.pick(&others)?;
        let move_to = self.percent(50).then_some(move_to);
        self.control.delete_site(site, move_to).ok()?;
        self.count("deletion of a site");
        Some(())
    }

    /// A client vanishes; its agents go to another client, or with it.
    pub(super) fn delete_client(&mut self) -> Option<()> {
        let sites = self.control.sites();
        let (_, client) = self.pick(&sites)?;
        let others: Vec<i64> = sites.iter().filter(|other| other.1 != client).map(|one| one.0).collect();
        let move_to = self.pick(&others)?;
        let move_to = self.percent(50).then_some(move_to);
        self.control.delete_client(client, move_to).ok()?;
        self.count("deletion of a client");
        Some(())
    }

    /// Somebody makes a backup.
    pub(super) fn back_up(&mut self) {
        self.backup = Some(self.control.back_up());
    }

    /// Some of the clients, between one and all but one.
    pub(super) fn some_clients(&mut self) -> BTreeSet<i64> {
        let all: BTreeSet<i64> = self.control.sites().into_iter().map(|(_, client)| client).collect();
        let all: Vec<i64> = all.into_iter().collect();
        let count = (all.len() / 2).max(1);
        all.choose_multiple(&mut self.rng, count).copied().collect()
    }

    /// The server goes back to the backup.
    pub(super) fn restore(&mut self) {
        let Some(backup) = &self.backup else { return };
        self.control.restore(backup);
        let before = self.severities.clone();
        self.generation += 1;
        let numbers = self.control.alerts().into_iter().filter(|truth| truth.generation == self.generation);
        for truth in numbers.collect::<Vec<_>>() {
            // what it was before the backup it may have been told as; since then, too
            let known = (0..self.generation).rev().find_map(|old| before.get(&(old, truth.alert_id)));
            let entry = self.severities.entry((self.generation, truth.alert_id)).or_default();
            entry.extend(known.into_iter().flatten());
            entry.insert(truth.severity);
        }
        self.count("restoration");
    }
}
