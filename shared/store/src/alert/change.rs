//! What a batch makes of one alert: the joined state, its view, its transitions. Pure.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use contract::event::{AlertChanged, Transition};
use serde_json::json;
use uuid::Uuid;

use super::link::Agent;
use super::name::{AlertId, Component, Item, Name};
use super::occurrence::{Dedup, Opening};
use super::state::State;
use super::stored::{StateRow, Stored};
use super::view::{View, transitions, view};

/// One alert after the batch.
pub(crate) struct Change {
    pub(crate) alert: AlertId,
    pub(crate) integration_id: Uuid,
    pub(crate) state: State,
    pub(crate) view: Option<View>,
    /// As it was; none where it is new.
    old: Option<Stored>,
    old_view: Option<View>,
    /// Alerts that turned out to be this one.
    doubles: Vec<Stored>,
    /// Names that must lead here from now on.
    pub(crate) moved: Vec<Name>,
    traceparent: Option<String>,
    /// Nobody but polls told of it.
    is_polled: bool,
    /// The batch tells what was counted before, whatever else it tells: whoever counted that may have died right after.
    is_retold: bool,
    /// Agents that a webhook of the batch was about.
    pub(crate) refreshes: Vec<Agent>,
    pub(crate) asset_id: Option<Uuid>,
    pub(crate) occurrence: i32,
}

impl Change {
    /// Joins what is stored with what the batch says.
    pub(crate) fn of(
        component: Component,
        items: &[Item],
        names: &HashMap<Name, AlertId>,
        stored: &HashMap<AlertId, Stored>,
    ) -> Self {
        let alert = survivor(&component, stored);
        let mut state = stored.get(&alert).map(|old| old.state.clone()).unwrap_or_default();
        let doubles: Vec<Stored> =
            component.members.iter().filter(|id| **id != alert).filter_map(|id| stored.get(id)).cloned().collect();
        for double in &doubles {
            state.join(&double.state);
        }
        let mut is_retold = false;
        for position in &component.items {
            let item = &items[*position];
            if !stored.get(&alert).is_some_and(|old| old.has_outlived(&item.fact)) {
                let told = State::of(&item.fact, &item.keys);
                is_retold |= state.digests.knows(&told.digests);
                state.join(&told);
            }
        }
        let told = component.items.iter().map(|position| &items[*position].fact).filter(|fact| fact.is_webhook());
        let refreshes = told.map(|fact| (fact.tenant, fact.integration_id, fact.agent_id.clone())).collect();
        let old = stored.get(&alert).cloned();
        let old_view = old.as_ref().and_then(|old| view(&old.state));
        let row = old.as_ref().and_then(|old| old.row.as_ref());
        Self {
            alert,
            integration_id: items[component.items[0]].fact.integration_id,
            view: view(&state),
            state,
            refreshes,
            asset_id: row.and_then(|row| row.asset_id),
            occurrence: row.map_or(1, |row| row.occurrence_count),
            old,
            old_view,
            doubles,
            is_polled: component.items.iter().all(|position| !items[*position].fact.is_webhook()),
            is_retold,
            moved: component.names.into_iter().filter(|name| names[name] != alert).collect(),
            traceparent: component.items.iter().rev().find_map(|position| items[*position].fact.traceparent.clone()),
        }
    }

    /// Whether the batch told anything new about it.
    pub(crate) fn is_news(&self) -> bool {
        !self.doubles.is_empty() || self.old.as_ref().is_none_or(|old| old.state != self.state)
    }

    /// Its opening where the numbers around it are to be looked at after the commit: it is new or has moved, or whoever
    /// wrote it may have died before that look.
    pub(crate) fn opening_to_check(&self) -> Option<Opening> {
        let is_due = self.is_retold || !self.is_news() || self.moved_opening().is_some();
        self.opening().filter(|_| is_due)
    }

    /// Whether a poll has found it: nobody saw it before, and no webhook told of it.
    pub(crate) fn is_found(&self) -> bool {
        self.is_polled && self.old_view.is_none() && self.doubles.is_empty()
    }

    /// Its agent.
    pub(crate) fn agent(&self) -> Option<Agent> {
        let agent_id = self.view.as_ref()?.agent_id.clone()?;
        Some((self.alert.0, self.integration_id, agent_id))
    }

    /// The agent whose asset it needs: it has none, or is another agent's now.
    pub(crate) fn agent_to_link(&self) -> Option<Agent> {
        let old_agent = self.old_view.as_ref().and_then(|old| old.agent_id.clone());
        self.agent().filter(|agent| self.asset_id.is_none() || old_agent.as_ref() != Some(&agent.2))
    }

