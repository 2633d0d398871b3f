//! How long a simulated week is, how large, and what it is drawn from.

use std::str::FromStr;

use chrono::TimeDelta;

/// What a week is made of. The defaults are those of `./dev test`; `./dev week` sets the variables.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    /// Everything that happens is drawn from it. It is fixed where nobody names one: a failure is then the change's own.
    pub(super) seed: u64,
    /// Simulated time.
    pub(super) hours: u32,
    /// Agents of each of the two servers at the start.
    pub(super) agents: u32,
    /// Simulated minutes between two polls of the alerts: the schedule's five would take an hour of real time for a week.
    pub(super) step_min: u32,
}

impl Settings {
    /// As the environment says.
    pub(super) fn read() -> Self {
        Self {
            seed: variable("MUSTER_WEEK_SEED", 7),
            hours: variable("MUSTER_WEEK_HOURS", 24).max(12),
            agents: variable("MUSTER_WEEK_AGENTS", 30).max(20),
            step_min: variable("MUSTER_WEEK_STEP_MIN", 60).clamp(5, 60),
        }
    }

    /// How far the clocks go in one step.
    pub(super) fn step(&self) -> TimeDelta {
        TimeDelta::minutes(self.step_min.into())
    }

    /// Steps of a simulated hour.
    pub(super) fn steps_per_hour(&self) -> u32 {
        (60 / self.step_min).max(1)
    }

    /// What repeats it.
    pub(super) fn command(&self) -> String {
        let Self { seed, hours, agents, step_min } = self;
        format!("./dev week --seed {seed} --hours {hours} --agents {agents} --step {step_min}")
    }
}

fn variable<T: FromStr>(name: &str, default: T) -> T {
    let Ok(value) = std::env::var(name) else { return default };
    value.parse().unwrap_or_else(|_| panic!("{name}: '{value}' is no number"))
}
