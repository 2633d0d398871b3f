//! Keeping a message before its sender is told: with the broker, or on local disk where that does not answer soon.
//!
//! A sender waits eight seconds at most and never sends again, and we keep it from its own work meanwhile. So a confirm
//! has a tenth of a second; then the spool takes the message. After three such misses in a row nobody waits any more,
//! until a confirm comes: of a message that was slow, or of the drain, which goes on trying. A confirm that comes after
//! the message was spooled makes it come twice, and its id makes that harmless.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use broker::PublishError;
use spool::{AppendError, Record, Spool};
use telemetry::metric;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::publish::Publish;

/// So many publishes in a row without a confirm in time, and nobody waits for the next.
const MISSES_MAX: u32 = 3;
/// What a publish may take whose sender has waited for the spool before; a confirm that comes later counts all the same.
const PROBE_MAX: Duration = Duration::from_secs(2);

/// Why a message is kept nowhere: one word for the log and the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotKept(pub(crate) &'static str);

/// The broker and the spool.
pub(crate) struct Keep {
    pub(crate) publisher: Arc<dyn Publish>,
    pub(crate) spool: Spool,
    /// How long a confirm may take before the spool is asked.
    wait: Duration,
    /// Publishes in a row that were not confirmed in time.
    misses: Arc<AtomicU32>,
    /// Publishes that were confirmed, of webhooks and of the drain.
    confirms: Arc<AtomicU64>,
    /// Whether somebody tries the broker although nobody waits for it.
    is_probed: AtomicBool,
    /// Publishes go on when their sender hangs up or has been answered; the drain waits for them.
    pub(crate) publishing: TaskTracker,
}

impl Keep {
    pub(crate) fn new(publisher: Arc<dyn Publish>, spool: Spool, wait: Duration) -> Self {
        Self {
            publisher,
            spool,
            wait,
            misses: Arc::default(),
            confirms: Arc::default(),
            is_probed: AtomicBool::new(false),
            publishing: TaskTracker::new(),
        }
    }

    /// Keeps a message; `Ok` means that the broker or the disk has it.
    pub(crate) async fn keep(&self, record: Record) -> Result<(), NotKept> {
        if self.is_hung() {
            return match self.append(&record).await {
                Ok(()) => Ok(()),
                Err(error) => self.probe(record, error).await,
            };
        }
        let mut publishing = self.publish(record.clone());
        let error = match tokio::time::timeout(self.wait, &mut publishing).await {
            Ok(answer) => match answer.unwrap_or(Err(PublishError::NotConnected)) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            },
            Err(_) => {
                self.misses.fetch_add(1, Ordering::Relaxed);
                return self.append_or_confirm(&record, publishing).await;
            }
        };
        if let PublishError::Invalid(_) = error {
            return Err(NotKept("message_invalid"));
        }
        self.append(&record).await.map_err(|spool| not_kept(&error, &spool))
    }

    /// Whichever has it first, the disk or the broker.
    async fn append_or_confirm(
        &self,
        record: &Record,
        mut publishing: JoinHandle<Result<(), PublishError>>,
    ) -> Result<(), NotKept> {
        let mut appending = std::pin::pin!(self.append(record));
        let appended = tokio::select! {
            appended = appending.as_mut() => appended,
            answer = &mut publishing => match answer {
                Ok(Ok(())) => return Ok(()),
                _ => return appending.await.map_err(|spool| not_kept(&PublishError::TimedOut, &spool)),
            },
        };
        let Err(spool) = appended else { return Ok(()) };
        match publishing.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(not_kept(&error, &spool)),
            Err(_) => Err(not_kept(&PublishError::NotConnected, &spool)),
        }
    }

    /// The spool takes nothing and the broker confirmed nothing of late: one message at a time finds out whether it does
    /// again, the others are not kept waiting for nothing.
    async fn probe(&self, record: Record, spool: AppendError) -> Result<(), NotKept> {
        if self.is_probed.swap(true, Ordering::AcqRel) {
            return Err(not_kept(&PublishError::TimedOut, &spool));
        }
        // the append before it took its time, too, and the sender waits eight seconds for both
        let answer = tokio::time::timeout(PROBE_MAX, self.publish(record)).await;
        let answer = answer.unwrap_or(Ok(Err(PublishError::TimedOut))).unwrap_or(Err(PublishError::NotConnected));
        self.is_probed.store(false, Ordering::Release);
        answer.map_err(|error| not_kept(&error, &spool))
    }

    /// Publishes in a task of its own, which goes on whatever becomes of the caller.
    pub(crate) fn publish(&self, record: Record) -> JoinHandle<Result<(), PublishError>> {
        let (publishing, misses) = (self.publisher.publish(record), Arc::clone(&self.misses));
        let confirms = Arc::clone(&self.confirms);
        self.publishing.spawn(async move {
            let answer = publishing.await;
            if answer.is_ok() {
                misses.store(0, Ordering::Relaxed);
                confirms.fetch_add(1, Ordering::Relaxed);
            }
            answer
        })
    }

    async fn append(&self, record: &Record) -> Result<(), AppendError> {
        let appended = self.spool.append(record).await;
        let outcome = match appended {
            Ok(()) => "kept",
            Err(AppendError::Full(_)) => "full",
            Err(AppendError::Failed) => "failed",
        };
        metrics::counter!(metric::SPOOLED_TOTAL, "outcome" => outcome).increment(1);
        appended
    }

    /// How often the broker confirmed anything.
    pub(crate) fn confirms(&self) -> u64 {
        self.confirms.load(Ordering::Relaxed)
    }

    /// Whether nobody waits for the broker.
    pub(crate) fn is_hung(&self) -> bool {
        self.misses.load(Ordering::Relaxed) >= MISSES_MAX
    }

    /// Whether a message that comes now can be kept.
    pub(crate) fn is_able(&self) -> bool {
        self.spool.is_writable() || self.is_fresh()
    }

    /// Whether the broker is asked first.
    pub(crate) fn is_fresh(&self) -> bool {
        self.publisher.is_ready() && !self.is_hung()
    }
}

/// The broker's reason says what happened first, the spool's why that mattered; the latter is what has to be mended.
fn not_kept(error: &PublishError, spool: &AppendError) -> NotKept {
    NotKept(match (error, spool) {
        (PublishError::Invalid(_), _) => "message_invalid",
        (_, AppendError::Full(_)) => "spool_full",
        (_, AppendError::Failed) => "spool_failed",
    })
}
