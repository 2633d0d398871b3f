//! The control handle's other half: alerts, webhooks, accounts, faults and the server itself.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::accounts::Role;
use super::alert::ResolvedBy;
use super::config::{UrlAction, WebhookSettings};
use super::control::{Control, Done, NoSuch, Replacement};
use super::faults::Fault;
use super::ledger::Occasion;
use super::software::Program;
use super::world::Report;

/// Alerts, webhooks, accounts, faults and the server itself.
impl Control {
    /// A person resolves an alert: no webhook.
    ///
    /// # Errors
    /// No such alert.
    pub fn resolve_by_hand(&self, alert: i64) -> Done<()> {
        found(self.0.world().resolve_by_person(alert, ResolvedBy::Hand), NoSuch::Alert(alert))
    }

    /// A person resolves several alerts; unknown ids are ignored. No webhook.
    pub fn resolve_bulk(&self, alerts: &[i64]) {
        let mut world = self.0.world();
        for alert in alerts {
            world.resolve_by_person(*alert, ResolvedBy::Bulk);
        }
    }

    /// A person snoozes an alert for `days`, or ends that.
    ///
    /// # Errors
    /// No such alert.
    pub fn snooze(&self, alert: i64, days: Option<i64>) -> Done<()> {
        found(self.0.world().snooze(alert, days), NoSuch::Alert(alert))
    }

    /// An alert's row vanishes (pruned, or its check was deleted).
    ///
    /// # Errors
    /// No such alert.
    pub fn delete_alert(&self, alert: i64) -> Done<()> {
        found(self.0.world().delete_alert(alert), NoSuch::Alert(alert))
    }

    /// Changes the URL actions and the default template.
    pub fn set_webhook(&self, settings: Option<WebhookSettings>) {
        self.0.world().webhook = settings;
    }

    /// "Test run" of the failure action against an agent: `{{alert.id}}` is the agent's pk.
    ///
    /// # Errors
    /// No such agent, or no failure action.
    pub fn test_run(&self, pk: i64) -> Done<()> {
        let mut world = self.0.world();
        let agent = world.agent(pk).ok_or(NoSuch::Agent(pk))?;
        let none = || NoSuch::Thing("no failure action is configured".to_owned());
        let settings = world.webhook.clone().ok_or_else(none)?;
        let action: UrlAction = settings.failure.ok_or_else(none)?;
        let globals: BTreeMap<String, String> = settings.globals;
        let now = world.now();
        world.call_action(&action, &globals, Occasion::Test, None, &agent, now).map(|_| ()).map_err(NoSuch::Thing)
    }

    /// Replaces a role: narrows what its keys may see or do.
    ///
    /// # Errors
    /// No such role.
    pub fn set_role(&self, name: &str, role: Role) -> Done<()> {
        let mut world = self.0.world();
        let known = world.accounts.roles.get_mut(name).ok_or_else(|| NoSuch::Thing(format!("no role '{name}'")))?;
        *known = role;
        Ok(())
    }

    /// A role as it is, to narrow it.
    ///
    /// # Errors
    /// No such role.
    pub fn role(&self, name: &str) -> Done<Role> {
        self.0.world().accounts.roles.get(name).cloned().ok_or_else(|| NoSuch::Thing(format!("no role '{name}'")))
    }

    /// Gives the owner of an API key another one in its place.
    ///
    /// # Errors
    /// No such key.
    pub fn change_key(&self, key: &str, to: &str) -> Done<()> {
        let mut world = self.0.world();
        let keys = &mut world.accounts.keys;
        let known = keys.remove(key).ok_or_else(|| NoSuch::Thing("no such API key".to_owned()))?;
        keys.insert(to.to_owned(), known);
        Ok(())
    }

    /// Ends every login session, as an update of the server does.
    pub fn end_sessions(&self) {
        self.0.world().accounts.close_sessions(None);
    }

    /// Puts another server behind the same address: alert ids start again at 1.
    pub fn replace_server(&self, replacement: Replacement) {
        self.0.world().replace(replacement);
    }

    /// Switches a fault on; the first that fits strikes.
    pub fn add_fault(&self, fault: Fault) {
        self.0.world().faults.push(fault);
    }

    /// Switches all faults off; what they held is answered.
    pub fn clear_faults(&self) {
        self.0.world().faults.clear();
        self.0.released.send_replace(());
    }

    /// Whether agents can be reached at all.
    pub fn set_nats(&self, up: bool) {
        self.0.world().nats_up = up;
    }

    /// Whether the beta API exists.
    pub fn set_beta(&self, on: bool) {
        self.0.world().config.beta = on;
    }

    /// A program appears in the agent's next report.
    ///
    /// # Errors
    /// No such agent.
    pub fn install(&self, pk: i64, program: Program) -> Done<()> {
        self.with_agent(pk, |world| {
            let change = world.change(pk);
            change.uninstalled.remove(&program.name);
            change.installed.retain(|known| known.name != program.name || known.version != program.version);
            change.installed.push(program);
        })
    }

    /// A program vanishes from the agent's reports, in every version.
    ///
    /// # Errors
    /// No such agent.
    pub fn uninstall(&self, pk: i64, name: &str) -> Done<()> {
        self.with_agent(pk, |world| {
            let change = world.change(pk);
            change.installed.retain(|known| known.name != name);
            change.uninstalled.insert(name.to_owned());
        })
    }

    /// The agent reports an empty list (as after an error on the agent), or its true one again.
    ///
    /// # Errors
    /// No such agent.
    pub fn set_report_empty(&self, pk: i64, empty: bool) -> Done<()> {
        self.with_agent(pk, |world| world.change(pk).report = empty.then_some(Report::Empty))
    }

    /// What an agent reports as installed, duplicates included.
    ///
    /// # Errors
    /// No such agent.
    pub fn programs(&self, pk: i64) -> Done<Vec<Program>> {
        let world = self.0.world();
        Ok(world.programs(&world.agent(pk).ok_or(NoSuch::Agent(pk))?))
    }

    /// Causes `webhooks` webhooks at once: checks fail, pass and fail again under new ids, some escalate in between.
    /// The same seed gives the same storm. Answers how many were caused (fewer only if nothing is configured).
    pub fn storm(&self, webhooks: u64) -> u64 {
        self.0.world().storm(webhooks)
    }

    /// One step of the demo: something fails, heals, goes or comes back.
    pub fn demo_step(&self) {
        self.0.world().demo_step();
    }

    /// Sends `lanes` webhooks at once. **Tactical sends one by one**: this is for load tests only.
    pub fn send_in_parallel(&self, lanes: usize) {
        self.0.lanes.store(lanes.max(1), Ordering::Relaxed);
    }
}

fn found(there: bool, otherwise: NoSuch) -> Done<()> {
    if there { Ok(()) } else { Err(otherwise) }
}
