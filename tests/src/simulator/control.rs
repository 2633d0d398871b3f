//! The handle by which a test (or the demo) moves the simulated world and reads what is true.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::alert::{Severity, Source};
use super::alerting::Outcome;
use super::presence::NOBODY;
use super::server::Shared;
use super::world::{Presence, World};

/// What was named does not exist in the simulated world.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSuch {
    /// An agent's pk.
    #[error("no agent {0}")]
    Agent(i64),
    /// An alert's id.
    #[error("no alert {0}")]
    Alert(i64),
    /// A site's id.
    #[error("no site {0}")]
    Site(i64),
    /// A client's id.
    #[error("no client {0}")]
    Client(i64),
    /// Anything else, by what was looked for.
    #[error("{0}")]
    Thing(String),
}

/// What another server behind the same address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replacement {
    /// The same agents and clients, but all alerts gone and their ids from 1 again.
    Restored,
    /// Other agents and other clients under the same ids.
    Other,
}

/// An agent as it truly is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentTruth {
    /// Tactical's integer pk.
    pub pk: i64,
    /// 40 letters.
    pub agent_id: String,
    /// Its host name.
    pub hostname: String,
    /// Its client's id and name.
    pub client: (i64, String),
    /// Its site's id and name.
    pub site: (i64, String),
    /// `online`, `offline` or `overdue`.
    pub status: String,
    /// When it last checked in.
    pub last_seen: Option<DateTime<Utc>>,
    /// `server` or `workstation`.
    pub monitoring_type: String,
    /// The serial number, empty where unknown.
    pub serial_number: String,
    /// Whether it is in maintenance.
    pub maintenance: bool,
    /// The checks that it has.
    pub checks: Vec<i64>,
    /// Whether its alerts call the webhook.
    pub calls_webhook: bool,
    /// The operating system in Tactical's words.
    pub operating_system: Option<String>,
    /// The agent's own version.
    pub version: String,
    /// Who is logged in.
    pub user: Option<String>,
}

/// Moves a running simulator; cheap to clone.
#[derive(Debug, Clone)]
pub struct Control(pub(super) Arc<Shared>);

/// A value, or what does not exist.
pub(super) type Done<T> = Result<T, NoSuch>;

/// Time, agents and what happens on them.
impl Control {
    /// The simulated time.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.0.world().now()
    }

    /// Pushes the clock forward and runs every beat (outages, returns, ended snoozes) that becomes due on the way.
    pub fn advance(&self, step: TimeDelta) {
        let mut world = self.0.world();
        world.clock.advance(step);
        world.beat();
    }

    /// Simulated seconds in a real one; 0 stands still.
    pub fn set_speed(&self, speed: f64) {
        self.0.world().clock.set_speed(speed);
    }

    /// Every agent as it is now.
    #[must_use]
    pub fn agents(&self) -> Vec<AgentTruth> {
        self.agents_after(0, usize::MAX)
    }

    /// At most `limit` agents with a pk above `after`.
    #[must_use]
    pub fn agents_after(&self, after: i64, limit: usize) -> Vec<AgentTruth> {
        let world = self.0.world();
        let pks: Vec<i64> = world.pks_after(after).take(limit).collect();
        pks.into_iter().filter_map(|pk| truth(&world, pk)).collect()
    }

    /// One agent.
    ///
    /// # Errors
    /// It does not exist (any more).
    pub fn agent(&self, pk: i64) -> Done<AgentTruth> {
        truth(&self.0.world(), pk).ok_or(NoSuch::Agent(pk))
    }

    /// The pk of an agent by its 40 letters.
    ///
    /// # Errors
    /// It does not exist (any more).
    pub fn pk_of(&self, agent_id: &str) -> Done<i64> {
        self.0.world().pk_of(agent_id).ok_or_else(|| NoSuch::Thing(format!("no agent '{agent_id}'")))
    }

    /// A check or task runs and fails; answers the alert that is open afterwards (none before enough failures, or in
    /// maintenance). Failing again with another severity escalates without a webhook.
    ///
    /// # Errors
    /// No such agent.
    pub fn fail(&self, pk: i64, source: Source, severity: Severity, outcome: Outcome) -> Done<Option<i64>> {
        self.with_agent(pk, |world| world.fail(pk, source, severity, outcome))
    }

    /// A check runs and fails without output.
    ///
    /// # Errors
    /// No such agent.
    pub fn fail_check(&self, pk: i64, check: i64, severity: Severity) -> Done<Option<i64>> {
        self.fail(pk, Source::Check(check), severity, Outcome { retcode: 1, ..Outcome::default() })
    }

    /// A check or task runs and passes; answers the alert that this resolved.
    ///
    /// # Errors
    /// No such agent.
    pub fn pass(&self, pk: i64, source: Source) -> Done<Option<i64>> {
        self.with_agent(pk, |world| world.pass(pk, source))
    }

    /// A check runs and passes.
    ///
    /// # Errors
    /// No such agent.
    pub fn pass_check(&self, pk: i64, check: i64) -> Done<Option<i64>> {
        self.pass(pk, Source::Check(check))
    }

    /// The agent stops checking in now; after its overdue time the next beat opens an availability alert.
    ///
    /// # Errors
    /// No such agent.
    pub fn agent_down(&self, pk: i64) -> Done<()> {
        self.with_agent(pk, |world| {
            let now = world.now();
            stop(world, pk, now);
        })
    }

    /// The agent has been away just long enough to be overdue, and the beat comes now; answers its alert.
    ///
    /// # Errors
    /// No such agent.
    pub fn agent_overdue(&self, pk: i64) -> Done<Option<i64>> {
        self.with_agent(pk, |world| {
            let now = world.now();
            let overdue_after_min = world.agent(pk)?.overdue_after_min;
            stop(world, pk, now - TimeDelta::minutes(overdue_after_min) - TimeDelta::seconds(1));
            world.outage(pk, now);
            world.open.get(&(pk, Source::Availability)).copied()
        })
    }

    /// The agent checks in again; the next beat resolves its availability alert.
    ///
    /// # Errors
    /// No such agent.
    pub fn agent_up(&self, pk: i64) -> Done<()> {
        self.with_agent(pk, |world| {
            let since = world.now();
            world.away.remove(&pk);
            world.change(pk).presence = Some(Presence::Up { since });
        })
    }

    /// Runs the outage beat and the resolve beat now instead of when they are due.
    pub fn run_beats(&self) {
        let mut world = self.0.world();
        let now = world.now();
        world.outage_beat(now);
        world.resolve_beat(now);
    }

    /// Maintenance mode on or off.
    ///
    /// # Errors
    /// No such agent.
    pub fn set_maintenance(&self, pk: i64, on: bool) -> Done<()> {
        self.with_agent(pk, |world| world.change(pk).maintenance = on)
    }

    /// The agent moves to another site, and with it to that site's client. No webhook.
    ///
    /// # Errors
    /// No such agent or site.
    pub fn move_agent(&self, pk: i64, site: i64) -> Done<()> {
        if !self.0.world().has_site(site) {
            return Err(NoSuch::Site(site));
        }
        self.with_agent(pk, |world| world.change(pk).site = Some(site))
    }

    /// The agent gets another host name.
    ///
    /// # Errors
    /// No such agent.
    pub fn rename_agent(&self, pk: i64, hostname: &str) -> Done<()> {
        self.with_agent(pk, |world| world.change(pk).hostname = Some(hostname.to_owned()))
    }

    /// The client gets another name.
    ///
    /// # Errors
    /// No such client.
    pub fn rename_client(&self, client: i64, name: &str) -> Done<()> {
        let mut world = self.0.world();
        if !world.has_client(client) {
            return Err(NoSuch::Client(client));
        }
        world.renamed_clients.insert(client, name.to_owned());
        Ok(())
    }

    /// The agent is deleted, and all of its alerts with it. No webhook.
    ///
    /// # Errors
    /// No such agent.
    pub fn delete_agent(&self, pk: i64) -> Done<()> {
        self.with_agent(pk, |world| delete_agent(world, pk))
    }

    /// The agent is deleted and installed again on the same machine: a new pk and agent id, the same serial number.
    ///
    /// # Errors
    /// No such agent.
    pub fn reinstall_agent(&self, pk: i64) -> Done<i64> {
        self.with_agent(pk, |world| reinstall_agent(world, pk))
    }

    pub(super) fn with_agent<T>(&self, pk: i64, act: impl FnOnce(&mut World) -> T) -> Done<T> {
        let mut world = self.0.world();
        if world.agent(pk).is_none() {
            return Err(NoSuch::Agent(pk));
        }
        Ok(act(&mut world))
    }
}