    /// Takes the asset of its agent, if that is known.
    pub(crate) fn link(&mut self, assets: &HashMap<Agent, Uuid>) {
        // a later incarnation may be nobody's, under a number that a restored server gave again
        let is_nobodys = self.agent().is_none();
        let was_an_agents = self.old_view.as_ref().is_some_and(|old| old.agent_id.is_some());
        if self.agent_to_link().is_some() || (is_nobodys && (self.view.is_none() || was_an_agents)) {
            self.asset_id = self.agent().and_then(|agent| assets.get(&agent).copied());
        }
    }

    /// Its place among the openings of its dedup key.
    pub(crate) fn opening(&self) -> Option<Opening> {
        let view = self.view.as_ref()?;
        Some(Opening {
            dedup: (self.alert.0, self.integration_id, view.dedup_key.clone()),
            opening_at: view.opening_at,
            external_alert_id: view.external_alert_id.clone(),
            alert_id: self.alert.1,
        })
    }

    /// The same where it is new or has moved.
    pub(crate) fn moved_opening(&self) -> Option<Opening> {
        self.opening().filter(|opening| self.old.as_ref().and_then(stored_opening).as_ref() != Some(opening))
    }

    /// Dedup keys that an opening has left behind a gap in.
    pub(crate) fn left(&self) -> BTreeSet<Dedup> {
        let moved = self.old.iter().filter(|_| self.moved_opening().is_some());
        moved.chain(&self.doubles).filter_map(stored_opening).map(|opening| opening.dedup).collect()
    }

    /// The doubles, each with the alert that stays.
    pub(crate) fn doubles(&self) -> impl Iterator<Item = (AlertId, AlertId)> {
        self.doubles.iter().map(|double| (double.alert, self.alert))
    }

    fn row_status(&self) -> Option<&str> {
        self.old.as_ref()?.row.as_ref().map(|row| row.status.as_str())
    }

    /// Resolved by somebody who told us nothing; and when.
    fn closed_by_hand_at(&self) -> Option<Option<DateTime<Utc>>> {
        let row = self.old.as_ref()?.row.as_ref()?;
        let is_closed = matches!(row.status.as_str(), "resolved" | "auto_resolved");
        let was_open = self.old_view.as_ref().is_some_and(|old| !old.is_resolved());
        (is_closed && was_open).then_some(row.resolved_at)
    }

    /// A poll that began after a resolve by hand still shows it open.
    fn is_reopened_by_poll(&self) -> bool {
        let polled_at = self.view.as_ref().and_then(|view| view.open_polled_at);
        self.closed_by_hand_at().is_some_and(|closed_at| polled_at.is_some() && polled_at >= closed_at)
    }

    /// The visible status and its time: ours, unless people have said otherwise.
    fn status(&self, view: &View) -> (&str, Option<DateTime<Utc>>) {
        if view.is_resolved() {
            return ("resolved", view.resolved_at);
        }
        match (self.row_status(), self.closed_by_hand_at()) {
            (Some(status @ ("acknowledged" | "suppressed")), _) => (status, None),
            (Some(status), Some(closed_at)) if !self.is_reopened_by_poll() => (status, closed_at),
            _ => ("active", None),
        }
    }

    /// What happened to it, in the order in which a reader wants to hear it.
    fn transitions(&self) -> Vec<Transition> {
        let was_reopened = self.is_reopened_by_poll();
        let mut happened = transitions(self.old_view.as_ref(), self.view.as_ref(), was_reopened);
        let old_asset_id = self.old.as_ref().and_then(|old| old.row.as_ref()).and_then(|row| row.asset_id);
        if happened.is_empty() && self.view.is_some() && self.asset_id != old_asset_id {
            happened.push(Transition::Updated);
        }
        happened
    }

