//! One step of a walk from agent to agent: so many agents as fit a delivery, at a gentle pace, merged as one batch whose
//! transaction notes how far the walk has come and sends the message of the next step.
//!
//! One step is under way at a time, so the pace is the pace of the whole walk, whatever the number of workers.

use std::time::Duration;

use connection::Open;
use connection::failure::Error;
use store::Store;
use store::run::Part;
use store::software::{self, Batch, Outcome, Report};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{Limits, plan, report};

/// Agents of one step: ten seconds at the default pace.
const STEP_AGENTS_MAX: u16 = 50;
/// A step that has lasted as long ends with the agents that it has: the merge must still fit a job's time.
const STEP_TIME_MAX: Duration = Duration::from_secs(12);
/// So many agents of a step may have no readable answer, and are left as they are; more of them are the server's own fault.
const SKIPPED_MAX: usize = 5;

/// What a step came to.
pub(crate) enum Step {
    /// It is written, and the next one has its message.
    Taken,
    /// There is no further agent.
    End,
    /// Written or not, as the store says.
    Stopped(Outcome),
}

/// The agents of a step, as far as they were asked.
#[derive(Default)]
struct Asked {
    reports: Vec<Report>,
    silent: usize,
    skipped: usize,
    /// Of those skipped the ones that the role may not see.
    refused: usize,
    last: Option<String>,
}

/// Takes one step.
pub(crate) async fn step(store: &Store, open: &Open, part: &Part, limits: Limits) -> Result<Step, Error> {
    let (tenant, integration_id) = (open.settings().tenant, open.settings().integration_id);
    let fetched_at = store.database_now().await?;
    let after = part.cursor.as_deref();
    let agents = software::next_agents(store, tenant, integration_id, after, STEP_AGENTS_MAX).await?;
    if agents.is_empty() {
        return Ok(Step::End);
    }
    let asked = ask(open, agents, limits).await?;
    if asked.skipped > 0 {
        let run_id = part.fence.run.run_id;
        tracing::warn!(run.id = %run_id, tenant.id = %tenant, "{} agents gave no readable answer", asked.skipped);
    }
    let batch = Batch {
        tenant,
        integration_id,
        fetched_at,
        fence: part.fence.clone(),
        reports: asked.reports,
        silent: asked.silent,
        cursor: asked.last,
    };
    Ok(match software::merge(store, &batch).await? {
        Outcome::Merged(_) => Step::Taken,
        stopped => Step::Stopped(stopped),
    })
}

async fn ask(open: &Open, agents: Vec<String>, limits: Limits) -> Result<Asked, Error> {
    let began = Instant::now();
    let (mut asked, count) = (Asked::default(), agents.len());
    let mut fault = None;
    let mut pace = interval(Duration::from_secs(1) / limits.agents_per_s);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for agent_id in agents {
        pace.tick().await;
        if began.elapsed() > STEP_TIME_MAX {
            break;
        }
        match open.call(async |client| client.software_of(&agent_id).await).await {
            Ok(Some(software)) => asked.reports.push(report(agent_id.clone(), software)),
            // it has never reported, or is gone by now
            Ok(None) | Err(connection::Error::Tactical(tactical::Error::NotFound { .. })) => asked.silent += 1,
            Err(connection::Error::Tactical(error)) if plan::is_its_own(&error) && asked.skipped < SKIPPED_MAX => {
                asked.skipped += 1;
                asked.refused += usize::from(matches!(error, tactical::Error::Forbidden { .. }));
                // a role that sees no software at all is a person's affair
                if asked.is_fruitless() && asked.refused == count {
                    return Err(error.into());
                }
                fault.get_or_insert(error);
            }
            // what was read is written first: the next step meets the same fault at its beginning
            Err(_) if asked.skipped < SKIPPED_MAX && !asked.is_fruitless() => break,
            // the faults are what has opened the breaker, and they count
            Err(error) => return Err(fault.map_or_else(|| error.into(), Error::from)),
        }
        asked.last = Some(agent_id);
    }
    Ok(asked)
}

impl Asked {
    /// Nobody has answered.
    fn is_fruitless(&self) -> bool {
        self.reports.is_empty() && self.silent == 0
    }
}
