//! What is true of the alerts of one server, what its webhooks were answered, and what a reader of Postgres sees.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use contract::event::Transition;
use sqlx::{PgPool, Row as _};
use uuid::Uuid;

use crate::simulator::{AlertTruth, Control, SentWebhook, Severity};

/// What became of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// There is none, or it was not sent yet.
    Unsent,
    /// 2xx.
    Taken,
    /// Refused, or nobody knows: it may have arrived.
    Perhaps,
}

/// One alert as it truly is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Tactical's agent.
    pub agent_id: String,
    /// When it opened.
    pub at: DateTime<Utc>,
    /// AlgaPSA's word for how bad it is now.
    pub severity: &'static str,
    /// Whether it is open now.
    pub is_open: bool,
    /// The webhook that told that it opened.
    pub opened: Answered,
    /// AlgaPSA's word for how bad that webhook said it is.
    pub severity_opened: &'static str,
    /// When that webhook was answered 2xx; none where a poll may have told of it instead.
    pub opened_by: Option<DateTime<Utc>>,
    /// The webhook that told that it is over.
    pub resolved: Answered,
    /// A poll may have told that instead.
    pub is_end_polled: bool,
}

impl Fact {
    /// Whether a webhook of it was answered 2xx.
    pub(super) fn was_taken(&self) -> bool {
        self.opened == Answered::Taken || self.resolved == Answered::Taken
    }
}

/// The facts of a server by Tactical's number of the alert.
pub type Facts = BTreeMap<String, Fact>;
/// What Postgres shows of a tenant, by the same number.
pub type Rows = BTreeMap<String, Seen>;

/// What a reader of Postgres sees of one alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Ours.
    pub alert_id: Uuid,
    /// Tactical's agent.
    pub agent_id: Option<String>,
    /// When it opened.
    pub at: Option<DateTime<Utc>>,
    /// AlgaPSA's word.
    pub severity: String,
    /// A poll said so, whatever webhooks say.
    pub is_severity_polled: bool,
    /// When anybody first said that it is open: a webhook as it came, a poll as it began.
    pub opened_at: Option<DateTime<Utc>>,
    /// A webhook said that it is over.
    pub is_end_said: bool,
    /// `active`, `acknowledged`, `suppressed`, `resolved`.
    pub status: String,
    /// What openings are counted by.
    pub dedup_key: Option<String>,
    /// Its place among the openings of that key.
    pub occurrence_count: i32,
    /// At which it was opened, changed, resolved and reopened last, as far as it was.
    pub revs: Vec<(Transition, i64)>,
}

impl Seen {
    /// That of its newest transition.
    #[must_use]
    pub fn rev(&self) -> i64 {
        self.revs.iter().map(|(_, rev)| *rev).max().unwrap_or_default()
    }
}

/// The webhooks of a server: how many were sent, and how many were answered 2xx.
pub(super) fn counts(control: &Control) -> (u64, u64) {
    let webhooks = control.webhooks();
    let taken = webhooks.iter().filter(|webhook| is_taken(webhook.status)).count();
    (webhooks.len() as u64, taken as u64)
}

/// Whether an answer promises the webhook's effect.
pub(super) fn is_taken(status: Option<u16>) -> bool {
    status.is_some_and(|status| (200..300).contains(&status))
}

/// What was said instead of 2xx, with how often.
pub(super) fn refusals(webhooks: impl Iterator<Item = SentWebhook>) -> BTreeMap<String, usize> {
    let mut refusals = BTreeMap::new();
    for webhook in webhooks.filter(|webhook| !is_taken(webhook.status)) {
        let said = match (webhook.status, webhook.error) {
            (Some(status), _) => status.to_string(),
            (None, error) => error.unwrap_or_else(|| "no answer yet".to_owned()),
        };
        *refusals.entry(said).or_default() += 1;
    }
    refusals
}

