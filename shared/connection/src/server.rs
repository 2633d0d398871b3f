//! What a server shows of its clients, once it is known to be the server that the mappings were made for, and when a list
//! of it is too short to be believed.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use store::organization::{self, Held, HeldClient, Look};
use store::{Left, Store};
use tactical::Organization;
use tokio::time::Instant;

use crate::Open;
use crate::failure::Error;
use crate::identity::{self, Clients, Listed};

/// Why nothing is read while a person has not decided.
pub const HELD: &str = "another Tactical server seems to answer than the one that the clients were mapped for: \
    compare both sides and confirm which it is; until then nothing is imported";

/// Why nothing is read of a URL that nobody has compared.
const UNCONFIRMED: &str = "the connection's URL was changed, and it is not known yet whether the same Tactical server \
    answers there: sync the clients";

/// How many of a list's devices may be absent before it counts as narrower than it should be: devices do go between two
/// lists, but a twentieth of a fleet (and more than a handful) does not within minutes.
const ABSENT_SHARE: usize = 20;
const ABSENT_MIN: usize = 5;

/// Whether a list of `listed` devices is too short where `expected` were to be seen, so that nothing follows from a
/// device's absence.
#[must_use]
pub fn is_narrow(listed: usize, expected: usize) -> bool {
    expected > 0 && (listed == 0 || listed + ABSENT_MIN.max(expected / ABSENT_SHARE) < expected)
}

/// Reads all clients. Where they differ from the known ones, or the URL is a new one, the agents decide whether it is
/// another server; then the connection is held with both sides for a person to decide, and nothing may be read. Where it is
/// the same one, the mappings are known to belong to this URL from then on.
///
/// # Errors
/// [`Error::Doubtful`] where the connection is held, now or from before; otherwise why there is no answer.
pub async fn clients(store: &Store, open: &Open) -> Result<Vec<Organization>, Error> {
    let (tenant, integration_id) = (open.settings().tenant, open.settings().integration_id);
    let look = organization::look(store, tenant, integration_id).await?.unwrap_or_default();
    // what answers is behind the URL of the moment when it was opened, whatever stands there by now
    let url = open.settings().instance_url.as_deref().unwrap_or_default();
    // a hold for the URL before says nothing about this one
    let is_held = look.is_held && look.held_url.as_deref().is_none_or(|held| held == url);
    let shown = match open.call(async |client| client.clients().await).await {
        Ok(shown) => shown,
        Err(_) if is_held => return Err(Error::Doubtful(HELD.to_owned())),
        Err(error) => return Err(error.into()),
    };
    if is_held {
        // a person is to decide about what answers now
        organization::renew_hold(store, tenant, integration_id, &held(look, url, &shown)).await?;
        return Err(Error::Doubtful(HELD.to_owned()));
    }
    let names: Clients = shown.iter().map(|client| (client.id.to_string(), client.name.clone())).collect();
    let is_new_url = look.is_held || look.confirmed_url.as_deref().is_some_and(|confirmed| confirmed != url);
    if !look.clients.is_empty() && (is_new_url || identity::differs(&look.clients, &names)) {
        let listed = agents(open).await?;
        if identity::is_other(&look.clients, &names, &look.agents, &listed) {
            organization::hold(store, tenant, integration_id, &held(look, url, &shown)).await?;
            tracing::warn!(tenant.id = %tenant, integration.id = %integration_id, "another server: the mappings are held");
            return Err(Error::Doubtful(HELD.to_owned()));
        }
    }
    let is_known = !look.is_held && look.confirmed_url.as_deref() == Some(url);
    if !is_known && !organization::recognise(store, tenant, integration_id, url).await? {
        return Err(Error::Doubtful(UNCONFIRMED.to_owned()));
    }
    Ok(shown)
}

