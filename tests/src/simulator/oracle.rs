//! What a test asks when everything is over: which webhooks were sent, and how every alert ended.

use std::time::Duration;

use super::control::Control;
use super::ledger::{AlertTruth, SentWebhook};

/// The oracle.
impl Control {
    /// Every webhook that the ledger still holds, in order.
    #[must_use]
    pub fn webhooks(&self) -> Vec<SentWebhook> {
        self.webhooks_after(0, usize::MAX)
    }

    /// At most `limit` webhooks after a sequence number.
    #[must_use]
    pub fn webhooks_after(&self, sequence: u64, limit: usize) -> Vec<SentWebhook> {
        self.0.world().ledger.webhooks_after(sequence, limit)
    }

    /// How many webhooks were ever caused.
    #[must_use]
    pub fn webhook_count(&self) -> u64 {
        self.0.world().ledger.webhook_count()
    }

    /// The truth about every alert that ever was, by (generation, id).
    #[must_use]
    pub fn alerts(&self) -> Vec<AlertTruth> {
        self.0.world().ledger.alerts()
    }

    /// Waits until every webhook caused so far has been answered or given up; false when that took longer.
    pub async fn webhooks_finished(&self, deadline: Duration) -> bool {
        let mut finished = self.0.finished.subscribe();
        let all = async { finished.wait_for(|_| !self.0.world().ledger.waiting()).await.is_ok() };
        tokio::time::timeout(deadline, all).await.unwrap_or(false)
    }
}
