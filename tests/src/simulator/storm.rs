//! Many events at once, and the demo's steady trickle: random, but the same for the same seed.

use super::alert::{Severity, Source};
use super::alerting::Outcome;
use super::control::Replacement;
use super::dice::{Dice, mix};
use super::world::{Presence, World};

/// Attempts per wanted webhook before a storm gives up: excluded agents and escalations cause none.
const ATTEMPTS_PER_WEBHOOK: u64 = 50;
/// The demo heals rather than fails while so many alerts are open.
const DEMO_OPEN_MAX: usize = 60;

impl World {
    /// Causes `webhooks` webhooks; answers how many there were.
    pub(super) fn storm(&mut self, webhooks: u64) -> u64 {
        self.storms += 1;
        let seed = mix(self.seed ^ (self.storms << 48));
        // few agents, so that most sources fail several times
        let pool = (webhooks / 20).max(10).min(u64::from(self.config.agents));
        let before = self.ledger.webhook_count();
        for attempt in 0..webhooks.saturating_mul(ATTEMPTS_PER_WEBHOOK) {
            if self.ledger.webhook_count() - before >= webhooks || pool == 0 {
                break;
            }
            let dice = Dice::new(seed, attempt as i64);
            let pk = dice.below(1, pool) as i64 + 1;
            let Some((source, severity)) = self.something(pk, dice) else { continue };
            match self.open.contains_key(&(pk, source)) {
                true if dice.percent(5, 75) => self.pass(pk, source),
                _ => self.fail(pk, source, severity, Outcome { retcode: 1, ..Outcome::default() }),
            };
        }
        self.ledger.webhook_count() - before
    }

    /// A check or task of an existing agent, and how badly it may fail.
    fn something(&self, pk: i64, dice: Dice) -> Option<(Source, Severity)> {
        let agent = self.agent(pk)?;
        let checks: Vec<i64> = agent.machine.checks().collect();
        let source = if dice.percent(2, 10) {
            Source::Task(1 + dice.below(3, 2) as i64)
        } else {
            Source::Check(dice.pick(3, &checks))
        };
        Some((source, if dice.percent(4, 35) { Severity::Warning } else { Severity::Error }))
    }

    /// One event of the demo.
    pub(super) fn demo_step(&mut self) {
        self.storms += 1;
        let dice = Dice::new(mix(self.seed ^ 0xde30), self.storms as i64);
        let failing: Vec<(i64, Source)> =
            self.open.keys().filter(|(_, source)| *source != Source::Availability).copied().collect();
        let pk = dice.below(1, u64::from(self.config.agents.max(1))) as i64 + 1;
        match dice.below(6, 100) {
            0..=7 => self.demo_outage(pk),
            8..=15 => self.demo_return(),
            16..=55 if !failing.is_empty() => self.demo_heal(&failing, dice),
            _ if failing.len() >= DEMO_OPEN_MAX => self.demo_heal(&failing, dice),
            _ => {
                if let Some((source, severity)) = self.something(pk, dice) {
                    self.fail(pk, source, severity, Outcome { retcode: 1, ..Outcome::default() });
                }
            }
        }
    }

    fn demo_heal(&mut self, failing: &[(i64, Source)], dice: Dice) {
        let (pk, source) = dice.pick(7, failing);
        self.pass(pk, source);
    }

    fn demo_outage(&mut self, pk: i64) {
        let now = self.now();
        let Some(agent) = self.agent(pk) else { return };
        let last_seen = now - chrono::TimeDelta::minutes(agent.overdue_after_min) - chrono::TimeDelta::seconds(1);
        self.away.insert(pk);
        self.change(pk).presence = Some(Presence::Down { last_seen });
        self.outage(pk, now);
    }

    /// The agent that was taken away by hand first comes back.
    fn demo_return(&mut self) {
        let since = self.now();
        let taken = |world: &Self, pk: &i64| {
            world.changes.get(pk).is_some_and(|change| matches!(change.presence, Some(Presence::Down { .. })))
        };
        let Some(pk) = self.away.iter().copied().find(|pk| taken(self, pk)) else { return };
        self.away.remove(&pk);
        self.change(pk).presence = Some(Presence::Up { since });
        self.resolve_beat(since);
    }

    /// Another server takes this one's place.
    pub(super) fn replace(&mut self, replacement: Replacement) {
        let now = self.now();
        for id in self.alerts.keys() {
            self.ledger.deleted(self.generation, *id, now);
        }
        self.generation += 1;
        if replacement == Replacement::Other {
            self.seed = mix(self.config.seed ^ u64::from(self.generation));
            self.changes.clear();
            self.reinstalled.clear();
            self.renamed_clients.clear();
            self.gone_clients.clear();
            self.gone_sites.clear();
            self.away.clear();
        }
        self.runs.clear();
        self.alerts.clear();
        self.open.clear();
        self.alert_id_last = 0;
        self.started = now;
        self.accounts.close_sessions(None);
        self.fill_past();
    }
}
