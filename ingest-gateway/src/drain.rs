//! Emptying the spool into the broker, oldest first, beside the live publishes and far below their number.
//!
//! It never gives up: while the broker is away it offers one record at a time. What the broker refuses is offered again
//! after a pause, in turn with the rest, and set aside at the fifth refusal. A refusal counts only where the broker
//! confirmed something else since the record was offered first, or refused last: one that refuses everything says
//! nothing about a message, and should not find the spool set aside once it is mended. The count is not kept over a
//! restart.

use std::collections::BTreeMap;
use std::time::Duration;

use broker::PublishError;
use chrono::Utc;
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
/// Refused records that are kept in mind; while there are so many, no new ones are offered.
const REFUSED_MAX: usize = 10_000;
/// Wait while the broker is away or refuses everything, or the disk fails.
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

/// What the drain knows of a refused record.
#[derive(Debug, Clone, Copy)]
struct Refused {
    /// Refusals that count.
    refusals: u32,
    /// When it is offered again.
    again: Instant,
    /// What the broker had confirmed when it refused it last.
    confirms: u64,
}

/// Empties the spool.
pub(crate) struct Drain<'a> {
    keep: &'a Keep,
    /// Where the next look begins; what lies before it is gone or refused.
    from: u64,
    /// The spool's, for which that holds.
    generation: u64,
    refused: BTreeMap<u64, Refused>,
    refusal_pause: Duration,
    /// Whether it is the refused records' turn.
    is_their_turn: bool,
}

impl<'a> Drain<'a> {
    pub(crate) fn new(keep: &'a Keep, refusal_pause: Duration) -> Self {
        let generation = keep.spool.generation();
        Self { keep, from: 0, generation, refused: BTreeMap::new(), refusal_pause, is_their_turn: false }
    }

