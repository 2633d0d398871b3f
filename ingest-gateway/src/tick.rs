//! The ticker: what is due by the schedules begins, whoever of the gateways comes first.
//!
//! All of it is one short transaction of the store's, on the database's clock: a gateway that is paused or killed in it holds
//! a slot up until Postgres ends the transaction, and takes none with it. Nothing is kept here. While Postgres is away the
//! ticker waits, and webhooks are taken all the same.

use std::time::Duration;

use store::Store;
use store::schedule::{self, Tick};
use telemetry::metric;
use tokio_util::sync::CancellationToken;

use crate::config::Ticks;

/// Longest pause after failed looks: Postgres is back in 5 s after a restart. It begins with the pause between two looks.
const FAILURE_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Looks for what is due until `cancel`. Dropped in a look, it has taken nothing.
pub(crate) async fn run(store: Store, settings: Ticks, cancel: CancellationToken) {
    let period = Duration::from_millis(settings.tick_period_ms);
    let mut failure_pause = period.min(FAILURE_PAUSE_MAX);
    loop {
        let pause = match schedule::tick(&store, settings.tick_rows_max).await {
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
