//! What is kept of odd webhooks: their bytes, what is wrong with the template, and the wish to read the alerts.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use contract::AlertFetch;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::bound;
use super::fact::{Fact, Odd, number};
use crate::Error;
use crate::error::Attempt;
use crate::integration::{self, Finding};
use crate::outbox::NewRow;

/// What odd webhooks that were not kept before ask for.
#[derive(Default)]
pub(crate) struct Wishes {
    /// Agents to be read: those of hints, which name no alert.
    pub(crate) refreshes: Vec<(Uuid, Uuid, String)>,
    /// Numbered alerts whose webhooks were broken, to be read.
    pub(crate) fetches: Vec<Fact>,
    findings: Vec<Finding>,
    reconciles: Vec<(Uuid, Uuid)>,
}

/// Keeps what is odd. A redelivery finds its row and asks for nothing, and where there is no API nobody could be asked.
pub(crate) async fn keep(
    connection: &mut PgConnection,
    facts: &[Fact],
    has_api: impl Fn(&Fact) -> bool,
) -> Result<Wishes, Error> {
    let mut wishes = Wishes::default();
    if facts.is_empty() {
        return Ok(wishes);
    }
    let new = insert(connection, facts).await?;
    for fact in facts {
        if !new.contains(&(fact.tenant, fact.integration_id, digest(fact))) {
            continue;
        }
        let (tenant, integration_id) = (fact.tenant, fact.integration_id);
        for odd in fact.odd.iter().filter(|odd| odd.is_finding()) {
            wishes.findings.push(Finding { tenant, integration_id, finding: odd.as_str(), seen_at: fact.at });
        }
        let (is_hint, has_api) = (fact.odd.contains(&Odd::Hint), has_api(fact));
        if has_api && (fact.needs_fetch || is_hint) {
            wishes.reconciles.push((tenant, integration_id));
        }
        if has_api && fact.needs_fetch && fact.number.as_deref().and_then(number).is_some() {
            wishes.fetches.push(fact.clone());
        }
        if is_hint && !fact.agent_id.is_empty() {
            wishes.refreshes.push((tenant, integration_id, fact.agent_id.clone()));
        }
    }
    Ok(wishes)
}

impl Wishes {
    /// Notes what concerns the connection. Last in its transaction: these few rows are everybody's.
    pub(crate) async fn note(&self, connection: &mut PgConnection) -> Result<(), Error> {
        integration::note_findings(connection, &self.findings).await?;
        integration::note_reconcile(connection, &self.reconciles).await
    }
}

/// The messages that ask for alerts to be read.
pub(crate) fn fetches(facts: &[Fact]) -> Vec<NewRow> {
    let rows = facts.iter().filter_map(|fact| {
        let (integration_id, number) = (fact.integration_id, fact.number.as_deref().and_then(number)?);
        let payload = AlertFetch { integration_id, number, agent_id: fact.agent_id.clone() };
        // the webhook's own moment tells its wish from the next one's
        let stamp = fact.at.timestamp_micros().to_be_bytes();
        let identity = [integration_id.as_bytes().as_slice(), &number.to_be_bytes(), &stamp];
        Some(NewRow::message(fact.tenant, &identity, &payload, None))
    });
    rows.collect()
}

async fn insert(connection: &mut PgConnection, facts: &[Fact]) -> Result<HashSet<(Uuid, Uuid, i64)>, Error> {
    let tenants: Vec<Uuid> = facts.iter().map(|fact| fact.tenant).collect();
    let integrations: Vec<Uuid> = facts.iter().map(|fact| fact.integration_id).collect();
    let digests: Vec<i64> = facts.iter().map(digest).collect();
    let received_at: Vec<DateTime<Utc>> = facts.iter().map(|fact| fact.at).collect();
    let agents: Vec<&str> = facts.iter().map(|fact| fact.agent_id.as_str()).collect();
    let reasons: Vec<String> = facts.iter().map(reasons).collect();
    let raws: Vec<&[u8]> = facts.iter().map(|fact| &fact.raw[..fact.raw.len().min(bound::RAW_BYTES_MAX)]).collect();
    let new = sqlx::query_file!(
        "sql/alert/keep_raw.sql",
        &tenants,
        &integrations,
        &digests,
        &received_at,
        &agents as _,
        &reasons,
        &raws as _,
    )
    .fetch_all(connection)
    .await
    .attempt(format!("keep {} odd webhooks", facts.len()))?;
    Ok(new.into_iter().map(|row| (row.tenant, row.integration_id, row.digest)).collect())
}

fn reasons(fact: &Fact) -> String {
    fact.odd.iter().map(|odd| odd.as_str()).collect::<Vec<_>>().join(" ")
}

/// The same 64 bits, in the sign that a column has.
fn digest(fact: &Fact) -> i64 {
    i64::from_be_bytes(fact.digest().to_be_bytes())
}
