//! The oracle: what really happened, for tests to compare a database with.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::alert::{Alert, ResolvedBy, Severity, Source};

/// Why a webhook was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// An alert opened.
    Failure,
    /// An alert was resolved by its agent.
    Resolved,
    /// Somebody pressed "test run"; no alert exists.
    Test,
}

/// One webhook that was sent, or that Tactical tried to send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentWebhook {
    /// 1 for the first; the order in which they were queued, which is the order of sending unless lanes were opened.
    pub sequence: u64,
    /// Which server this one is: 0, and one more after each replacement.
    pub generation: u32,
    /// Why.
    pub occasion: Occasion,
    /// The alert; absent for a test run.
    pub alert_id: Option<i64>,
    /// The agent's 40 letters.
    pub agent_id: String,
    /// The rendered URL.
    pub url: String,
    /// The body; absent where Tactical sends none.
    pub body: Option<String>,
    /// Simulated time at which the event happened.
    pub queued_at: DateTime<Utc>,
    /// Simulated time at which the answer (or the error) came; absent while it is queued.
    pub finished_at: Option<DateTime<Utc>>,
    /// The receiver's status.
    pub status: Option<u16>,
    /// What went wrong instead of a status.
    pub error: Option<String>,
}

/// The truth about one alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertTruth {
    /// Which server: ids restart with each.
    pub generation: u32,
    /// Tactical's id.
    pub alert_id: i64,
    /// The agent's pk; absent for a custom alert without agent.
    pub agent: Option<i64>,
    /// The agent's 40 letters.
    pub agent_id: Option<String>,
    /// What it is about.
    pub source: Source,
    /// Its severity now.
    pub severity: Severity,
    /// When it opened.
    pub alert_time: DateTime<Utc>,
    /// Its text.
    pub message: Option<String>,
    /// Whether it is snoozed now.
    pub snoozed: bool,
    /// Whether the dashboard leaves it out.
    pub hidden: bool,
    /// When it was resolved; absent while it is open.
    pub resolved_on: Option<DateTime<Utc>>,
    /// By whom.
    pub resolved_by: Option<ResolvedBy>,
    /// When its row vanished; the other fields then say how it last was.
    pub deleted_at: Option<DateTime<Utc>>,
    /// The failure webhook's sequence.
    pub failure_sequence: Option<u64>,
    /// The resolved webhook's sequence.
    pub resolved_sequence: Option<u64>,
}

/// Webhooks in order of sending, alerts by (generation, id).
#[derive(Debug, Default)]
pub(super) struct Ledger {
    webhooks: VecDeque<SentWebhook>,
    forgotten: u64,
    alerts: BTreeMap<(u32, i64), AlertTruth>,
}

impl Ledger {
    /// Takes a webhook in and gives it its sequence; forgets the oldest beyond `webhooks_max`.
    pub(super) fn queue(&mut self, mut webhook: SentWebhook, webhooks_max: usize) -> u64 {
        webhook.sequence = self.forgotten + self.webhooks.len() as u64 + 1;
        let sequence = webhook.sequence;
        if let Some(truth) = webhook.alert_id.and_then(|id| self.alerts.get_mut(&(webhook.generation, id))) {
            match webhook.occasion {
                Occasion::Failure => truth.failure_sequence = Some(sequence),
                Occasion::Resolved => truth.resolved_sequence = Some(sequence),
                Occasion::Test => {}
            }
        }
        self.webhooks.push_back(webhook);
        while self.webhooks.len() > webhooks_max.max(1) {
            self.webhooks.pop_front();
            self.forgotten += 1;
        }
        sequence
    }

    /// Notes how a webhook ended.
    pub(super) fn finish(&mut self, sequence: u64, at: DateTime<Utc>, outcome: &Result<u16, String>) {
        let Some(place) = sequence.checked_sub(self.forgotten + 1) else { return };
        let Some(webhook) = self.webhooks.get_mut(place as usize) else { return };
        webhook.finished_at = Some(at);
        webhook.status = outcome.as_ref().ok().copied();
        webhook.error = outcome.as_ref().err().cloned();
    }

    /// Notes how an alert is now.
    pub(super) fn note(&mut self, generation: u32, alert: &Alert, agent_id: Option<&str>) {
        let known = self.alerts.get(&(generation, alert.id));
        let truth = AlertTruth {
            generation,
            alert_id: alert.id,
            agent: alert.agent,
            agent_id: agent_id.map(str::to_owned),
            source: alert.source,
            severity: alert.severity,
            alert_time: alert.alert_time,
            message: alert.message.clone(),
            snoozed: alert.snoozed,
            hidden: alert.hidden,
            resolved_on: alert.resolved_on,
            resolved_by: alert.resolved_by,
            deleted_at: None,
            failure_sequence: known.and_then(|truth| truth.failure_sequence),
            resolved_sequence: known.and_then(|truth| truth.resolved_sequence),
        };
        self.alerts.insert((generation, alert.id), truth);
    }

    /// Notes that an alert's row is gone.
    pub(super) fn deleted(&mut self, generation: u32, alert_id: i64, at: DateTime<Utc>) {
        if let Some(truth) = self.alerts.get_mut(&(generation, alert_id)) {
            truth.deleted_at = Some(at);
        }
    }

    /// The webhooks after `sequence`, at most `limit`.
    pub(super) fn webhooks_after(&self, sequence: u64, limit: usize) -> Vec<SentWebhook> {
        let skip = sequence.saturating_sub(self.forgotten) as usize;
        self.webhooks.iter().skip(skip).take(limit).cloned().collect()
    }

    /// Whether any webhook that is still known has not been finished.
    pub(super) fn waiting(&self) -> bool {
        // with one lane only the newest can be unfinished, with several a few; the search begins at the end
        self.webhooks.iter().rev().any(|webhook| webhook.finished_at.is_none())
    }

    /// How many were sent or queued, ever.
    pub(super) fn webhook_count(&self) -> u64 {
        self.forgotten + self.webhooks.len() as u64
    }

    /// Every alert that ever was.
    pub(super) fn alerts(&self) -> Vec<AlertTruth> {
        self.alerts.values().cloned().collect()
    }
}
