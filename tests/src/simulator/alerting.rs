//! When alerts open and close, and which of it calls a webhook: the rules of Tactical's table of events.

use chrono::{DateTime, TimeDelta, Utc};

use super::alert::{ActionRun, Alert, ResolvedBy, Severity, Source};
use super::catalogue::{CHECKS, TASKS};
use super::dice::Dice;
use super::ledger::Occasion;
use super::machine::FirstSeen;
use super::presence::{Agent, Status};
use super::world::{Run, World};

/// One run of a check or a task, as the agent reports it.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Outcome {
    /// What it printed.
    pub stdout: Option<String>,
    /// What it complained.
    pub stderr: Option<String>,
    /// Its exit code.
    pub retcode: i64,
}

impl World {
    /// The past that a server has when it is first looked at: overdue agents have their alert, and `config.alerts` more.
    pub(super) fn fill_past(&mut self) {
        let pks: Vec<i64> = self.pks_after(0).collect();
        for pk in pks {
            let Some(machine) = self.machine(pk) else { continue };
            let FirstSeen::GoneForS(gone_s) = machine.first_seen else { continue };
            self.away.insert(pk);
            let overdue_at = self.started - TimeDelta::seconds(gone_s) + TimeDelta::minutes(30);
            if overdue_at < self.started {
                self.past_alert(Some(pk), Source::Availability, Severity::Error, overdue_at);
            }
        }
        for number in 0..i64::from(self.config.alerts) {
            self.past_alert_number(number);
        }
        // the present begins after the past: the next stamp is the clock's
        self.stamp_last = self.started;
    }

    /// The `number`th alert of the past: every source, severity and state occurs.
    fn past_alert_number(&mut self, number: i64) {
        let dice = Dice::new(self.seed ^ 0xa1e7, number);
        let at = self.started - TimeDelta::microseconds(dice.below(1, 60 * 86_400_000_000) as i64);
        let agents = u64::from(self.config.agents);
        let agent = (agents > 0).then(|| dice.below(2, agents) as i64 + 1).filter(|_| number % 8 != 7);
        let source = match (number % 8, agent.and_then(|pk| self.machine(pk))) {
            (0..=3, Some(machine)) => {
                let checks: Vec<i64> = machine.checks().collect();
                Source::Check(dice.pick(3, &checks))
            }
            (4, Some(_)) => Source::Task(dice.below(4, TASKS.len() as u64) as i64 + 1),
            (5, Some(_)) => Source::Availability,
            _ => Source::Custom,
        };
        let severity = dice.pick(5, &[Severity::Error, Severity::Warning, Severity::Error, Severity::Info]);
        let id = self.past_alert(agent, source, severity, at);
        let away = agent.is_some_and(|pk| self.away.contains(&pk));
        // of several open ones with one source only one can be open, and an online agent cannot be overdue
        let second = self
            .alerts
            .get(&id)
            .and_then(|alert| Some((alert.agent?, alert.source)))
            .is_some_and(|key| self.open.get(&key) != Some(&id));
        if source != Source::Custom && (second || dice.percent(6, 60) || (source == Source::Availability && !away)) {
            let resolved_on = at + TimeDelta::seconds(dice.below(7, 7200) as i64);
            self.edit(id, |alert| {
                alert.resolved_on = Some(resolved_on);
                alert.resolved_by = Some(ResolvedBy::Past);
            });
        } else if dice.percent(8, 10) {
            let until = self.started + TimeDelta::days(1 + dice.below(9, 6) as i64);
            self.edit(id, |alert| (alert.snoozed, alert.snooze_until) = (true, Some(until)));
        }
        if source == Source::Custom && dice.percent(10, 30) {
            self.edit(id, |alert| alert.message = None);
        }
    }

    fn past_alert(&mut self, agent: Option<i64>, source: Source, severity: Severity, at: DateTime<Utc>) -> i64 {
        let id = self.insert_alert(agent, source, severity, at);
        let dice = Dice::new(self.seed ^ 0xac71, id);
        let hidden = dice.percent(1, 30);
        let called = dice.percent(2, 60) && source != Source::Custom;
        self.edit(id, |alert| {
            alert.hidden = hidden;
            alert.failure_sent = called;
            alert.action = called.then(|| ActionRun {
                run: at,
                stdout: "ok".to_owned(),
                retcode: 200,
                seconds: "0.0000".to_owned(),
            });
        });
        if let (Some(pk), Source::Check(_) | Source::Task(_)) = (agent, source) {
            self.runs.entry((pk, source)).or_insert(Run {
                failures: 1,
                severity,
                stdout: None,
                stderr: None,
                retcode: 1,
            });
        }
        id
    }

