//! How long to wait before trying again: the only module that uses the `backoff` crate, and only its interval policy.
//!
//! The crate is unmaintained (see `deny.toml`); its replacement would change this file and nothing else.

use std::time::Duration;

use backoff::ExponentialBackoffBuilder;
use backoff::backoff::Backoff as _;

/// Intervals that grow by a factor up to a ceiling, each spread at random around its value.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// The first interval before it is spread.
    pub initial: Duration,
    /// What each interval is multiplied with to get the next.
    pub factor: f64,
    /// The ceiling before it is spread.
    pub ceiling: Duration,
    /// The spread: 0.2 means from 20 % below to 20 % above.
    pub jitter: f64,
}

impl Policy {
    /// The interval after `failures` failures in a row (0 counts as 1).
    #[must_use]
    pub fn interval(&self, failures: u32) -> Duration {
        let mut policy = ExponentialBackoffBuilder::new()
            .with_initial_interval(self.initial)
            .with_multiplier(self.factor)
            .with_max_interval(self.ceiling)
            .with_randomization_factor(self.jitter)
            .with_max_elapsed_time(None)
            .build();
        let grown = self.initial.as_secs_f64() * self.factor.powi(failures.saturating_sub(1).min(64) as i32);
        policy.current_interval = Duration::from_secs_f64(grown.min(self.ceiling.as_secs_f64()));
        policy.next_backoff().unwrap_or(self.ceiling)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy =
        Policy { initial: Duration::from_millis(100), factor: 2.0, ceiling: Duration::from_secs(5), jitter: 0.2 };

    #[test]
    fn intervals_grow_by_the_factor_up_to_the_ceiling() {
        let exact = Policy { jitter: 0.0, ..POLICY };
        let millis: Vec<u128> = (0..9).map(|failures| exact.interval(failures).as_millis()).collect();
        assert_eq!(millis, [100, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        assert_eq!(exact.interval(u32::MAX).as_millis(), 5_000);
    }

    #[test]
    fn every_interval_stays_within_its_spread() {
        for failures in 1..40 {
            let middle = Policy { jitter: 0.0, ..POLICY }.interval(failures);
            for _ in 0..50 {
                let interval = POLICY.interval(failures);
                assert!(
                    interval >= middle.mul_f64(0.79) && interval <= middle.mul_f64(1.21),
                    "{interval:?} of {middle:?}"
                );
            }
        }
    }
}
