//! What happens in a simulated week on one server, drawn from a seed: the same seed draws the same.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng as _, SeedableRng as _};
use tests::simulator::{AgentTruth, Backup, Control, Outcome, Program, Severity, Source};

use super::seen::Seen;

/// Names of programs that come and go beside those that every machine has; letters of any alphabet.
const PROGRAMS: [&str; 6] = ["Muster Agent Kit", "Яндекс.Диск", "微信", "Reader  DC", "Runtime", "カメラ"];
/// Versions of them, several of which may stand side by side.
const VERSIONS: [&str; 5] = ["1.9", "1.10", "2.0", "17.0.10", ""];
/// Who logs in.
const USERS: [Option<&str>; 4] = [Some("ACME\\anna"), Some("bert"), Some("Ünal"), None];

/// Something that happens: its name, how often in an hour on a server of a hundred agents, and how. `None`: there is nothing
/// that it could happen to.
type Happening = (&'static str, u32, fn(&mut Script) -> Option<()>);

const HAPPENINGS: [Happening; 26] = [
    ("check or task fails", 24, Script::fail),
    ("check or task recovers", 14, Script::pass),
    ("escalation", 6, Script::escalate),
    ("agent goes away", 3, Script::go_away),
    ("agent is overdue", 4, Script::be_overdue),
    ("agent comes back", 7, Script::come_back),
    ("resolve by hand", 5, Script::resolve),
    ("bulk resolve", 1, Script::resolve_bulk),
    ("snooze or its end", 4, Script::snooze),
    ("hide or show", 3, Script::hide),
    ("custom alert", 2, Script::raise),
    ("alert is deleted", 2, Script::delete_alert),
    ("test run", 2, Script::test_run),
    ("maintenance", 2, Script::maintain),
    ("move", 3, Script::move_agent),
    ("rename of an agent", 3, Script::rename_agent),
    ("rename of a client", 1, Script::rename_client),
    ("change of type", 1, Script::change_type),
    ("user", 6, Script::log_in),
    ("new agent", 2, Script::add_agent),
    ("reinstallation", 2, Script::reinstall),
    ("deletion of an agent", 1, Script::delete_agent),
    ("install", 9, Script::install),
    ("update", 6, Script::update),
    ("uninstall", 6, Script::uninstall),
    ("software list comes empty or back", 2, Script::empty_list),
];

/// What every hour may bring.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    HAPPENINGS.iter().map(|happening| happening.0)
}

/// One server's week.
pub(super) struct Script {
    pub(super) control: Control,
    pub(super) rng: StdRng,
    pub(super) backup: Option<Backup>,
    /// Restorations so far: alerts are known by this and their number.
    pub(super) generation: u32,
    /// What the key saw.
    pub(super) seen: Seen,
    /// Every severity that an alert ever had.
    pub(super) severities: BTreeMap<(u32, i64), BTreeSet<Severity>>,
    /// Agents that were installed anew: the old id and the new one.
    pub(super) reinstalled: Vec<(String, String)>,
    /// Agents and clients that got a name of their own so far.
    named: u32,
    /// How often what happened.
    pub(super) tally: BTreeMap<&'static str, u64>,
}

impl Script {
    pub(super) fn new(control: Control, seed: u64) -> Self {
        let severities =
            control.alerts().into_iter().map(|truth| ((0, truth.alert_id), BTreeSet::from([truth.severity]))).collect();
        let mut seen = Seen::default();
        seen.note(&control);
        Self {
            seen,
            control,
            rng: StdRng::seed_from_u64(seed),
            backup: None,
            generation: 0,
            severities,
            reinstalled: Vec::new(),
            named: 0,
            tally: BTreeMap::new(),
        }
    }

    /// A part of an hour: so many of each happening as the dice say, in any order, spread over that time.
    pub(super) fn play(&mut self, span: TimeDelta) {
        let agents = self.control.agents().len() as u32;
        let mut drawn = Vec::new();
        for happening in &HAPPENINGS {
            // in hundredths of a hundredth of an hour: small servers and short spans lose nothing to rounding
            let mean = u64::from(happening.1 * agents) * span.num_minutes().unsigned_abs() * 2;
            let wanted = self.rng.random_range(0..=mean);
            let rest = u64::from(self.rng.random_range(0..6_000_u64) < wanted % 6_000);
            drawn.extend(std::iter::repeat_n(happening, (wanted / 6_000 + rest) as usize));
        }
        drawn.shuffle(&mut self.rng);
        self.seen.note(&self.control);
        let pause = span / (drawn.len() as i32 + 1);
        for (name, _, happen) in drawn {
            self.control.advance(pause);
            if happen(self).is_some() {
                self.count(name);
                self.seen.note(&self.control);
            }
        }
        self.control.advance(pause);
    }

