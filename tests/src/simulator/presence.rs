//! An agent at one moment, and how its status follows from when it last checked in.

use chrono::{DateTime, TimeDelta, Utc};

use super::machine::Machine;

/// Tactical's computed status of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Online,
    Offline,
    Overdue,
}

impl Status {
    /// Tactical's rule: never seen is offline; older than overdue, older than offline, else online.
    pub(super) fn of(
        last_seen: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
        offline_after_min: i64,
        overdue_after_min: i64,
    ) -> Self {
        match last_seen {
            None => Self::Offline,
            Some(seen) if seen < now - TimeDelta::minutes(overdue_after_min) => Self::Overdue,
            Some(seen) if seen < now - TimeDelta::minutes(offline_after_min) => Self::Offline,
            Some(_) => Self::Online,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Overdue => "overdue",
        }
    }
}

/// What Tactical writes where nobody is logged in.
pub(super) const NOBODY: &str = "None";

/// One agent as it is at one moment.
#[derive(Debug, Clone)]
pub(super) struct Agent {
    pub(super) machine: Machine,
    pub(super) hostname: String,
    pub(super) description: Option<String>,
    pub(super) monitoring_type: String,
    /// Who is logged in, [`NOBODY`], or unknown.
    pub(super) user: Option<String>,
    pub(super) site: i64,
    pub(super) client: i64,
    pub(super) site_name: String,
    pub(super) client_name: String,
    pub(super) maintenance: bool,
    pub(super) last_seen: Option<DateTime<Utc>>,
    pub(super) offline_after_min: i64,
    pub(super) overdue_after_min: i64,
    pub(super) status: Status,
    /// Whether the default alert template applies to it.
    pub(super) template: bool,
}

/// The last check-in before `at`: every 30 to 60 s, at the agent's own moment, without storing anything.
pub(super) fn heartbeat(machine: &Machine, at: DateTime<Utc>) -> DateTime<Utc> {
    let period_us = (30_000_000 + machine.dice.below(50, 30_000_001)) as i64;
    let phase_us = machine.dice.below(51, period_us as u64) as i64;
    at - TimeDelta::microseconds((at.timestamp_micros() + phase_us).rem_euclid(period_us))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_follows_tacticals_rule_to_the_microsecond() {
        let now: DateTime<Utc> = "2026-11-22T02:16:01Z".parse().unwrap();
        let us = TimeDelta::microseconds(1);
        for (last_seen, status) in [
            (None, Status::Offline),
            (Some(now), Status::Online),
            (Some(now - TimeDelta::minutes(4)), Status::Online),
            (Some(now - TimeDelta::minutes(4) - us), Status::Offline),
            (Some(now - TimeDelta::minutes(30)), Status::Offline),
            (Some(now - TimeDelta::minutes(30) - us), Status::Overdue),
        ] {
            assert_eq!(Status::of(last_seen, now, 4, 30), status, "{last_seen:?}");
        }
    }

    #[test]
    fn a_healthy_agent_checks_in_every_thirty_to_sixty_seconds() {
        let machine = Machine::new(1, 7, 7, 100);
        let start: DateTime<Utc> = "2026-11-22T02:16:01Z".parse().unwrap();
        let mut beats: Vec<_> =
            (0..600).map(|second| heartbeat(&machine, start + TimeDelta::seconds(second))).collect();
        beats.dedup();
        for pair in beats.windows(2) {
            let gap = pair[1] - pair[0];
            assert!(gap >= TimeDelta::seconds(30) && gap <= TimeDelta::seconds(60), "{gap}");
        }
    }
}
