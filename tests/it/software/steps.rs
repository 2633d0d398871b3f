//! The walk from agent to agent: of a large server, of one whose list cannot be read, and by workers that die.

use contract::{RunPart, SoftwareIngest};
use store::outbox::{self, NewRow};
use store::run::{Kind, State};
use tests::simulator::{FaultKind, Role};
use tests::{DEADLINE, Fleet, until};

use super::{asked, assert_true, builder, fault, ingest, program, ready, still, versions, windows_agents};

/// A fleet for which a handful of agents is a large server, and which is asked quickly.
async fn walking(agents: u32, per_s: u32) -> Fleet {
    let builder = builder(still(agents))
        .set("MUSTER_SOFTWARE_LIST_AGENTS_MAX", 10)
        .set("MUSTER_SOFTWARE_AGENTS_PER_S", per_s)
        .set("MUSTER_RELAY_SWEEP_MS", 100)
        .set("MUSTER_RELAY_LEASE_MS", 1_000);
    ready(builder).await
}

#[tokio::test]
async fn a_large_server_is_asked_agent_by_agent_in_steps_and_only_those_that_may_have_software() {
    let fleet = walking(150, 1_000).await;
    fleet.simulator().control().forget_served();
    let (run, parts) = fleet.sync(Kind::Software).await;
    assert_eq!((run.state, run.error), (State::Completed, None));
    assert_eq!(parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>(), ["software:agents"]);
    let asked = asked(&fleet);
    assert!(!asked.contains(&"/software/".to_owned()));
    assert!(parts[0].attempt >= 3 && asked.len() > 50 && asked.len() < 150, "{} in {}", asked.len(), parts[0].attempt);
    assert_eq!((run.counts.seen, run.counts.expected), (asked.len() as i64, Some(asked.len() as i64)));
    assert_true(&fleet).await;
    let before = versions(&fleet).await;
    assert_eq!(ingest(&fleet).await.counts.updated, 0);
    assert_eq!(versions(&fleet).await, before);
}

#[tokio::test]
async fn a_walk_keeps_its_pace() {
    let fleet = walking(40, 20).await;
    fleet.simulator().control().forget_served();
    let began = std::time::Instant::now();
    assert_eq!(ingest(&fleet).await.state, State::Completed);
    let asked = asked(&fleet).len();
    let least_s = asked.saturating_sub(2) as f64 / 20.0;
    assert!(began.elapsed().as_secs_f64() >= least_s, "{asked} agents in {:?}", began.elapsed());
}

#[tokio::test]
async fn a_list_that_breaks_off_becomes_a_walk_of_the_same_run() {
    let fleet = ready(builder(still(25)).set("MUSTER_SOFTWARE_AGENTS_PER_S", 1_000)).await;
    fault(&fleet, "/software/", FaultKind::Truncated { bytes: 20_000 }, Some(1));
    let (run, parts) = fleet.sync(Kind::Software).await;
    assert_eq!((run.state, run.error), (State::Completed, None));
    assert_eq!(parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>(), ["software:agents"]);
    assert_true(&fleet).await;
}

#[tokio::test]
async fn one_agent_without_a_readable_answer_is_left_as_it_is_and_the_others_are_not() {
    let fleet = walking(30, 1_000).await;
    let (pk, agent_id) = windows_agents(&fleet).remove(2);
    assert_eq!(ingest(&fleet).await.state, State::Completed);
    let control = fleet.simulator().control();
    for (pk, _) in windows_agents(&fleet) {
        control.install(pk, program("New", "1")).expect("it exists");
    }
    fault(&fleet, &format!("/software/{agent_id}/"), FaultKind::ServerError { status: 500 }, None);
    let run = ingest(&fleet).await;
    assert_eq!(
        (run.state, run.counts.expected.map(|expected| expected - run.counts.seen)),
        (State::Completed, Some(1))
    );
    control.clear_faults();
    let changed = super::history(&fleet).await;
    assert_eq!(changed.len(), windows_agents(&fleet).len() - 1);
    assert!(!changed.iter().any(|line| line.starts_with(&agent_id)), "agent {pk} was not read");
    assert_eq!(ingest(&fleet).await.counts.updated, 1);
    assert_true(&fleet).await;
}

