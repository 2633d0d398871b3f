//! How a server's software is read: as one list, or agent by agent. Pure.

use store::run::{NewPart, Scope};
use tactical::{Organization, Wait};

/// The one part of a run that reads the one list.
pub(crate) fn list() -> NewPart {
    NewPart { scope: Scope::Software, label: "Software of all devices".to_owned(), expected: None, fails: None }
}

/// The one part of a run that asks that many agents.
pub(crate) fn walk(agents: u64) -> NewPart {
    NewPart {
        scope: Scope::SoftwareByAgent,
        label: "Software, device by device".to_owned(),
        expected: Some(i32::try_from(agents).unwrap_or(i32::MAX)),
        fails: None,
    }
}

/// How many agents a server shows; `None`: it does not tell of all.
pub(crate) fn agents(shown: &[Organization]) -> Option<u64> {
    let mut sum = 0;
    for organization in shown {
        let of_sites: Option<i64> = organization.sites.iter().map(|site| site.agent_count).sum();
        let count = if organization.sites.is_empty() { organization.agent_count } else { of_sites }?;
        sum += u64::try_from(count).unwrap_or_default();
    }
    Some(sum)
}

/// The one list of everything.
const LIST: &str = "/software/";

/// Whether the one list is too much to ask for, so that agents are asked one by one instead.
pub(crate) fn is_too_much(error: &tactical::Error, attempt: u32) -> bool {
    match error {
        // a server that cannot even be connected to is away, and has no better answer about one agent
        tactical::Error::Timeout { endpoint: LIST, wait, .. } => *wait != Wait::Connect,
        tactical::Error::Truncated { endpoint: LIST } | tactical::Error::TooLarge { endpoint: LIST, .. } => true,
        // once may be an update of the server; twice is an answer that it cannot build
        tactical::Error::Server { endpoint: LIST, .. } => attempt > 0,
        _ => false,
    }
}

/// Whether one agent's answer is at fault, so that the others can be asked all the same.
pub(crate) fn is_its_own(error: &tactical::Error) -> bool {
    match error {
        tactical::Error::Timeout { wait, .. } => *wait != Wait::Connect,
        tactical::Error::Server { .. }
        | tactical::Error::Unreadable { .. }
        | tactical::Error::TooLarge { .. }
        | tactical::Error::Truncated { .. }
        | tactical::Error::BadRequest { .. } => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use tactical::Site;

    use super::*;

    fn organization(agent_count: Option<i64>, sites: &[Option<i64>]) -> Organization {
        let site = |count: &Option<i64>| Site { id: 1, name: "HQ".to_owned(), client: Some(1), agent_count: *count };
        Organization { id: 1, name: "Acme".to_owned(), agent_count, sites: sites.iter().map(site).collect() }
    }

    #[test]
    fn agents_are_counted_by_the_sites_that_are_shown() {
        for (shown, expected) in [
            (vec![], Some(0)),
            (vec![organization(Some(9), &[Some(2), Some(3)]), organization(Some(4), &[])], Some(9)),
            (vec![organization(Some(9), &[Some(2), None])], None),
            (vec![organization(None, &[])], None),
            (vec![organization(Some(-1), &[])], Some(0)),
        ] {
            assert_eq!(agents(&shown), expected, "{shown:?}");
        }
    }

    #[test]
    fn a_list_that_cannot_be_built_or_read_is_too_much() {
        let (endpoint, agents) = ("/software/", "/agents/");
        let failed = |endpoint| tactical::Error::Server { endpoint, status: 502, after: None };
        let late = |endpoint, wait| tactical::Error::Timeout { endpoint, wait, after_ms: 1 };
        let large = |endpoint| tactical::Error::TooLarge { endpoint, bytes_max: 1, is_item: false };
        for (error, attempt, expected) in [
            (tactical::Error::Truncated { endpoint }, 0, true),
            (large(endpoint), 0, true),
            (late(endpoint, Wait::Read), 0, true),
            (late(endpoint, Wait::Total), 0, true),
            (late(endpoint, Wait::Connect), 3, false),
            (failed(endpoint), 0, false),
            (failed(endpoint), 1, true),
            // the list of agents that is read before it
            (tactical::Error::Truncated { endpoint: agents }, 3, false),
            (large(agents), 3, false),
            (late(agents, Wait::Read), 3, false),
            (failed(agents), 3, false),
            (tactical::Error::Forbidden { endpoint }, 3, false),
            (tactical::Error::Busy, 3, false),
        ] {
            assert_eq!(is_too_much(&error, attempt), expected, "{error} at attempt {attempt}");
        }
    }

    #[test]
    fn a_server_that_is_away_is_no_agents_own_fault() {
        let endpoint = "/software/{agent}/";
        let late = |wait| tactical::Error::Timeout { endpoint, wait, after_ms: 1 };
        for (error, expected) in [
            (tactical::Error::Server { endpoint, status: 500, after: None }, true),
            (late(Wait::Read), true),
            (late(Wait::Total), true),
            (late(Wait::Connect), false),
            (tactical::Error::Forbidden { endpoint }, false),
            (tactical::Error::Busy, false),
        ] {
            assert_eq!(is_its_own(&error), expected, "{error}");
        }
    }
}
