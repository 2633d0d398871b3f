//! Waiting for something to become true: the one place of the harness where time passes on purpose.

use std::fmt::Debug;
use std::future::Future;
use std::panic::Location;
use std::time::{Duration, Instant};

/// Between two looks; short beside everything that tests wait for, long beside what one look costs.
const STEP: Duration = Duration::from_millis(20);

/// Long enough for anything that works, on a machine that runs every other test at the same time.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Looks again and again until `probe` gives `Ok`, and answers its value. `Err` holds what was seen instead.
///
/// # Panics
/// If it has not happened within `deadline`; the message names the caller's line and what was seen last.
#[track_caller]
pub fn until<T, S: Debug>(deadline: Duration, probe: impl AsyncFnMut() -> Result<T, S>) -> impl Future<Output = T> {
    let caller = Location::caller();
    look(deadline, caller, probe)
}

async fn look<T, S: Debug>(
    deadline: Duration,
    caller: &'static Location<'static>,
    mut probe: impl AsyncFnMut() -> Result<T, S>,
) -> T {
    let ends = Instant::now() + deadline;
    let mut last = None;
    loop {
        match tokio::time::timeout_at(ends.into(), probe()).await {
            Ok(Ok(value)) => return value,
            Ok(Err(seen)) => last = Some(seen),
            Err(_) => panic!("{caller}: not within {deadline:?}, the last look hung; before it was seen: {last:?}"),
        }
        assert!(Instant::now() < ends, "{caller}: not within {deadline:?}; last seen: {last:?}");
        tokio::time::sleep(STEP).await;
    }
}

/// Waits until a program's `/metrics` hold a line.
///
/// # Panics
/// If they do not in time.
pub async fn until_metric(program_url: &str, line: &str) {
    let url = format!("{program_url}/metrics");
    until(DEADLINE * 3, async || {
        let answer = reqwest::get(&url).await.map_err(|error| error.to_string())?;
        let text = answer.text().await.map_err(|error| error.to_string())?;
        if text.lines().any(|found| found == line) { Ok(()) } else { Err(format!("no line {line}")) }
    })
    .await;
}

/// As [`until`], for what is reported and fails nothing by itself: what was seen last where it has not happened.
///
/// # Errors
/// If it has not happened within `deadline`.
pub async fn within<T, S>(deadline: Duration, mut probe: impl AsyncFnMut() -> Result<T, S>) -> Result<T, S> {
    let ends = Instant::now() + deadline;
    loop {
        match probe().await {
            Err(_) if Instant::now() < ends => tokio::time::sleep(STEP).await,
            seen => return seen,
        }
    }
}

/// Awaits one thing that must come by itself.
///
/// # Panics
/// If it does not come within [`DEADLINE`]; the message says `what` and the caller's line.
#[track_caller]
pub fn soon<T>(what: &str, coming: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = Location::caller();
    async move {
        let came = tokio::time::timeout(DEADLINE, coming).await;
        came.unwrap_or_else(|_| panic!("{caller}: {what} did not come within {DEADLINE:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_value_is_answered_as_soon_as_it_is_there() {
        let mut looks = 0;
        let value = until(Duration::from_secs(1), async || {
            looks += 1;
            if looks == 3 { Ok("there") } else { Err(looks) }
        });
        assert_eq!(value.await, "there");
    }

    #[tokio::test]
    #[should_panic(expected = "last seen: Some(\"4 of 5\")")]
    async fn what_was_seen_last_is_said() {
        until(Duration::from_millis(50), async || Err::<(), _>("4 of 5")).await;
    }

    #[tokio::test]
    #[should_panic(expected = "the last look hung")]
    async fn a_look_that_hangs_ends_too() {
        until(Duration::from_millis(50), async || std::future::pending::<Result<(), ()>>().await).await;
    }
}
