//! The invariants of the suite, each a function of data alone, so that forged data can show that it fails.
//!
//! I1 [`refused`], [`lost`], [`unsaid`], [`miscounted`] · I2 [`retold`] · I3 [`untrue`] · I4 is the fleet's end · I5 is
//! compared by the program · I6 [`foreign`] · I7 [`told_secrets`] · I8 [`broken_traces`].

mod events;
#[cfg(test)]
mod forged;
mod traces;

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::facts::{Answered, Fact, Facts, Rows, Seen};

pub use events::{Change, doubled, retold};
pub use traces::{accepted, broken_traces, is_told_whole, touched};

/// Between the clocks that stamp a webhook when it comes and when it is answered.
const CLOCKS_APART: TimeDelta = TimeDelta::seconds(1);

/// I1, what must have come: every alert of which a webhook was answered 2xx has its row, as bad as was said, resolved where
/// that was said, and by the webhooks themselves: a poll that finds the same afterwards mends what was lost, and does not
/// cover it.
#[must_use]
pub fn lost(facts: &Facts, rows: &Rows) -> Vec<String> {
    let taken = facts.iter().filter(|(_, fact)| fact.was_taken());
    let wrong = taken.filter_map(|(number, fact)| {
        let Some(row) = rows.get(number) else {
            return Some(format!("alert {number} was answered 2xx and has no row: {fact:?}"));
        };
        let lost = what_is_lost(fact, row)?;
        Some(format!("alert {number} {lost}: {row:?} for {fact:?}"))
    });
    wrong.collect()
}

fn what_is_lost(fact: &Fact, row: &Seen) -> Option<&'static str> {
    let is_end_told = fact.resolved == Answered::Taken;
    let is_first_by_poll = |by| row.opened_at.is_none_or(|at| at > by + CLOCKS_APART);
    let severity = match (fact.resolved, fact.opened) {
        (Answered::Taken, _) => Some(fact.severity),
        // a resolve that was told since, or may have been, says anew how bad it is
        (_, Answered::Taken) if !row.is_end_said => Some(fact.severity_opened),
        _ => None,
    };
    let is_as_bad = row.is_severity_polled || severity.is_none_or(|severity| row.severity == severity);
    if row.at != Some(fact.at) {
        Some("is another one")
    } else if is_end_told && row.status != "resolved" {
        Some("is not resolved, as was said")
    } else if !is_as_bad {
        Some("is not as bad as was said")
    } else if fact.opened_by.is_some_and(is_first_by_poll) {
        Some("was opened by a poll, its webhook was lost")
    } else if is_end_told && !fact.is_end_polled && !row.is_end_said {
        Some("was resolved by a poll, its webhook was lost")
    } else {
        None
    }
}

/// I1, before anything else: a gateway that nobody harmed takes every webhook. `refusals`: what was said instead of 2xx.
#[must_use]
pub fn refused(refusals: &BTreeMap<String, usize>) -> Vec<String> {
    refusals.iter().map(|(said, count)| format!("{count} webhooks were not taken: {said}")).collect()
}

/// I1, what must not have come: nothing is over that is open, and that no webhook said to be over.
#[must_use]
pub fn unsaid(facts: &Facts, rows: &Rows) -> Vec<String> {
    let wrong = rows.iter().filter_map(|(number, row)| {
        let fact = facts.get(number)?;
        let is_unsaid = fact.is_open && fact.resolved == Answered::Unsent && row.status == "resolved";
        is_unsaid.then(|| format!("alert {number} is resolved, and nobody said so: {row:?}"))
    });
    wrong.collect()
}

/// I1, once: openings of one key are numbered by their time.
#[must_use]
pub fn miscounted(rows: &Rows) -> Vec<String> {
    let mut keys: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (number, row) in rows {
        keys.entry(&row.dedup_key).or_default().push((row.at, number, row.occurrence_count));
    }
    let mut wrong = Vec::new();
    for openings in keys.values_mut() {
        openings.sort();
        for (place, (_, number, count)) in (1..).zip(openings.iter()) {
            if *count != place {
                wrong.push(format!("alert {number} is opening {place} of its key, and counted as {count}"));
            }
        }
    }
    wrong
}

/// I3: after one poll Postgres shows what is open as open and as bad as it is, nothing else as open, and nobody's alert.
#[must_use]
pub fn untrue(facts: &Facts, rows: &Rows) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, fact) in facts {
        match rows.get(number) {
            None if fact.is_open => wrong.push(format!("alert {number} is open and has no row: {fact:?}")),
            Some(row) if (row.status != "resolved") != fact.is_open => {
                wrong.push(format!("alert {number} is shown as {}: {fact:?}", row.status));
            }
            Some(row) if fact.is_open && row.severity != fact.severity => {
                wrong.push(format!("alert {number} is shown as {}: {fact:?}", row.severity));
            }
            None | Some(_) => {}
        }
    }
    let nobodys = rows.iter().filter(|(number, _)| !facts.contains_key(*number));
    wrong.extend(nobodys.map(|(number, row)| format!("alert {number} is nobody's: {row:?}")));
    wrong
}

/// I6: a tenant's rows tell of its own alerts and agents. Numbers are the same on both servers; times and agents are not.
#[must_use]
pub fn foreign(facts: &Facts, rows: &Rows) -> Vec<String> {
    let wrong = rows.iter().filter(|(number, row)| {
        let is_own = |own: &Fact| row.at == Some(own.at) && row.agent_id.as_deref() == Some(&own.agent_id);
        !facts.get(*number).is_some_and(is_own)
    });
    wrong.map(|(number, row)| format!("alert {number} is another tenant's, or nobody's: {row:?}")).collect()
}

/// I7: no text holds a secret. Texts and secrets come with what they are.
#[must_use]
pub fn told_secrets<'a>(secrets: &[(&str, String)], texts: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    let mut told = Vec::new();
    for (place, text) in texts {
        for (name, secret) in secrets {
            if text.contains(secret.as_str()) {
                told.push(format!("{name} stands in {place}: {text}"));
            }
        }
    }
    told
}