#[tokio::test]
async fn a_server_at_the_limit_is_read_as_a_list_and_one_agent_more_is_a_walk() {
    for (agents, part) in [(30, "software"), (31, "software:agents")] {
        let limited = builder(still(agents)).set("MUSTER_SOFTWARE_LIST_AGENTS_MAX", 30);
        let fleet = ready(limited.set("MUSTER_SOFTWARE_AGENTS_PER_S", 1_000)).await;
        let (run, parts) = fleet.sync(Kind::Software).await;
        assert_eq!((run.state, run.error), (State::Completed, None));
        assert_eq!(parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>(), [part]);
        assert_true(&fleet).await;
    }
}

#[tokio::test]
async fn a_list_that_takes_too_long_becomes_a_walk_of_the_same_run() {
    let fleet = ready(builder(still(25)).set("MUSTER_SOFTWARE_AGENTS_PER_S", 1_000)).await;
    // longer than a job may take, let alone a list
    fault(&fleet, "/software/", FaultKind::Slow { delay_ms: 60_000 }, Some(1));
    let (run, parts) = fleet.sync(Kind::Software).await;
    assert_eq!((run.state, run.error), (State::Completed, None));
    assert_eq!(parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>(), ["software:agents"]);
    assert_true(&fleet).await;
}

#[tokio::test]
async fn a_steps_message_that_comes_twice_makes_no_agent_count_twice() {
    let fleet = walking(120, 100).await;
    let run_id = fleet.start_run(Kind::Software).await;
    until(DEADLINE, async || {
        let (run, _) = fleet.run(run_id).await;
        if run.counts.seen > 0 { Ok(()) } else { Err(run.state) }
    })
    .await;
    // as where a worker is killed between a step's commit and its acknowledgement
    let (tenant, integration_id) = (fleet.connection().tenant, fleet.connection().integration_id);
    let part = Some(RunPart { epoch: 1, name: "software:agents".to_owned() });
    let payload = SoftwareIngest { integration_id, run_id, part };
    let again = NewRow::message(tenant, &[run_id.as_bytes(), b"again"], &payload, None);
    outbox::insert(&mut fleet.database().connect().await, &[again]).await.expect("the database takes it");
    let (run, _) = fleet.ended(run_id).await;
    assert_eq!((run.state, run.epoch, run.error), (State::Completed, 1, None));
    assert_eq!(Some(run.counts.seen), run.counts.expected);
    assert_true(&fleet).await;
    fleet.until_idle().await;
}

#[tokio::test]
async fn an_agent_that_never_answers_keeps_nobody_from_being_read_and_no_step_is_taken_twice() {
    let fleet = walking(30, 1_000).await;
    let (_, agent_id) = windows_agents(&fleet).remove(2);
    fault(&fleet, &format!("/software/{agent_id}/"), FaultKind::Held, None);
    let (run, parts) = fleet.sync(Kind::Software).await;
    assert_eq!((run.state, run.error), (State::Completed, None));
    assert_eq!(run.counts.expected, Some(run.counts.seen + 1));
    assert_eq!(parts[0].attempt, 2, "the step that it is in, and the end: none is taken twice");
    fleet.simulator().control().clear_faults();
    assert_eq!(ingest(&fleet).await.counts.created, 1);
    assert_true(&fleet).await;
}

#[tokio::test]
async fn a_list_of_agents_that_breaks_off_is_read_again_and_no_reason_for_a_walk() {
    let fleet = ready(builder(still(25))).await;
    fault(&fleet, "/agents/?detail=false", FaultKind::Truncated { bytes: 500 }, Some(1));
    let (run, parts) = fleet.sync(Kind::Software).await;
    assert_eq!((run.state, run.error), (State::Completed, None));
    assert_eq!(parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>(), ["software"]);
    assert_true(&fleet).await;
}

