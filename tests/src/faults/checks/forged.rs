//! Each check fails where it must: on forged data, which differs from sound data in one thing.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use contract::event::{AlertChanged, CloudEvent, Data as _, Transition};
use uuid::Uuid;

use super::*;
use crate::faults::{Answered, Fact, Seen, facts};
use crate::otlp::{ReceivedLink, ReceivedSpan};
use crate::simulator::{Occasion, SentWebhook};

fn at(minute: i64) -> DateTime<Utc> {
    DateTime::<Utc>::from_timestamp(1_764_000_000, 0).unwrap() + TimeDelta::minutes(minute)
}

/// Alert 1 is open, alert 2 of the same key is over; both were told.
fn sound() -> (Facts, Rows) {
    let fact = |minute, is_open, resolved| Fact {
        agent_id: "agent".to_owned(),
        at: at(minute),
        severity: "critical",
        is_open,
        opened: Answered::Taken,
        severity_opened: if is_open { "critical" } else { "moderate" },
        opened_by: Some(at(minute)),
        resolved,
        is_end_polled: false,
    };
    let row = |number: u128, status: &str| Seen {
        alert_id: Uuid::from_u128(number),
        agent_id: Some("agent".to_owned()),
        at: Some(at(number as i64)),
        severity: "critical".to_owned(),
        is_severity_polled: false,
        opened_at: Some(at(number as i64)),
        is_end_said: status == "resolved",
        status: status.to_owned(),
        dedup_key: Some("key".to_owned()),
        occurrence_count: number as i32,
        revs: match status {
            "active" => vec![(Transition::Opened, 1)],
            _ => vec![(Transition::Opened, 2), (Transition::Resolved, 4)],
        },
    };
    let facts = [("1", fact(1, true, Answered::Unsent)), ("2", fact(2, false, Answered::Taken))];
    let rows = [("1", row(1, "active")), ("2", row(2, "resolved"))];
    (facts.map(|(n, fact)| (n.to_owned(), fact)).into(), rows.map(|(n, row)| (n.to_owned(), row)).into())
}

fn forge(rows: &Rows, number: &str, change: impl FnOnce(&mut Seen)) -> Rows {
    let mut forged = rows.clone();
    change(forged.get_mut(number).unwrap());
    forged
}

#[test]
fn sound_rows_have_no_findings() {
    let (facts, rows) = sound();
    for check in [lost, unsaid, untrue, foreign] {
        assert_eq!(check(&facts, &rows), Vec::<String>::new());
    }
    assert_eq!(miscounted(&rows), Vec::<String>::new());
}

#[test]
fn a_lost_row_a_lost_resolve_and_another_alert_under_the_number_are_found() {
    let (facts, rows) = sound();
    assert_eq!(lost(&facts, &BTreeMap::new()).len(), 2);
    assert_eq!(lost(&facts, &forge(&rows, "2", |row| row.status = "active".to_owned())).len(), 1);
    assert_eq!(lost(&facts, &forge(&rows, "1", |row| row.at = Some(at(9)))).len(), 1);
}

#[test]
fn a_row_that_is_not_as_bad_as_was_said_is_found_unless_a_poll_said_so() {
    let (facts, rows) = sound();
    let severity = |number, severity: &str, is_severity_polled| {
        let forged = forge(&rows, number, |row| {
            (row.severity, row.is_severity_polled) = (severity.to_owned(), is_severity_polled);
        });
        lost(&facts, &forged).len()
    };
    assert_eq!((severity("1", "minor", false), severity("1", "minor", true)), (1, 0));
    // it opened as moderate; the resolve said critical
    assert_eq!((severity("1", "moderate", false), severity("2", "moderate", false)), (1, 1));
    let resolved_since = forge(&rows, "1", |row| (row.severity, row.is_end_said) = ("minor".to_owned(), true));
    assert_eq!(lost(&facts, &resolved_since), Vec::<String>::new());
}

