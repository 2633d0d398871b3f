//! The specification: what a set of facts means, as a fold over the set. Nothing in here knows order, batches or tables.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use store::alert::{Fact, Said};
use uuid::Uuid;

use crate::world::Row;

/// What the set of facts of one connection with an API means.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Meaning {
    pub(crate) rows: BTreeMap<String, Row>,
    /// Revs of alerts of which nothing but salvaged resolves is known.
    pub(crate) hidden_revs: Vec<i64>,
}

/// What these facts mean, however often each is among them. `assets`: agent -> asset.
pub(crate) fn meaning(facts: &[Fact], assets: &BTreeMap<String, Uuid>) -> Meaning {
    let mut meaning = Meaning::default();
    let mut openings: BTreeMap<String, BTreeSet<(DateTime<Utc>, String)>> = BTreeMap::new();
    for (names, facts) in alerts(facts) {
        let external_id = names
            .iter()
            .find_map(|name| name.strip_prefix("id:"))
            .map_or_else(|| names.first().unwrap().clone(), str::to_owned);
        match row(&facts, assets) {
            Some(row) => {
                openings.entry(row.dedup_key.clone()).or_default().insert((row.triggered_at, external_id.clone()));
                meaning.rows.insert(external_id, row);
            }
            None => meaning.hidden_revs.push(2 * facts.len() as i64),
        }
    }
    for (external_id, row) in &mut meaning.rows {
        let opening = (row.triggered_at, external_id.clone());
        row.occurrence_count = 1 + openings[&row.dedup_key].range(..opening).count() as i32;
    }
    meaning.hidden_revs.sort_unstable();
    meaning
}

/// The facts by alert: those that share a name, directly or over others, are about one.
fn alerts(facts: &[Fact]) -> Vec<(BTreeSet<String>, Vec<Fact>)> {
    let mut alerts: Vec<(BTreeSet<String>, Vec<Fact>)> = Vec::new();
    for fact in facts {
        let (mut names, mut all) = (names(fact), vec![fact.clone()]);
        if names.is_empty() {
            continue;
        }
        let (same, others) = alerts.into_iter().partition(|(known, _)| !known.is_disjoint(&names));
        alerts = others;
        let same: Vec<(BTreeSet<String>, Vec<Fact>)> = same;
        for (more_names, more) in same {
            names.extend(more_names);
            all.extend(more.into_iter().filter(|other| other != fact));
        }
        alerts.push((names, all));
    }
    alerts
}

fn names(fact: &Fact) -> BTreeSet<String> {
    let number = fact.number.as_ref().map(|number| format!("id:{number}"));
    let place = fact.alert_time.map(|time| format!("at:{}|{}", fact.agent_id, time.timestamp_micros()));
    number.into_iter().chain(place).collect()
}

fn row(facts: &[Fact], assets: &BTreeMap<String, Uuid>) -> Option<Row> {
    let sound: Vec<&Fact> = facts.iter().filter(|fact| !(fact.needs_fetch && fact.said == Said::Resolve)).collect();
    let is_open = |fact: &&&Fact| matches!(fact.said, Said::Open | Said::PolledOpen | Said::PolledClosed);
    let newest = sound.iter().filter_map(|fact| fact.alert_time).max();
    let opening = sound.iter().filter(|fact| fact.alert_time == newest && newest.is_some()).filter(is_open);
    let opening = opening.map(|fact| fact.at).min();
    let counts = |fact: &&&Fact| match fact.alert_time {
        Some(time) => Some(time) == newest,
        None => opening.is_none_or(|opening| fact.at >= opening),
    };
    let counted: Vec<&Fact> = sound.iter().filter(counts).copied().collect();
    let greatest = |said: &[Said]| counted.iter().filter(|fact| said.contains(&fact.said)).map(|fact| fact.at).max();
    let opened_at = opening.or(counted.iter().filter(is_open).map(|fact| fact.at).min());
    let closed_at = greatest(&[Said::Resolve, Said::Absent, Said::PolledClosed]);
    let resolved_at = closed_at.filter(|at| Some(*at) >= greatest(&[Said::PolledOpen]));
    let agent_id = best(&counted, |fact| Some(fact.agent_id.clone()));
    let check_id = best(&counted, |fact| fact.details.check_id.clone());
    let alert_type = best(&counted, |fact| fact.details.alert_type.clone());
    let asset_id = agent_id.as_ref().and_then(|agent_id| assets.get(agent_id).copied());
    let agent = agent_id.clone().unwrap_or_default();
    Some(Row {
        rev: 2 * facts.len() as i64 + i64::from(asset_id.is_some()),
        status: if resolved_at.is_some() { "resolved" } else { "active" }.to_owned(),
        severity: best(&counted, |fact| fact.details.severity.map(|severity| severity.as_str().to_owned()))
            .unwrap_or_else(|| "none".to_owned()),
        message: best(&counted, |fact| fact.details.message.clone()),
        host_name: best(&counted, |fact| fact.details.host_name.clone()),
        dedup_key: match (&check_id, &alert_type) {
            (Some(check), _) => format!("{agent}|check:{check}"),
            (None, Some(alert_type)) => format!("{agent}|{alert_type}"),
            (None, None) => agent,
        },
        alert_type,
        check_id,
        agent_id,
        asset_id,
        triggered_at: newest.or(opened_at).or(closed_at)?,
        resolved_at,
        occurrence_count: 0,
    })
}

/// What the best source said: a poll before a resolve before an open, of one incarnation; then the later, then the greater
/// value.
fn best(facts: &[&Fact], said: impl Fn(&Fact) -> Option<String>) -> Option<String> {
    let rank = |fact: &Fact| match (fact.alert_time, fact.said) {
        (Some(_), Said::PolledOpen | Said::PolledClosed) => 2,
        (Some(_), Said::Resolve) => 1,
        _ => 0,
    };
    let told = facts.iter().filter_map(|fact| Some((rank(fact), fact.at, said(fact)?)));
    told.max().map(|(_, _, value)| value)
}
