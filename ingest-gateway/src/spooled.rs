//! What the spool holds: in the metrics, in the log, and in Postgres while that is there, where operators look who see no disk
//! of a gateway's.

use std::sync::Arc;
use std::time::Duration;

use spool::{Full, Spool};
use store::Store;
use store::spool::{Holding, Refusal};
use telemetry::metric;
use tokio::sync::watch;

use crate::keep::Keep;

/// How often the metrics are brought up to date; a scrape comes every few seconds.
const EVERY: Duration = Duration::from_secs(1);
/// How often Postgres is told.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// What it may take; at the end of the gateway nobody waits longer for it.
const TELL_TIMEOUT: Duration = Duration::from_secs(2);

/// Keeps the metrics up to date until it is ended.
pub(crate) async fn show(keep: Arc<Keep>, shown: watch::Sender<Option<Holding>>) {
    loop {
        look(&keep, &shown).await;
        tokio::time::sleep(EVERY).await;
    }
}

/// Looks once, and shows what there is.
pub(crate) async fn look(keep: &Arc<Keep>, shown: &watch::Sender<Option<Holding>>) {
    let looking = Arc::clone(keep);
    // the folder's name is looked for on the disk; a panic in there has been logged as one
    let Ok(holding) = tokio::task::spawn_blocking(move || holding(&looking)).await else { return };
    metrics::gauge!(metric::SPOOLING).set(u8::from(holding.is_spooling));
    metrics::gauge!(metric::SPOOL_RECORDS).set(holding.records as f64);
    metrics::gauge!(metric::SPOOL_SET_ASIDE).set(holding.set_aside as f64);
    metrics::gauge!(metric::SPOOL_BYTES).set(holding.bytes as f64);
    metrics::gauge!(metric::SPOOL_OLDEST_AGE_SECONDS).set(holding.oldest_age.unwrap_or_default().as_secs_f64());
    metrics::gauge!(metric::SPOOL_BROKEN).set(keep.spool.figures().broken as f64);
    metrics::gauge!(metric::SPOOL_REFUSING).set(u8::from(holding.refusal.is_some()));
    shown.send_replace(Some(holding));
}

/// What the spool holds now, and whose it is.
fn holding(keep: &Keep) -> Holding {
    let figures = keep.spool.figures();
    let folder = keep.spool.folder();
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    Holding {
        host: spool::host(),
        folder: folder.display().to_string(),
        records: figures.records,
        set_aside: figures.set_aside,
        bytes: figures.bytes,
        oldest_age: (figures.records > 0).then_some(figures.oldest_age),
        refusal: match figures.full {
            _ if !figures.is_sound => Some(Refusal::Failed),
            Some(Full::Quota) => Some(Refusal::Quota),
            Some(Full::Disk) => Some(Refusal::Disk),
            None => None,
        },
        is_spooling: !keep.is_fresh(),
    }
}

/// Tells Postgres until nobody shows anything any more, and then once what was shown last.
pub(crate) async fn tell(store: Store, mut shown: watch::Receiver<Option<Holding>>) {
    let mut was_told = true;
    loop {
        // asked first: what is shown after the answer is told, too
        let is_last = shown.has_changed().is_err();
        let Ok(Some(holding)) = shown.wait_for(Option::is_some).await.map(|shown| shown.clone()) else { return };
        let telling = tokio::time::timeout(TELL_TIMEOUT, store::spool::note(&store, &holding)).await;
        let error = match telling {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.chain()),
            Err(_) => Some("no answer in time".to_owned()),
        };
        // one line for an outage
        match &error {
            Some(error) if was_told => tracing::warn!(error, "tell the database what the spool holds failed"),
            Some(error) => tracing::debug!(error, "tell the database what the spool holds failed"),
            None => {}
        }
        was_told = error.is_none();
        if is_last {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(TELL_EVERY) => {}
            () = ended(&mut shown) => {}
        }
    }
}

async fn ended(shown: &mut watch::Receiver<Option<Holding>>) {
    while shown.changed().await.is_ok() {}
}

/// Says at the start what an earlier life left.
pub(crate) fn tell_found(spool: &Spool) {
    let figures = spool.figures();
    if figures.records + figures.set_aside > 0 {
        let (records, set_aside) = (figures.records, figures.set_aside);
        tracing::info!(spool.records = records, spool.set_aside = set_aside, "messages found in the spool");
    }
}
