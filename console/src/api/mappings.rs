//! Which client of the tenant's each of Tactical's clients is.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use store::connection;
use store::organization::{self, Decision, Held, HeldClient, Patch};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::call::{Call, Reply};
use crate::problem::Problem;
use crate::route::{Json, NoBody, NoQuery};

/// Mappings changed at once, in one transaction.
const CHANGES_MAX: usize = 5_000;

/// A mapping.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Mapping {
    mapping_id: Uuid,
    /// Tactical's number of the client.
    organization_id: String,
    /// Its name in Tactical.
    name: Option<String>,
    /// The tenant's client that it is; null: nobody has said, and nothing is imported.
    client_id: Option<Uuid>,
    client_name: Option<String>,
    /// Whether its devices are imported.
    auto_sync: bool,
    /// Agents that Tactical counts there.
    agent_count: Option<i64>,
    /// Devices that are imported.
    asset_count: i64,
    /// When its devices were read last.
    last_synced_at: Option<DateTime<Utc>>,
    /// Tactical does not list it any more since then.
    vanished_at: Option<DateTime<Utc>>,
    /// Clients that it may be, by name, best first.
    proposals: Vec<Proposal>,
}

/// A client that a mapping may be.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Proposal {
    client_id: Uuid,
    client_name: String,
    /// exact: the names are equal; normalized: but for case, punctuation and legal suffixes
    #[serde(rename = "match")]
    #[schema(rename = "match")]
    found: &'static str,
}

impl From<organization::Mapping> for Mapping {
    fn from(mapping: organization::Mapping) -> Self {
        let proposals = mapping.proposals.into_iter().map(|proposal| Proposal {
            client_id: proposal.client.client_id,
            client_name: proposal.client.name,
            found: proposal.found.as_str(),
        });
        let (client_id, client_name) = mapping.client.map(|client| (client.client_id, client.name)).unzip();
        Self {
            mapping_id: mapping.mapping_id,
            organization_id: mapping.external_organization_id,
            name: mapping.external_organization_name,
            client_id,
            client_name,
            auto_sync: mapping.auto_sync_assets,
            agent_count: mapping.agent_count,
            asset_count: mapping.asset_count,
            last_synced_at: mapping.last_synced_at,
            vanished_at: mapping.vanished_at,
            proposals: proposals.collect(),
        }
    }
}

/// All mappings.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Mappings {
    mappings: Vec<Mapping>,
    /// Another server seems to stand behind the connection: nothing is imported until a person confirms.
    held: Option<Hold>,
}

/// Old and new server side by side.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Hold {
    held_at: DateTime<Utc>,
    /// Why, in a sentence.
    reason: String,
    old_url: Option<String>,
    new_url: Option<String>,
    /// The clients that the mappings are of.
    old: Vec<Side>,
    /// The clients that the server lists now.
    new: Vec<Side>,
}

/// A client on one of the sides.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Side {
    organization_id: String,
    name: String,
    agent_count: Option<i64>,
}

impl From<HeldClient> for Side {
    fn from(client: HeldClient) -> Self {
        Self { organization_id: client.id, name: client.name, agent_count: client.agent_count }
    }
}

/// What is to change about a mapping; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    /// The tenant's client that it is; null: none. The assets that exist move along.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Uuid>)]
    client_id: Option<Option<Uuid>>,
    /// Whether its devices are imported.
    auto_sync: Option<bool>,
    /// Take the only proposal instead of naming a client.
    #[serde(default)]
    accept_proposal: bool,
}

/// What is to change about one of several mappings.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeOf {
    mapping_id: Uuid,
    /// The tenant's client that it is; null: none. The assets that exist move along.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Uuid>)]
    client_id: Option<Option<Uuid>>,
    /// Whether its devices are imported.
    auto_sync: Option<bool>,
    /// Take the only proposal instead of naming a client.
    #[serde(default)]
    accept_proposal: bool,
}

/// Changes to several mappings: all of them are made, or none.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Changes {
    mappings: Vec<ChangeOf>,
}

/// The mappings as they are after their change.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Changed {
    mappings: Vec<Mapping>,
    /// Assets that went over to another client.
    moved_assets: u64,
}

/// Null is a value here: it says none.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Uuid>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// `GET …/organization-mappings`.
pub(crate) async fn list(call: Call, _: NoQuery, _: NoBody) -> Result<Reply<Mappings>, Problem> {
    let found = connection::find(&call.app.store, call.tenant).await?;
    let held = found.and_then(|found| found.held_at.zip(found.held)).map(|(held_at, held)| {
        let held: Held = serde_json::from_value(held).unwrap_or_default();
        Hold {
            held_at,
            reason: held.reason,
            old_url: held.old_url,
            new_url: held.new_url,
            old: held.old.into_iter().map(Side::from).collect(),
            new: held.new.into_iter().map(Side::from).collect(),
        }
    });
    let mappings = organization::list(&call.app.store, call.tenant).await?;
    Ok(Reply::ok(Mappings { mappings: mappings.into_iter().map(Mapping::from).collect(), held }))
}

