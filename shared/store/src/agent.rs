//! Tactical's agents: which asset each one is, and when it is to be read next.
//!
//! An agent has at most one *pending* refresh. Any number of wishes while one is pending change nothing; with none
//! pending, the next is due at once, or 30 s after the last one, so that a flapping device is not read in a loop.

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::Error;
use crate::error::Attempt;

/// AlgaPSA's bound for an agent's id (`rmm_alerts.external_device_id`) and ours, in characters; Tactical's own have 40.
pub const AGENT_ID_CHARS_MAX: usize = 255;

/// Notes that these agents (tenant, integration, agent) are to be read, in the caller's transaction; makes unknown ones.
///
/// Writes nothing where a refresh is pending. Whoever takes a refresh sets `refresh_due_at` to null and
/// `refresh_not_before` to 30 s ahead. An id over [`AGENT_ID_CHARS_MAX`] or with a NUL is no agent's and is left out.
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
    sqlx::query_file!("sql/agent_note_refresh.sql", &tenants, &integrations, &agent_ids as _)
        .execute(connection)
        .await
        .attempt(format!("note {} agents' refresh", agents.len()))
        .map(drop)
}

fn is_storable(agent_id: &str) -> bool {
    !agent_id.contains('\0') && agent_id.chars().count() <= AGENT_ID_CHARS_MAX
}