fn stop(world: &mut World, pk: i64, at: DateTime<Utc>) {
    let Some(machine) = world.machine(pk) else { return };
    let last_seen = world.last_seen(&machine, at).map_or(at, |seen| seen.min(at));
    world.away.insert(pk);
    world.change(pk).presence = Some(Presence::Down { last_seen });
}

pub(super) fn delete_agent(world: &mut World, pk: i64) {
    let alerts: Vec<i64> =
        world.alerts.values().filter(|alert| alert.agent == Some(pk)).map(|alert| alert.id).collect();
    for alert in alerts {
        world.delete_alert(alert);
    }
    world.runs.retain(|(agent, _), _| *agent != pk);
    world.away.remove(&pk);
    world.change(pk).deleted = true;
}

fn reinstall_agent(world: &mut World, pk: i64) -> i64 {
    let site = world.machine(pk).map(|machine| world.site_of(&machine));
    let hardware = world.reinstalled.get(&pk).copied().unwrap_or(pk);
    delete_agent(world, pk);
    new_agent(world, hardware, site)
}

/// An agent that has just been installed.
pub(super) fn new_agent(world: &mut World, hardware: i64, site: Option<i64>) -> i64 {
    world.pk_last += 1;
    let (pk, since) = (world.pk_last, world.now());
    world.reinstalled.insert(pk, hardware);
    let change = world.change(pk);
    (change.site, change.presence) = (site, Some(Presence::Up { since }));
    pk
}

fn truth(world: &World, pk: i64) -> Option<AgentTruth> {
    let agent = world.agent(pk)?;
    Some(AgentTruth {
        pk,
        agent_id: agent.machine.agent_id.clone(),
        client: (agent.client, agent.client_name),
        site: (agent.site, agent.site_name),
        status: agent.status.name().to_owned(),
        last_seen: agent.last_seen,
        monitoring_type: agent.monitoring_type,
        serial_number: agent.machine.serial(),
        maintenance: agent.maintenance,
        checks: agent.machine.checks().collect(),
        calls_webhook: agent.template,
        operating_system: agent.machine.operating_system().map(str::to_owned),
        version: agent.machine.version().to_owned(),
        user: agent.user.filter(|user| user != NOBODY),
        hostname: agent.hostname,
    })
}
