//! The login throttle: 10 a minute and 300 a day, per endpoint and client address.

use std::collections::{HashMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};

/// (requests, seconds) of both limits; every attempt counts, failed or not.
const LIMITS: [(usize, i64); 2] = [(10, 60), (300, 86_400)];

/// When whom let pass what.
#[derive(Debug, Default)]
pub(super) struct Throttle(HashMap<(String, &'static str, usize), VecDeque<DateTime<Utc>>>);

impl Throttle {
    /// Lets a request pass, or says how many whole seconds to wait.
    pub(super) fn pass(&mut self, client: &str, endpoint: &'static str, now: DateTime<Utc>) -> Result<(), i64> {
        let mut wait_s = None;
        for (limit, (requests, seconds)) in LIMITS.into_iter().enumerate() {
            let history = self.0.entry((client.to_owned(), endpoint, limit)).or_default();
            while history.front().is_some_and(|first| *first <= now - TimeDelta::seconds(seconds)) {
                history.pop_front();
            }
            match history.front() {
                Some(first) if history.len() >= requests => {
                    let left_ms = (*first + TimeDelta::seconds(seconds) - now).num_milliseconds();
                    wait_s = wait_s.max(Some((left_ms + 999) / 1000));
                }
                _ => history.push_back(now),
            }
        }
        wait_s.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eleventh_request_in_a_minute_waits_for_the_first_to_age() {
        let mut throttle = Throttle::default();
        let start: DateTime<Utc> = "2026-11-22T02:16:01Z".parse().unwrap();
        for _ in 0..10 {
            assert_eq!(throttle.pass("10.0.0.1", "login", start), Ok(()));
        }
        assert_eq!(throttle.pass("10.0.0.1", "login", start + TimeDelta::milliseconds(1500)), Err(59));
        assert_eq!(throttle.pass("10.0.0.2", "login", start), Ok(()), "another address has its own count");
        assert_eq!(throttle.pass("10.0.0.1", "checkcreds", start), Ok(()), "and so has another endpoint");
        assert_eq!(throttle.pass("10.0.0.1", "login", start + TimeDelta::seconds(60)), Ok(()));
    }

    #[test]
    fn the_three_hundred_and_first_request_in_a_day_waits_for_hours() {
        let mut throttle = Throttle::default();
        let start: DateTime<Utc> = "2026-11-22T02:16:01Z".parse().unwrap();
        for minute in 0..30 {
            for _ in 0..10 {
                assert_eq!(throttle.pass("10.0.0.1", "login", start + TimeDelta::minutes(minute)), Ok(()));
            }
        }
        assert_eq!(throttle.pass("10.0.0.1", "login", start + TimeDelta::hours(1)), Err(23 * 3600));
    }
}
