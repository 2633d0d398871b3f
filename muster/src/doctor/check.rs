//! The registry of checks: their names, their order, and what each needs. docs/RUNBOOK.md has a paragraph for each.

use super::finding::Finding;
use super::{
    Patient, broker, clock, configuration, integration, postgres, role, schema, session, spool, topology, waiting,
    workers,
};

/// A check. Its name is its word on the command line and in the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Check {
    /// Variables that are set, and limits that do not fit each other
    Configuration,
    /// PostgreSQL: reachable, its version, encrypted or local, room for connections
    Postgres,
    /// A pooler between the programs and PostgreSQL
    Session,
    /// The clock of this machine against the database's
    Clocks,
    /// The database's migrations against this program's
    Schema,
    /// What the roles of the programs that run now own and may do
    Roles,
    /// RabbitMQ: reachable, its version, user, vhost, alarms
    Broker,
    /// Every exchange and queue
    Topology,
    /// Whether somebody consumes each worker's queues
    Workers,
    /// Schedules that nobody takes, or that failures have slowed down
    Schedules,
    /// Messages that wait to be published
    Outbox,
    /// Messages that wait for a person
    Parked,
    /// Tenants and kinds that are paused
    Pauses,
    /// What the gateways keep on their disks while the broker takes nothing
    Spools,
    /// Each connection to Tactical
    Integrations,
}

impl Check {
    /// Every check, in the order in which they are run.
    pub(crate) const ALL: &'static [Self] = &[
        Self::Configuration,
        Self::Postgres,
        Self::Session,
        Self::Clocks,
        Self::Schema,
        Self::Roles,
        Self::Broker,
        Self::Topology,
        Self::Workers,
        Self::Schedules,
        Self::Outbox,
        Self::Parked,
        Self::Pauses,
        Self::Spools,
        Self::Integrations,
    ];

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Postgres => "postgres",
            Self::Session => "session",
            Self::Clocks => "clocks",
            Self::Schema => "schema",
            Self::Roles => "roles",
            Self::Broker => "broker",
            Self::Topology => "topology",
            Self::Workers => "workers",
            Self::Schedules => "schedules",
            Self::Outbox => "outbox",
            Self::Parked => "parked",
            Self::Pauses => "pauses",
            Self::Spools => "spools",
            Self::Integrations => "integrations",
        }
    }

    /// Those before it without which it has nothing to look at.
    pub(crate) fn needs(self) -> &'static [Self] {
        match self {
            Self::Configuration | Self::Postgres | Self::Broker => &[],
            Self::Session | Self::Clocks | Self::Schema => &[Self::Postgres],
            Self::Topology | Self::Workers => &[Self::Broker],
            Self::Roles
            | Self::Schedules
            | Self::Outbox
            | Self::Parked
            | Self::Pauses
            | Self::Spools
            | Self::Integrations => &[Self::Postgres, Self::Schema],
        }
    }

    /// Looks. What cannot be looked at is wrong, too.
    pub(crate) async fn run(self, patient: &Patient<'_>) -> Vec<Finding> {
        let looked = match self {
            Self::Configuration => Ok(configuration::look(patient)),
            Self::Postgres => Ok(postgres::look(patient).await),
            Self::Session => session::look(patient).await,
            Self::Clocks => clock::look(patient).await,
            Self::Schema => schema::look(patient).await,
            Self::Roles => role::look(patient).await,
            Self::Broker => Ok(broker::look(patient).await),
            Self::Topology => topology::look(patient).await,
            Self::Workers => workers::look(patient).await,
            Self::Schedules => waiting::schedules(patient).await,
            Self::Outbox => waiting::outbox(patient).await,
            Self::Parked => waiting::parked(patient).await,
            Self::Pauses => waiting::pauses(patient).await,
            Self::Spools => spool::look(patient).await,
            Self::Integrations => integration::look(patient).await,
        };
        looked.unwrap_or_else(|error| {
            let line = format!("it cannot be looked at: {error:#}");
            let remedy = format!("mend that, then `muster doctor --only {}`", self.name());
            vec![Finding::wrong(line, remedy)]
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    const RUNBOOK: &str = include_str!("../../../docs/RUNBOOK.md");

    #[test]
    fn every_check_is_run_once_under_the_name_that_the_command_line_takes() {
        let words: Vec<String> = Check::value_variants()
            .iter()
            .map(|check| check.to_possible_value().expect("no check is hidden").get_name().to_owned())
            .collect();
        assert_eq!(Check::ALL.iter().map(|check| check.name()).collect::<Vec<_>>(), words);
    }

    #[test]
    fn what_a_check_needs_is_run_before_it() {
        for (place, check) in Check::ALL.iter().enumerate() {
            for needed in check.needs() {
                assert!(Check::ALL[..place].contains(needed), "{} before {}", needed.name(), check.name());
            }
        }
    }

    #[test]
    fn the_runbook_has_a_paragraph_for_every_check() {
        for check in Check::ALL {
            assert!(RUNBOOK.contains(&format!("\n### {}\n", check.name())), "docs/RUNBOOK.md lacks {}", check.name());
        }
    }
}
