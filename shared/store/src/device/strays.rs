//! Devices that no list of a run should show: of a client that Tactical deleted, without a client, without a mapping.
//!
//! Their absence from a list proves nothing, since the API key may simply not see where they are. Tactical answers for one
//! that is gone otherwise (404) than for one that the key may not see (403): so each is asked for alone, a few in a run.

use std::collections::HashSet;

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::missing::mark;
use crate::error::Attempt;
use crate::merge::propose;
use crate::run::{self, Fence, PartFence, Step};
use crate::{Error, Store};

/// Strays that one run notes; others come in the next.
const NOTED_MAX: i64 = 5_000;

/// Notes the strays of a run that has nothing open any more; how many. `has_list`: the list of all agents is read anyway.
pub(crate) async fn note(
    connection: &mut PgConnection,
    fence: &Fence,
    integration_id: Uuid,
    has_list: bool,
) -> Result<u64, Error> {
    sqlx::query_file!("sql/device/note_strays.sql", fence.tenant, fence.run_id, integration_id, has_list, NOTED_MAX)
        .execute(connection)
        .await
        .attempt("note the agents that no list shows")
        .map(|done| done.rows_affected())
}

/// What the part that confirms has to look at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Strays {
    /// Agents that may be gone, which only a question for each of them tells; in an order that differs from run to run.
    pub agent_ids: Vec<String>,
    /// Whether a list lacks other agents, which a second list must confirm.
    pub has_candidates: bool,
}

/// The run's strays. `None`: fenced.
///
/// # Errors
/// What the database said.
pub async fn strays(store: &Store, fence: &PartFence) -> Result<Option<Strays>, Error> {
    let work = async {
        let mut transaction = store.pool().begin().await.attempt("begin to read strays")?;
        if run::hold(&mut transaction, &fence.run).await?.is_none() {
            return Ok(None);
        }
        let rows = sqlx::query!(
            "select agent_id, is_stray from muster.run_candidate
             where tenant = $1 and run_id = $2 and not is_seen order by md5(agent_id || $2::text)",
            fence.run.tenant,
            fence.run.run_id
        );
        let rows = rows.fetch_all(&mut *transaction).await.attempt("read the strays of a run")?;
        let has_candidates = rows.iter().any(|row| !row.is_stray);
        let agent_ids = rows.into_iter().filter(|row| row.is_stray).map(|row| row.agent_id).collect();
        Ok(Some(Strays { agent_ids, has_candidates }))
    };
    store.within("read the strays of a run", store.work_ends(), work).await
}

/// Marks strays as missing of which Tactical has just said that there is no such agent; how many are newly so. What was
/// written since the run looked for them is not missing. `None`: fenced, or the connection is held or off by now.
///
/// # Errors
/// What the database said.
pub async fn mark_strays(store: &Store, fence: &PartFence, gone: &HashSet<String>) -> Result<Option<u64>, Error> {
    let work = async {
        let mut transaction = store.pool().begin().await.attempt("begin to mark strays")?;
        let Some(held) = run::hold(&mut transaction, &fence.run).await? else { return Ok(None) };
        if held.left.is_some() || run::hold_part(&mut transaction, fence).await?.is_none() {
            return Ok(None);
        }
        // in the order of their bytes, as every writer of agents takes them
        let mut gone: Vec<String> = gone.iter().cloned().collect();
        gone.sort_unstable();
        let marked = mark(&mut transaction, &fence.run, held.integration_id, &gone).await?;
        let step = Step { missing: usize::try_from(marked).unwrap_or(usize::MAX), ..Step::default() };
        run::advance(&mut transaction, fence, &step, None).await?;
        propose(&mut transaction, fence.run.tenant, held.integration_id, None).await?;
        transaction.commit().await.attempt("commit strays")?;
        Ok(Some(marked))
    };
    store.within("mark strays", store.work_ends(), work).await
}