    pub(super) fn count(&mut self, name: &'static str) {
        *self.tally.entry(name).or_default() += 1;
    }

    pub(super) fn pick<T: Clone>(&mut self, items: &[T]) -> Option<T> {
        items.choose(&mut self.rng).cloned()
    }

    pub(super) fn percent(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn agent(&mut self) -> Option<AgentTruth> {
        let agents = self.control.agents();
        self.pick(&agents)
    }

    fn alert(&mut self, is_wanted: impl Fn(&(i64, Option<i64>, Source)) -> bool) -> Option<(i64, Option<i64>, Source)> {
        let mut open = self.control.open_alerts();
        open.retain(is_wanted);
        self.pick(&open)
    }
}

/// Alerts.
impl Script {
    fn severity(&mut self) -> Severity {
        match self.rng.random_range(0..100) {
            0..50 => Severity::Error,
            50..85 => Severity::Warning,
            _ => Severity::Info,
        }
    }

    fn fail_with(&mut self, pk: i64, source: Source, severity: Severity) -> Option<()> {
        let outcome = Outcome { retcode: 1, ..Outcome::default() };
        let number = self.control.fail(pk, source, severity, outcome).ok()??;
        self.severities.entry((self.generation, number)).or_default().insert(severity);
        Some(())
    }

    fn fail(&mut self) -> Option<()> {
        let agent = self.agent()?;
        let check = self.pick(&agent.checks).map(Source::Check);
        let source = if self.percent(15) { Some(Source::Task(1)) } else { check };
        let severity = self.severity();
        self.fail_with(agent.pk, source?, severity)
    }

    fn pass(&mut self) -> Option<()> {
        let (_, agent, source) = self.alert(|alert| matches!(alert.2, Source::Check(_) | Source::Task(_)))?;
        self.control.pass(agent?, source).ok().map(drop)
    }

    fn escalate(&mut self) -> Option<()> {
        let (_, agent, source) = self.alert(|alert| matches!(alert.2, Source::Check(_) | Source::Task(_)))?;
        let severity = self.severity();
        self.fail_with(agent?, source, severity)
    }

    fn go_away(&mut self) -> Option<()> {
        let pk = self.agent()?.pk;
        self.control.agent_down(pk).ok()
    }

    fn be_overdue(&mut self) -> Option<()> {
        let pk = self.agent()?.pk;
        self.control.agent_overdue(pk).ok().map(drop)
    }

    fn come_back(&mut self) -> Option<()> {
        let mut away = self.control.agents();
        away.retain(|agent| agent.status != "online");
        let pk = self.pick(&away)?.pk;
        self.control.agent_up(pk).ok()
    }

    fn resolve(&mut self) -> Option<()> {
        let (number, ..) = self.alert(|_| true)?;
        self.control.resolve_by_hand(number).ok()
    }

    fn resolve_bulk(&mut self) -> Option<()> {
        let numbers: Vec<i64> = (0..5).filter_map(|_| Some(self.alert(|_| true)?.0)).collect();
        self.control.resolve_bulk(&numbers);
        (!numbers.is_empty()).then_some(())
    }

    fn snooze(&mut self) -> Option<()> {
        let (number, ..) = self.alert(|_| true)?;
        let days = self.percent(70).then_some(1);
        self.control.snooze(number, days).ok()
    }

    fn hide(&mut self) -> Option<()> {
        let (number, ..) = self.alert(|_| true)?;
        let hidden = self.percent(50);
        self.control.set_hidden(number, hidden).ok()
    }

    fn raise(&mut self) -> Option<()> {
        let agent = self.agent().filter(|_| self.percent(50)).map(|agent| agent.pk);
        let severity = self.severity();
        let number = self.control.raise(agent, severity, "the cellar is \"wet\"").ok()?;
        self.severities.entry((self.generation, number)).or_default().insert(severity);
        Some(())
    }

