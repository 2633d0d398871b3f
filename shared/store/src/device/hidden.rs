//! Devices that the API key does not see any more are not gone: whoever narrows its role must not empty a fleet.

use std::collections::{HashMap, HashSet};

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::error::Attempt;
use crate::organization::Organization;
use crate::run::{self, PartFence};
use crate::{Error, Store};

/// Forgets the run's candidates whose client or site is hidden; how many. No list tells of them any more, so that their
/// status ages from here on. `None`: fenced.
///
/// To be called before [`super::confirm_missing`], with a list of clients that was read before the list of agents.
///
/// # Errors
/// What the database said.
pub async fn forget_hidden(store: &Store, fence: &PartFence, shown: &[Organization]) -> Result<Option<u64>, Error> {
    let work = async {
        let mut transaction = store.pool().begin().await.attempt("begin to forget hidden devices")?;
        let Some(held) = run::hold(&mut transaction, &fence.run).await? else { return Ok(None) };
        if run::hold_part(&mut transaction, fence).await?.is_none() {
            return Ok(None);
        }
        let (tenant, run_id) = (fence.run.tenant, fence.run.run_id);
        let sites = known_sites(&mut transaction, tenant, held.integration_id).await?;
        let view = View::new(shown, &sites);
        let mut hidden = candidates(&mut transaction, fence, held.integration_id).await?;
        hidden.retain(|candidate| view.hides(candidate));
        // in the order of their bytes, as every writer of agents takes them
        let mut hidden: Vec<String> = hidden.into_iter().map(|candidate| candidate.agent_id).collect();
        hidden.sort_unstable();
        sqlx::query_file!("sql/device/leave_client.sql", tenant, held.integration_id, &hidden, run_id)
            .execute(&mut *transaction)
            .await
            .attempt(format!("note {} agents that are hidden", hidden.len()))?;
        let done = sqlx::query!(
            "delete from muster.run_candidate where tenant = $1 and run_id = $2 and agent_id = any ($3)",
            tenant,
            run_id,
            &hidden
        );
        let done = done.execute(&mut *transaction).await.attempt("forget hidden devices")?;
        transaction.commit().await.attempt("commit the forgetting of hidden devices")?;
        Ok(Some(done.rows_affected()))
    };
    store.within("forget hidden devices", store.work_ends(), work).await
}

/// An agent that its client's list lacks, and where it was read last.
struct Candidate {
    agent_id: String,
    client: Option<String>,
    site: Option<String>,
}

async fn candidates(
    connection: &mut PgConnection,
    fence: &PartFence,
    integration_id: Uuid,
) -> Result<Vec<Candidate>, Error> {
    sqlx::query_as!(
        Candidate,
        "select c.agent_id, g.external_client_id as client, g.site_name as site
         from muster.run_candidate c
         join muster.agent g on g.tenant = c.tenant and g.integration_id = $3 and g.agent_id = c.agent_id
         where c.tenant = $1 and c.run_id = $2 and not c.is_seen and not c.is_stray",
        fence.run.tenant,
        fence.run.run_id,
        integration_id
    )
    .fetch_all(connection)
    .await
    .attempt("read where a run's candidates were")
}

/// A site as the last list of clients told of it.
struct KnownSite {
    site_id: String,
    client: String,
    name: String,
}

async fn known_sites(
    connection: &mut PgConnection,
    tenant: Uuid,
    integration_id: Uuid,
) -> Result<Vec<KnownSite>, Error> {
    sqlx::query_as!(
        KnownSite,
        "select site_id, external_client_id as client, name from muster.site where tenant = $1 and integration_id = $2",
        tenant,
        integration_id
    )
    .fetch_all(connection)
    .await
    .attempt("read the known sites")
}

/// What a list of clients shows of each.
struct View<'a>(HashMap<String, Shown<'a>>);

#[derive(Default)]
struct Shown<'a> {
    /// Nothing of the client is hidden: a site that is not shown is deleted, or has another name by now.
    is_whole: bool,
    /// Names of what is shown, the present ones and those of the last list.
    names: HashSet<&'a str>,
}