#[test]
fn a_webhook_that_only_a_poll_made_up_for_is_found() {
    let (mut facts, rows) = sound();
    let late = forge(&rows, "1", |row| row.opened_at = Some(at(5)));
    assert!(lost(&facts, &late)[0].contains("opened by a poll"));
    let unsaid = forge(&rows, "2", |row| row.is_end_said = false);
    assert!(lost(&facts, &unsaid)[0].contains("resolved by a poll"));
    for fact in facts.values_mut() {
        (fact.opened_by, fact.is_end_polled) = (None, true);
    }
    assert!(lost(&facts, &late).is_empty() && lost(&facts, &unsaid).is_empty());
}

#[test]
fn what_was_not_answered_may_have_come_or_not() {
    let (mut facts, mut rows) = sound();
    let open = facts.get_mut("1").unwrap();
    (open.opened, open.opened_by) = (Answered::Perhaps, None);
    facts.get_mut("2").unwrap().resolved = Answered::Perhaps;
    assert!(lost(&facts, &rows).is_empty() && unsaid(&facts, &rows).is_empty());
    rows.remove("1");
    rows.get_mut("2").unwrap().status = "active".to_owned();
    assert!(lost(&facts, &rows).is_empty());
}

#[test]
fn a_webhook_that_was_not_answered_2xx_is_found() {
    let webhook = |status, error: Option<&str>| SentWebhook {
        sequence: 1,
        generation: 0,
        occasion: Occasion::Test,
        alert_id: None,
        agent_id: String::new(),
        url: String::new(),
        body: None,
        queued_at: at(0),
        finished_at: Some(at(0)),
        status,
        error: error.map(str::to_owned),
    };
    let refused = |webhooks: Vec<SentWebhook>| refused(&facts::refusals(webhooks.into_iter()));
    assert_eq!(refused(vec![webhook(Some(200), None), webhook(Some(202), None)]), Vec::<String>::new());
    let many = vec![
        webhook(Some(503), None),
        webhook(Some(202), None),
        webhook(Some(503), None),
        webhook(None, Some("reset")),
    ];
    assert_eq!(refused(many), ["2 webhooks were not taken: 503", "1 webhooks were not taken: reset"]);
}

#[test]
fn a_resolve_that_nobody_said_is_found() {
    let (facts, rows) = sound();
    assert_eq!(unsaid(&facts, &forge(&rows, "1", |row| row.status = "resolved".to_owned())).len(), 1);
}

#[test]
fn an_occurrence_that_is_counted_twice_is_found() {
    let (_, rows) = sound();
    assert_eq!(miscounted(&forge(&rows, "2", |row| row.occurrence_count = 3)).len(), 1);
    assert_eq!(miscounted(&forge(&rows, "2", |row| row.occurrence_count = 1)).len(), 1);
}

#[test]
fn rows_that_are_not_what_the_server_is_are_found() {
    let (facts, rows) = sound();
    assert_eq!(untrue(&facts, &BTreeMap::new()).len(), 1, "what is over may be unknown");
    assert_eq!(untrue(&facts, &forge(&rows, "1", |row| row.status = "resolved".to_owned())).len(), 1);
    assert_eq!(untrue(&facts, &forge(&rows, "2", |row| row.status = "active".to_owned())).len(), 1);
    assert_eq!(untrue(&facts, &forge(&rows, "1", |row| row.severity = "minor".to_owned())).len(), 1);
    let mut nobodys = rows.clone();
    nobodys.insert("3".to_owned(), rows["1"].clone());
    assert_eq!(untrue(&facts, &nobodys).len(), 1);
}

#[test]
fn a_row_of_another_tenant_is_found() {
    let (facts, rows) = sound();
    assert_eq!(foreign(&facts, &forge(&rows, "1", |row| row.agent_id = Some("its agent".to_owned()))).len(), 1);
    assert_eq!(foreign(&facts, &forge(&rows, "1", |row| row.at = Some(at(9)))).len(), 1);
    assert_eq!(foreign(&BTreeMap::new(), &rows).len(), 2);
}

#[test]
fn a_secret_in_a_line_is_found_with_its_place() {
    let secrets = [("the key", "CANARY".to_owned())];
    let told = told_secrets(&secrets, [("a log", "all is well"), ("a span", "key=CANARY")].into_iter());
    assert_eq!(told, ["the key stands in a span: key=CANARY"]);
}

