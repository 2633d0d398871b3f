//! Devices that are gone from Tactical: known once two lists say so, marked and nothing else.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::event::{self, Fate};
use crate::error::Attempt;
use crate::merge::propose;
use crate::run::{self, Fence, PartFence, Scope, Step};
use crate::{Error, Store};

/// Notes the agents of a part that its complete list lacks, as candidates; how many. `None`: fenced, nothing was noted.
///
/// To be called once the list has been read to its end and before the part is finished. What was refreshed since the part
/// began is no candidate. Looks for reinstalled agents, too.
///
/// # Errors
/// What the database said.
pub async fn candidates(store: &Store, fence: &PartFence, seen: &HashSet<String>) -> Result<Option<u64>, Error> {
    let work = async {
        let mut transaction = store.pool().begin().await.attempt("begin to note candidates")?;
        let Some(held) = run::hold(&mut transaction, &fence.run).await? else { return Ok(None) };
        let Some(part) = run::hold_part(&mut transaction, fence).await? else { return Ok(None) };
        let Some(scope) = Scope::parse(&fence.name) else { return Ok(Some(0)) };
        let integration_id = held.integration_id;
        let known = known(&mut transaction, fence, integration_id, &scope, part.started_at).await?;
        forget(&mut transaction, fence, seen).await?;
        let noted = note(&mut transaction, fence, &known, seen, part.started_at).await?;
        if let Some(client) = client(&mut transaction, fence, integration_id, &scope).await? {
            propose(&mut transaction, fence.run.tenant, integration_id, Some(&client)).await?;
        }
        transaction.commit().await.attempt("commit candidates")?;
        Ok(Some(noted))
    };
    store.within("note candidates", store.work_ends(), work).await
}

/// An agent that a part's list may show.
struct Known {
    agent_id: String,
    /// Something was written of it since the part began.
    is_fresh: bool,
    /// Its site is none that is read: any part of this client may show it.
    of_client: Option<String>,
}

/// The agents that a part's list should show, and those that it may.
async fn known(
    connection: &mut PgConnection,
    fence: &PartFence,
    integration_id: Uuid,
    scope: &Scope,
    started_at: DateTime<Utc>,
) -> Result<Vec<Known>, Error> {
    let (client, site, kind) = match scope {
        Scope::Client(client) => (Some(client.as_str()), None, None),
        Scope::Site(site, kind) => (None, Some(site.as_str()), kind.map(super::DeviceType::as_str)),
        Scope::Clients
        | Scope::Confirm
        | Scope::Software
        | Scope::SoftwareByAgent
        | Scope::Alerts
        | Scope::AlertsBackfill => {
            return Ok(Vec::new());
        }
    };
    let (tenant, run_id) = (fence.run.tenant, fence.run.run_id);
    sqlx::query_file_as!(
        Known,
        "sql/device/known_agents.sql",
        tenant,
        integration_id,
        client,
        site,
        kind,
        started_at,
        run_id
    )
    .fetch_all(connection)
    .await
    .attempt(format!("read the agents of part {}", fence.name))
}

/// The client that a part reads, or reads a site of.
async fn client(
    connection: &mut PgConnection,
    fence: &PartFence,
    integration_id: Uuid,
    scope: &Scope,
) -> Result<Option<String>, Error> {
    let site = match scope {
        Scope::Client(client) => return Ok(Some(client.clone())),
        Scope::Site(site, _) => site,
        Scope::Clients
        | Scope::Confirm
        | Scope::Software
        | Scope::SoftwareByAgent
        | Scope::Alerts
        | Scope::AlertsBackfill => return Ok(None),
    };
    sqlx::query_scalar!(
        "select external_client_id from muster.site where tenant = $1 and integration_id = $2 and site_id = $3",
        fence.run.tenant,
        integration_id,
        site
    )
    .fetch_optional(connection)
    .await
    .attempt(format!("read the client of part {}", fence.name))
}

/// Notes what a part lacks; and, of what any part of its client may show, what this one has shown, so that no other part
/// that ends before or after it takes it for gone. How many it lacks.
async fn note(
    connection: &mut PgConnection,
    fence: &PartFence,
    known: &[Known],
    seen: &HashSet<String>,
    since: DateTime<Utc>,
) -> Result<u64, Error> {
    let (shown, lacking): (Vec<&Known>, Vec<&Known>) = known.iter().partition(|known| seen.contains(&known.agent_id));
    let gone: Vec<&Known> = lacking.into_iter().filter(|known| !known.is_fresh).collect();
    let shown: Vec<&str> =
        shown.iter().filter(|known| known.of_client.is_some()).map(|known| known.agent_id.as_str()).collect();
    if !shown.is_empty() {
        sqlx::query!(
            "insert into muster.run_candidate (tenant, run_id, agent_id, since, is_seen)
             select $1, $2, agent_id, $4, true from unnest($3::text[]) n (agent_id)
             on conflict (tenant, run_id, agent_id) do update set is_seen = true",
            fence.run.tenant,
            fence.run.run_id,
            &shown as _,
            since
        )
        .execute(&mut *connection)
        .await
        .attempt(format!("note {} agents that were shown after all", shown.len()))?;
    }
    if gone.is_empty() {
        return Ok(0);
    }
    let ids: Vec<&str> = gone.iter().map(|known| known.agent_id.as_str()).collect();
    let clients: Vec<Option<&str>> = gone.iter().map(|known| known.of_client.as_deref()).collect();
    let done = sqlx::query!(
        "insert into muster.run_candidate (tenant, run_id, agent_id, since, of_client)
         select $1, $2, n.agent_id, $5, n.of_client from unnest($3::text[], $4::text[]) n (agent_id, of_client)
         on conflict (tenant, run_id, agent_id) do nothing",
        fence.run.tenant,
        fence.run.run_id,
        &ids as _,
        &clients as _,
        since
    );
    let done = done.execute(connection).await.attempt(format!("note {} candidates", gone.len()))?;
    Ok(done.rows_affected())
}

