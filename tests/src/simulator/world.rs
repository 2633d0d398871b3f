//! The simulated server's state: what follows from the seed is computed, only what changed is stored.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use super::accounts::Accounts;
use super::agent_id::pk_in;
use super::alert::{Alert, Severity, Source};
use super::catalogue::{CLIENTS, SITES};
use super::clock::Clock;
use super::config::{SimulatorConfig, WebhookSettings};
use super::faults::Fault;
use super::ledger::Ledger;
use super::machine::{FirstSeen, Machine, home};
use super::presence::{Agent, NOBODY, Status, heartbeat};
use super::software::Program;
use super::throttle::Throttle;
use super::traffic::Traffic;
use super::webhook::Outgoing;

/// Minutes until an agent counts as offline, and as overdue (Tactical's defaults).
const OFFLINE_AFTER_MIN: i64 = 4;
const OVERDUE_AFTER_MIN: i64 = 30;

/// How far beats may lie apart; see the table of events in Tactical's facts.
const OUTAGE_BEAT_S: i64 = 150;
const RESOLVE_BEAT_S: i64 = 80;
const UNSNOOZE_BEAT_S: i64 = 3600;

/// Where an agent was put by hand.
#[derive(Debug, Clone, Copy)]
pub(super) enum Presence {
    /// Checks in since then.
    Up { since: DateTime<Utc> },
    /// Was last seen then.
    Down { last_seen: DateTime<Utc> },
}

/// What `/software/` has about an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    /// No row yet.
    Missing,
    /// A row with an empty list.
    Empty,
    /// The list that follows from the seed and the changes.
    Full,
}

/// Everything that was changed about an agent.
#[derive(Debug, Clone, Default)]
pub(super) struct Change {
    pub(super) deleted: bool,
    pub(super) site: Option<i64>,
    pub(super) presence: Option<Presence>,
    pub(super) maintenance: bool,
    pub(super) hostname: Option<String>,
    pub(super) description: Option<String>,
    pub(super) monitoring_type: Option<String>,
    /// Who is logged in; the inner `None` is nobody.
    pub(super) user: Option<Option<String>>,
    pub(super) offline_after_min: Option<i64>,
    pub(super) overdue_after_min: Option<i64>,
    pub(super) report: Option<Report>,
    pub(super) installed: Vec<Program>,
    pub(super) uninstalled: BTreeSet<String>,
    pub(super) history: Vec<Value>,
}

/// How a check or task of an agent last ran.
#[derive(Debug, Clone)]
pub(super) struct Run {
    /// Failures in a row; 0 is passing.
    pub(super) failures: u32,
    pub(super) severity: Severity,
    pub(super) stdout: Option<String>,
    pub(super) stderr: Option<String>,
    pub(super) retcode: i64,
}

/// The server.
#[derive(Debug)]
pub(super) struct World {
    pub(super) config: SimulatorConfig,
    pub(super) clock: Arc<Clock>,
    /// When the simulation started: boot times and first absences count from here.
    pub(super) started: DateTime<Utc>,
    /// Counts replacements of the server.
    pub(super) generation: u32,
    pub(super) seed: u64,
    pub(super) changes: BTreeMap<i64, Change>,
    /// Agents that came after the start: pk -> number of the hardware.
    pub(super) reinstalled: BTreeMap<i64, i64>,
    /// The newest agent's; no agent ever gets another's, whatever becomes of the server.
    pub(super) pk_last: i64,
    pub(super) renamed_clients: HashMap<i64, String>,
    /// Clients and sites that were deleted.
    pub(super) gone_clients: BTreeSet<i64>,
    pub(super) gone_sites: BTreeSet<i64>,
    /// Agents that do not check in: the outage beat looks only at these.
    pub(super) away: BTreeSet<i64>,
    pub(super) runs: BTreeMap<(i64, Source), Run>,
    pub(super) alerts: BTreeMap<i64, Alert>,
    /// The open alert of an agent and source.
    pub(super) open: BTreeMap<(i64, Source), i64>,
    pub(super) alert_id_last: i64,
    pub(super) touched_last: u64,
    pub(super) stamp_last: DateTime<Utc>,
    pub(super) history_id_last: i64,
    pub(super) storms: u64,
    pub(super) ledger: Ledger,
    pub(super) webhook: Option<WebhookSettings>,
    pub(super) outgoing: UnboundedSender<Outgoing>,
    pub(super) accounts: Accounts,
    pub(super) throttle: Throttle,
    pub(super) faults: Vec<Fault>,
    pub(super) traffic: Traffic,
    pub(super) nats_up: bool,
    next_outage: DateTime<Utc>,
    next_resolve: DateTime<Utc>,
    next_unsnooze: DateTime<Utc>,
}