#[tokio::test]
async fn agents_that_the_role_does_not_see_keep_nobody_else_from_being_read() {
    let fleet = walking(150, 1_000).await;
    assert_eq!(ingest(&fleet).await.state, State::Completed);
    let control = fleet.simulator().control();
    let seen = control.agents().into_iter().filter(|agent| agent.client.0 == 1).map(|agent| agent.agent_id);
    let seen: Vec<String> = seen.filter(|id| windows_agents(&fleet).iter().any(|(_, other)| other == id)).collect();
    for (pk, _) in windows_agents(&fleet) {
        control.install(pk, program("New", "1")).expect("it exists");
    }
    let role = control.role("sync").expect("it exists");
    control.set_role("sync", Role { view_clients: [1].into(), ..role.clone() }).expect("it exists");
    let run = ingest(&fleet).await;
    assert_eq!((run.state, run.error), (State::Completed, None));
    assert!(run.counts.unverifiable > 50, "whole handfuls of a step are hidden: {:?}", run.counts);
    assert_eq!(run.counts.expected, Some(run.counts.seen + run.counts.unverifiable));
    let changed = super::history(&fleet).await;
    assert!(!seen.is_empty() && changed.len() == seen.len(), "{} of {}", changed.len(), seen.len());
    assert!(seen.iter().all(|id| changed.contains(&format!("{id} installed New 1"))));

    // what is not shown any more is not asked for; a role that may see no software at all is told
    assert_eq!(fleet.sync(Kind::Clients).await.0.state, State::Completed);
    assert_eq!(ingest(&fleet).await.counts.unverifiable, 0);
    let permissions = role.permissions.iter().filter(|name| *name != "can_list_software").cloned().collect();
    control.set_role("sync", Role { permissions, ..role }).expect("it exists");
    let run = ingest(&fleet).await;
    assert_eq!(run.state, State::Failed);
    assert!(run.error.is_some_and(|error| error.contains("role may not ask /software/")), "it says what to do");
}

#[tokio::test]
async fn a_walk_whose_worker_is_killed_goes_on_where_it_was_and_a_second_message_makes_no_second_walk() {
    let mut fleet = walking(120, 40).await;
    let run_id = fleet.start_run(Kind::Software).await;
    until(DEADLINE, async || {
        let (run, _) = fleet.run(run_id).await;
        if run.counts.seen > 0 { Ok(()) } else { Err(run.state) }
    })
    .await;
    fleet.inventory_worker(0).kill();
    assert!(!fleet.run(run_id).await.0.state.is_ended(), "the test must kill it in the middle");
    // as after a redelivery of the run's own message
    let (tenant, integration_id) = (fleet.connection().tenant, fleet.connection().integration_id);
    let payload = SoftwareIngest { integration_id, run_id, part: None };
    let again = NewRow::message(tenant, &[run_id.as_bytes(), b"again"], &payload, None);
    outbox::insert(&mut fleet.database().connect().await, &[again]).await.expect("the database takes it");
    fleet.add_inventory_worker().await;
    let (run, parts) = fleet.ended(run_id).await;
    assert_eq!((run.state, run.epoch, parts.len()), (State::Completed, 2, 1));
    assert_eq!(Some(run.counts.seen), run.counts.expected, "each agent counts once");
    assert_true(&fleet).await;
    fleet.until_idle().await;
}

#[tokio::test]
async fn what_a_real_server_answered_about_an_agent_is_taken_as_it_is() {
    let fleet = walking(20, 1_000).await;
    assert_eq!(ingest(&fleet).await.state, State::Completed);
    let before = versions(&fleet).await;
    let folder = crate::recorded::folder();
    let mut replayed = 0;
    for exchange in crate::recorded::exchanges(&folder) {
        if !exchange.path.starts_with("/software/") || exchange.status != 200 {
            continue;
        }
        replayed += 1;
        let body = exchange.answer.clone();
        let (_, agent_id) = windows_agents(&fleet).remove(0);
        fault(&fleet, &format!("/software/{agent_id}/"), FaultKind::Json { body: body.clone() }, None);
        let run = ingest(&fleet).await;
        assert_eq!((run.state, run.error), (State::Completed, None), "{}", exchange.file);
        fleet.simulator().control().clear_faults();
        let json: serde_json::Value = serde_json::from_str(&body).expect("a recorded answer is JSON");
        let items = json["software"].as_array().map_or(0, Vec::len);
        let shown = super::installed(&fleet, &agent_id).await.len();
        if items == 0 {
            // no report, and one empty report: nothing is known to be gone
            assert!(shown > 0, "{}", exchange.file);
        } else {
            assert!(shown > 0 && shown <= items, "{}: {shown} of {items}", exchange.file);
        }
    }
    assert!(replayed >= 2, "{}", folder.display());
    assert_eq!(ingest(&fleet).await.state, State::Completed);
    assert_true(&fleet).await;
    assert!(before.len() > 100);
}
