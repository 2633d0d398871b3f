//! Emptying the spool into the broker, oldest first, beside the live publishes and far below their number.
//!
//! It never gives up: while the broker is away it offers one record at a time. What the broker refuses is offered again
//! after a pause while the rest goes on, and set aside at the fifth refusal. The count of refusals is not kept over a
//! restart: a broker that refused everything until it was mended should not find the spool set aside.

use std::collections::BTreeMap;
use std::time::Duration;

use broker::PublishError;
use futures_util::future::join_all;
use spool::{DiskError, Entry, Record};
use telemetry::metric;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::keep::Keep;

/// Records that are published at once: an eighth of the publisher's window, so that live publishes always find room.
const WINDOW_RECORDS: usize = 64;
/// How often a record is offered before it is set aside.
const REFUSALS_MAX: u32 = 5;
/// Wait while the broker is away or the disk fails.
const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// The longest rest while nothing is appended.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What became of one look at the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Some left; there may be more.
    Moved,
    /// Nothing is to be offered now.
    Done,
    /// The broker, or our disk, does not answer.
    Stuck,
}

/// Empties the spool.
pub(crate) struct Drain<'a> {
    keep: &'a Keep,
    /// Where the next look begins; what lies before it is gone or refused.
    from: u64,
    /// Refused records: how often, and when they are offered again.
    refused: BTreeMap<u64, (u32, Instant)>,
    refusal_pause: Duration,
}

impl<'a> Drain<'a> {
    pub(crate) fn new(keep: &'a Keep, refusal_pause: Duration) -> Self {
        Self { keep, from: 0, refused: BTreeMap::new(), refusal_pause }
    }

    /// Drains until told to stop.
    pub(crate) async fn run(&mut self, cancel: &CancellationToken) {
        while !cancel.is_cancelled() {
            let step = self.step().await;
            let rest = match step {
                Step::Moved => continue,
                Step::Done => LOOK_EVERY,
                Step::Stuck => RETRY_PAUSE,
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(rest) => {}
                () = self.keep.spool.appended(), if step == Step::Done => {}
            }
        }
    }

    /// Drains until nothing is left to be offered or the broker does not answer; how many records are left.
    pub(crate) async fn finish(&mut self) -> u64 {
        while !self.keep.spool.is_empty() && self.step().await == Step::Moved {}
        self.keep.spool.figures().records
    }

    async fn step(&mut self) -> Step {
        if self.keep.spool.is_empty() {
            return Step::Done;
        }
        if !self.keep.publisher.is_ready() {
            return Step::Stuck;
        }
        let ended = match self.due() {
            Some(number) => self.again(number).await,
            None => self.forward().await,
        };
        ended.unwrap_or_else(|error| {
            tracing::warn!(error = %error, "drain the spool failed");
            // what was published and not removed is published again
            self.from = 0;
            Step::Stuck
        })
    }

    /// A refused record whose pause is over.
    fn due(&self) -> Option<u64> {
        let now = Instant::now();
        self.refused.iter().find(|(_, (_, again))| *again <= now).map(|(number, _)| *number)
    }

    /// Offers a refused record again.
    async fn again(&mut self, number: u64) -> Result<Step, DiskError> {
        let mut entries = self.read(number, 1).await?;
        entries.retain(|entry| entry.number == number);
        if entries.is_empty() {
            self.refused.remove(&number);
            return Ok(Step::Moved);
        }
        Ok(if self.offer(entries).await?.is_some() { Step::Stuck } else { Step::Moved })
    }

    /// Offers what has not been offered yet.
    async fn forward(&mut self) -> Result<Step, DiskError> {
        let records_max = if self.keep.is_hung() { 1 } else { WINDOW_RECORDS };
        let mut entries = self.read(self.from, records_max).await?;
        let Some(last) = entries.last().map(|entry| entry.number) else { return Ok(Step::Done) };
        entries.retain(|entry| !self.refused.contains_key(&entry.number));
        let stuck = self.offer(entries).await?;
        self.from = stuck.unwrap_or(last + 1);
        Ok(if stuck.is_some() { Step::Stuck } else { Step::Moved })
    }

    async fn read(&self, from: u64, records_max: usize) -> Result<Vec<Entry>, DiskError> {
        let spool = self.keep.spool.clone();
        // a panic in there has been logged as one
        tokio::task::spawn_blocking(move || spool.read(from, records_max)).await.unwrap_or_else(|_| Ok(Vec::new()))
    }

    /// Publishes records and settles each; the number of the first that got no answer.
    async fn offer(&mut self, entries: Vec<Entry>) -> Result<Option<u64>, DiskError> {
        let answers = join_all(entries.iter().map(|entry| self.publish(entry))).await;
        let (mut gone, mut stuck) = (Vec::new(), None);
        for (entry, answer) in entries.into_iter().zip(answers) {
            match answer {
                Some(Ok(())) => gone.push(entry),
                Some(Err(PublishError::Nacked | PublishError::Invalid(_))) => self.refuse(&entry)?,
                Some(Err(PublishError::NotConnected | PublishError::TimedOut)) => {
                    stuck = stuck.or(Some(entry.number));
                }
                None => self.set_aside(&entry, "it cannot be read by this version")?,
            }
        }
        self.remove(gone).await?;
        Ok(stuck)
    }

    /// `None`: this version cannot read it.
    async fn publish(&self, entry: &Entry) -> Option<Result<(), PublishError>> {
        let record = Record::decode(&entry.bytes).ok()?;
        Some(self.keep.publish(record).await.unwrap_or(Err(PublishError::NotConnected)))
    }

    async fn remove(&mut self, gone: Vec<Entry>) -> Result<(), DiskError> {
        for entry in &gone {
            self.refused.remove(&entry.number);
        }
        count("confirmed", gone.len() as u64);
        let spool = self.keep.spool.clone();
        tokio::task::spawn_blocking(move || spool.remove(&gone)).await.unwrap_or(Ok(()))
    }

    fn refuse(&mut self, entry: &Entry) -> Result<(), DiskError> {
        count("refused", 1);
        let refusals = self.refused.get(&entry.number).map_or(0, |(refusals, _)| *refusals) + 1;
        if refusals >= REFUSALS_MAX {
            return self.set_aside(entry, "the broker refused it five times");
        }
        self.refused.insert(entry.number, (refusals, Instant::now() + self.refusal_pause));
        Ok(())
    }

    /// Seldom, so that the sync may block for once.
    fn set_aside(&mut self, entry: &Entry, why: &str) -> Result<(), DiskError> {
        self.keep.spool.set_aside(entry)?;
        self.refused.remove(&entry.number);
        count("set_aside", 1);
        let message_id = Record::decode(&entry.bytes).map(|record| record.meta.message_id).unwrap_or_default();
        tracing::error!(messaging.message.id = message_id, "a spooled message is set aside: {why}");
        Ok(())
    }
}

fn count(outcome: &'static str, records: u64) {
    metrics::counter!(metric::SPOOL_DRAINED_TOTAL, "outcome" => outcome).increment(records);
}
