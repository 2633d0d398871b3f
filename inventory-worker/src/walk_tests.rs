//! What the answers of a step come to, at the edges of its limits.

use store::run::{Fence, PartFence, Scope};
use uuid::Uuid;

use super::*;

fn refused() -> Answer {
    Err(tactical::Error::Forbidden { endpoint: "/software/{agent}/" }.into())
}

fn broken() -> Answer {
    Err(tactical::Error::Server { endpoint: "/software/{agent}/", status: 500, after: None }.into())
}

/// A step that has had these answers; whether it goes on is the last one's.
fn asked(answers: impl IntoIterator<Item = Answer>) -> Result<(Asked, bool), Error> {
    let (mut asked, mut goes_on) = (Asked::default(), true);
    for (number, answer) in answers.into_iter().enumerate() {
        assert!(goes_on, "nothing is asked behind the end");
        goes_on = asked.take(number.to_string(), answer)?;
    }
    Ok((asked, goes_on))
}

fn part(seen: i32, unverifiable: i32) -> Part {
    let run = Fence { tenant: Uuid::nil(), run_id: Uuid::nil(), epoch: 1 };
    Part {
        fence: PartFence { run, name: Scope::SoftwareByAgent.to_string(), attempt: 1 },
        scope: Scope::SoftwareByAgent,
        label: String::new(),
        expected: None,
        cursor: None,
        seen,
        unverifiable,
    }
}

#[test]
fn any_number_of_agents_that_may_not_be_seen_stands_in_nobodys_way() {
    let answers = (0..STEP_AGENTS_MAX).map(|number| if number == 40 { Ok(None) } else { refused() });
    let (asked, goes_on) = asked(answers).expect("no step fails by them");
    assert_eq!((asked.refused, asked.silent, asked.skipped, goes_on), (49, 1, 0, true));
    assert_eq!(asked.last.as_deref(), Some("49"));
}

#[test]
fn an_answer_without_a_list_is_no_empty_list() {
    let software = |software| Ok(Some(AgentSoftware { agent: 1, software }));
    let (asked, _) = asked([software(None), software(Some(vec![])), Ok(None)]).expect("nothing fails");
    assert_eq!((asked.reports.len(), asked.silent), (1, 2));
}

#[test]
fn a_step_skips_so_many_agents_and_fails_by_one_more() {
    let broken_ones = |count| std::iter::once(Ok(None)).chain((0..count).map(|_| broken()));
    let (asked_all, goes_on) = asked(broken_ones(SKIPPED_MAX)).expect("as many are theirs");
    assert_eq!((asked_all.skipped, goes_on), (SKIPPED_MAX, true));
    assert!(asked(broken_ones(SKIPPED_MAX + 1)).is_err());
}

#[test]
fn what_was_read_is_kept_where_the_server_stops_answering() {
    let away = || Err(tactical::Error::BreakerOpen { after: Duration::from_secs(30) }.into());
    let (kept, goes_on) = asked([Ok(None), broken(), away()]).expect("one has answered");
    assert_eq!((kept.last.as_deref(), goes_on), (Some("1"), false));
    let Err(error) = asked([broken(), away()]) else { panic!("nobody has answered") };
    assert!(error.to_string().contains("status 500"), "the fault counts, not the breaker that it has opened: {error}");
}

#[test]
fn a_step_in_which_nobody_answers_is_taken_once_more_before_it_counts() {
    let doubts = |answers: Vec<Answer>, attempt| {
        asked(answers).expect("they are their own").0.doubt(attempt).map(|error| error.word())
    };
    let late = || {
        let wait = tactical::Wait::Total;
        Err(tactical::Error::Timeout { endpoint: "/software/{agent}/", wait, after_ms: 5_000 }.into())
    };
    assert_eq!(doubts(vec![late(), broken()], 0), Some("timeout"));
    assert_eq!(doubts(vec![late(), broken()], 1), None, "or a walk would end at these agents every time");
    for answered in [Ok(None), refused()] {
        assert_eq!(doubts(vec![late(), answered], 0), None);
    }
    assert_eq!(doubts(vec![], 0), None);
}

#[test]
fn only_a_role_that_has_never_shown_anything_sees_nothing() {
    let (none, _) = asked([]).expect("nothing fails");
    let (step, _) = asked((0..10).map(|_| refused())).expect("no step fails by them");
    let before = i32::try_from(REFUSED_MAX - 10).expect("it fits");
    assert!(sees_nothing(&part(0, before), &step, false) && !sees_nothing(&part(0, before - 1), &step, false));
    assert!(!sees_nothing(&part(1, before), &step, false), "it has shown one");
    assert!(sees_nothing(&part(0, 1), &none, true) && !sees_nothing(&part(1, 1), &none, true));
    assert!(!sees_nothing(&part(0, 0), &none, true), "there was nobody to ask for");
}

/// How many of a step's agents are asked where each answer takes that long.
async fn asked_in(answer: Duration, agents_per_s: u32) -> usize {
    let agents = (0..STEP_AGENTS_MAX).map(|number| number.to_string()).collect();
    let ask = |_| async move {
        tokio::time::sleep(answer).await;
        Ok(None)
    };
    let asked = ask_all(agents, Limits { agents_per_s, ..Limits::default() }, ask).await.expect("all answer");
    asked.silent
}

#[tokio::test(start_paused = true)]
async fn a_step_ends_with_its_last_agent_or_with_its_time() {
    assert_eq!(asked_in(Duration::ZERO, 5).await, usize::from(STEP_AGENTS_MAX), "at the default pace all fit");
    assert_eq!(asked_in(Duration::ZERO, 1).await, 13, "one at the beginning and one with each second, the last too");
    assert_eq!(asked_in(Duration::from_secs(5), 5).await, 3, "as long as one may take");
}
