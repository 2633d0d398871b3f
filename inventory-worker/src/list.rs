//! The one list of everything: read, gathered into batches, and merged while the reading goes on.
//!
//! One batch is read while another one waits and a third is merged: the memory is that of three batches, whatever the fleet's
//! size, and a database that does not keep up slows the server's answer down.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use connection::Open;
use connection::failure::Error;
use store::run::Part;
use store::software::{self, Batch, Outcome, Report};
use store::{Left, Store};
use tokio::sync::mpsc;

use crate::report;

/// Programs of one transaction: those of some 60 full machines, in statements of 10,000 rows.
const BATCH_PROGRAMS_MAX: usize = 10_000;
/// Reports of one transaction, where they are short.
const BATCH_REPORTS_MAX: usize = 1_000;

/// How the reading of the list ended.
pub(crate) enum Pulled {
    /// So many agents have reported anything; all of it is written, or nothing where that is none.
    All(usize),
    /// Somebody else has the part: nothing more may be written.
    Fenced,
    /// The rest must not be written, for this reason.
    Left(Left),
}

/// What the part reads.
pub(crate) struct Pull<'a> {
    pub(crate) store: &'a Store,
    pub(crate) open: &'a Open,
    pub(crate) part: &'a Part,
    /// The database's clock before the first request.
    pub(crate) fetched_at: DateTime<Utc>,
}

impl Pull<'_> {
    /// Reads and merges all of it.
    pub(crate) async fn run(self) -> Result<Pulled, Error> {
        // the list names agents by their numbers
        let agents = agents(self.open).await?;
        let (batches, merging) = mpsc::channel(1);
        let reading = self.read(batches, agents);
        let (read, stopped) = tokio::join!(reading, self.merge_all(merging));
        // why nothing more is written comes first: the reading only ended because of it
        if let Some(stopped) = stopped? {
            return Ok(stopped);
        }
        Ok(Pulled::All(read?))
    }

    async fn read(&self, batches: mpsc::Sender<Reports>, mut agents: HashMap<i64, String>) -> Result<usize, Error> {
        let mut rows = self.open.call(async |client| client.software().await).await?;
        let mut gathered = Gathered::default();
        while let Some(row) = rows.next().await {
            let row = row?;
            // one that came between the two lists is read next time; of two rows of an agent the first counts
            let Some(agent_id) = agents.remove(&row.agent) else { continue };
            let Some(batch) = gathered.add(report(agent_id, row)) else { continue };
            // nobody there means that the merging has ended, and says why
            if batches.send(batch).await.is_err() {
                return Ok(gathered.reported);
            }
        }
        if let Some(batch) = gathered.rest() {
            let _ = batches.send(batch).await;
        }
        Ok(gathered.reported)
    }

    /// Merges until the reading ends; `Some`: it must not go on.
    async fn merge_all(&self, mut batches: mpsc::Receiver<Reports>) -> Result<Option<Pulled>, Error> {
        while let Some(Reports { reports, silent }) = batches.recv().await {
            let batch = Batch {
                tenant: self.part.fence.run.tenant,
                integration_id: self.open.settings().integration_id,
                fetched_at: self.fetched_at,
                fence: self.part.fence.clone(),
                reports,
                silent,
                refused: 0,
                cursor: None,
            };
            match software::merge(self.store, &batch).await? {
                Outcome::Merged(_) => {}
                Outcome::Fenced => return Ok(Some(Pulled::Fenced)),
                Outcome::Left(left) => return Ok(Some(Pulled::Left(left))),
            }
        }
        Ok(None)
    }
}

/// What a transaction is to write.
#[derive(Debug, Default)]
struct Reports {
    reports: Vec<Report>,
    /// Agents whose row has no list: nothing is known of them.
    silent: usize,
}

/// Reports on their way to a batch. Nothing leaves before an agent has reported anything: a list in which every row is empty
/// is not believed, and so not written.
#[derive(Default)]
struct Gathered {
    gathered: Reports,
    programs: usize,
    /// Agents that have reported anything.
    reported: usize,
}

impl Gathered {
    /// Adds an agent's report, or (`None`) one that has no list; a full batch, where it is one.
    fn add(&mut self, report: Option<Report>) -> Option<Reports> {
        let Some(report) = report else {
            self.gathered.silent += 1;
            return None;
        };
        self.programs += report.programs.len();
        self.reported += usize::from(!report.programs.is_empty());
        self.gathered.reports.push(report);
        let is_full = self.programs >= BATCH_PROGRAMS_MAX || self.gathered.reports.len() >= BATCH_REPORTS_MAX;
        if is_full { self.rest() } else { None }
    }

    /// What has not left yet, where it may.
    fn rest(&mut self) -> Option<Reports> {
        let Reports { reports, silent } = &self.gathered;
        if self.reported == 0 || reports.len() + silent == 0 {
            return None;
        }
        self.programs = 0;
        Some(std::mem::take(&mut self.gathered))
    }
}

/// The agents' ids by their numbers.
async fn agents(open: &Open) -> Result<HashMap<i64, String>, Error> {
    let mut stream = open.call(async |client| client.brief_agents().await).await?;
    let mut agents = HashMap::new();
    while let Some(agent) = stream.next().await {
        let agent = agent?;
        agents.insert(agent.id, agent.agent_id);
    }
    Ok(agents)
}

#[cfg(test)]
mod tests {
    use store::software::Program;

    use super::*;

    fn of(programs: usize) -> Option<Report> {
        Some(Report { agent_id: "a".to_owned(), programs: vec![Program::default(); programs] })
    }

    /// How many reports leave, if any do.
    fn leaves(reports: Option<Reports>) -> Option<usize> {
        reports.map(|reports| reports.reports.len())
    }

    #[test]
    fn a_batch_leaves_with_its_last_program_or_report() {
        let mut gathered = Gathered::default();
        assert_eq!(leaves(gathered.add(of(BATCH_PROGRAMS_MAX - 1))), None);
        assert_eq!(leaves(gathered.add(of(1))), Some(2));
        for _ in 1..BATCH_REPORTS_MAX {
            assert_eq!(leaves(gathered.add(of(1))), None);
        }
        assert_eq!(leaves(gathered.add(of(0))), Some(BATCH_REPORTS_MAX));
        assert_eq!(leaves(gathered.rest()), None);
    }

    #[test]
    fn nothing_leaves_before_anybody_has_reported_anything() {
        let mut gathered = Gathered::default();
        for _ in 0..=BATCH_REPORTS_MAX {
            assert_eq!(leaves(gathered.add(of(0))), None);
        }
        assert_eq!(leaves(gathered.add(None)), None);
        assert_eq!((leaves(gathered.rest()), gathered.reported), (None, 0));
        // then all of it does: the empty ones among them are told apart by the store
        let all = gathered.add(of(1)).expect("the batch is long full");
        assert_eq!((all.reports.len(), all.silent), (BATCH_REPORTS_MAX + 2, 1));
    }
}
