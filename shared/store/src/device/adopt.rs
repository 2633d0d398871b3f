//! Assets that AlgaPSA made for an agent, before Muster knew it.

use std::collections::{HashMap, HashSet};

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::Batch;
use crate::Error;
use crate::error::Attempt;

/// The asset to adopt for each of these agents that has one; never one that is another agent's, and each for one agent only.
///
/// Of several (AlgaPSA made a second asset of a moved agent) that of this client counts, then the one synced last. Of two
/// agents that claim one asset the one that its mapping names has it, then the one with the lesser id.
pub(super) async fn find(
    connection: &mut PgConnection,
    batch: &Batch,
    agent_ids: &[&str],
) -> Result<HashMap<String, Uuid>, Error> {
    if agent_ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query_file!(
        "sql/device/find_adoptable.sql",
        batch.tenant,
        batch.integration_id,
        agent_ids as _,
        batch.external_client_id
    );
    let mut rows =
        rows.fetch_all(connection).await.attempt(format!("look for assets of {} agents", agent_ids.len()))?;
    rows.sort_unstable_by(|a, b| (a.rank, &a.agent_id).cmp(&(b.rank, &b.agent_id)));
    let mut claimed = HashSet::new();
    rows.retain(|row| claimed.insert(row.asset_id));
    Ok(rows.into_iter().map(|row| (row.agent_id, row.asset_id)).collect())
}
