//! The ticker: what is due by the schedules begins, whoever of the gateways comes first.
//!
//! All of it is one short transaction of the store's, on the database's clock: a gateway that is paused or killed in it holds
//! a slot up until Postgres ends the transaction, and takes none with it. Nothing is kept here. While Postgres is away the
//! ticker waits, and webhooks are taken all the same.

use std::time::Duration;

use store::Store;
use store::schedule::{self, ROWS_MAX, Tick};
use telemetry::metric;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::Ticks;

/// Longest pause after failed looks: Postgres is back in 5 s after a restart. It begins with the pause between two looks.
const FAILURE_PAUSE_MAX: Duration = Duration::from_secs(5);

/// How often it is asked whether the database's clock was set back, which nobody says.
const CLOCK_EVERY: Duration = Duration::from_secs(60);

/// Looks for what is due until `cancel`. Dropped in a look, it has taken nothing.
pub(crate) async fn run(store: Store, settings: Ticks, cancel: CancellationToken) {
    let period = Duration::from_millis(settings.tick_period_ms);
    let mut failure_pause = period.min(FAILURE_PAUSE_MAX);
    let mut clock_at = Instant::now();
    loop {
        let pause = match look(&store, settings.tick_rows_max, &mut clock_at).await {
            Ok(ticks) => {
                failure_pause = period.min(FAILURE_PAUSE_MAX);
                ticks.iter().for_each(tell);
                // as many as were asked for: there may be more
                if ticks.len() < settings.tick_rows_max as usize { period } else { Duration::ZERO }
            }
            Err(error) => {
                tracing::warn!(error = error.chain(), "what is due could not be taken, it stays due");
                let pause = failure_pause;
                failure_pause = (failure_pause * 2).min(FAILURE_PAUSE_MAX);
                pause
            }
        };
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// One look. `clock_at`: when the database's clock is to be minded next.
async fn look(store: &Store, rows_max: u32, clock_at: &mut Instant) -> Result<Vec<Tick>, store::Error> {
    if Instant::now() >= *clock_at {
        let moved = schedule::follow_clock(store).await?;
        if moved > 0 {
            tracing::warn!("the database's clock was set back: {moved} schedules that were due later go on by it");
        }
        if moved < u64::from(ROWS_MAX) {
            *clock_at = Instant::now() + CLOCK_EVERY;
        }
    }
    schedule::tick(store, rows_max).await
}

fn tell(tick: &Tick) {
    let (kind, outcome) = (tick.kind.as_str(), tick.outcome.as_str());
    metrics::counter!(metric::TICKS_TOTAL, "kind" => kind, "outcome" => outcome).increment(1);
    metrics::histogram!(metric::TICK_LATENESS_SECONDS, "kind" => kind).record(tick.late.as_secs_f64());
    tracing::debug!(tenant.id = %tick.tenant, integration.id = %tick.integration_id, elapsed_ms = millis(tick.late),
        "the schedule of {kind} was due: {outcome}");
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
