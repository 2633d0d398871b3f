//! The mappings as a person sees them, with proposals for those that are assigned to nobody.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::Client;
use super::name::normalized;
use crate::{Error, Store};

/// Proposals for one mapping: more would be no help.
const PROPOSALS_MAX: usize = 5;

/// How a proposal was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Match {
    /// The names are the same.
    Exact,
    /// They are the same but for case, punctuation and legal suffixes.
    Normalized,
}

impl Match {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Normalized => "normalized",
        }
    }
}

/// A client that a mapping may belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The client.
    pub client: Client,
    /// How it was found.
    pub found: Match,
}

/// A mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// What [`super::patch`] takes.
    pub mapping_id: Uuid,
    /// The connection.
    pub integration_id: Uuid,
    /// Tactical's number of the client.
    pub external_organization_id: String,
    /// Its name there.
    pub external_organization_name: Option<String>,
    /// Whose it is; `None`: nobody's yet.
    pub client: Option<Client>,
    /// Whether its devices are imported.
    pub auto_sync_assets: bool,
    /// Agents that Tactical counts there.
    pub agent_count: Option<i64>,
    /// Devices that are imported.
    pub asset_count: i64,
    /// Since when its devices are known to be as they are shown.
    pub last_synced_at: Option<DateTime<Utc>>,
    /// Since when Tactical does not list it any more.
    pub vanished_at: Option<DateTime<Utc>>,
    /// Clients that it may belong to, best first; for one that is nobody's.
    pub proposals: Vec<Proposal>,
}

/// A tenant's mappings, by name.
///
/// # Errors
/// What the database said.
pub async fn list(store: &Store, tenant: Uuid) -> Result<Vec<Mapping>, Error> {
    let rows = sqlx::query_file!("sql/organization/list.sql", tenant);
    let rows = store.run("read the organisation mappings", rows.fetch_all(store.pool())).await?;
    let needs_names = rows.iter().any(|row| row.client_id.is_none());
    let names = if needs_names { Names::read(store, tenant).await? } else { Names::default() };
    let mappings = rows.into_iter().map(|row| {
        let metadata = row.metadata.unwrap_or_default();
        let time = |value: &Value| value.as_str()?.parse::<DateTime<Utc>>().ok();
        let name = row.external_organization_name;
        Mapping {
            mapping_id: row.mapping_id,
            integration_id: row.integration_id,
            external_organization_id: row.external_organization_id,
            proposals: match (&row.client_id, &name) {
                (None, Some(name)) => names.propose(name),
                _ => Vec::new(),
            },
            external_organization_name: name,
            client: row.client_id.zip(row.client_name).map(|(client_id, name)| Client { client_id, name }),
            auto_sync_assets: row.auto_sync_assets,
            agent_count: metadata.get("agent_count").and_then(Value::as_i64),
            asset_count: row.asset_count,
            last_synced_at: row.last_synced_at,
            vanished_at: metadata.get("vanished_at").and_then(time),
        }
    });
    Ok(mappings.collect())
}

/// The tenant's clients by their names, normalised.
#[derive(Default)]
struct Names(HashMap<String, Vec<Client>>);

impl Names {
    async fn read(store: &Store, tenant: Uuid) -> Result<Self, Error> {
        let clients = sqlx::query_as!(
            Client,
            "select client_id, client_name as name from clients where tenant = $1 order by client_name, client_id",
            tenant
        );
        let mut names: HashMap<String, Vec<Client>> = HashMap::new();
        for client in store.run("read the clients", clients.fetch_all(store.pool())).await? {
            names.entry(normalized(&client.name)).or_default().push(client);
        }
        Ok(Self(names))
    }

    fn propose(&self, name: &str) -> Vec<Proposal> {
        let key = normalized(name);
        let found = self.0.get(&key).filter(|_| !key.is_empty()).into_iter().flatten();
        let mut proposals: Vec<Proposal> = found
            .map(|client| {
                let is_exact = client.name.trim() == name.trim();
                Proposal { client: client.clone(), found: if is_exact { Match::Exact } else { Match::Normalized } }
            })
            .collect();
        proposals.sort_by_key(|proposal| proposal.found);
        proposals.truncate(PROPOSALS_MAX);
        proposals
    }
}
