//! What the spool holds, in the metrics and in the log.

use std::sync::Arc;
use std::time::Duration;

use spool::Spool;
use telemetry::metric;

use crate::keep::Keep;

/// How often the metrics are brought up to date; a scrape comes every few seconds.
const EVERY: Duration = Duration::from_secs(1);

/// Keeps the metrics up to date until it is ended.
pub(crate) async fn show(keep: Arc<Keep>) {
    loop {
        let spool = keep.spool.clone();
        // it looks for the oldest on the disk; a panic in there has been logged as one
        let Ok(figures) = tokio::task::spawn_blocking(move || spool.figures()).await else { return };
        metrics::gauge!(metric::SPOOLING).set(u8::from(!keep.is_fresh()));
        metrics::gauge!(metric::SPOOL_RECORDS).set(figures.records as f64);
        metrics::gauge!(metric::SPOOL_SET_ASIDE).set(figures.set_aside as f64);
        metrics::gauge!(metric::SPOOL_BYTES).set(figures.bytes as f64);
        metrics::gauge!(metric::SPOOL_OLDEST_AGE_SECONDS).set(figures.oldest_age.as_secs_f64());
        let is_refusing = figures.full.is_some() || !figures.is_sound;
        metrics::gauge!(metric::SPOOL_REFUSING).set(u8::from(is_refusing));
        tokio::time::sleep(EVERY).await;
    }
}

/// Says at the start what an earlier life left.
pub(crate) fn tell_found(spool: &Spool) {
    let figures = spool.figures();
    if figures.records + figures.set_aside > 0 {
        let (records, set_aside) = (figures.records, figures.set_aside);
        tracing::info!(spool.records = records, spool.set_aside = set_aside, "messages found in the spool");
    }
}
