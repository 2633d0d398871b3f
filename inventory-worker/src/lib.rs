//! inventory-worker: reads what Tactical's agents have installed and writes it to Postgres.
//!
//! [`jobs::ingest_software`] chooses between the one list of everything (`list`) and a walk from agent to agent (`walk`).
//! What an installer's words mean, and what is written of them, is `store::software`'s.

pub mod jobs;
mod list;
mod plan;
mod walk;

use store::Store;
use store::software::{Program, Report};
use worker::Registry;

pub use jobs::registry;

/// What this worker can be told beside what every worker can.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Flags {
    #[command(flatten)]
    #[allow(missing_docs, reason = "its own type says it")]
    pub reads: runs::Flags,
    #[command(flatten)]
    #[allow(missing_docs, reason = "its own type says it")]
    pub software: Limits,
}

/// How gently a server's software is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Software")]
pub struct Limits {
    /// Agents of a server up to which its software is read as one list, of about 60 KB an agent; above it is asked agent by
    /// agent
    #[arg(long = "software-list-agents-max", env = "MUSTER_SOFTWARE_LIST_AGENTS_MAX", default_value_t = LIST_AGENTS_MAX)]
    pub list_agents_max: u32,

    /// Agents asked in a second, where they are asked one by one
    #[arg(long = "software-agents-per-s", env = "MUSTER_SOFTWARE_AGENTS_PER_S", default_value_t = AGENTS_PER_S,
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub agents_per_s: u32,
}

/// 120 MB, which Tactical builds in memory before its first byte; beyond that one of its processes grows by 660 MB (measured).
const LIST_AGENTS_MAX: u32 = 2_000;
/// An answer takes some 20 ms: a tenth of one of Tactical's processes.
const AGENTS_PER_S: u32 = 5;

impl Default for Limits {
    fn default() -> Self {
        Self { list_agents_max: LIST_AGENTS_MAX, agents_per_s: AGENTS_PER_S }
    }
}

/// The jobs with what they need: the vault's key must fit what is sealed.
///
/// # Errors
/// As [`runs::start`].
pub async fn start(store: &Store, flags: &Flags) -> Result<Registry, String> {
    runs::start(store, &flags.reads, |connections| registry(store, connections, flags.software)).await
}

/// An agent's list as the store takes it. Where it came from and how it is removed is nobody's business here. `None`: the
/// answer has no list, which is not an empty one.
fn report(agent_id: String, software: tactical::AgentSoftware) -> Option<Report> {
    let program = |program: tactical::Program| Program {
        name: program.name,
        version: program.version,
        publisher: program.publisher,
        install_date: program.install_date,
        size: program.size,
        location: program.location,
    };
    Some(Report { agent_id, programs: software.software?.into_iter().map(program).collect() })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        worker::command::<Flags>().debug_assert();
    }

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        limits: Limits,
    }

    #[test]
    fn the_flags_defaults_are_those_of_default() {
        assert_eq!(Alone::parse_from(["x"]).limits, Limits::default());
    }
}