/// All agents that the server shows.
///
/// # Errors
/// Why there is no whole answer.
pub async fn agents(open: &Open) -> Result<Listed, Error> {
    let mut stream = open.call(async |client| client.brief_agents().await).await?;
    let mut agents = Listed::new();
    while let Some(agent) = stream.next().await {
        let agent = agent?;
        agents.insert(agent.agent_id, agent.client);
    }
    Ok(agents)
}

/// How long agents are asked for one by one: a third of what a job may take, the rest of which is for its lists.
const ASKING_MAX: Duration = Duration::from_secs(10);

/// Those of the agents that Tactical says do not exist. One that the key may not see is answered otherwise, so that this is
/// no guess. The asking ends after ten seconds, or where the server does not answer as it should: a later run goes on.
pub async fn gone(open: &Open, agent_ids: impl Iterator<Item = String>) -> HashSet<String> {
    let (mut gone, ends) = (HashSet::new(), Instant::now() + ASKING_MAX);
    for agent_id in agent_ids {
        let asked = agent_id.as_str();
        let asking = open.call(async |client| client.agent(asked).await);
        let Ok(answer) = tokio::time::timeout_at(ends, asking).await else { break };
        match answer {
            Err(crate::Error::Tactical(error)) if error.is_no_such_object() => drop(gone.insert(agent_id)),
            Ok(_) | Err(crate::Error::Tactical(tactical::Error::Forbidden { .. })) => {}
            Err(error) => {
                tracing::warn!(
                    agent.id = asked,
                    error = fault::chain(&error),
                    "whether devices are gone is asked later"
                );
                break;
            }
        }
    }
    gone
}

/// What the store takes.
#[must_use]
pub fn organizations(shown: &[Organization]) -> Vec<organization::Organization> {
    let site = |site: &tactical::Site| organization::Site {
        id: site.id,
        name: site.name.clone(),
        agent_count: site.agent_count,
    };
    let organization = |client: &Organization| organization::Organization {
        id: client.id,
        name: client.name.clone(),
        agent_count: client.agent_count,
        sites: client.sites.iter().map(site).collect(),
    };
    shown.iter().map(organization).collect()
}

/// Why nothing may be written (any more), in words.
#[must_use]
pub fn left(left: Left) -> Error {
    let words = match left {
        Left::Held => HELD,
        Left::Unconfirmed => UNCONFIRMED,
        Left::NoSuchConnection => "the connection is gone",
        Left::Inactive => "the connection was disconnected meanwhile",
        Left::Suspended => "the tenant was suspended meanwhile",
        Left::ServerChanged => "another server stands behind the connection by now: sync again",
        Left::UnknownOrganization => "the client is not known: sync the clients, then the devices",
        Left::Unmapped => "the client is assigned to nobody",
        Left::AutoSyncOff => "the client's devices are switched off",
    };
    Error::Doubtful(words.to_owned())
}

fn held(look: Look, url: &str, shown: &[Organization]) -> Held {
    let side = |names: BTreeMap<String, String>, count: &dyn Fn(&str) -> Option<i64>| {
        let clients = names.into_iter().map(|(id, name)| HeldClient { agent_count: count(&id), id, name });
        clients.collect::<Vec<_>>()
    };
    let names = shown.iter().map(|client| (client.id.to_string(), client.name.clone())).collect();
    let counts: BTreeMap<String, Option<i64>> =
        shown.iter().map(|client| (client.id.to_string(), client.agent_count)).collect();
    Held {
        reason: HELD.to_owned(),
        old_url: look.confirmed_url,
        new_url: Some(url.to_owned()),
        old: side(look.clients, &|_| None),
        new: side(names, &|id| counts.get(id).copied().flatten()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_narrow_when_more_than_a_few_are_absent() {
        for (listed, expected, narrow) in [
            (0, 0, false),
            (0, 1, true),
            (1, 6, false),
            (1, 7, true),
            (95, 100, false),
            (94, 100, true),
            (950, 1_000, false),
            (949, 1_000, true),
            (2_000, 1_000, false),
        ] {
            assert_eq!(is_narrow(listed, expected), narrow, "{listed} of {expected}");
        }
    }
}
