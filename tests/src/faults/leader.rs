//! A broker that dies within a second of a declaration: the queue comes back without a leader, and hangs whoever uses it.

use std::process::Command;

use serde_json::Value;

use super::broker::{BEFORE, RATE, main_queue, send_parked_again};
use super::{Case, Ground, Outcome, Side, Trial};
use crate::{DEADLINE, Fleet, until};

pub(super) const CASES: &[Case] = &[Case::new(
    "broker-killed-after-declare",
    "RabbitMQ dies within a second of a declaration: a queue has no leader",
    |ground| Box::pin(killed_after_declare(ground)),
)];

/// Agents that no storm looks at begin there.
const QUIET: usize = 10;
/// Of them, so many go away in a round.
const AWAY: usize = 2;
/// Whether a node that dies so leaves a leader behind is a matter of milliseconds.
const ROUNDS_MAX: usize = 5;

/// What lay in the queue is lost with it, as if somebody had deleted it: openings alone, which a poll brings back.
async fn killed_after_declare(ground: Ground) -> Outcome {
    let mut trial = Trial::start(ground, Fleet::builder().workers(2).private_broker()).await;
    trial.load(RATE, BEFORE as u64);
    trial.all_sent().await;
    trial.fleet.until_idle().await;
    let mut round = 0;
    while !kill_after_declare(&mut trial, round).await {
        round += 1;
        assert!(round < ROUNDS_MAX, "NOT PLAYED: the queue came back with a leader {ROUNDS_MAX} times");
    }
    // the remedy that the doctor has named: delete it, restart one program
    trial.fleet().broker().delete_queue(&main_queue()).await;
    let status = trial.fleet().worker(0).terminate(DEADLINE * 3).await;
    assert!(status.success(), "a worker that was told to stop ends well: {status}");
    trial.fleet().add_worker().await;
    send_parked_again(&trial).await;
    for side in trial.sides() {
        side.reconcile(&trial.fleet).await;
    }
    trial.healed().await;
    trial.load(RATE, BEFORE as u64);
    trial.all_sent().await;
    trial.healed().await;
    trial.finish().await
}

/// Has the queue declared anew, and the node killed before a second is over; whether the queue came back without a leader,
/// and the doctor said so.
async fn kill_after_declare(trial: &mut Trial, round: usize) -> bool {
    let queue = main_queue();
    trial.fleet().amqp().delete_queue(&queue).await;
    until(DEADLINE, async || trial.fleet.amqp().depth(&queue).await.ok_or("nobody has declared it")).await;
    // the workers wait for a second before they take what comes
    trial.sides().iter().for_each(|side| open(side, round));
    trial.all_sent().await;
    // what lies in the queue is in no worker, and a poll brings it back
    trial.spans_are_lost();
    trial.polls_may_tell();
    trial.fleet().broker().kill_at_once();
    trial.fleet().broker().start_again().await;
    let said = doctor(trial).await;
    let finding = said.iter().find(|it| it["finding"].as_str().unwrap_or_default().contains("has no leader"));
    let Some(finding) = finding else {
        assert!(said.iter().all(|it| it["state"] == "ok"), "something else is wrong: {said:#?}");
        return false;
    };
    let has = |member: &str, text: &str| finding[member].as_str().is_some_and(|said| said.contains(text));
    assert!(has("finding", &queue) && has("remedy", &format!("delete_queue {queue}")), "{said:#?}");
    true
}

/// Agents go away that no storm looks at.
fn open(side: &Side, round: usize) {
    for agent in side.control().agents().into_iter().skip(QUIET + AWAY * round).take(AWAY) {
        side.control().agent_overdue(agent.pk).expect("there is such an agent");
    }
}

/// What `muster doctor` says of the topology.
async fn doctor(trial: &Trial) -> Vec<Value> {
    let mut command = Command::new(crate::process::binary("muster"));
    command.env_clear().envs(trial.fleet.environment().iter().cloned());
    command.args(["doctor", "--json", "--only", "topology"]);
    let run = tokio::task::spawn_blocking(move || command.output()).await.expect("it does not panic");
    let answer: Value = serde_json::from_slice(&run.expect("the programs are built").stdout).unwrap_or(Value::Null);
    answer["findings"].as_array().cloned().unwrap_or_default()
}
