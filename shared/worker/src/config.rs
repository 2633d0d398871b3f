//! The limits of a worker: batches, attempts, holds, relay, grace.

use std::time::Duration;

use crate::retention;

/// Flags and variables that every worker has.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Worker")]
pub struct Config {
    /// Messages in one batch at most; the prefetch is two batches
    #[arg(long, env = "MUSTER_BATCH_MESSAGES_MAX", default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=2_000))]
    pub batch_messages_max: u16,
    /// How long a batch waits for more messages after its first
    #[arg(long, env = "MUSTER_BATCH_LINGER_MS", default_value_t = 5)]
    pub batch_linger_ms: u64,
    /// Batches of one lane that run at once
    #[arg(long, env = "MUSTER_BATCHES_IN_FLIGHT", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub batches_in_flight: u16,
    /// How long one batch may take; then it counts as a failed attempt of its messages
    #[arg(long, env = "MUSTER_JOB_TIMEOUT_MS", default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(1..=55_000))]
    pub job_timeout_ms: u64,
    /// How long a delivery is held while Postgres is away before it waits in a delay queue instead
    #[arg(long, env = "MUSTER_HOLD_MS_MAX", default_value_t = 45_000, value_parser = clap::value_parser!(u64).range(1..=55_000))]
    pub hold_ms_max: u64,
    /// Attempts before a message is parked
    #[arg(long, env = "MUSTER_ATTEMPTS_MAX", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub attempts_max: u32,
    /// Age at which a message that still fails is parked, counted from its first publish
    #[arg(long, env = "MUSTER_AGE_S_MAX", default_value_t = 86_400)]
    pub age_s_max: u64,
    /// Messages of one kind that may be parked within a minute; one more pauses the kind until `muster resume`
    #[arg(long, env = "MUSTER_PARKS_PER_MINUTE_MAX", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub parks_per_minute_max: u32,
    /// Rows of the outbox that one pass of the relay takes
    #[arg(long, env = "MUSTER_RELAY_ROWS_MAX", default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=2_000))]
    pub relay_rows_max: u16,
    /// How often the relay looks for rows that other processes left behind
    #[arg(long, env = "MUSTER_RELAY_SWEEP_MS", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub relay_sweep_ms: u64,
    /// How long rows that a relay took are its own; another relay takes them after that
    #[arg(long, env = "MUSTER_RELAY_LEASE_MS", default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub relay_lease_ms: u64,
    /// How long the process may take to finish what it has in hand after SIGTERM; at least 5 s longer than one batch may take
    #[arg(long, env = "MUSTER_GRACE_MS", default_value_t = 40_000)]
    pub grace_ms: u64,
    #[command(flatten)]
    #[allow(missing_docs, reason = "its own type says it")]
    pub retention: retention::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            batch_messages_max: 500,
            batch_linger_ms: 5,
            batches_in_flight: 2,
            job_timeout_ms: 30_000,
            hold_ms_max: 45_000,
            attempts_max: 10,
            age_s_max: 86_400,
            parks_per_minute_max: 100,
            relay_rows_max: 500,
            relay_sweep_ms: 2_000,
            relay_lease_ms: 30_000,
            grace_ms: 40_000,
            retention: retention::Config::default(),
        }
    }
}

/// What a drain needs beyond its last batch: copies, settlements, the last pass of the relay.
const GRACE_BEYOND_BATCH_MS: u64 = 5_000;

impl Config {
    /// Whether the limits fit each other.
    ///
    /// # Errors
    /// One line that names the flags.
    pub fn check(&self) -> Result<(), String> {
        let needed_ms = self.job_timeout_ms + GRACE_BEYOND_BATCH_MS;
        if self.grace_ms < needed_ms {
            return Err(format!(
                "--grace-ms (MUSTER_GRACE_MS): {} is too short to finish a batch; give at least {needed_ms}, or lower --job-timeout-ms",
                self.grace_ms
            ));
        }
        Ok(())
    }

    pub(crate) fn linger(&self) -> Duration {
        Duration::from_millis(self.batch_linger_ms)
    }

    pub(crate) fn job_timeout(&self) -> Duration {
        Duration::from_millis(self.job_timeout_ms)
    }

    /// How long a batch may take until all of it is settled or handed over: what begins just before the hold ends may run
    /// into its timeout, and again in its parts.
    pub(crate) fn batch_max(&self) -> Duration {
        self.hold_max() + self.job_timeout() * 3
    }

    pub(crate) fn hold_max(&self) -> Duration {
        Duration::from_millis(self.hold_ms_max)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        worker: Config,
    }

    #[test]
    fn the_flags_defaults_are_those_of_default() {
        let flags = Flags::parse_from(["worker"]);
        assert_eq!(format!("{:?}", flags.worker), format!("{:?}", Config::default()));
    }

    #[test]
    fn a_grace_that_cannot_finish_a_batch_is_refused() {
        let config = |grace_ms| Config { grace_ms, ..Config::default() };
        assert!(config(35_000).check().is_ok());
        assert!(config(34_999).check().expect_err("it is too short").contains("at least 35000"));
    }

    #[test]
    fn a_limit_passes_at_its_edge_and_is_refused_beyond() {
        for (flag, edge, beyond) in [
            ("--batch-messages-max", "2000", "2001"),
            ("--batch-messages-max", "1", "0"),
            ("--job-timeout-ms", "55000", "55001"),
            ("--hold-ms-max", "55000", "55001"),
            ("--attempts-max", "1", "0"),
            ("--parks-per-minute-max", "1", "0"),
            ("--batches-in-flight", "64", "65"),
        ] {
            assert!(Flags::try_parse_from(["worker", flag, edge]).is_ok(), "{flag} {edge}");
            assert!(Flags::try_parse_from(["worker", flag, beyond]).is_err(), "{flag} {beyond}");
        }
    }
}
