//! Reinstalled agents: a new id with the serial number of one that is missing. A person decides whether both are one.
//!
//! Accepting keeps the old asset, with its alerts, tickets and history; the asset that was made for the new agent goes, and
//! its alerts become the old one's. What was dismissed is not proposed again.

mod accept;
mod propose;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::audit::{self, Entry};
use crate::error::Attempt;
use crate::{Error, Store};

pub use accept::{Accepted, accept};
pub(crate) use propose::propose;

/// An open proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// What [`accept`] and [`dismiss`] take.
    pub proposal_id: Uuid,
    /// The connection.
    pub integration_id: Uuid,
    /// The agent that came.
    pub agent_id: String,
    /// Its asset.
    pub asset_id: Option<Uuid>,
    /// That asset's name.
    pub asset_name: Option<String>,
    /// The agent that is missing.
    pub old_agent_id: String,
    /// Its asset, which would stay.
    pub old_asset_id: Option<Uuid>,
    /// That asset's name.
    pub old_asset_name: Option<String>,
    /// Since when the old agent is missing.
    pub old_missing_since: Option<DateTime<Utc>>,
    /// What both have.
    pub serial_number: String,
    /// Whose devices they are.
    pub client_id: Option<Uuid>,
    /// When it was noticed.
    pub proposed_at: DateTime<Utc>,
}

/// A tenant's open proposals, oldest first.
///
/// # Errors
/// What the database said.
pub async fn list(store: &Store, tenant: Uuid) -> Result<Vec<Proposal>, Error> {
    let rows = sqlx::query_file_as!(Proposal, "sql/merge/list.sql", tenant);
    store.run("read the merge proposals", rows.fetch_all(store.pool())).await
}

/// Dismisses an open proposal for good. `false`: there is no such open proposal.
///
/// # Errors
/// What the database said.
pub async fn dismiss(store: &Store, tenant: Uuid, proposal_id: Uuid, entry: &Entry) -> Result<bool, Error> {
    let work = async {
        let mut transaction = store.pool().begin().await.attempt("begin to dismiss a merge")?;
        let done = sqlx::query!(
            "update muster.merge_proposal set state = 'dismissed', decided_at = now(), decided_by = left($3, 100)
             where tenant = $1 and proposal_id = $2 and state = 'open'",
            tenant,
            proposal_id,
            entry.actor
        );
        let done = done.execute(&mut *transaction).await.attempt(format!("dismiss merge {proposal_id}"))?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        audit::insert(&mut transaction, entry).await?;
        transaction.commit().await.attempt("commit a dismissal")?;
        Ok(true)
    };
    store.within("dismiss a merge", store.work_ends(), work).await
}
