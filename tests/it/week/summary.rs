//! How much of what happened in a week: the test says nothing about what did not.

use std::collections::{BTreeMap, BTreeSet};

use store::run::Kind;
use tests::simulator::ResolvedBy;

use super::drive::{SETTLE_HOURS, SETTLE_ROUNDS, Week};
use super::side::Side;

/// What a week must have brought beside what each hour draws.
const RARE: [&str; 10] = [
    "deletion of a site",
    "deletion of a client",
    "restoration",
    "role narrowed",
    "role widened",
    "outage",
    "worker killed",
    "broker away",
    "database away",
    "merge accepted",
];
/// Minutes between two slots where nobody has said otherwise (pipeline §7).
const DEFAULTS: [(Kind, u32); 4] =
    [(Kind::Alerts, 5), (Kind::Devices, 2), (Kind::Clients, 60), (Kind::Software, 24 * 60)];
/// From here on it is the long form: hours and agents of each server.
const LONG: (u32, u32) = (168, 60);
/// So many alerts have opened and so many are over in the long form, at least.
const LONG_ALERTS: usize = 2_000;

/// Alerts of both servers.
#[derive(Debug, Default)]
struct Alerts {
    opened: usize,
    over: usize,
    by_hand: usize,
    in_bulk: usize,
    escalated: usize,
}

impl Alerts {
    fn of(side: &Side) -> Self {
        let mut alerts = Self::default();
        let (mut opened, mut over) = (BTreeSet::new(), BTreeMap::new());
        for truth in side.control().alerts() {
            let key = (truth.alert_id, truth.alert_time);
            opened.insert(key);
            // a restored server may say of one alert that it ended in two ways
            over.extend(truth.resolved_by.map(|by| (key, by)));
        }
        let count = |wanted| over.values().filter(|by| **by == wanted).count();
        (alerts.opened, alerts.over) = (opened.len(), over.len());
        (alerts.by_hand, alerts.in_bulk) = (count(ResolvedBy::Hand), count(ResolvedBy::Bulk));
        alerts.escalated = side.script.severities.values().filter(|severities| severities.len() > 1).count();
        alerts
    }
}

impl Week {
    /// How much of what happened.
    pub(super) async fn summary(&self) -> String {
        let mut lines = Vec::new();
        for side in &self.sides {
            let (name, happened, runs) = (side.name, &side.script.tally, side.runs(&self.fleet).await);
            let count: u64 = happened.values().sum();
            lines.push(format!("{name}: {count} happenings {happened:?}"));
            lines.push(format!("{name}: {:?}; webhooks {:?}; runs {runs:?}", Alerts::of(side), side.relay.tally()));
        }
        lines.join("\n")
    }

    /// Everything has happened, and the schedules have driven it.
    pub(super) async fn assert_all_happened(&self) {
        let repeat = self.settings.command();
        let all = super::script::names().chain(RARE);
        let none: Vec<&str> =
            all.filter(|name| !self.sides.iter().any(|side| side.script.tally.contains_key(name))).collect();
        assert!(none.is_empty(), "nothing of it happened: {none:?}; repeat with: {repeat}");
        for side in &self.sides {
            let (tally, alerts) = (side.relay.tally(), Alerts::of(side));
            let least = tally.delivered.min(tally.refused).min(tally.swallowed).min(tally.late);
            assert!(least > 0, "{tally:?}; repeat with: {repeat}");
            let least = alerts.by_hand.min(alerts.in_bulk).min(alerts.escalated);
            assert!(least > 0, "{alerts:?}; repeat with: {repeat}");
            let runs = side.runs(&self.fleet).await;
            // the outage was noticed
            assert!(runs.contains_key("alerts failed"), "{}: {runs:?}; repeat with: {repeat}", side.name);
            self.assert_scheduled(side, &runs);
        }
        if self.settings.hours >= LONG.0 && self.settings.agents >= LONG.1 {
            let all: Vec<Alerts> = self.sides.iter().map(Alerts::of).collect();
            let opened: usize = all.iter().map(|alerts| alerts.opened).sum();
            let over: usize = all.iter().map(|alerts| alerts.over).sum();
            assert!(opened.min(over) >= LONG_ALERTS, "{all:?}; repeat with: {repeat}");
        }
    }

    /// Each kind of run was begun by its schedule about as often as its slots came: fewer times where a run was open already
    /// or the connection was held, more often where a webhook wished for it.
    fn assert_scheduled(&self, side: &Side, runs: &BTreeMap<String, i64>) {
        let minutes = self.settings.hours * 60 + SETTLE_ROUNDS * SETTLE_HOURS as u32 * 60;
        for (kind, default) in DEFAULTS {
            let set = side.intervals.iter().find(|(set, _)| *set == kind).map_or(default, |(_, minutes)| *minutes);
            let slots = i64::from(minutes / set.max(self.settings.step_min));
            let scheduled = runs.get(&format!("{} scheduled", kind.as_str())).copied().unwrap_or_default();
            let is_right = (slots / 2..=slots + slots / 10 + 2).contains(&scheduled);
            assert!(is_right, "{}: {scheduled} runs of {kind:?} in {slots} slots: {runs:?}", side.name);
        }
    }
}
