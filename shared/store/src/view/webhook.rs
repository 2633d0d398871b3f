//! A tenant's webhook as the operators' API shows it: since when its secret is good, and what its calls told about it.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::alert::{LastPoll, last_poll};
use crate::hook::PROVIDER;
use crate::{Error, Store};

/// A webhook, without its secret, which nobody has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// The connection that it belongs to.
    pub integration_id: Uuid,
    /// When its secret was set; `None`: it has none yet.
    pub rotated_at: Option<DateTime<Utc>>,
    /// The secret before is good until then, where that is still to come.
    pub previous_valid_until: Option<DateTime<Utc>>,
    /// Mistakes in the templates that call it.
    pub findings: Vec<TemplateFinding>,
    /// What the last reconciliation found of calls that did not arrive.
    pub poll: LastPoll,
}

/// A mistake in a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateFinding {
    /// Its word, as `contract::alert_observed::TemplateMistake` has it.
    pub finding: String,
    /// When a webhook showed it first.
    pub first_seen_at: DateTime<Utc>,
    /// When a webhook showed it last.
    pub last_seen_at: DateTime<Utc>,
    /// How many did, about.
    pub seen_count: i64,
}

/// A tenant's webhook; `None`: it has no connection.
///
/// # Errors
/// What the database said.
pub async fn webhook(store: &Store, tenant: Uuid) -> Result<Option<Webhook>, Error> {
    let what = || format!("read the webhook of tenant {tenant}");
    let row = sqlx::query!(
        r#"select i.integration_id, h.rotated_at as "rotated_at?",
                  case when h.previous_valid_until > now() then h.previous_valid_until end as previous_valid_until
           from rmm_integrations i
           left join muster.hook h on h.tenant = i.tenant and h.integration_id = i.integration_id
           where i.tenant = $1 and i.provider = $2"#,
        tenant,
        PROVIDER
    );
    let Some(row) = store.run(what(), row.fetch_optional(store.pool())).await? else { return Ok(None) };
    let findings = sqlx::query_as!(
        TemplateFinding,
        "select finding, first_seen_at, last_seen_at, seen_count from muster.webhook_finding
         where tenant = $1 and integration_id = $2 order by finding",
        tenant,
        row.integration_id
    );
    let findings = store.run(what(), findings.fetch_all(store.pool())).await?;
    let poll = last_poll(store, tenant, row.integration_id).await?;
    Ok(Some(Webhook {
        integration_id: row.integration_id,
        rotated_at: row.rotated_at,
        previous_valid_until: row.previous_valid_until,
        findings,
        poll,
    }))
}
