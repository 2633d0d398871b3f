//! I2: what left as events contradicts neither itself nor the rows.

use std::collections::{BTreeMap, BTreeSet};

use contract::event::{AlertChanged, CloudEvent, Transition};
use uuid::Uuid;

use crate::faults::facts::Rows;

/// One event about an alert as it came: its id and its body.
pub type Change = (String, Vec<u8>);

/// I2: no event id has two contents, no (alert, revision, transition) two ids, no alert is opened twice, the newest event of
/// each alert is what its row shows, and no transition that a row remembers lacks its event: a later one does not cover it.
/// `rows`: of all tenants. `untold`: alerts with the revision up to which nobody need have been told of them.
#[must_use]
pub fn retold(changes: &[Change], rows: &[&Rows], untold: &BTreeMap<Uuid, i64>) -> Vec<String> {
    let (of_alert, mut wrong) = of_alerts(changes);
    for (alert, events) in &of_alert {
        wrong.extend(twice(events).into_iter().map(|why| format!("events of {alert}: {why}")));
        wrong.extend(contradictions(events).into_iter().map(|why| format!("events of {alert}: {why}")));
    }
    for row in rows.iter().flat_map(|rows| rows.values()) {
        let newest = of_alert.get(&row.alert_id).into_iter().flatten().max_by_key(|event| event.rev);
        let until = untold.get(&row.alert_id).copied().unwrap_or_default();
        if newest.map_or(0, |event| event.rev) < row.rev() && row.rev() <= until {
            continue;
        }
        match newest {
            None => wrong.push(format!("no event told of {row:?}")),
            Some(event) if (event.rev, &event.status) != (row.rev(), &row.status) => {
                wrong.push(format!("the newest event says {} at {}: {row:?}", event.status, event.rev));
            }
            Some(_) => {
                let told = of_alert.get(&row.alert_id).into_iter().flatten();
                let told: BTreeSet<_> = told.map(|event| (event.transition, event.rev)).collect();
                let untold = row.revs.iter().filter(|change| change.1 > until && !told.contains(*change));
                wrong.extend(untold.map(|(it, rev)| format!("no event told {} at {rev}: {row:?}", it.as_str())));
            }
        }
    }
    let shown: BTreeSet<Uuid> = rows.iter().flat_map(|rows| rows.values()).map(|row| row.alert_id).collect();
    let strange = of_alert.keys().filter(|alert| !shown.contains(*alert));
    wrong.extend(strange.map(|alert| format!("events tell of {alert}, which is no row")));
    wrong
}

/// How many changes were told as if they had happened twice, by events of their own.
#[must_use]
pub fn doubled(changes: &[Change]) -> usize {
    of_alerts(changes).0.values().map(|events| twice(events).len()).sum()
}

/// The events of each alert, each once however often it came; and what is wrong with them by themselves.
fn of_alerts(changes: &[Change]) -> (BTreeMap<Uuid, Vec<AlertChanged>>, Vec<String>) {
    let (mut of_alert, mut wrong) = (BTreeMap::<Uuid, Vec<AlertChanged>>::new(), Vec::new());
    let mut bodies: BTreeMap<&str, &[u8]> = BTreeMap::new();
    for (id, body) in changes {
        if *bodies.entry(id).or_insert(body) != body {
            wrong.push(format!("the event {id} has two contents"));
        }
    }
    for (id, body) in bodies {
        match serde_json::from_slice::<CloudEvent<AlertChanged>>(body) {
            Ok(event) => of_alert.entry(event.data.alert_id).or_default().push(event.data),
            Err(error) => wrong.push(format!("the event {id} cannot be read: {error}")),
        }
    }
    (of_alert, wrong)
}

/// What is said twice of one alert.
fn twice(events: &[AlertChanged]) -> Vec<String> {
    let mut changes = BTreeSet::new();
    let again = events.iter().filter(|event| !changes.insert((event.rev, event.transition)));
    let mut wrong: Vec<String> =
        again.map(|event| format!("two ids for {} at {}", event.transition.as_str(), event.rev)).collect();
    let opened: BTreeSet<i64> =
        events.iter().filter(|event| event.transition == Transition::Opened).map(|event| event.rev).collect();
    if opened.len() > 1 {
        wrong.push(format!("opened {} times", opened.len()));
    }
    wrong
}

/// What cannot be true of one alert at once.
fn contradictions(events: &[AlertChanged]) -> Vec<String> {
    let mut states: BTreeMap<i64, &str> = BTreeMap::new();
    let mut wrong = Vec::new();
    for event in events {
        if states.insert(event.rev, &event.status).is_some_and(|state| state != event.status) {
            wrong.push(format!("two states at {}", event.rev));
        }
    }
    wrong
}
