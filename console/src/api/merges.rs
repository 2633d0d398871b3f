//! Reinstalled agents: two assets that may be one.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use store::merge;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::call::{Call, Reply};
use crate::problem::Problem;
use crate::route::{NoBody, NoQuery};

/// An agent with the serial number of one that is missing.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MergeProposal {
    proposal_id: Uuid,
    serial_number: String,
    client_id: Option<Uuid>,
    /// The agent that came, and its asset, which would go.
    agent_id: String,
    asset_id: Option<Uuid>,
    asset_name: Option<String>,
    /// The agent that is missing, and its asset, which would stay.
    old_agent_id: String,
    old_asset_id: Option<Uuid>,
    old_asset_name: Option<String>,
    old_missing_since: Option<DateTime<Utc>>,
    proposed_at: DateTime<Utc>,
}

impl From<merge::Proposal> for MergeProposal {
    fn from(proposal: merge::Proposal) -> Self {
        Self {
            proposal_id: proposal.proposal_id,
            serial_number: proposal.serial_number,
            client_id: proposal.client_id,
            agent_id: proposal.agent_id,
            asset_id: proposal.asset_id,
            asset_name: proposal.asset_name,
            old_agent_id: proposal.old_agent_id,
            old_asset_id: proposal.old_asset_id,
            old_asset_name: proposal.old_asset_name,
            old_missing_since: proposal.old_missing_since,
            proposed_at: proposal.proposed_at,
        }
    }
}

/// The open proposals, the oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MergeProposals {
    merge_proposals: Vec<MergeProposal>,
}

/// Both are one now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Merged {
    /// The asset that stayed.
    asset_id: Uuid,
    /// Alerts that were the other one's.
    moved_alerts: usize,
}

/// It will not be proposed again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Dismissed {
    proposal_id: Uuid,
}

/// `GET …/merge-proposals`.
pub(crate) async fn list(call: Call, _: NoQuery, _: NoBody) -> Result<Reply<MergeProposals>, Problem> {
    let open = merge::list(&call.app.store, call.tenant).await?;
    Ok(Reply::ok(MergeProposals { merge_proposals: open.into_iter().map(MergeProposal::from).collect() }))
}

/// `POST …/merge-proposals/{proposal}/accept`.
pub(crate) async fn accept(call: Call, _: NoQuery, _: NoBody) -> Result<Reply<Merged>, Problem> {
    let proposal_id = call.id("proposal", WHAT)?;
    let entry = call.entry("asset.merge", Some(proposal_id.to_string()), json!({}));
    let accepted = merge::accept(&call.app.store, call.tenant, proposal_id, &entry).await?;
    let accepted = accepted.ok_or_else(|| Problem::not_found(WHAT))?;
    Ok(Reply::ok(Merged { asset_id: accepted.asset_id, moved_alerts: accepted.alerts }))
}

/// `POST …/merge-proposals/{proposal}/dismiss`.
pub(crate) async fn dismiss(call: Call, _: NoQuery, _: NoBody) -> Result<Reply<Dismissed>, Problem> {
    let proposal_id = call.id("proposal", WHAT)?;
    let entry = call.entry("asset.merge.dismiss", Some(proposal_id.to_string()), json!({}));
    if !merge::dismiss(&call.app.store, call.tenant, proposal_id, &entry).await? {
        return Err(Problem::not_found(WHAT));
    }
    Ok(Reply::ok(Dismissed { proposal_id }))
}

const WHAT: &str = "open merge proposal";
