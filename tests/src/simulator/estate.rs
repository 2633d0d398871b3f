//! The control handle's third part: what becomes of clients, sites and machines, and a server that goes back to a backup.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::alert::{Alert, Severity, Source};
use super::control::{Control, Done, NoSuch, delete_agent, new_agent};
use super::software::Program;
use super::world::{Change, Run, World};

/// Hardware of machines that were not there at the start is numbered from here: above every agent's number.
const NEW_HARDWARE: i64 = 10_000_000_000;

/// A server's database at one moment.
///
/// Time, sessions and faults are not part of it. Nor is the newest agent's number: an agent that is installed after a
/// restoration gets an id that no agent ever had, as random ids do.
#[derive(Debug, Clone)]
pub struct Backup {
    changes: BTreeMap<i64, Change>,
    reinstalled: BTreeMap<i64, i64>,
    renamed_clients: HashMap<i64, String>,
    gone_clients: BTreeSet<i64>,
    gone_sites: BTreeSet<i64>,
    away: BTreeSet<i64>,
    runs: BTreeMap<(i64, Source), Run>,
    alerts: BTreeMap<i64, Alert>,
    open: BTreeMap<(i64, Source), i64>,
    alert_id_last: i64,
}

/// Clients, sites and machines.
impl Control {
    /// A machine that was never there gets an agent; answers its pk.
    ///
    /// # Errors
    /// No such site.
    pub fn add_agent(&self, site: i64) -> Done<i64> {
        let mut world = self.0.world();
        if !world.has_site(site) {
            return Err(NoSuch::Site(site));
        }
        let hardware = NEW_HARDWARE + world.pk_last + 1;
        Ok(new_agent(&mut world, hardware, Some(site)))
    }

    /// Somebody else is logged in, or nobody.
    ///
    /// # Errors
    /// No such agent.
    pub fn set_user(&self, pk: i64, user: Option<&str>) -> Done<()> {
        self.with_agent(pk, |world| world.change(pk).user = Some(user.map(str::to_owned)))
    }

    /// The agent is watched as a `server` or as a `workstation` from now on.
    ///
    /// # Errors
    /// No such agent.
    pub fn set_monitoring_type(&self, pk: i64, kind: &str) -> Done<()> {
        self.with_agent(pk, |world| world.change(pk).monitoring_type = Some(kind.to_owned()))
    }

    /// A program is replaced by another version of it in the agent's next report.
    ///
    /// # Errors
    /// No such agent.
    pub fn update(&self, pk: i64, program: Program) -> Done<()> {
        self.with_agent(pk, |world| {
            let change = world.change(pk);
            change.uninstalled.insert(program.name.clone());
            change.installed.retain(|known| known.name != program.name);
            change.installed.push(program);
        })
    }

    /// A site is deleted. Its agents move to another one, or are deleted with it and with their alerts. No webhook.
    ///
    /// # Errors
    /// One of the sites does not exist.
    pub fn delete_site(&self, site: i64, move_to: Option<i64>) -> Done<()> {
        let mut world = self.0.world();
        for needed in [Some(site), move_to].into_iter().flatten() {
            if !world.has_site(needed) {
                return Err(NoSuch::Site(needed));
            }
        }
        empty_site(&mut world, site, move_to);
        Ok(())
    }

    /// A client is deleted with all of its sites, as [`Control::delete_site`] does it.
    ///
    /// # Errors
    /// The client or the site does not exist.
    pub fn delete_client(&self, client: i64, move_to: Option<i64>) -> Done<()> {
        let mut world = self.0.world();
        if !world.has_client(client) {
            return Err(NoSuch::Client(client));
        }
        if let Some(site) = move_to.filter(|site| !world.has_site(*site) || world.client_of(*site) == client) {
            return Err(NoSuch::Site(site));
        }
        let sites: Vec<i64> = world.sites().filter(|site| world.client_of(*site) == client).collect();
        for site in sites {
            empty_site(&mut world, site, move_to);
        }
        world.gone_clients.insert(client);
        Ok(())
    }