/// `PATCH …/organization-mappings/{mapping}`.
pub(crate) async fn patch_one(call: Call, _: NoQuery, Json(change): Json<Change>) -> Result<Reply<Changed>, Problem> {
    let mapping_id = call.id("mapping", "mapping")?;
    let Change { client_id, auto_sync, accept_proposal } = change;
    apply(&call, vec![ChangeOf { mapping_id, client_id, auto_sync, accept_proposal }]).await
}

/// `PATCH …/organization-mappings`.
pub(crate) async fn patch_many(
    call: Call,
    _: NoQuery,
    Json(changes): Json<Changes>,
) -> Result<Reply<Changed>, Problem> {
    if changes.mappings.is_empty() {
        return Err(Problem::invalid("`mappings` is empty, so nothing would change.", "Name at least one mapping."));
    }
    if changes.mappings.len() > CHANGES_MAX {
        let detail = format!("`mappings` names more than {CHANGES_MAX} mappings.");
        return Err(Problem::invalid(detail, "Send the changes in several requests."));
    }
    apply(&call, changes.mappings).await
}

async fn apply(call: &Call, changes: Vec<ChangeOf>) -> Result<Reply<Changed>, Problem> {
    let store = &call.app.store;
    let known = organization::list(store, call.tenant).await?;
    let known: BTreeMap<Uuid, _> = known.iter().map(|mapping| (mapping.mapping_id, mapping)).collect();
    let mut named = BTreeSet::new();
    let mut patches = Vec::new();
    for change in changes {
        let mapping = known.get(&change.mapping_id).ok_or_else(|| Problem::not_found("mapping"))?;
        if !named.insert(change.mapping_id) {
            let detail = format!("The mapping {} is named twice.", change.mapping_id);
            return Err(Problem::invalid(detail, "Name each mapping once."));
        }
        let patch = patch_of(&change, mapping)?;
        let detail = json!({"organization_id": mapping.external_organization_id,
            "client_id": patch.client_id, "auto_sync": patch.auto_sync,
            "client_id_before": mapping.client.as_ref().map(|client| client.client_id)});
        let entry = call.entry("mapping.change", Some(change.mapping_id.to_string()), detail);
        patches.push((change.mapping_id, patch, entry));
    }
    let done = organization::patch_all(store, call.tenant, &patches).await?;
    let after = organization::list(store, call.tenant).await?;
    let mappings = after.into_iter().filter(|mapping| named.contains(&mapping.mapping_id)).map(Mapping::from);
    Ok(Reply::ok(Changed { mappings: mappings.collect(), moved_assets: done.moved }))
}

fn patch_of(change: &ChangeOf, mapping: &organization::Mapping) -> Result<Patch, Problem> {
    let name = mapping.external_organization_name.as_deref().unwrap_or(&mapping.external_organization_id);
    let client_id = match (change.accept_proposal, change.client_id, mapping.proposals.as_slice()) {
        (false, client_id, _) => client_id,
        (true, None, [only]) => Some(Some(only.client.client_id)),
        (true, Some(_), _) => {
            let detail = format!("The change of “{name}” names a client and accepts a proposal.");
            return Err(Problem::invalid(detail, "Send `client_id` or `accept_proposal`, not both."));
        }
        (true, None, proposals) => {
            let detail = format!("“{name}” has {} proposals, so none can be accepted unseen.", proposals.len());
            return Err(Problem::invalid(detail, "Name the client in `client_id`."));
        }
    };
    if client_id.is_none() && change.auto_sync.is_none() {
        let detail = format!("The change of “{name}” changes nothing.");
        return Err(Problem::invalid(detail, "Send `client_id`, `auto_sync` or `accept_proposal`."));
    }
    Ok(Patch { client_id, auto_sync: change.auto_sync })
}

/// What the person decided who looked at both servers.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// It is the same server: the mappings stay.
    Keep,
    /// It is another one: every mapping is to be assigned anew; assets stay with their clients.
    Reassign,
}

/// The decision.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Confirmation {
    decision: Answer,
    /// `new_url` of what is held: what was looked at. Where it is held for another one by now, nothing is decided.
    new_url: String,
}

/// `POST …/organization-mappings/confirm`.
pub(crate) async fn confirm(
    call: Call,
    query: NoQuery,
    Json(confirmation): Json<Confirmation>,
) -> Result<Reply<Mappings>, Problem> {
    let store = &call.app.store;
    let found = connection::find(store, call.tenant).await?.ok_or_else(Problem::not_connected)?;
    let (decision, word) = match confirmation.decision {
        Answer::Keep => (Decision::Same, "keep"),
        Answer::Reassign => (Decision::Other, "reassign"),
    };
    let entry = call.entry("mapping.confirm", None, json!({"decision": word, "instance_url": confirmation.new_url}));
    let seen = Some(confirmation.new_url.as_str());
    if !organization::confirm(store, call.tenant, found.integration_id, decision, seen, &entry).await? {
        let detail = "There is nothing to confirm: the mappings are not held.";
        return Err(Problem::conflict(detail, "Look at the mappings again."));
    }
    list(call, query, NoBody {}).await
}