impl World {
    /// A fresh server; `outgoing` takes the webhooks that it wants to send.
    pub(super) fn new(config: SimulatorConfig, clock: Arc<Clock>, outgoing: UnboundedSender<Outgoing>) -> Self {
        let now = clock.now();
        let mut world = Self {
            seed: config.seed,
            webhook: config.webhook.clone(),
            accounts: Accounts::standard(config.seed, now),
            pk_last: i64::from(config.agents),
            config,
            clock,
            started: now,
            generation: 0,
            changes: BTreeMap::new(),
            reinstalled: BTreeMap::new(),
            renamed_clients: HashMap::new(),
            gone_clients: BTreeSet::new(),
            gone_sites: BTreeSet::new(),
            away: BTreeSet::new(),
            runs: BTreeMap::new(),
            alerts: BTreeMap::new(),
            open: BTreeMap::new(),
            alert_id_last: 0,
            touched_last: 0,
            stamp_last: now - TimeDelta::days(1),
            history_id_last: 0,
            storms: 0,
            ledger: Ledger::default(),
            outgoing,
            throttle: Throttle::default(),
            faults: Vec::new(),
            traffic: Traffic::default(),
            nats_up: true,
            next_outage: now + TimeDelta::seconds(OUTAGE_BEAT_S),
            next_resolve: now + TimeDelta::seconds(RESOLVE_BEAT_S),
            next_unsnooze: now + TimeDelta::seconds(UNSNOOZE_BEAT_S),
        };
        world.fill_past();
        world
    }

    /// The clock's time.
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// `at`, or a microsecond after the last stamp: no two alerts open at the same time.
    pub(super) fn stamp(&mut self, at: DateTime<Utc>) -> DateTime<Utc> {
        self.stamp_last = at.max(self.stamp_last + TimeDelta::microseconds(1));
        self.stamp_last
    }

    fn site_count(&self) -> i64 {
        i64::from(self.config.clients.max(1)) * i64::from(self.config.sites_per_client.max(1))
    }