    /// The sites that there are, each with its client.
    #[must_use]
    pub fn sites(&self) -> Vec<(i64, i64)> {
        let world = self.0.world();
        world.sites().map(|site| (site, world.client_of(site))).collect()
    }
}

/// What a person enters about alerts.
impl Control {
    /// The open alerts by number, each with its agent's pk and what it is about.
    #[must_use]
    pub fn open_alerts(&self) -> Vec<(i64, Option<i64>, Source)> {
        let world = self.0.world();
        let open = world.alerts.values().filter(|alert| !alert.resolved());
        open.map(|alert| (alert.id, alert.agent, alert.source)).collect()
    }

    /// A person makes a custom alert, of an agent or of none; answers its number. No webhook.
    ///
    /// # Errors
    /// No such agent.
    pub fn raise(&self, agent: Option<i64>, severity: Severity, message: &str) -> Done<i64> {
        let mut world = self.0.world();
        if let Some(pk) = agent.filter(|pk| world.agent(*pk).is_none()) {
            return Err(NoSuch::Agent(pk));
        }
        let now = world.now();
        let at = world.stamp(now);
        let id = world.insert_alert(agent, Source::Custom, severity, at);
        world.edit(id, |alert| alert.message = Some(message.to_owned()));
        Ok(id)
    }

    /// The dashboard leaves an alert out, or shows it again.
    ///
    /// # Errors
    /// No such alert.
    pub fn set_hidden(&self, alert: i64, hidden: bool) -> Done<()> {
        let edited = self.0.world().edit(alert, |row| row.hidden = hidden);
        if edited { Ok(()) } else { Err(NoSuch::Alert(alert)) }
    }
}

/// Backups.
impl Control {
    /// The database as it is now.
    #[must_use]
    pub fn back_up(&self) -> Backup {
        let world = self.0.world();
        Backup {
            changes: world.changes.clone(),
            reinstalled: world.reinstalled.clone(),
            renamed_clients: world.renamed_clients.clone(),
            gone_clients: world.gone_clients.clone(),
            gone_sites: world.gone_sites.clone(),
            away: world.away.clone(),
            runs: world.runs.clone(),
            alerts: world.alerts.clone(),
            open: world.open.clone(),
            alert_id_last: world.alert_id_last,
        }
    }

    /// The server goes back to a backup: what happened since never did, and the numbers of alerts that came since are given
    /// again. Sessions end.
    pub fn restore(&self, backup: &Backup) {
        self.0.world().restore(backup.clone());
    }
}

impl World {
    fn restore(&mut self, backup: Backup) {
        let now = self.now();
        for id in self.alerts.keys() {
            self.ledger.deleted(self.generation, *id, now);
        }
        self.generation += 1;
        self.changes = backup.changes;
        self.reinstalled = backup.reinstalled;
        self.renamed_clients = backup.renamed_clients;
        (self.gone_clients, self.gone_sites) = (backup.gone_clients, backup.gone_sites);
        self.away = backup.away;
        self.runs = backup.runs;
        (self.alerts, self.open, self.alert_id_last) = (backup.alerts, backup.open, backup.alert_id_last);
        for alert in self.alerts.values() {
            let machine = alert.agent.and_then(|pk| self.machine(pk));
            let agent_id = machine.as_ref().map(|machine| machine.agent_id.as_str());
            self.ledger.note(self.generation, alert, agent_id);
        }
        self.accounts.close_sessions(None);
    }
}

fn empty_site(world: &mut World, site: i64, move_to: Option<i64>) {
    let agents: Vec<i64> = world.pks_after(0).filter(|pk| world.site_of_pk(*pk) == Some(site)).collect();
    for pk in agents {
        match move_to {
            Some(other) => world.change(pk).site = Some(other),
            None => delete_agent(world, pk),
        }
    }
    world.gone_sites.insert(site);
}