/// An earlier attempt of the part, or another part, may have noted what this one has seen.
async fn forget(connection: &mut PgConnection, fence: &PartFence, seen: &HashSet<String>) -> Result<(), Error> {
    let noted = sqlx::query_scalar!(
        "select agent_id from muster.run_candidate where tenant = $1 and run_id = $2 and not is_seen",
        fence.run.tenant,
        fence.run.run_id
    );
    let mut noted = noted.fetch_all(&mut *connection).await.attempt("read what was noted")?;
    noted.retain(|agent_id| seen.contains(agent_id));
    sqlx::query!(
        "delete from muster.run_candidate where tenant = $1 and run_id = $2 and agent_id = any ($3) and not is_seen",
        fence.run.tenant,
        fence.run.run_id,
        &noted
    )
    .execute(connection)
    .await
    .attempt(format!("forget {} candidates", noted.len()))
    .map(drop)
}

/// The run's candidates that count.
async fn all(connection: &mut PgConnection, run: &Fence, integration_id: Uuid) -> Result<Vec<String>, Error> {
    sqlx::query_file_scalar!("sql/device/candidates.sql", run.tenant, run.run_id, integration_id)
        .fetch_all(connection)
        .await
        .attempt("read the candidates of a run")
}

/// Marks the run's candidates that the list of all agents lacks too as missing; how many are newly so. `None`: fenced, or
/// the connection is held or off by now.
///
/// A candidate that the list does show is somewhere that is not imported: its status is not known to be fresh any more. An
/// empty list proves nothing and marks nothing. What was written since the part began is not missing.
///
/// # Errors
/// What the database said.
pub async fn confirm_missing(store: &Store, fence: &PartFence, listed: &HashSet<String>) -> Result<Option<u64>, Error> {
    let work = async {
        let mut transaction = store.pool().begin().await.attempt("begin to mark missing devices")?;
        let Some(held) = run::hold(&mut transaction, &fence.run).await? else { return Ok(None) };
        if held.left.is_some() || run::hold_part(&mut transaction, fence).await?.is_none() {
            return Ok(None);
        }
        if listed.is_empty() {
            return Ok(Some(0));
        }
        let (mut elsewhere, mut gone): (Vec<String>, Vec<String>) =
            all(&mut transaction, &fence.run, held.integration_id)
                .await?
                .into_iter()
                .partition(|agent_id| listed.contains(agent_id));
        // in the order of their bytes, as every writer of agents takes them
        gone.sort_unstable();
        elsewhere.sort_unstable();
        let (tenant, integration_id) = (fence.run.tenant, held.integration_id);
        let marked = mark(&mut transaction, &fence.run, integration_id, &gone).await?;
        leave(&mut transaction, &fence.run, integration_id, &elsewhere).await?;
        let missing = usize::try_from(marked).unwrap_or(usize::MAX);
        let step = Step { missing, ..Step::default() };
        run::advance(&mut transaction, fence, &step, None).await?;
        propose(&mut transaction, tenant, integration_id, None).await?;
        transaction.commit().await.attempt("commit missing devices")?;
        Ok(Some(marked))
    };
    store.within("mark missing devices", store.work_ends(), work).await
}

pub(super) async fn mark(
    connection: &mut PgConnection,
    run: &Fence,
    integration_id: Uuid,
    gone: &[String],
) -> Result<u64, Error> {
    let marked = sqlx::query_file_scalar!("sql/device/mark_missing.sql", run.tenant, integration_id, gone, run.run_id);
    let marked = marked.fetch_all(&mut *connection).await.attempt(format!("mark {} agents as missing", gone.len()))?;
    let fates: Vec<(String, Fate)> = marked.into_iter().map(|agent_id| (agent_id, Fate::missing())).collect();
    event::tell(connection, run.tenant, integration_id, &fates).await?;
    Ok(fates.len() as u64)
}

/// Agents that are listed, but not under their client: no list tells of them.
async fn leave(
    connection: &mut PgConnection,
    run: &Fence,
    integration_id: Uuid,
    elsewhere: &[String],
) -> Result<(), Error> {
    sqlx::query_file!("sql/device/leave_client.sql", run.tenant, integration_id, elsewhere, run.run_id)
        .execute(connection)
        .await
        .attempt(format!("note {} agents that left their client", elsewhere.len()))
        .map(drop)
}
