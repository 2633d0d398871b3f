//! What the key saw of one server at some moment of its week: nothing else may stand in Postgres, whatever became of it since.

use std::collections::{BTreeMap, BTreeSet};

use tests::simulator::{AgentTruth, Control};

/// An agent as it looked at one moment: host name, client, site, what it is watched as.
type Face = (String, String, String, String);

/// What was seen of each agent, by its id.
#[derive(Default)]
pub(super) struct Seen {
    faces: BTreeMap<String, BTreeSet<Face>>,
    /// Whether the key saw them or not.
    serials: BTreeMap<String, String>,
    /// Names of all programs that it ever had.
    programs: BTreeMap<String, BTreeSet<String>>,
}

impl Seen {
    /// Looks at everything with the eyes of the key.
    pub(super) fn note(&mut self, control: &Control) {
        let role = control.role("sync").expect("every server has it");
        for agent in control.agents() {
            let AgentTruth { pk, agent_id, hostname, client, site, monitoring_type, serial_number, .. } = agent;
            if !self.programs.contains_key(&agent_id) {
                let programs = control.programs(pk).expect("the agent exists");
                let names = programs.into_iter().map(|program| normal(&program.name));
                self.programs.insert(agent_id.clone(), names.collect());
            }
            self.serials.insert(agent_id.clone(), serial_number);
            if role.sees(client.0, site.0) {
                let face = (hostname, client.0.to_string(), site.1, monitoring_type);
                self.faces.entry(agent_id).or_default().insert(face);
            }
        }
    }

    /// The agent gets a program.
    pub(super) fn note_program(&mut self, agent_id: &str, name: &str) {
        self.programs.entry(agent_id.to_owned()).or_default().insert(normal(name));
    }

    /// Whether the agent, or another of the same machine where a person may have merged the two, once looked like this.
    pub(super) fn looked(&self, agent_id: &str, is_merged: bool, face: &Face) -> bool {
        self.same(agent_id, is_merged).any(|one| self.faces.get(one).is_some_and(|faces| faces.contains(face)))
    }

    /// Whether the agent, or another of the same machine, once had such a program.
    pub(super) fn had(&self, agent_id: &str, is_merged: bool, name: &str) -> bool {
        self.same(agent_id, is_merged).any(|one| self.programs.get(one).is_some_and(|names| names.contains(name)))
    }

    /// The serial number of an agent that ever was.
    pub(super) fn serial(&self, agent_id: &str) -> Option<&str> {
        self.serials.get(agent_id).map(String::as_str)
    }

    fn same<'a>(&'a self, agent_id: &'a str, is_merged: bool) -> impl Iterator<Item = &'a String> {
        // what has none cannot be merged
        let serial = self.serial(agent_id).filter(|serial| !serial.is_empty());
        self.serials.iter().filter_map(move |(one, its)| {
            (one == agent_id || (is_merged && Some(its.as_str()) == serial)).then_some(one)
        })
    }
}

/// A program's name as it is compared: in small letters, with single spaces.
pub(super) fn normal(name: &str) -> String {
    name.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}