/// The opening of alert 1, and the opening and the resolve of alert 2, as the rows show them.
fn changes() -> [AlertChanged; 3] {
    let change = |number: u128, rev, transition, status: &str| AlertChanged {
        tenant: Uuid::nil(),
        alert_id: Uuid::from_u128(number),
        integration_id: Uuid::nil(),
        rev,
        transition,
        agent_id: "agent".to_owned(),
        asset_id: None,
        severity: "critical".to_owned(),
        status: status.to_owned(),
        dedup_key: None,
        occurrence_count: 1,
        triggered_at: None,
        resolved_at: None,
    };
    [
        change(1, 1, Transition::Opened, "active"),
        change(2, 2, Transition::Opened, "active"),
        change(2, 4, Transition::Resolved, "resolved"),
    ]
}

fn sent(change: AlertChanged, id: &str) -> Change {
    let event = CloudEvent {
        specversion: "1.0".to_owned(),
        id: id.to_owned(),
        source: "/".to_owned(),
        event_type: change.event_type().to_owned(),
        subject: change.subject(),
        time: at(0),
        datacontenttype: "application/json".to_owned(),
        tenant: change.tenant,
        rev: None,
        traceparent: None,
        data: change,
    };
    (id.to_owned(), serde_json::to_vec(&event).unwrap())
}

/// Sound events; only their ids tell them from others.
fn told() -> [Change; 3] {
    let [one, opened, resolved] = changes();
    [sent(one, "a"), sent(opened, "b"), sent(resolved, "c")]
}

#[test]
fn sound_events_have_no_findings_however_often_they_come() {
    let (_, rows) = sound();
    let [one, opened, resolved] = told();
    assert_eq!(
        retold(&[resolved.clone(), one.clone(), resolved, opened, one], &[&rows], &BTreeMap::new()),
        Vec::<String>::new()
    );
}

#[test]
fn events_that_contradict_themselves_or_the_rows_are_found() {
    let (_, rows) = sound();
    let one = changes()[0].clone();
    let forged = |change: &dyn Fn(&mut AlertChanged), id: &str| {
        let mut forged = one.clone();
        change(&mut forged);
        let all: Vec<Change> = told().into_iter().chain([sent(forged, id)]).collect();
        retold(&all, &[&rows], &BTreeMap::new())
    };
    assert_eq!(forged(&|change| change.severity = "minor".to_owned(), "a"), ["the event a has two contents"]);
    assert!(forged(&|_| (), "d")[0].contains("two ids for opened at 1"));
    assert!(forged(&|change| change.rev = 0, "d")[0].contains("opened 2 times"));
    assert!(
        forged(&|change| (change.rev, change.transition) = (3, Transition::Updated), "d")[0].contains("newest event")
    );
    assert!(forged(&|change| change.alert_id = Uuid::max(), "d")[0].contains("is no row"));
    assert!(retold(&[("a".to_owned(), b"{}".to_vec())], &[], &BTreeMap::new())[0].contains("cannot be read"));
}

#[test]
fn what_nobody_need_have_been_told_may_lack_events_up_to_that_revision_only() {
    let (_, rows) = sound();
    let [one, opened, resolved] = told();
    let untold = |rev| BTreeMap::from([(changes()[2].alert_id, rev)]);
    for told in [vec![one.clone()], vec![one.clone(), opened.clone()], vec![one.clone(), resolved.clone()]] {
        assert_eq!(retold(&told, &[&rows], &untold(4)), Vec::<String>::new());
    }
    assert!(retold(std::slice::from_ref(&one), &[&rows], &untold(3))[0].contains("no event told of"));
    assert_eq!(retold(&[one.clone(), resolved], &[&rows], &untold(2)), Vec::<String>::new());
    let newer = sent(AlertChanged { rev: 5, ..changes()[2].clone() }, "d");
    assert!(retold(&[one, newer], &[&rows], &untold(4))[0].contains("newest event"));
}

#[test]
fn a_change_that_is_told_twice_is_counted_and_a_redelivery_is_not() {
    let [one, opened, resolved] = told();
    let all = [one.clone(), opened, resolved.clone(), one];
    assert_eq!(doubled(&all), 0);
    let again = |rev, transition| sent(AlertChanged { rev, transition, ..changes()[0].clone() }, "d");
    for change in [again(1, Transition::Opened), again(0, Transition::Opened)] {
        assert_eq!(doubled(&[&all[..], &[change]].concat()), 1);
    }
    assert_eq!(doubled(&[&all[..], &[again(3, Transition::Updated)]].concat()), 0);
}

