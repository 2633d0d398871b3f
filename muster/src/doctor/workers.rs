//! Workers: whether somebody consumes what waits for them.

use ::broker::inspect::{Backlog, Inspection};
use contract::topology::Worker;

use super::Patient;
use super::broker::NAME;
use super::finding::{Finding, or_ok};

pub(super) async fn look(patient: &Patient<'_>) -> anyhow::Result<Vec<Finding>> {
    let mut inspection = Inspection::open(patient.broker, NAME).await?;
    let backlogs = inspection.backlogs().await?;
    inspection.close().await;
    let wanted = Worker::ALL.iter().filter(|worker| !patient.without.iter().any(|name| name == worker.as_str()));
    let findings = wanted.flat_map(|worker| judge(*worker, &backlogs));
    Ok(or_ok(findings.collect(), || "somebody consumes the queues of each of them".to_owned()))
}

/// A worker consumes all of its queues, but for moments: one that may have killed its worker is run alone.
fn judge(worker: Worker, backlogs: &[Backlog]) -> Vec<Finding> {
    let own: Vec<&Backlog> = backlogs.iter().filter(|it| it.worker == worker).collect();
    let left: Vec<String> = own
        .iter()
        .filter(|it| it.consumers == 0 && it.messages > 0)
        .map(|it| format!("{} messages in {}", it.messages, it.queue))
        .collect();
    let (name, left) = (worker.as_str(), left.join(", "));
    let is_there = own.iter().any(|it| it.consumers > 0);
    match (is_there, left.is_empty()) {
        // where none answers it is the topology that tells
        _ if own.is_empty() => Vec::new(),
        (true, true) => Vec::new(),
        (true, false) => vec![Finding::warning(
            format!("{name} runs, and nobody consumes {left}"),
            format!(
                "look again in a minute: it may be running a suspect alone; where that stays, its `/readyz` and its log \
                 say why, and a restart of {name} is harmless"
            ),
        )],
        (false, false) => vec![Finding::wrong(
            format!("nobody consumes the queues of {name}: {left} wait"),
            format!(
                "start {name}; one that runs says at `/readyz` why it consumes nothing; if this fleet is to have none, \
                 `--without {name}`"
            ),
        )],
        (false, true) => vec![Finding::warning(
            format!("no {name} is there, and nothing waits for one"),
            format!("start {name}; if this fleet is to have none, `--without {name}`"),
        )],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::State;

    /// Messages and consumers of the three queues of sync-worker.
    fn judged(queues: [(u32, u32); 3]) -> Vec<State> {
        let backlogs: Vec<Backlog> = queues
            .into_iter()
            .map(|(messages, consumers)| {
                let queue = "sync-worker.main".to_owned();
                Backlog { worker: Worker::Sync, queue, messages, consumers }
            })
            .collect();
        assert_eq!(judge(Worker::Alert, &backlogs), [], "nothing is known of others");
        judge(Worker::Sync, &backlogs).into_iter().map(|it| it.state).collect()
    }

    #[test]
    fn messages_that_nobody_consumes_are_wrong_and_a_worker_that_nobody_misses_is_a_warning() {
        assert_eq!(judged([(0, 1), (7, 1), (0, 1)]), []);
        assert_eq!(judged([(0, 0), (0, 0), (0, 1)]), [], "a suspect runs alone");
        assert_eq!(judged([(0, 0), (9, 0), (0, 1)]), [State::Warning]);
        assert_eq!(judged([(0, 0), (0, 0), (0, 0)]), [State::Warning]);
        assert_eq!(judged([(1, 0), (0, 0), (0, 0)]), [State::Wrong]);
    }
}
