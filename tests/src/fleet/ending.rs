//! The end of a fleet: its programs drain, and then nothing may be left that the test did not expect.

use std::path::{Path, PathBuf};

use super::{Expected, Fleet, Program, STOP_DEADLINE};
use crate::amqp::Client;

/// Depths of queues; None where there is no such queue or no broker.
pub(super) async fn left(client: &Client, queues: &[String]) -> Vec<(String, Option<u32>)> {
    let mut left = Vec::new();
    for queue in queues {
        left.push((queue.clone(), client.depth(queue).await));
    }
    left
}

impl Fleet {
    /// The programs that have ended and that the test has neither ended nor allowed to.
    pub fn ended_by_themselves(&mut self) -> Vec<String> {
        let mut ended = self.ended.clone();
        let gateways = self.gateway.iter_mut().chain(&mut self.further_gateways).chain(&mut self.console);
        let workers = self.workers.iter_mut().chain(&mut self.sync_workers).chain(&mut self.inventory_workers);
        ended.extend(gateways.chain(workers).filter_map(|program| program.process().ended_by_itself()));
        ended
    }

    /// The logs of all programs that were started, where they are kept; those of gateways that followed each other are one.
    #[must_use]
    pub fn log_files(&self) -> Vec<PathBuf> {
        let gateways = self.gateway.iter().chain(&self.further_gateways).chain(&self.console);
        let workers = self.workers.iter().chain(&self.sync_workers).chain(&self.inventory_workers);
        gateways.chain(workers).filter_map(Program::log_file).collect()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // whoever sends ends before whoever receives
        drop(self.simulator.take());
        if std::thread::panicking() {
            return;
        }
        let spools = self.spool_folders();
        let mut gateways = std::mem::take(&mut self.further_gateways);
        gateways.extend(self.gateway.take().into_iter().chain(self.console.take()));
        let queues = self.queues();
        let mut workers = std::mem::take(&mut self.workers);
        workers.append(&mut self.sync_workers);
        workers.append(&mut self.inventory_workers);
        let (url, database_url) = (self.amqp().url().to_owned(), self.database.url().to_owned());
        let expected = self.expected.clone();
        // `drop` cannot await; what is asked anew there belongs to another runtime
        let ended = crate::apart(move || async move {
            stop(gateways).await;
            spools.iter().for_each(|spool| check_spool(spool));
            stop(workers).await;
            check(&Client::at(&url), &database_url, &expected, &queues).await;
        });
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic);
        }
    }
}

/// SIGTERM to all, and each must end well. One that the test has ended is not asked.
async fn stop(mut programs: Vec<Program>) {
    programs.retain_mut(|program| program.process().ended().is_none());
    for program in &mut programs {
        // a stopped one could not hear the signal
        program.process().signal("CONT");
        program.process().signal("TERM");
    }
    for program in &mut programs {
        let status = program.process().terminated(STOP_DEADLINE).await;
        assert!(status.success(), "a program did not end well: {status}");
    }
}

/// A gateway that is told to stop empties its spool; one that was killed leaves it to the next, or to the test.
fn check_spool(folder: &Path) {
    // there was no gateway
    let Ok((spool, _writer)) = spool::Spool::adopt(folder) else { return };
    let figures = spool.figures();
    assert_eq!((figures.records, figures.set_aside), (0, 0), "the gateway left messages in its spool");
}

async fn check(client: &Client, database_url: &str, expected: &Expected, queues: &[String]) {
    let mut wrong = Vec::new();
    for (queue, depth) in left(client, queues).await {
        let wanted = expected.queues.iter().rev().find(|(name, _)| *name == queue).map_or(0, |(_, count)| *count);
        if depth.is_none() && expected.every_queue && client.depth(&queue).await.is_none() {
            wrong.push(format!("{queue} does not answer"));
        }
        // elsewhere the test's broker is gone, or nothing was ever declared
        if depth.is_some_and(|depth| depth != wanted) {
            wrong.push(format!("{queue} holds {} messages, expected {wanted}", depth.unwrap_or_default()));
        }
    }
    let store = store::Store::lazy(&store::Config::for_url(database_url), "harness").expect("it is a URL");
    let parked = store::parked::list(&store, 20).await.expect("the database answers");
    let count = store::parked::count(&store).await.expect("the database answers");
    if count != expected.parked {
        wrong.push(format!("muster.parked holds {count} messages, expected {}: {parked:#?}", expected.parked));
    }
    store.close().await;
    assert!(wrong.is_empty(), "the fleet left messages behind:\n{}", wrong.join("\n"));
}