#[test]
fn an_event_that_is_lost_is_found_whatever_was_told_later() {
    let (_, rows) = sound();
    let [one, opened, resolved] = told();
    let lost = |told: &[Change]| retold(told, &[&rows], &BTreeMap::new());
    assert!(lost(&[opened.clone(), resolved.clone()])[0].contains("no event told of"));
    assert!(lost(&[one.clone(), resolved])[0].contains("no event told opened at 2"));
    assert!(lost(&[one, opened])[0].contains("newest event says active at 2"));
}

/// A webhook's trace, whose message was the second of its batch.
fn trace() -> Vec<ReceivedSpan> {
    let span = |name: &str, trace: &str, id: &str, parent: Option<&str>| ReceivedSpan {
        trace_id: trace.to_owned(),
        span_id: id.to_owned(),
        parent_span_id: parent.map(str::to_owned),
        name: name.to_owned(),
        kind: "internal",
        service: "a program".to_owned(),
        attributes: BTreeMap::new(),
        links: Vec::new(),
        events: Vec::new(),
        failed: false,
        status: String::new(),
        resource: Arc::default(),
        time_ns: (1, 2),
    };
    let mut request = span("POST /api/webhooks/tacticalrmm", "t", "1", None);
    request.attributes.insert("http.response.status_code".to_owned(), "202".to_owned());
    let mut flush = span("flush alert.observed.v1", "other", "5", Some("4"));
    flush.links = vec![ReceivedLink { trace_id: "t".to_owned(), span_id: "3".to_owned(), attributes: BTreeMap::new() }];
    vec![
        request,
        span("send muster.work", "t", "2", Some("1")),
        span("process alert-worker.main", "t", "3", Some("2")),
        flush,
        span("INSERT rmm_alerts", "other", "6", Some("5")),
    ]
}

#[test]
fn a_trace_that_lacks_any_of_its_spans_is_found() {
    let (whole, traces) = (trace(), ["t".to_owned()]);
    assert_eq!(accepted(&whole), [(2, "t".to_owned())]);
    assert_eq!(broken_traces(&whole, &traces), Vec::<String>::new());
    for place in 0..whole.len() {
        let mut broken = whole.clone();
        broken.remove(place);
        assert_eq!(broken_traces(&broken, &traces).len(), 1, "without {}", whole[place].name);
    }
}

#[test]
fn a_trace_that_is_no_tree_is_found() {
    let broken = |change: &dyn Fn(&mut Vec<ReceivedSpan>)| {
        let mut spans = trace();
        change(&mut spans);
        broken_traces(&spans, &["t".to_owned()]).join("")
    };
    let parent = |place: usize, parent: Option<&'static str>| {
        broken(&move |spans| spans[place].parent_span_id = parent.map(str::to_owned))
    };
    assert!(parent(2, None).contains("lacks a parent of process alert-worker.main"), "a second root");
    assert!(parent(1, Some("9")).contains("lacks the parent of send muster.work"));
    assert!(parent(2, Some("1")).contains("lacks a publish above process"));
    assert!(parent(1, Some("3")).contains("lacks an end above"));
}

#[test]
fn a_kill_excuses_what_was_done_just_before_it_and_nothing_else() {
    let second = 1_000_000_000;
    let mut spans = trace();
    let times = [(10, 11), (11, 12), (12, 13), (20, 21), (20, 21)];
    for (span, (began, ended)) in spans.iter_mut().zip(times) {
        span.time_ns = (began * second, ended * second);
    }
    let touched = |kill: u64| touched(&spans, &[kill * second]).into_iter().collect::<Vec<_>>();
    assert_eq!(touched(9), Vec::<String>::new(), "it came later");
    assert_eq!((touched(12), touched(18)), (vec!["t".to_owned()], vec!["t".to_owned()]));
    assert_eq!(touched(19), Vec::<String>::new(), "it was told long before");
    assert_eq!(touched(22), ["other"]);
}