    /// All client ids.
    pub(super) fn clients(&self) -> impl Iterator<Item = i64> + '_ {
        (1..=i64::from(self.config.clients.max(1))).filter(|client| !self.gone_clients.contains(client))
    }

    /// Whether there is such a client.
    pub(super) fn has_client(&self, client: i64) -> bool {
        self.clients().any(|known| known == client)
    }

    /// All site ids: the first sites of all clients come first.
    pub(super) fn sites(&self) -> impl Iterator<Item = i64> + '_ {
        (1..=self.site_count()).filter(|site| !self.gone_sites.contains(site))
    }

    /// Whether there is such a site.
    pub(super) fn has_site(&self, site: i64) -> bool {
        self.sites().any(|known| known == site)
    }

    /// The client of a site.
    pub(super) fn client_of(&self, site: i64) -> i64 {
        (site - 1) % i64::from(self.config.clients.max(1)) + 1
    }

    /// A client's name.
    pub(super) fn client_name(&self, client: i64) -> String {
        if let Some(name) = self.renamed_clients.get(&client) {
            return name.clone();
        }
        // another server has other customers under the same ids
        let number = client - 1 + i64::from(self.seed != self.config.seed) * 5;
        let (round, place) = (number / CLIENTS.len() as i64, number % CLIENTS.len() as i64);
        let name = CLIENTS[place as usize];
        if round == 0 { name.to_owned() } else { format!("{name} {}", round + 1) }
    }

    /// A site's name.
    pub(super) fn site_name(&self, site: i64) -> String {
        let ordinal = ((site - 1) / i64::from(self.config.clients.max(1))) as usize;
        let name = SITES[ordinal % SITES.len()];
        if ordinal < SITES.len() { name.to_owned() } else { format!("{name} {}", ordinal / SITES.len() + 1) }
    }

    /// The pks of all agents after `after`, ascending.
    pub(super) fn pks_after(&self, after: i64) -> impl Iterator<Item = i64> + '_ {
        let first = i64::from(self.config.agents);
        let added = self.reinstalled.range(after.max(first) + 1..).map(|(&pk, _)| pk);
        (after + 1..=first).chain(added).filter(|pk| !self.changes.get(pk).is_some_and(|change| change.deleted))
    }

    /// What was changed about an agent, to change more.
    pub(super) fn change(&mut self, pk: i64) -> &mut Change {
        self.changes.entry(pk).or_default()
    }

    /// The machine behind a pk, whether or not it was deleted.
    pub(super) fn machine(&self, pk: i64) -> Option<Machine> {
        Some(Machine::new(self.seed, pk, self.hardware(pk)?, self.config.online_percent))
    }

    fn hardware(&self, pk: i64) -> Option<i64> {
        let original = (1..=i64::from(self.config.agents)).contains(&pk);
        if original { Some(pk) } else { self.reinstalled.get(&pk).copied() }
    }

    /// The agent as it is at `at`.
    pub(super) fn agent_at(&self, pk: i64, at: DateTime<Utc>) -> Option<Agent> {
        let change = self.changes.get(&pk);
        if change.is_some_and(|change| change.deleted) {
            return None;
        }
        let machine = self.machine(pk)?;
        let site = self.site_of(&machine);
        let client = self.client_of(site);
        let last_seen = self.last_seen(&machine, at);
        let offline_after_min = change.and_then(|change| change.offline_after_min).unwrap_or(OFFLINE_AFTER_MIN);
        let overdue_after_min = change.and_then(|change| change.overdue_after_min).unwrap_or(OVERDUE_AFTER_MIN);
        let kind = if machine.server { "server" } else { "workstation" };
        Some(Agent {
            hostname: change.and_then(|change| change.hostname.clone()).unwrap_or_else(|| machine.hostname.clone()),
            description: change
                .and_then(|change| change.description.clone())
                .or_else(|| machine.description().map(str::to_owned)),
            monitoring_type: change
                .and_then(|change| change.monitoring_type.clone())
                .unwrap_or_else(|| kind.to_owned()),
            user: match change.and_then(|change| change.user.clone()) {
                Some(user) => user.or_else(|| Some(NOBODY.to_owned())),
                None => machine.user().map(str::to_owned),
            },
            site_name: self.site_name(site),
            client_name: self.client_name(client),
            maintenance: change.is_some_and(|change| change.maintenance),
            status: Status::of(last_seen, at, offline_after_min, overdue_after_min),
            template: self.webhook.as_ref().is_some_and(|webhook| !webhook.excluded_clients.contains(&client)),
            machine,
            site,
            client,
            last_seen,
            offline_after_min,
            overdue_after_min,
        })
    }

    /// The agent now.
    pub(super) fn agent(&self, pk: i64) -> Option<Agent> {
        self.agent_at(pk, self.now())
    }

    /// The pk of an existing agent by its 40 letters.
    pub(super) fn pk_of(&self, agent_id: &str) -> Option<i64> {
        let pk = pk_in(self.seed, agent_id)?;
        let known = self.machine(pk).is_some_and(|machine| machine.agent_id == agent_id);
        let deleted = self.changes.get(&pk).is_some_and(|change| change.deleted);
        (known && !deleted).then_some(pk)
    }

    /// The site where an agent stands.
    pub(super) fn site_of(&self, machine: &Machine) -> i64 {
        self.site_at(machine.pk, machine.home)
    }

    /// The site of the agent `pk`, without making the agent: a list of one client looks at every one of a large fleet.
    pub(super) fn site_of_pk(&self, pk: i64) -> Option<i64> {
        Some(self.site_at(pk, home(self.seed, self.hardware(pk)?)))
    }

    fn site_at(&self, pk: i64, home: u64) -> i64 {
        let moved = self.changes.get(&pk).and_then(|change| change.site);
        moved.unwrap_or((home % self.site_count() as u64) as i64 + 1)
    }

    /// When an agent last checked in, seen from `at`.
    pub(super) fn last_seen(&self, machine: &Machine, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self.changes.get(&machine.pk).and_then(|change| change.presence) {
            Some(Presence::Down { last_seen }) => Some(last_seen),
            Some(Presence::Up { since }) => Some(heartbeat(machine, at).max(since)),
            None => match machine.first_seen {
                FirstSeen::Always => Some(heartbeat(machine, at)),
                FirstSeen::GoneForS(gone_s) => Some(self.started - TimeDelta::seconds(gone_s)),
                FirstSeen::Never => None,
            },
        }
    }

    /// The failing checks of an agent as `(id, severity)`.
    pub(super) fn failing_checks(&self, pk: i64) -> impl Iterator<Item = (i64, Severity)> + '_ {
        let range = (pk, Source::Check(i64::MIN))..=(pk, Source::Check(i64::MAX));
        self.runs.range(range).filter(|(_, run)| run.failures > 0).filter_map(|((_, source), run)| match source {
            Source::Check(id) => Some((*id, run.severity)),
            _ => None,
        })
    }

    /// Runs every beat that has become due: outages, agents that are back, snoozes that ended.
    pub(super) fn beat(&mut self) {
        let now = self.now();
        loop {
            let due = self.next_outage.min(self.next_resolve).min(self.next_unsnooze);
            if due > now {
                return;
            }
            if due == self.next_outage {
                self.next_outage += TimeDelta::seconds(OUTAGE_BEAT_S);
                self.outage_beat(due);
            } else if due == self.next_resolve {
                self.next_resolve += TimeDelta::seconds(RESOLVE_BEAT_S);
                self.resolve_beat(due);
            } else {
                self.next_unsnooze += TimeDelta::seconds(UNSNOOZE_BEAT_S);
                self.unsnooze_beat(due);
            }
        }
    }
}