/// Everything that is true of a server now. A number that a replaced server gave out again is the newer alert's. Of what
/// webhooks told until `polled_until` polls may have told instead.
pub(super) fn facts(control: &Control, polled_until: DateTime<Utc>) -> Facts {
    // the alerts last: what opens in between has no webhook here, and is not said to have one
    let webhooks: BTreeMap<u64, SentWebhook> =
        control.webhooks().into_iter().map(|webhook| (webhook.sequence, webhook)).collect();
    let answer = |sequence: Option<u64>| match sequence {
        None => Answered::Unsent,
        Some(sequence) => match webhooks.get(&sequence) {
            Some(webhook) if webhook.finished_at.is_some() && is_taken(webhook.status) => Answered::Taken,
            _ => Answered::Perhaps,
        },
    };
    let fact = |truth: AlertTruth| {
        let severity = word(truth.severity);
        let sent = |sequence: Option<u64>| sequence.and_then(|sequence| webhooks.get(&sequence));
        let taken_at = |sequence| {
            let taken = sent(sequence).filter(|webhook| is_taken(webhook.status));
            taken.and_then(|webhook| webhook.finished_at).filter(|at| *at > polled_until)
        };
        let fact = Fact {
            agent_id: truth.agent_id.unwrap_or_default(),
            at: truth.alert_time,
            severity,
            is_open: truth.resolved_on.is_none() && truth.deleted_at.is_none(),
            opened: answer(truth.failure_sequence),
            severity_opened: sent(truth.failure_sequence).and_then(told_severity).unwrap_or(severity),
            opened_by: taken_at(truth.failure_sequence),
            resolved: answer(truth.resolved_sequence),
            is_end_polled: taken_at(truth.resolved_sequence).is_none(),
        };
        (truth.alert_id.to_string(), fact)
    };
    // the oldest server's first
    control.alerts().into_iter().map(fact).collect()
}

/// How bad a webhook says that it is.
fn told_severity(webhook: &SentWebhook) -> Option<&'static str> {
    let body: serde_json::Value = serde_json::from_str(webhook.body.as_deref()?).ok()?;
    serde_json::from_value(body.get("severity")?.clone()).ok().map(word)
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "critical",
        Severity::Warning => "moderate",
        Severity::Info => "minor",
    }
}

/// In the order of their columns.
const TRANSITIONS: [Transition; 4] =
    [Transition::Opened, Transition::Updated, Transition::Resolved, Transition::Reopened];

/// What Postgres shows of a tenant now; `Err` while it does not answer.
pub(super) async fn rows(sql: &PgPool, tenant: Uuid) -> Result<Rows, String> {
    let query =
        "select r.external_alert_id, alert_id, r.external_device_id, r.triggered_at, r.severity, r.status, r.dedup_key,
                        r.occurrence_count, s.opened_rev, s.updated_rev, s.resolved_rev, s.reopened_rev,
                        coalesce(s.details->'v'->>0, s.loose_details->'v'->>0) = '2', least(s.opened_at, s.loose_opened_at),
                        coalesce(s.resolve_said_at, s.loose_resolve_said_at) is not null
                 from rmm_alerts r join muster.alert_state s using (tenant, alert_id)
                 where tenant = $1 and r.external_alert_id not like 'was:%'";
    let rows = sqlx::query(query).bind(tenant).fetch_all(sql).await.map_err(|error| error.to_string())?;
    let rows = rows.into_iter().map(|row| {
        let seen = Seen {
            alert_id: row.get(1),
            agent_id: row.get(2),
            at: row.get(3),
            severity: row.get(4),
            is_severity_polled: row.get::<Option<bool>, _>(12).unwrap_or_default(),
            opened_at: row.get(13),
            is_end_said: row.get(14),
            status: row.get(5),
            dedup_key: row.get(6),
            occurrence_count: row.get(7),
            revs: (8..)
                .zip(TRANSITIONS)
                .filter_map(|(place, it)| Some((it, row.get::<Option<i64>, _>(place)?)))
                .collect(),
        };
        (row.get(0), seen)
    });
    Ok(rows.collect())
}