    /// Drains until told to stop; a step that hangs with the disk is waited for so long.
    pub(crate) async fn run(&mut self, cancel: &CancellationToken, timeout: Duration) {
        let keep = self.keep;
        while !cancel.is_cancelled() {
            let given_up = async {
                cancel.cancelled().await;
                tokio::time::sleep(timeout).await;
            };
            let step = tokio::select! {
                step = self.step() => step,
                () = given_up => return,
            };
            let rest = match step {
                Step::Moved => continue,
                Step::Done => LOOK_EVERY,
                Step::Stuck => RETRY_PAUSE,
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(rest) => {}
                () = keep.spool.appended(), if step == Step::Done => {}
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
        let generation = self.keep.spool.generation();
        if generation != self.generation {
            // what was damaged or closed is back, and may lie before what was looked at
            (self.generation, self.from) = (generation, 0);
        }
        self.turn().await.unwrap_or_else(|error| {
            tracing::warn!(error = %error, "drain the spool failed");
            // what was published and not removed is published again
            self.from = 0;
            Step::Stuck
        })
    }

    /// Offers new records or refused ones, in turn where there are both.
    async fn turn(&mut self) -> Result<Step, DiskError> {
        let records_max = if self.keep.is_hung() { 1 } else { WINDOW_RECORDS };
        let due = self.due(records_max);
        self.is_their_turn = !self.is_their_turn;
        if self.refused.len() >= REFUSED_MAX || (self.is_their_turn && !due.is_empty()) {
            return self.again(due).await;
        }
        match self.forward(records_max).await? {
            Step::Done => self.again(due).await,
            step => Ok(step),
        }
    }

    /// Refused records whose pause is over.
    fn due(&self, records_max: usize) -> Vec<u64> {
        let now = Instant::now();
        let due = self.refused.iter().filter(|(_, refused)| refused.again <= now);
        due.take(records_max).map(|(number, _)| *number).collect()
    }

    /// Offers refused records again.
    async fn again(&mut self, due: Vec<u64>) -> Result<Step, DiskError> {
        if due.is_empty() {
            return Ok(Step::Done);
        }
        let mut entries = Vec::with_capacity(due.len());
        for number in due {
            match self.read(number, 1).await?.pop() {
                Some(entry) if entry.number == number => entries.push(entry),
                _ => {
                    self.refused.remove(&number);
                }
            }
        }
        let (step, _) = self.offer(entries).await?;
        Ok(step)
    }

    /// Offers what has not been offered yet.
    async fn forward(&mut self, records_max: usize) -> Result<Step, DiskError> {
        let mut entries = self.read(self.from, records_max).await?;
        let Some(last) = entries.last().map(|entry| entry.number) else { return Ok(Step::Done) };
        entries.retain(|entry| !self.refused.contains_key(&entry.number));
        let (step, unanswered) = self.offer(entries).await?;
        self.from = unanswered.unwrap_or(last + 1);
        Ok(step)
    }

    async fn read(&self, from: u64, records_max: usize) -> Result<Vec<Entry>, DiskError> {
        let spool = self.keep.spool.clone();
        // a panic in there has been logged as one
        tokio::task::spawn_blocking(move || spool.read(from, records_max)).await.unwrap_or_else(|_| Ok(Vec::new()))
    }

    /// Publishes records and settles each; the number of the first that got no answer.
    async fn offer(&mut self, entries: Vec<Entry>) -> Result<(Step, Option<u64>), DiskError> {
        let before = self.keep.confirms();
        let answers = join_all(entries.iter().map(|entry| self.publish(entry))).await;
        let (mut gone, mut refused, mut unanswered) = (Vec::new(), Vec::new(), None);
        for (entry, answer) in entries.into_iter().zip(answers) {
            match answer {
                Some(Ok(())) => gone.push(entry),
                Some(Err(PublishError::Nacked | PublishError::Invalid(_))) => refused.push(entry),
                Some(Err(PublishError::NotConnected | PublishError::TimedOut)) => {
                    unanswered = unanswered.or(Some(entry.number));
                }
                None if entry.is_whole => self.set_aside(entry, "it cannot be read by this version").await?,
                None => self.set_aside(entry, "its bytes have changed on the disk").await?,
            }
        }
        let is_refusing = !refused.is_empty() && self.keep.confirms() == before;
        self.remove(gone).await?;
        for entry in refused {
            self.refuse(entry, before).await?;
        }
        Ok((if unanswered.is_some() || is_refusing { Step::Stuck } else { Step::Moved }, unanswered))
    }

    /// `None`: it cannot be read.
    async fn publish(&self, entry: &Entry) -> Option<Result<(), PublishError>> {
        let mut record = entry.is_whole.then(|| Record::decode(&entry.bytes).ok()).flatten()?;
        // who gives up on old messages should not count the time in which nobody could have it
        record.meta.first_published_at = Utc::now();
        Some(self.keep.publish(record).await.unwrap_or(Err(PublishError::NotConnected)))
    }

    /// Confirmed is what is gone, too: what stays is published again.
    async fn remove(&mut self, gone: Vec<Entry>) -> Result<(), DiskError> {
        let (spool, numbers) = (self.keep.spool.clone(), gone.iter().map(|entry| entry.number).collect::<Vec<_>>());
        if numbers.is_empty() {
            return Ok(());
        }
        tokio::task::spawn_blocking(move || spool.remove(&gone)).await.unwrap_or(Ok(()))?;
        for number in &numbers {
            self.refused.remove(number);
        }
        count("confirmed", numbers.len() as u64);
        Ok(())
    }

    async fn refuse(&mut self, entry: Entry, before: u64) -> Result<(), DiskError> {
        count("refused", 1);
        let confirms = self.keep.confirms();
        let known = self.refused.get(&entry.number);
        let since = known.map_or(before, |known| known.confirms);
        let refusals = known.map_or(0, |known| known.refusals) + u32::from(confirms > since);
        if refusals >= REFUSALS_MAX {
            return self.set_aside(entry, "the broker refused it five times").await;
        }
        let again = Instant::now() + self.refusal_pause;
        self.refused.insert(entry.number, Refused { refusals, again, confirms });
        Ok(())
    }

    async fn set_aside(&mut self, entry: Entry, why: &str) -> Result<(), DiskError> {
        let (spool, number) = (self.keep.spool.clone(), entry.number);
        let message_id = Record::decode(&entry.bytes).map(|record| record.meta.message_id).unwrap_or_default();
        tokio::task::spawn_blocking(move || spool.set_aside(&entry)).await.unwrap_or(Ok(()))?;
        self.refused.remove(&number);
        count("set_aside", 1);
        tracing::error!(messaging.message.id = message_id, "spooled message {number} is set aside: {why}");
        Ok(())
    }
}

fn count(outcome: &'static str, records: u64) {
    metrics::counter!(metric::SPOOL_DRAINED_TOTAL, "outcome" => outcome).increment(records);
}
