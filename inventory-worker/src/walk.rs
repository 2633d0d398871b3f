//! One step of a walk from agent to agent: so many agents as fit a delivery, at a gentle pace, merged as one batch whose
//! transaction notes how far the walk has come and sends the message of the next step.
//!
//! One step is under way at a time, so the pace is the pace of the whole walk, whatever the number of workers.

use std::future::Future;
use std::time::Duration;

use connection::Open;
use connection::failure::Error;
use store::Store;
use store::run::Part;
use store::software::{self, Batch, Outcome, Report};
use tactical::AgentSoftware;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{Limits, plan, report};

/// Agents of one step: ten seconds at the default pace.
const STEP_AGENTS_MAX: u16 = 50;
/// A step that has lasted as long ends with the agents that it has: the last one's answer, which may take 5 s, and the merge
/// must still fit a job's time.
const STEP_TIME_MAX: Duration = Duration::from_secs(12);
/// So many agents of a step may have no readable answer, and are left as they are; more of them are the server's own fault.
const SKIPPED_MAX: usize = 5;
/// So many refusals before the first answer are a role that sees no software at all, which is a person's affair: one that
/// sees a twentieth of the devices has shown some of them by then. Until then they are devices that the role does not see.
const REFUSED_MAX: usize = 500;

/// What a step came to.
pub(crate) enum Step {
    /// It is written, and the next one has its message.
    Taken,
    /// There is no further agent.
    End,
    /// Written or not, as the store says.
    Stopped(Outcome),
}

/// What is answered about one agent.
type Answer = Result<Option<AgentSoftware>, connection::Error>;

/// The agents of a step, as far as they were asked.
#[derive(Default)]
struct Asked {
    reports: Vec<Report>,
    silent: usize,
    /// Those that the role may not see.
    refused: usize,
    skipped: usize,
    /// Why the first of the skipped ones was.
    fault: Option<tactical::Error>,
    last: Option<String>,
}

/// Takes one step. `attempt`: of its message, from 0.
pub(crate) async fn step(store: &Store, open: &Open, part: &Part, limits: Limits, attempt: u32) -> Result<Step, Error> {
    let (tenant, integration_id) = (open.settings().tenant, open.settings().integration_id);
    let fetched_at = store.database_now().await?;
    let after = part.cursor.as_deref();
    let agents = software::next_agents(store, tenant, integration_id, after, STEP_AGENTS_MAX).await?;
    let is_end = agents.is_empty();
    let ask = |agent_id: String| async move { open.call(async |client| client.software_of(&agent_id).await).await };
    let mut asked = ask_all(agents, limits, ask).await?;
    if let Some(fault) = asked.doubt(attempt) {
        return Err(fault.into());
    }
    if sees_nothing(part, &asked, is_end) {
        return Err(tactical::Error::Forbidden { endpoint: "/software/{agent}/" }.into());
    }
    if is_end {
        return Ok(Step::End);
    }
    if asked.skipped + asked.refused > 0 {
        let (run_id, skipped, refused) = (part.fence.run.run_id, asked.skipped, asked.refused);
        tracing::warn!(run.id = %run_id, tenant.id = %tenant, "{skipped} agents gave no readable answer, {refused} may not be seen");
    }
    let batch = Batch {
        tenant,
        integration_id,
        fetched_at,
        fence: part.fence.clone(),
        reports: asked.reports,
        silent: asked.silent,
        refused: asked.refused,
        cursor: asked.last,
    };
    Ok(match software::merge(store, &batch).await? {
        Outcome::Merged(_) => Step::Taken,
        stopped => Step::Stopped(stopped),
    })
}

/// Whether the role sees no software at all: nothing was ever answered but that it may not.
fn sees_nothing(part: &Part, asked: &Asked, is_end: bool) -> bool {
    let refused = usize::try_from(part.unverifiable).unwrap_or_default() + asked.refused;
    part.seen == 0 && asked.is_fruitless() && (refused >= REFUSED_MAX || is_end && refused > 0)
}

/// Asks for one agent after the other, at the pace that is set.
async fn ask_all<A>(agents: Vec<String>, limits: Limits, ask: impl Fn(String) -> A) -> Result<Asked, Error>
where
    A: Future<Output = Answer>,
{
    let (mut asked, began) = (Asked::default(), Instant::now());
    let mut pace = interval(Duration::from_secs(1) / limits.agents_per_s);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for agent_id in agents {
        pace.tick().await;
        if began.elapsed() > STEP_TIME_MAX {
            break;
        }
        let answer = ask(agent_id.clone()).await;
        if !asked.take(agent_id, answer)? {
            break;
        }
    }
    Ok(asked)
}

impl Asked {
    /// Adds an agent's answer. `false`: the step ends before it.
    fn take(&mut self, agent_id: String, answer: Answer) -> Result<bool, Error> {
        match answer {
            Ok(software) => match software.and_then(|software| report(agent_id.clone(), software)) {
                Some(report) => self.reports.push(report),
                // it has never reported, or the answer does not tell
                None => self.silent += 1,
            },
            // it is gone by now
            Err(connection::Error::Tactical(tactical::Error::NotFound { .. })) => self.silent += 1,
            Err(connection::Error::Tactical(tactical::Error::Forbidden { .. })) => self.refused += 1,
            Err(connection::Error::Tactical(error)) if plan::is_its_own(&error) && self.skipped < SKIPPED_MAX => {
                self.skipped += 1;
                self.fault.get_or_insert(error);
            }
            // what was read is written first: the next step meets the same fault at its beginning
            Err(_) if self.skipped < SKIPPED_MAX && !self.is_fruitless() => return Ok(false),
            // the faults are what has opened the breaker, and they count
            Err(error) => return Err(self.fault.take().map_or_else(|| error.into(), Error::from)),
        }
        self.last = Some(agent_id);
        Ok(true)
    }

    /// Why the step is to be taken once more: nobody has answered anything, which is the server's fault until it is the same
    /// again. The same agents' own faults must not end every walk at them.
    fn doubt(&mut self, attempt: u32) -> Option<tactical::Error> {
        if attempt == 0 && self.is_fruitless() && self.refused == 0 { self.fault.take() } else { None }
    }

    /// Nobody has answered.
    fn is_fruitless(&self) -> bool {
        self.reports.is_empty() && self.silent == 0
    }
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
