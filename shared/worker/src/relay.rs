//! The outbox relay: what a transaction left in the outbox is published with confirm and then deleted.
//!
//! Delivery is at least once. A relay that dies between commit and publish leaves its rows to the next one; one that dies
//! between publish and delete makes a second copy with the same message id. No transaction is open while it waits for a
//! confirm: rows are claimed for a time, not locked.

use std::sync::Arc;
use std::time::Duration;

use broker::{Outgoing, PublishError, Publisher};
use chrono::Utc;
use contract::Meta;
use futures_util::future::join_all;
use store::Store;
use store::outbox::{self, Row};
use store::parked::{self, Parked};
use telemetry::{field, metric, watchdog};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::config::Config;
use crate::trace;

/// How long a row rests that the broker did not confirm, so that it holds nobody behind it back.
const REFUSED_PAUSE: Duration = Duration::from_secs(2);

/// Wakes the relay of this process, after its own commits.
#[derive(Debug, Clone, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// There may be rows now. Cheap, and many calls are one.
    pub fn wake(&self) {
        self.0.notify_one();
    }
}

/// Publishes the rows of every process's transactions, its own first.
pub struct Relay {
    store: Store,
    publisher: Publisher,
    wake: Wake,
    rows_max: u32,
    sweep: Duration,
    lease: Duration,
    me: String,
}

impl Relay {
    /// A relay; `me` is the program's name and version.
    #[must_use]
    pub fn new(store: Store, publisher: Publisher, wake: Wake, config: &Config, me: &str) -> Self {
        Self {
            store,
            publisher,
            wake,
            rows_max: u32::from(config.relay_rows_max),
            sweep: Duration::from_millis(config.relay_sweep_ms),
            lease: Duration::from_millis(config.relay_lease_ms),
            me: me.to_owned(),
        }
    }

    /// Runs until `stop`, and then once more over what is left.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = self.wake.0.notified() => {}
                () = tokio::time::sleep(self.sweep) => {}
                () = stop.cancelled() => {}
            }
            self.drain(&stop).await;
        }
    }

    /// Passes until nothing is due or something goes wrong; the next sweep tries again. A process that must end makes one
    /// more pass and leaves the rest to the others.
    async fn drain(&self, stop: &CancellationToken) {
        while self.publisher.is_ready() {
            match self.pass().await {
                Ok(true) if !stop.is_cancelled() => {}
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!({ field::ERROR } = %fault::chain(&error), "the outbox waits");
                    return;
                }
            }
        }
    }

    /// One claim, its publishes and its delete; whether to go on at once.
    async fn pass(&self) -> Result<bool, store::Error> {
        // a claim, rows that are parked, a delete and a release, and the confirms between them
        let pass_max = self.store.deadline() * 4 + self.publisher.confirm_timeout();
        let _work = watchdog::begin(pass_max, "a pass of the relay".to_owned());
        let rows = outbox::claim(&self.store, self.rows_max, self.lease).await?;
        if rows.is_empty() {
            return Ok(false);
        }
        let outcomes = join_all(rows.iter().map(|row| self.publish(row))).await;
        let (mut gone, mut kept) = (Vec::new(), Vec::new());
        for (row, outcome) in rows.iter().zip(&outcomes) {
            if outcome.is_ok() { &mut gone } else { &mut kept }.push(row.outbox_id);
        }
        outbox::delete(&self.store, &gone).await?;
        metrics::counter!(metric::RELAY_PUBLISHED_TOTAL).increment(gone.len() as u64);
        for row in rows.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok()).map(|(row, _)| row) {
            let lag = (Utc::now() - row.created_at).to_std().unwrap_or_default();
            metrics::histogram!(metric::RELAY_LAG_SECONDS).record(lag);
        }
        if kept.is_empty() {
            return Ok(true);
        }
        tracing::warn!({ field::OUTBOX_ROWS } = kept.len(), "rows of the outbox were not confirmed and wait");
        outbox::release(&self.store, &kept, REFUSED_PAUSE).await?;
        // those that were refused rest; the ones behind them need not
        Ok(!gone.is_empty())
    }

    /// `Ok` once the row may be deleted: published, or parked because no broker would take it.
    async fn publish(&self, row: &Row) -> Result<(), ()> {
        let span = trace::send(&row.exchange, &row.kind, row.traceparent.as_deref());
        let traceparent = telemetry::trace::traceparent(&span).or_else(|| row.traceparent.clone());
        self.send(row, traceparent).instrument(span).await
    }

    async fn send(&self, row: &Row, traceparent: Option<String>) -> Result<(), ()> {
        let meta = Meta {
            message_id: row.message_id.clone(),
            kind: row.kind.clone(),
            tenant: row.tenant,
            attempt: 0,
            first_published_at: row.created_at,
            traceparent,
            reason: None,
        };
        let message = Outgoing::raw(&row.exchange, &row.routing_key, &meta, row.body.clone().into());
        let published = match message {
            Ok(message) => self.publisher.publish(message).await,
            Err(invalid) => Err(PublishError::Invalid(invalid)),
        };
        match published {
            Ok(()) => Ok(()),
            Err(PublishError::Invalid(invalid)) => self.park(row, &meta, &invalid.to_string()).await,
            Err(_) => Err(()),
        }
    }

    async fn park(&self, row: &Row, meta: &Meta, reason: &str) -> Result<(), ()> {
        let parked = Parked {
            tenant: Some(row.tenant),
            kind: Some(row.kind.clone()),
            message_id: Some(row.message_id.clone()),
            class: fault::Class::Permanent.as_str().to_owned(),
            reason: reason.to_owned(),
            attempt: 0,
            worker_version: self.me.clone(),
            state: parked::ParkedState::Parked,
            exchange: row.exchange.clone(),
            routing_key: row.routing_key.clone(),
            queue: None,
            headers: serde_json::Value::Object(serde_json::Map::new()),
            body: row.body.clone(),
            traceparent: row.traceparent.clone(),
            first_published_at: Some(meta.first_published_at),
        };
        parked::insert(&self.store, &[parked]).await.map(drop).map_err(drop)
    }
}
