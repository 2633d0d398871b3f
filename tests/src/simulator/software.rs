//! `/software/`: what Windows agents last reported, exact duplicates and odd dates included.

use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::catalogue::PROGRAMS;
use super::machine::Platform;
use super::presence::Agent;
use super::reply::{forbidden, no_such, ok, streamed_array, write_row};
use super::server::Call;
use super::world::{Report, World};

/// A program as an agent reports it; all strings, any of them may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Program {
    /// Its name, with any letters.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its maker.
    pub publisher: String,
    /// `2024-6-01`, `01-1-01` where unknown; older agents write longer forms.
    pub install_date: String,
    /// `12.5 MB`
    pub size: String,
    /// Where it came from.
    pub source: String,
    /// Where it lies.
    pub location: String,
    /// How to remove it.
    pub uninstall: String,
}

impl World {
    fn report(&self, agent: &Agent) -> Report {
        let machine = &agent.machine;
        let natural =
            if machine.platform == Platform::Windows && !machine.never_seen() { Report::Full } else { Report::Missing };
        self.changes.get(&machine.pk).and_then(|change| change.report).unwrap_or(natural)
    }

    /// What an agent has installed, in the order of its report.
    pub(super) fn programs(&self, agent: &Agent) -> Vec<Program> {
        if self.report(agent) != Report::Full {
            return Vec::new();
        }
        let change = self.changes.get(&agent.machine.pk);
        let mut programs: Vec<Program> =
            (0..self.config.software_per_agent).map(|number| program(agent, number)).collect();
        // exact duplicates are normal: about one in ten stands there twice
        let twice: Vec<Program> = programs.iter().step_by(10).cloned().collect();
        programs.extend(twice);
        programs.retain(|program| !change.is_some_and(|change| change.uninstalled.contains(&program.name)));
        programs.extend(change.map(|change| change.installed.clone()).unwrap_or_default());
        programs
    }

    /// The row of an agent; none where nothing was ever reported.
    fn software_row(&self, agent: &Agent) -> Option<Value> {
        if self.report(agent) == Report::Missing {
            return None;
        }
        // agents before 2.0 only knew name and version
        let old = agent.machine.version() == "1.5.9";
        let item = |program: Program| {
            if old { json!({"name": program.name, "version": program.version}) } else { json!(program) }
        };
        let software: Vec<Value> = self.programs(agent).into_iter().map(item).collect();
        Some(json!({"id": agent.machine.pk + 1000, "software": software, "agent": agent.machine.pk}))
    }
}

fn program(agent: &Agent, number: u32) -> Program {
    let dice = agent.machine.dice;
    let salt = 1000 + u64::from(number) * 10;
    let (name, publisher, size) = PROGRAMS[number as usize % PROGRAMS.len()];
    let round = number as usize / PROGRAMS.len();
    let minor = dice.below(salt, 4);
    Program {
        name: if round == 0 { name.to_owned() } else { format!("{name} Component {round}") },
        version: if dice.percent(salt + 1, 3) {
            String::new()
        } else {
            format!("{}.{minor}.{}", 1 + number % 24, dice.below(salt + 2, 300))
        },
        publisher: publisher.to_owned(),
        install_date: match dice.below(salt + 3, 20) {
            0..=1 => "01-1-01".to_owned(),
            2 => format!("20{}-06-09 00:00:00 +0000 UTC", 15 + minor),
            3 => "0001-01-01 00:00:00 +0000 UTC".to_owned(),
            day => format!("2024-{}-{:02}", 1 + dice.below(salt + 4, 12), day + 5),
        },
        size: size.to_owned(),
        source: if minor == 0 { "C:\\Windows\\Temp\\".to_owned() } else { String::new() },
        location: format!("C:\\Program Files\\{}\\", publisher.split(' ').next().unwrap_or_default()),
        uninstall: format!("MsiExec.exe /X{{{}}}", dice.hex(salt + 5, 32)),
    }
}

/// `GET /software/`: every visible agent that has a row, by its integer pk.
pub(super) fn list(call: Call) -> Response {
    let now = call.shared.world().now();
    let mut last = 0;
    streamed_array(move |out| {
        let world = call.shared.world();
        let next = world.pks_after(last).find_map(|pk| {
            let agent = world.agent_at(pk, now).filter(|agent| call.role.sees(agent.client, agent.site))?;
            Some((pk, world.software_row(&agent)?))
        });
        let Some((pk, row)) = next else { return false };
        last = pk;
        write_row(out, &row)
    })
}

/// `GET /software/<agent_id>/`: an object, or a bare `[]` while there is no row.
pub(super) fn one(agent_id: &str, call: &Call) -> Response {
    let world = call.shared.world();
    let Some(agent) = world.pk_of(agent_id).and_then(|pk| world.agent(pk)) else { return no_such("Agent") };
    if !call.role.sees(agent.client, agent.site) {
        return forbidden();
    }
    ok(&world.software_row(&agent).unwrap_or_else(|| json!([])))
}
