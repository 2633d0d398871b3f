//! What a connection's webhooks told about the connection: mistakes in its template, and wishes for a reconciliation.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::Error;
use crate::error::Attempt;

/// One sight of a mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whose connection.
    pub tenant: Uuid,
    /// Which connection.
    pub integration_id: Uuid,
    /// The mistake's word, at most 50 characters: `contract::alert_observed::TemplateMistake::as_str`.
    pub finding: &'static str,
    /// When the webhook that showed it arrived.
    pub seen_at: DateTime<Utc>,
}

/// Counts mistakes in the caller's transaction. A redelivered webhook counts again: the count is a magnitude, not a ledger.
///
/// # Errors
/// What the database said.
pub async fn note_findings(connection: &mut PgConnection, findings: &[Finding]) -> Result<(), Error> {
    if findings.is_empty() {
        return Ok(());
    }
    // merged and sorted: an upsert may meet a row once, and two writers must take rows in one order
    let mut merged = BTreeMap::new();
    for one in findings {
        let key = (one.tenant, one.integration_id, one.finding);
        let (first, last, count) = merged.entry(key).or_insert((one.seen_at, one.seen_at, 0_i64));
        *first = one.seen_at.min(*first);
        *last = one.seen_at.max(*last);
        *count += 1;
    }
    let tenants: Vec<Uuid> = merged.keys().map(|key| key.0).collect();
    let integrations: Vec<Uuid> = merged.keys().map(|key| key.1).collect();
    let words: Vec<&str> = merged.keys().map(|key| key.2).collect();
    let first: Vec<DateTime<Utc>> = merged.values().map(|seen| seen.0).collect();
    let last: Vec<DateTime<Utc>> = merged.values().map(|seen| seen.1).collect();
    let counts: Vec<i64> = merged.values().map(|seen| seen.2).collect();
    sqlx::query_file!("sql/integration_note_findings.sql", &tenants, &integrations, &words as _, &first, &last, &counts)
        .execute(connection)
        .await
        .attempt(format!("note {} template mistakes", merged.len()))
        .map(drop)
}

/// Notes in the caller's transaction that these connections (tenant, integration) want a reconciliation.
///
/// A wish that stands is not moved: its time says how long it has waited.
///
/// # Errors
/// What the database said.
pub async fn note_reconcile(connection: &mut PgConnection, wishes: &[(Uuid, Uuid)]) -> Result<(), Error> {
    let mut wishes = wishes.to_vec();
    wishes.sort_unstable();
    wishes.dedup();
    if wishes.is_empty() {
        return Ok(());
    }
    let (tenants, integrations): (Vec<Uuid>, Vec<Uuid>) = wishes.into_iter().unzip();
    sqlx::query!(
        r"insert into muster.reconcile_wish (tenant, integration_id, wished_at)
          select tenant, integration_id, now()
          from unnest($1::uuid[], $2::uuid[]) with ordinality as n (tenant, integration_id, position)
          order by position
          on conflict (tenant, integration_id) do update
          set wished_at = excluded.wished_at
          where reconcile_wish.wished_at is null",
        &tenants,
        &integrations,
    )
    .execute(connection)
    .await
    .attempt(format!("note {} reconcile wishes", tenants.len()))
    .map(drop)
}
