//! What one bad message may do to its neighbours: nothing.

use std::sync::atomic::{AtomicU32, Ordering};

use chrono::{DateTime, Utc};
use contract::alert_observed::Said;
use contract::{AlertObserved, Message as _, Meta};
use fault::{Classify, JobError};
use uuid::Uuid;

use super::*;
use crate::job::{Job, OneByOne, Outcome, Received, SingleJob};

/// Does what its messages say, so that a test reads as a list of messages.
#[derive(Default)]
struct Obedient {
    runs: AtomicU32,
}

#[derive(Debug, thiserror::Error)]
#[error("as the message asked")]
struct Asked(Class);

impl Classify for Asked {
    fn class(&self) -> Class {
        self.0
    }
}

impl Job for Obedient {
    type Message = AlertObserved;

    async fn run(&self, batch: &[Received<AlertObserved>]) -> Result<Vec<Outcome>, JobError> {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        let mut outcomes = Vec::new();
        for message in batch {
            match message.payload.agent_id.as_str() {
                "panics" => panic!("planted"),
                "hangs" => std::future::pending().await,
                "breaks the batch slowly" => {
                    tokio::time::sleep(Duration::from_millis(150)).await;
                    return Err(Asked(Class::Permanent).into());
                }
                "breaks the batch" => return Err(Asked(Class::Permanent).into()),
                "is contended once" if run == 0 => return Err(Asked(Class::Contention).into()),
                "is contended for ever" => return Err(Asked(Class::Contention).into()),
                "fails alone" => outcomes.push(Err(Asked(Class::RETRY).into())),
                _ => outcomes.push(Ok(Done::Applied)),
            }
        }
        Ok(outcomes)
    }
}

fn message(agent_id: &str) -> Undecoded {
    let now = DateTime::<Utc>::default();
    let payload = AlertObserved::bare(Uuid::nil(), now, Said::Open, agent_id);
    let body = serde_json::to_vec(&payload).expect("it is JSON").into();
    Undecoded { meta: Meta::first::<AlertObserved>(Uuid::nil(), &[agent_id.as_bytes()], now, None), body }
}

/// On a clock that stands while a thread works: a slow machine is not a timeout.
async fn run(agents: &[&str]) -> (Vec<Option<Cause>>, u32) {
    let job = Arc::new(Obedient::default());
    let batch = agents.iter().map(|agent| message(agent)).collect();
    let verdicts = execute(Arc::clone(&job) as Arc<dyn AnyJob>, batch, Duration::from_millis(200)).await;
    (
        verdicts.into_iter().map(|verdict| verdict.err().map(|failure| failure.cause)).collect(),
        job.runs.load(Ordering::Relaxed),
    )
}

const PERMANENT: Option<Cause> = Some(Cause::Class(Class::Permanent));

#[tokio::test(start_paused = true)]
async fn a_sound_batch_is_one_run() {
    assert_eq!(run(&["a", "b", "c"]).await, (vec![None; 3], 1));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_fails_alone_fails_alone() {
    assert_eq!(run(&["a", "fails alone", "c"]).await.0, [None, Some(Cause::Class(Class::RETRY)), None]);
}

#[tokio::test(start_paused = true)]
async fn only_the_culprit_of_a_broken_batch_is_permanent() {
    let (verdicts, runs) = run(&["a", "b", "c", "d", "e", "breaks the batch", "g", "h"]).await;
    assert_eq!(verdicts, [None, None, None, None, None, PERMANENT, None, None]);
    assert_eq!(runs, 7, "halving takes a logarithm of runs");
}

#[tokio::test(start_paused = true)]
async fn the_search_for_culprits_begins_no_part_after_twice_the_limit() {
    let (verdicts, runs) = run(&["breaks the batch slowly"; 64]).await;
    // at 0, 150 and 300 ms of 400
    assert_eq!((verdicts.len(), runs), (64, 3));
    assert!(verdicts.iter().all(|cause| *cause == Some(Cause::Timeout)), "each runs alone the next time: {verdicts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_takes_no_neighbour_with_it() {
    assert_eq!(run(&["a", "panics", "c", "d"]).await.0, [None, Some(Cause::Panic), None, None]);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_message_times_its_batch_out_once() {
    assert_eq!(run(&["a", "hangs"]).await, (vec![Some(Cause::Timeout); 2], 1));
}

#[tokio::test(start_paused = true)]
async fn contention_is_repeated_in_process() {
    assert_eq!(run(&["is contended once", "b"]).await, (vec![None; 2], 2));
}

#[tokio::test(start_paused = true)]
async fn contention_that_does_not_end_costs_the_batch_an_attempt() {
    let (verdicts, runs) = run(&["is contended for ever"]).await;
    assert_eq!(verdicts, [Some(Cause::Class(Class::Contention))]);
    assert!(runs > 3, "{runs} runs");
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_body_is_poison_and_its_neighbours_run() {
    let mut batch = vec![message("a"), message("b")];
    batch[0].body = (&b"{\"agent_id\":7}"[..]).into();
    let verdicts = execute(Arc::new(Obedient::default()), batch, Duration::from_secs(1)).await;
    let failure = verdicts[0].clone().expect_err("it cannot be read");
    assert_eq!(failure.cause, Cause::Poison);
    assert!(failure.chain.starts_with(&format!("not a {}", AlertObserved::KIND)), "{}", failure.chain);
    assert_eq!(verdicts[1], Ok(Done::Applied));
}

/// Counts how many messages a run has.
struct Single(AtomicU32);

impl SingleJob for Single {
    type Message = AlertObserved;

    async fn run(&self, _: &Received<AlertObserved>) -> Outcome {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Done::Applied)
    }

    async fn fail_run(&self, _: &Received<AlertObserved>, reason: &str) -> Result<(), JobError> {
        if reason == "known" { Ok(()) } else { Err(Asked(Class::Permanent).into()) }
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_of_single_messages_gets_the_batch_form_with_a_run_each() {
    let job: Arc<dyn AnyJob> = Arc::new(OneByOne(Single(AtomicU32::new(0))));
    assert_eq!(job.messages_max(), 1);
    let verdicts = execute(job, vec![message("a"), message("b")], Duration::from_secs(1)).await;
    assert_eq!(verdicts, [Ok(Done::Applied), Ok(Done::Applied)]);
}

#[tokio::test(start_paused = true)]
async fn a_job_of_single_messages_is_told_which_run_fails() {
    let Undecoded { meta, .. } = message("a");
    let payload = AlertObserved::bare(Uuid::nil(), DateTime::default(), Said::Open, "a");
    let (job, received) = (OneByOne(Single(AtomicU32::new(0))), Received { meta, payload });
    assert!(job.fail_run(&received, "known").await.is_ok());
    assert!(job.fail_run(&received, "another").await.is_err());
}
