//! The simulator's clock: real time from a start, faster or slower, and pushed forward by hand.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};

/// A clock that runs at `speed` times real time; 0 stands still. It never runs backwards.
#[derive(Debug)]
pub struct Clock(Mutex<State>);

#[derive(Debug)]
struct State {
    /// What the clock showed at `since`.
    shown: DateTime<Utc>,
    since: Instant,
    speed: f64,
}

impl Clock {
    /// A clock that shows `start` now.
    #[must_use]
    pub fn new(start: DateTime<Utc>, speed: f64) -> Self {
        Self(Mutex::new(State { shown: start, since: Instant::now(), speed }))
    }

    /// The time, in whole microseconds as Postgres keeps it.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).read()
    }

    /// Pushes the clock forward; a negative step does nothing.
    pub fn advance(&self, step: TimeDelta) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.shown = state.read() + step.max(TimeDelta::zero());
        state.since = Instant::now();
    }

    /// Changes how many simulated seconds pass in a real one; 0 stands still.
    pub fn set_speed(&self, speed: f64) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.shown = state.read();
        state.since = Instant::now();
        state.speed = speed.max(0.0);
    }
}

impl State {
    fn read(&self) -> DateTime<Utc> {
        let micros = (self.since.elapsed().as_secs_f64() * self.speed * 1e6) as i64;
        let time = self.shown + TimeDelta::microseconds(micros);
        DateTime::from_timestamp_micros(time.timestamp_micros()).expect("a simulated time stays in chrono's range")
    }
}

/// A time as Tactical's API writes it: `2026-11-22T02:16:01.568106Z`, the fraction left out when it is zero.
#[must_use]
pub fn iso(time: DateTime<Utc>) -> String {
    let format = if time.timestamp_subsec_micros() == 0 { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S%.6fZ" };
    time.format(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_of_speed_zero_moves_only_by_hand() {
        let start: DateTime<Utc> = "2026-11-22T02:16:01.568106Z".parse().unwrap();
        let clock = Clock::new(start, 0.0);
        assert_eq!(clock.now(), start);
        clock.advance(TimeDelta::minutes(31));
        clock.advance(TimeDelta::minutes(-5));
        assert_eq!(clock.now(), start + TimeDelta::minutes(31));
        assert_eq!(iso(start), "2026-11-22T02:16:01.568106Z");
    }
}
