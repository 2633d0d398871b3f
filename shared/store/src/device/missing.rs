//! Devices that are gone from Tactical: known once two lists say so, marked and nothing else.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

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
        let scope = Scope::parse(&fence.name);
        let known = known(&mut transaction, fence, held.integration_id, scope.as_ref(), part.started_at).await?;
        let gone: Vec<String> = known.into_iter().filter(|agent_id| !seen.contains(agent_id)).collect();
        let noted = note(&mut transaction, fence, &gone, part.started_at).await?;
        forget(&mut transaction, fence, seen).await?;
        if let Some(Scope::Client(client)) = &scope {
            propose(&mut transaction, fence.run.tenant, held.integration_id, Some(client)).await?;
        }
        transaction.commit().await.attempt("commit candidates")?;
        Ok(Some(noted))
    };
    store.within("note candidates", store.work_ends(), work).await
}

/// The agents that a part's list should show, as far as nothing was written of them since the part began.
async fn known(
    connection: &mut PgConnection,
    fence: &PartFence,
    integration_id: Uuid,
    scope: Option<&Scope>,
    started_at: DateTime<Utc>,
) -> Result<Vec<String>, Error> {
    let (client, site, kind) = match scope {
        Some(Scope::Client(client)) => (Some(client.as_str()), None, None),
        Some(Scope::Site(site, kind)) => (None, Some(site.as_str()), kind.map(super::DeviceType::as_str)),
        _ => return Ok(Vec::new()),
    };
    let tenant = fence.run.tenant;
    sqlx::query_file_scalar!("sql/device/known_agents.sql", tenant, integration_id, client, site, kind, started_at)
        .fetch_all(connection)
        .await
        .attempt(format!("read the agents of part {}", fence.name))
}

async fn note(
    connection: &mut PgConnection,
    fence: &PartFence,
    gone: &[String],
    since: DateTime<Utc>,
) -> Result<u64, Error> {
    if gone.is_empty() {
        return Ok(0);
    }
    let done = sqlx::query!(
        "insert into muster.run_candidate (tenant, run_id, agent_id, since)
         select $1, $2, agent_id, $4 from unnest($3::text[]) n (agent_id)
         on conflict (tenant, run_id, agent_id) do nothing",
        fence.run.tenant,
        fence.run.run_id,
        gone,
        since
    );
    let done = done.execute(connection).await.attempt(format!("note {} candidates", gone.len()))?;
    Ok(done.rows_affected())
}

/// An earlier attempt of the part may have noted what this one has seen.
async fn forget(connection: &mut PgConnection, fence: &PartFence, seen: &HashSet<String>) -> Result<(), Error> {
    let mut noted = all(connection, fence).await?;
    noted.retain(|agent_id| seen.contains(agent_id));
    sqlx::query!(
        "delete from muster.run_candidate where tenant = $1 and run_id = $2 and agent_id = any ($3)",
        fence.run.tenant,
        fence.run.run_id,
        &noted
    )
    .execute(connection)
    .await
    .attempt(format!("forget {} candidates", noted.len()))
    .map(drop)
}

/// The run's candidates.
async fn all(connection: &mut PgConnection, fence: &PartFence) -> Result<Vec<String>, Error> {
    let candidates = sqlx::query_scalar!(
        "select agent_id from muster.run_candidate where tenant = $1 and run_id = $2",
        fence.run.tenant,
        fence.run.run_id
    );
    candidates.fetch_all(connection).await.attempt("read the candidates of a run")
}

/// Marks the run's candidates that the list of all agents lacks too as missing; how many are newly so. `None`: fenced.
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
        if run::hold_part(&mut transaction, fence).await?.is_none() {
            return Ok(None);
        }
        if listed.is_empty() {
            return Ok(Some(0));
        }
        let (mut elsewhere, mut gone): (Vec<String>, Vec<String>) =
            all(&mut transaction, fence).await?.into_iter().partition(|agent_id| listed.contains(agent_id));
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

async fn mark(connection: &mut PgConnection, run: &Fence, integration_id: Uuid, gone: &[String]) -> Result<u64, Error> {
    let done = sqlx::query_file!("sql/device/mark_missing.sql", run.tenant, integration_id, gone, run.run_id);
    let done = done.execute(connection).await.attempt(format!("mark {} agents as missing", gone.len()))?;
    Ok(done.rows_affected())
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