    /// Stores a new alert and remembers it as the open one of its agent and source where there is none.
    pub(super) fn insert_alert(
        &mut self,
        agent: Option<i64>,
        source: Source,
        severity: Severity,
        at: DateTime<Utc>,
    ) -> i64 {
        self.alert_id_last += 1;
        let id = self.alert_id_last;
        let mut alert = Alert::new(id, agent, source, severity, at);
        alert.message =
            Some(agent.and_then(|pk| self.agent_at(pk, at)).map_or_else(String::new, |agent| message(&agent, source)));
        self.alerts.insert(id, alert);
        if let Some(pk) = agent.filter(|_| source != Source::Custom) {
            self.open.entry((pk, source)).or_insert(id);
        }
        self.edit(id, |_| {});
        id
    }

    /// Changes an alert, moves its row to the end of the table, keeps the index of open ones and the ledger.
    pub(super) fn edit(&mut self, id: i64, change: impl FnOnce(&mut Alert)) -> bool {
        self.touched_last += 1;
        let Some(alert) = self.alerts.get_mut(&id) else { return false };
        change(alert);
        alert.touched = self.touched_last;
        if let (true, Some(pk)) = (alert.resolved(), alert.agent) {
            let key = (pk, alert.source);
            if self.open.get(&key) == Some(&id) {
                self.open.remove(&key);
            }
        }
        let alert = alert.clone();
        let machine = alert.agent.and_then(|pk| self.machine(pk));
        self.ledger.note(self.generation, &alert, machine.as_ref().map(|machine| machine.agent_id.as_str()));
        true
    }

    /// Whether an alert of this severity calls a URL action.
    fn calls(&self, severity: Severity) -> bool {
        match severity {
            Severity::Info => self.config.notify.info,
            Severity::Warning => self.config.notify.warning,
            Severity::Error => true,
        }
    }

    /// A check or task ran and failed. Answers the alert that is open afterwards.
    pub(super) fn fail(&mut self, pk: i64, source: Source, severity: Severity, outcome: Outcome) -> Option<i64> {
        let (now, wanted) = (self.now(), self.config.fails_before_alert.max(1));
        let agent = self.agent_at(pk, now)?;
        let run = self.runs.entry((pk, source)).or_insert(Run {
            failures: 0,
            severity,
            stdout: None,
            stderr: None,
            retcode: 0,
        });
        let failures = run.failures.saturating_add(1);
        *run = Run { failures, severity, stdout: outcome.stdout, stderr: outcome.stderr, retcode: outcome.retcode };
        // a task opens its alert at once, a check after so many failures in a row; in maintenance nothing happens
        let enough = failures >= wanted || matches!(source, Source::Task(_));
        let open = self.open.get(&(pk, source)).copied();
        if agent.maintenance || (!enough && open.is_none()) {
            return open;
        }
        if let Some(id) = open {
            if self.alerts.get(&id).is_some_and(|alert| alert.severity != severity) {
                self.edit(id, |alert| alert.severity = severity);
            }
            // no second webhook, but the first one where the template came later than the alert
            if self.alerts.get(&id).is_some_and(|alert| !alert.failure_sent && !alert.snoozed) {
                self.call_failure(id, &agent, now);
            }
            return Some(id);
        }
        Some(self.open_alert(&agent, source, severity, now))
    }

    /// A check or task ran and passed. Answers the alert that it resolved.
    pub(super) fn pass(&mut self, pk: i64, source: Source) -> Option<i64> {
        let now = self.now();
        let agent = self.agent_at(pk, now)?;
        if let Some(run) = self.runs.get_mut(&(pk, source)) {
            *run = Run { failures: 0, severity: run.severity, stdout: None, stderr: None, retcode: 0 };
        }
        if agent.maintenance {
            return None;
        }
        let id = *self.open.get(&(pk, source))?;
        self.resolve_by_agent(id, &agent, now);
        Some(id)
    }

    fn open_alert(&mut self, agent: &Agent, source: Source, severity: Severity, at: DateTime<Utc>) -> i64 {
        let at = self.stamp(at);
        let id = self.insert_alert(Some(agent.machine.pk), source, severity, at);
        // nothing but the webhook tells anybody: such alerts are hidden in the dashboard
        self.edit(id, |alert| alert.hidden = true);
        self.call_failure(id, agent, at);
        id
    }

    fn call_failure(&mut self, id: i64, agent: &Agent, at: DateTime<Utc>) {
        let configured = self.webhook.as_ref().is_some_and(|webhook| webhook.failure.is_some());
        let severity = self.alerts.get(&id).map(|alert| alert.severity);
        if configured && agent.template && severity.is_some_and(|severity| self.calls(severity)) {
            self.edit(id, |alert| alert.failure_sent = true);
            self.call(Occasion::Failure, Some(id), agent, at);
        }
    }