    fn delete_alert(&mut self) -> Option<()> {
        let (number, ..) = self.alert(|_| true)?;
        self.control.delete_alert(number).ok()
    }

    fn test_run(&mut self) -> Option<()> {
        let pk = self.agent()?.pk;
        self.control.test_run(pk).ok()
    }

    fn maintain(&mut self) -> Option<()> {
        let agent = self.agent()?;
        self.control.set_maintenance(agent.pk, !agent.maintenance).ok()
    }
}

/// Agents.
impl Script {
    fn site(&mut self) -> Option<i64> {
        let sites = self.control.sites();
        self.pick(&sites).map(|(site, _)| site)
    }

    fn move_agent(&mut self) -> Option<()> {
        let (agent, site) = (self.agent()?, self.site()?);
        self.control.move_agent(agent.pk, site).ok()
    }

    fn name(&mut self, what: &str) -> String {
        self.named += 1;
        format!("{what} {} “ü” {}", self.named, self.rng.random_range(0..1_000))
    }

    fn rename_agent(&mut self) -> Option<()> {
        let (pk, name) = (self.agent()?.pk, self.name("Host"));
        self.control.rename_agent(pk, &name).ok()
    }

    fn rename_client(&mut self) -> Option<()> {
        let sites = self.control.sites();
        let (_, client) = self.pick(&sites)?;
        let name = self.name("Client");
        self.control.rename_client(client, &name).ok()
    }

    fn change_type(&mut self) -> Option<()> {
        let agent = self.agent()?;
        let kind = if agent.monitoring_type == "server" { "workstation" } else { "server" };
        self.control.set_monitoring_type(agent.pk, kind).ok()
    }

    fn log_in(&mut self) -> Option<()> {
        let (pk, user) = (self.agent()?.pk, self.pick(&USERS)?);
        self.control.set_user(pk, user).ok()
    }

    fn add_agent(&mut self) -> Option<()> {
        let site = self.site()?;
        self.control.add_agent(site).ok().map(drop)
    }

    fn reinstall(&mut self) -> Option<()> {
        let old = self.agent()?;
        let new = self.control.reinstall_agent(old.pk).ok()?;
        self.reinstalled.push((old.agent_id, self.control.agent(new).ok()?.agent_id));
        Some(())
    }

    /// Whether the agent's machine was installed anew, so that a person may have made its devices one. On a restored server
    /// that may happen to one machine twice: then its second agent is as old as its first.
    pub(super) fn may_be_merged(&self, agent_id: &str) -> bool {
        self.reinstalled.iter().any(|(old, new)| old == agent_id || new == agent_id)
    }

    fn delete_agent(&mut self) -> Option<()> {
        let pk = self.agent()?.pk;
        self.control.delete_agent(pk).ok()
    }
}

/// Programs.
impl Script {
    fn install(&mut self) -> Option<()> {
        let agent = self.agent()?;
        let (name, version) = (self.pick(&PROGRAMS)?, self.pick(&VERSIONS)?);
        self.seen.note_program(&agent.agent_id, name);
        self.control.install(agent.pk, program(name, version)).ok()
    }

    fn update(&mut self) -> Option<()> {
        let pk = self.agent()?.pk;
        let programs = self.control.programs(pk).ok()?;
        let old = self.pick(&programs)?;
        let version = format!("{}.{}", self.rng.random_range(1..30), self.rng.random_range(0..30));
        self.control.update(pk, Program { version, ..old }).ok()
    }

    fn uninstall(&mut self) -> Option<()> {
        let pk = self.agent()?.pk;
        let programs = self.control.programs(pk).ok()?;
        let name = self.pick(&programs)?.name;
        self.control.uninstall(pk, &name).ok()
    }

    fn empty_list(&mut self) -> Option<()> {
        let (pk, is_empty) = (self.agent()?.pk, self.percent(40));
        self.control.set_report_empty(pk, is_empty).ok()
    }
}

fn program(name: &str, version: &str) -> Program {
    Program { name: name.to_owned(), version: version.to_owned(), publisher: "Muster".to_owned(), ..Program::default() }
}