    /// Its row in `muster.alert_state`.
    pub(crate) fn state_row(&self) -> StateRow<'_> {
        let mut row = StateRow::of(self.alert, self.integration_id, &self.state, self.asset_id);
        if let Some(view) = &self.view {
            row.external_alert_id = Some(&view.external_alert_id);
            row.agent_id = view.agent_id.as_deref();
            row.dedup_key = Some(&view.dedup_key);
            row.opening_at = Some(view.opening_at);
        }
        for transition in self.transitions() {
            let flip = match transition {
                Transition::Opened => &mut row.opened_rev,
                Transition::Updated => &mut row.updated_rev,
                Transition::Resolved => &mut row.resolved_rev,
                Transition::Reopened => &mut row.reopened_rev,
            };
            *flip = Some(row.rev);
        }
        row
    }

    /// Its row in `rmm_alerts`.
    pub(crate) fn alert_row(&self) -> Option<AlertRow<'_>> {
        let view = self.view.as_ref()?;
        let (status, resolved_at) = self.status(view);
        Some(AlertRow {
            tenant: self.alert.0,
            alert_id: self.alert.1,
            integration_id: self.integration_id,
            external_alert_id: &view.external_alert_id,
            external_device_id: view.agent_id.as_deref(),
            asset_id: self.asset_id,
            severity: &view.severity,
            status,
            alert_type: view.alert_type.as_deref(),
            message: view.message.as_deref(),
            device_name: view.host_name.as_deref(),
            triggered_at: view.opening_at,
            resolved_at,
            metadata: metadata(view),
            dedup_key: &view.dedup_key,
            occurrence_count: self.occurrence,
        })
    }

    /// What leaves by the outbox, each with the trace that caused it.
    pub(crate) fn events(&self) -> Vec<(AlertChanged, Option<String>)> {
        let Some(view) = &self.view else { return Vec::new() };
        let rev = self.state.rev(self.asset_id.is_some());
        let (status, resolved_at) = self.status(view);
        let event = |transition| AlertChanged {
            tenant: self.alert.0,
            alert_id: self.alert.1,
            integration_id: self.integration_id,
            rev,
            transition,
            agent_id: view.agent_id.clone().unwrap_or_default(),
            asset_id: self.asset_id,
            severity: view.severity.clone(),
            status: status.to_owned(),
            dedup_key: Some(view.dedup_key.clone()),
            occurrence_count: self.occurrence,
            triggered_at: Some(view.opening_at),
            resolved_at,
        };
        let own = self.transitions().into_iter().map(event);
        own.chain(self.doubles.iter().filter_map(farewell)).map(|event| (event, self.traceparent.clone())).collect()
    }
}

/// What has no column of its own. What nobody said stands in it only where readers have always found it.
fn metadata(view: &View) -> serde_json::Value {
    let mut metadata = json!({ "check_id": view.check_id, "client_id": view.client_id, "site_id": view.site_id });
    if let Some(snooze) = &view.snooze {
        metadata["snoozed"] = json!(snooze != "off");
        metadata["snoozed_until"] = json!(Some(snooze).filter(|text| !matches!(text.as_str(), "on" | "off")));
    }
    if let Some(hidden) = view.hidden {
        metadata["hidden"] = json!(hidden);
    }
    metadata
}

/// A double leaves its readers with a last word, or they would hold it open for ever.
fn farewell(double: &Stored) -> Option<AlertChanged> {
    let view = view(&double.state).filter(|view| !view.is_resolved())?;
    let row = double.row.as_ref()?;
    Some(AlertChanged {
        tenant: double.alert.0,
        alert_id: double.alert.1,
        integration_id: double.integration_id,
        // no fact will ever raise it again, and none has used it: facts raise it by two, the asset by one
        rev: double.state.rev(true) + 1,
        transition: Transition::Resolved,
        agent_id: view.agent_id.unwrap_or_default(),
        asset_id: row.asset_id,
        severity: view.severity,
        status: "resolved".to_owned(),
        dedup_key: Some(view.dedup_key),
        occurrence_count: row.occurrence_count,
        triggered_at: Some(view.opening_at),
        resolved_at: None,
    })
}

fn stored_opening(stored: &Stored) -> Option<Opening> {
    Some(Opening {
        dedup: (stored.alert.0, stored.integration_id, stored.dedup_key.clone()?),
        opening_at: stored.opening_at?,
        external_alert_id: stored.external_alert_id.clone()?,
        alert_id: stored.alert.1,
    })
}

/// Which of a component's alerts stays: one that exists before one that is only named, the one with a number before others
/// (all of its names are then known), the oldest of those (ids grow with time).
fn survivor(component: &Component, stored: &HashMap<AlertId, Stored>) -> AlertId {
    let rank = |alert: &AlertId| {
        let old = stored.get(alert);
        let has_number = old.is_some_and(|old| old.state.number.is_some() || old.state.place.is_none());
        (old.is_none(), !has_number, *alert)
    };
    component.members.iter().copied().min_by_key(rank).expect("a component has a member")
}

/// What `rmm_alerts` holds of ours, under its columns' names.
#[derive(Debug, serde::Serialize)]
pub(crate) struct AlertRow<'a> {
    tenant: Uuid,
    alert_id: Uuid,
    integration_id: Uuid,
    external_alert_id: &'a str,
    external_device_id: Option<&'a str>,
    asset_id: Option<Uuid>,
    severity: &'a str,
    status: &'a str,
    alert_type: Option<&'a str>,
    message: Option<&'a str>,
    device_name: Option<&'a str>,
    triggered_at: DateTime<Utc>,
    resolved_at: Option<DateTime<Utc>>,
    metadata: serde_json::Value,
    dedup_key: &'a str,
    occurrence_count: i32,
}