    fn resolve_by_agent(&mut self, id: i64, agent: &Agent, at: DateTime<Utc>) {
        let at = self.stamp(at);
        self.edit(id, |alert| {
            (alert.resolved_on, alert.resolved_by) = (Some(at), Some(ResolvedBy::Agent));
            (alert.snoozed, alert.snooze_until) = (false, None);
        });
        let configured = self.webhook.as_ref().is_some_and(|webhook| webhook.resolved.is_some());
        let severity = self.alerts.get(&id).map(|alert| alert.severity);
        if configured && agent.template && severity.is_some_and(|severity| self.calls(severity)) {
            self.call(Occasion::Resolved, Some(id), agent, at);
        }
    }

    /// A person resolves an alert: no webhook, and a check that still fails opens a new one on its next run.
    pub(super) fn resolve_by_person(&mut self, id: i64, by: ResolvedBy) -> bool {
        let now = self.now();
        if self.alerts.get(&id).is_some_and(Alert::resolved) {
            return true;
        }
        let at = self.stamp(now);
        self.edit(id, |alert| {
            (alert.resolved_on, alert.resolved_by) = (Some(at), Some(by));
            (alert.snoozed, alert.snooze_until) = (false, None);
        })
    }

    /// Snoozes an alert for `days`, or ends that.
    pub(super) fn snooze(&mut self, id: i64, days: Option<i64>) -> bool {
        let until = days.map(|days| self.now() + TimeDelta::days(days.clamp(0, 36_500)));
        self.edit(id, |alert| (alert.snoozed, alert.snooze_until) = (until.is_some(), until))
    }

    /// Removes an alert's row.
    pub(super) fn delete_alert(&mut self, id: i64) -> bool {
        let Some(alert) = self.alerts.remove(&id) else { return false };
        if let Some(pk) = alert.agent.filter(|pk| self.open.get(&(*pk, alert.source)) == Some(&id)) {
            self.open.remove(&(pk, alert.source));
        }
        self.ledger.deleted(self.generation, id, self.now());
        true
    }

    /// Opens the alert of an agent that is overdue at `at` and has none.
    pub(super) fn outage(&mut self, pk: i64, at: DateTime<Utc>) -> Option<i64> {
        let agent = self.agent_at(pk, at)?;
        let known = self.open.contains_key(&(pk, Source::Availability));
        (agent.status == Status::Overdue && !agent.maintenance && !known)
            .then(|| self.open_alert(&agent, Source::Availability, Severity::Error, at))
    }

    /// Every 150 s: one overdue agent after the other.
    pub(super) fn outage_beat(&mut self, at: DateTime<Utc>) {
        let away: Vec<i64> = self.away.iter().copied().collect();
        for pk in away {
            self.outage(pk, at);
        }
    }

    /// Every 80 s: agents that are online again, unless they are older than 1.6.0.
    pub(super) fn resolve_beat(&mut self, at: DateTime<Utc>) {
        let open: Vec<(i64, i64)> = self
            .open
            .iter()
            .filter(|((_, source), _)| *source == Source::Availability)
            .map(|((pk, _), id)| (*pk, *id))
            .collect();
        for (pk, id) in open {
            let Some(agent) = self.agent_at(pk, at) else { continue };
            let old = ["0.1.0", "1.5.9"].contains(&agent.machine.version());
            if agent.status == Status::Online && !old && !agent.maintenance {
                self.resolve_by_agent(id, &agent, at);
            }
        }
    }

    /// Every hour: snoozes that ended.
    pub(super) fn unsnooze_beat(&mut self, at: DateTime<Utc>) {
        let ended: Vec<i64> = self
            .alerts
            .values()
            .filter(|alert| alert.snooze_until.is_some_and(|until| until <= at))
            .map(|alert| alert.id)
            .collect();
        for id in ended {
            self.edit(id, |alert| (alert.snoozed, alert.snooze_until) = (false, None));
        }
    }
}

/// What Tactical writes into a new alert.
fn message(agent: &Agent, source: Source) -> String {
    let host = &agent.hostname;
    match source {
        Source::Availability => format!("{host} in {}, {} is overdue.", agent.client_name, agent.site_name),
        Source::Check(id) => match CHECKS.get((id - 1) as usize) {
            Some(check) => format!("{host} has a {} check: {} that failed.", check.kind, check.description),
            None => format!("{host} has a check that failed."),
        },
        Source::Task(id) => {
            let (name, policy) = TASKS.get((id - 1) as usize).unwrap_or(&("unnamed", "no policy"));
            format!("{host} has task: {name} ({policy}) that failed.")
        }
        Source::Custom => format!("A note about {host}"),
    }
}
