//! Tactical's agents: which asset each one is, and when it is to be read next.
//!
//! An agent has at most one *pending* refresh. Any number of wishes while one is pending change nothing; with none
//! pending, the next is due at once, or 30 s after the last one, so that a flapping device is not read in a loop. A wish
//! that is an hour overdue counts as lost: its message may have been thrown away.

use chrono::{DateTime, Utc};
use contract::DeviceRefresh;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::error::Attempt;
use crate::outbox::{self, NewRow};
use crate::{Error, Store};

/// AlgaPSA's bound for an agent's id (`rmm_alerts.external_device_id`) and ours, in characters; Tactical's own have 40.
pub const AGENT_ID_CHARS_MAX: usize = 255;

/// Notes that these agents (tenant, integration, agent) are to be read, in the caller's transaction; makes unknown ones.
///
/// Writes nothing where a refresh is pending. Where none was, its message goes to the outbox too, to be published when it is
/// due; a connection without an API has nobody to ask, and gets none. An id over [`AGENT_ID_CHARS_MAX`] or with a NUL is no
/// agent's and is left out.
///
/// # Errors
/// What the database said.
pub async fn note_refresh(connection: &mut PgConnection, agents: &[(Uuid, Uuid, String)]) -> Result<(), Error> {
    let mut agents: Vec<_> = agents.iter().filter(|(_, _, agent_id)| is_storable(agent_id)).collect();
    // sorted, so that two writers wait for each other and never deadlock; once each, since an upsert may not meet a row twice
    agents.sort_unstable();
    agents.dedup();
    if agents.is_empty() {
        return Ok(());
    }
    let tenants: Vec<Uuid> = agents.iter().map(|(tenant, _, _)| *tenant).collect();
    let integrations: Vec<Uuid> = agents.iter().map(|(_, integration, _)| *integration).collect();
    let agent_ids: Vec<&str> = agents.iter().map(|(_, _, agent_id)| agent_id.as_str()).collect();
    let noted = sqlx::query_file!("sql/agent_note_refresh.sql", &tenants, &integrations, &agent_ids as _)
        .fetch_all(&mut *connection)
        .await
        .attempt(format!("note {} agents' refresh", agents.len()))?;
    let rows: Vec<NewRow> = (noted.into_iter())
        .filter(|noted| noted.has_api)
        .map(|noted| message(noted.tenant, noted.integration_id, noted.agent_id, noted.due_at))
        .collect();
    outbox::insert(connection, &rows).await.map(drop)
}

fn message(tenant: Uuid, integration_id: Uuid, agent_id: String, due_at: DateTime<Utc>) -> NewRow {
    // the wish's own time tells it from the agent's next one
    let stamp = due_at.timestamp_micros().to_be_bytes();
    let payload = DeviceRefresh { integration_id, agent_id };
    let identity = [integration_id.as_bytes().as_slice(), payload.agent_id.as_bytes(), &stamp];
    NewRow::message(tenant, &identity, &payload, Some(due_at))
}

/// Takes an agent's pending refresh, before the agent is read: whoever wishes for one from now on gets another, 30 s from now
/// at the earliest. `false`: none is pending. That is no reason not to read: a redelivered message finds none, and nobody
/// may have read since.
///
/// # Errors
/// What the database said.
pub async fn take_refresh(store: &Store, tenant: Uuid, integration_id: Uuid, agent_id: &str) -> Result<bool, Error> {
    let taken = sqlx::query!(
        "update muster.agent
         set refresh_due_at = null, last_refresh_at = now(), refresh_not_before = now() + interval '30 s'
         where tenant = $1 and integration_id = $2 and agent_id = $3 and refresh_due_at is not null",
        tenant,
        integration_id,
        agent_id
    );
    let done = store.run(format!("take the refresh of agent {agent_id}"), taken.execute(store.pool())).await?;
    Ok(done.rows_affected() == 1)
}

fn is_storable(agent_id: &str) -> bool {
    !agent_id.contains('\0') && agent_id.chars().count() <= AGENT_ID_CHARS_MAX
}