impl<'a> View<'a> {
    fn new(shown: &'a [Organization], known: &'a [KnownSite]) -> Self {
        let mut of_client: HashMap<&str, Vec<&KnownSite>> = HashMap::new();
        for site in known {
            of_client.entry(&site.client).or_default().push(site);
        }
        let shown = shown.iter().map(|client| {
            let id = client.id.to_string();
            let known = of_client.get(id.as_str()).map_or(&[][..], Vec::as_slice);
            (id, Shown::new(client, known))
        });
        Self(shown.collect())
    }

    fn hides(&self, candidate: &Candidate) -> bool {
        let client = candidate.client.as_ref().and_then(|client| self.0.get(client));
        let site = candidate.site.as_deref().map(str::trim).filter(|site| !site.is_empty());
        client.is_none_or(|client| !client.is_whole && site.is_some_and(|site| !client.names.contains(site)))
    }
}

impl<'a> Shown<'a> {
    fn new(client: &'a Organization, known: &[&'a KnownSite]) -> Self {
        let ids: HashSet<String> = client.sites.iter().map(|site| site.id.to_string()).collect();
        let in_sites: Option<i64> = client.sites.iter().map(|site| site.agent_count).sum();
        // a client's own count holds the agents of its hidden sites too
        let is_whole = match (client.agent_count, in_sites) {
            (Some(all), Some(in_sites)) => all <= in_sites,
            _ => known.iter().all(|site| ids.contains(&site.site_id)),
        };
        let present = client.sites.iter().map(|site| site.name.trim());
        let before = known.iter().filter(|site| ids.contains(&site.site_id)).map(|site| site.name.trim());
        Self { is_whole, names: present.chain(before).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::organization::Site;

    fn hides(all: Option<i64>, sites: &[(i64, &str, Option<i64>)], agent: (&str, Option<&str>)) -> bool {
        let sites =
            sites.iter().map(|(id, name, count)| Site { id: *id, name: (*name).to_owned(), agent_count: *count });
        let client = Organization { id: 1, name: String::new(), agent_count: all, sites: sites.collect() };
        let known = [(1, "Köln "), (2, "Bonn")].map(|(id, name)| KnownSite {
            site_id: id.to_string(),
            client: "1".to_owned(),
            name: name.to_owned(),
        });
        let (client_id, site) = agent;
        let candidate =
            Candidate { agent_id: "a".to_owned(), client: Some(client_id.to_owned()), site: site.map(str::to_owned) };
        View::new(&[client], &known).hides(&candidate)
    }

    #[test]
    fn a_site_is_hidden_only_where_its_client_has_agents_that_no_site_shows() {
        let both = &[(1, "Köln", Some(3)), (2, "Bonn", Some(4))][..];
        let renamed = &[(1, "Cologne", Some(3)), (2, "Bonn", Some(4))][..];
        let one = &[(1, "Köln", Some(3))][..];
        let uncounted = &[(1, "Köln", None)][..];
        for (all, sites, agent, hidden) in [
            (Some(7), both, ("2", Some("Köln")), true),
            (Some(7), both, ("1", Some("Köln")), false),
            (Some(7), both, ("1", Some("deleted long ago")), false),
            (Some(7), renamed, ("1", Some("Köln")), false),
            // Bonn was deleted with its agents, or is hidden with its four
            (Some(3), one, ("1", Some("Bonn")), false),
            (Some(7), one, ("1", Some("Bonn")), true),
            (Some(7), one, ("1", Some(" Köln ")), false),
            (Some(7), &[(1, "Cologne", Some(3))], ("1", Some("Köln")), false),
            (Some(7), one, ("1", None), false),
            (Some(7), &[], ("1", Some("Köln")), true),
            // without counts the known sites decide
            (None, uncounted, ("1", Some("Bonn")), true),
            (Some(7), uncounted, ("1", Some("Bonn")), true),
            (None, both, ("1", Some("deleted long ago")), false),
        ] {
            assert_eq!(hides(all, sites, agent), hidden, "{all:?} {sites:?} {agent:?}");
        }
    }
}
