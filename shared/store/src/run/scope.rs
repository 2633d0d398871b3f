//! What a part reads, and the name that says so.

use std::fmt;

use crate::device::DeviceType;

/// What a part reads. Its text is the part's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// `clients`: all clients and sites.
    Clients,
    /// `client:<number>`: one client's devices.
    Client(String),
    /// `site:<number>[:server|:workstation]`: one site's devices, or those of one type.
    Site(String, Option<DeviceType>),
    /// `alerts`: all open alerts.
    Alerts,
    /// `alerts:backfill`: the alerts of the last day, where some may have opened and closed unseen.
    AlertsBackfill,
    /// `confirm`: every agent's id, to tell which devices are gone.
    Confirm,
    /// `software`: the one list of what every agent has installed.
    Software,
    /// `software:agents`: the same, asked from agent to agent.
    SoftwareByAgent,
}

impl Scope {
    /// What the part of that name reads.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let mut words = name.split(':');
        let scope = match (words.next()?, words.next(), words.next()) {
            ("clients", None, None) => Self::Clients,
            ("alerts", None, None) => Self::Alerts,
            ("alerts", Some("backfill"), None) => Self::AlertsBackfill,
            ("confirm", None, None) => Self::Confirm,
            ("software", None, None) => Self::Software,
            ("software", Some("agents"), None) => Self::SoftwareByAgent,
            ("client", Some(id), None) if !id.is_empty() => Self::Client(id.to_owned()),
            ("site", Some(id), None) if !id.is_empty() => Self::Site(id.to_owned(), None),
            ("site", Some(id), Some(kind)) if !id.is_empty() => {
                Self::Site(id.to_owned(), Some(DeviceType::parse(kind)?))
            }
            _ => return None,
        };
        words.next().is_none().then_some(scope)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clients => f.write_str("clients"),
            Self::Alerts => f.write_str("alerts"),
            Self::AlertsBackfill => f.write_str("alerts:backfill"),
            Self::Confirm => f.write_str("confirm"),
            Self::Software => f.write_str("software"),
            Self::SoftwareByAgent => f.write_str("software:agents"),
            Self::Client(id) => write!(f, "client:{id}"),
            Self::Site(id, None) => write!(f, "site:{id}"),
            Self::Site(id, Some(kind)) => write!(f, "site:{id}:{}", kind.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_and_its_name_are_the_same_thing() {
        for scope in [
            Scope::Clients,
            Scope::Confirm,
            Scope::Software,
            Scope::SoftwareByAgent,
            Scope::Alerts,
            Scope::AlertsBackfill,
            Scope::Client("7".to_owned()),
            Scope::Site("8".to_owned(), None),
            Scope::Site("8".to_owned(), Some(DeviceType::Server)),
            Scope::Site("8".to_owned(), Some(DeviceType::Workstation)),
        ] {
            assert_eq!(Scope::parse(&scope.to_string()), Some(scope));
        }
        for name in ["", "client", "client:", "clients:7", "site:8:tablet", "site:8:server:9", "software:1", "tick"] {
            assert_eq!(Scope::parse(name), None, "{name}");
        }
    }
}
