//! What a reader sees of a state, and which transitions lead from one view to the next. Pure.

use chrono::{DateTime, Utc};
use contract::event::Transition;

use super::bound;
use super::state::{Field, Stamps, State, Told};

/// The alert as `rmm_alerts` and the events show it; a function of the state and so of the set of facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) external_alert_id: String,
    pub(crate) alert_time: Option<DateTime<Utc>>,
    pub(crate) opened_at: Option<DateTime<Utc>>,
    /// Set exactly while it is resolved.
    pub(crate) resolved_at: Option<DateTime<Utc>>,
    /// What orders it among the openings of its dedup key, and its `triggered_at`.
    pub(crate) opening_at: DateTime<Utc>,
    /// The newest poll that showed it open.
    pub(crate) open_polled_at: Option<DateTime<Utc>>,
    pub(crate) agent_id: Option<String>,
    pub(crate) severity: String,
    pub(crate) message: Option<String>,
    pub(crate) alert_type: Option<String>,
    pub(crate) host_name: Option<String>,
    pub(crate) check_id: Option<String>,
    pub(crate) client_id: Option<String>,
    pub(crate) site_id: Option<String>,
    /// `off`, `on`, or until when.
    pub(crate) snooze: Option<String>,
    pub(crate) hidden: Option<bool>,
    pub(crate) dedup_key: String,
}

impl View {
    pub(crate) fn is_resolved(&self) -> bool {
        self.resolved_at.is_some()
    }

    /// Whether a reader sees the same. A newer poll that shows the same alert open is no change.
    pub(crate) fn looks_like(&self, other: &Self) -> bool {
        let blind = |view: &Self| Self { open_polled_at: None, ..view.clone() };
        blind(self) == blind(other)
    }
}

/// What the state shows; `None` while nothing but a salvaged resolve is known, which is no ground for a row.
pub(crate) fn view(state: &State) -> Option<View> {
    let stamps = effective_stamps(state);
    let closed_at = stamps.resolve_said_at.max(stamps.absent_at);
    let resolved_at = closed_at.filter(|at| Some(*at) >= stamps.open_polled_at);
    let opening_at = state.alert_time.or(stamps.opened_at).or(closed_at)?;
    let external_alert_id = state.number.clone().or_else(|| state.place.clone())?;
    let mut view = View {
        external_alert_id,
        alert_time: state.alert_time,
        opened_at: stamps.opened_at,
        resolved_at,
        opening_at,
        open_polled_at: stamps.open_polled_at,
        agent_id: detail(state, Field::Agent),
        severity: detail(state, Field::Severity).unwrap_or_else(|| "none".to_owned()),
        message: detail(state, Field::Message),
        alert_type: detail(state, Field::Type),
        host_name: detail(state, Field::HostName),
        check_id: detail(state, Field::Check),
        client_id: detail(state, Field::Client),
        site_id: detail(state, Field::Site),
        snooze: detail(state, Field::Snooze),
        hidden: detail(state, Field::Hidden).map(|word| word == "true"),
        dedup_key: String::new(),
    };
    view.dedup_key = dedup_key(&view);
    Some(view)
}

/// The stamps of the newest incarnation. What has no `alert_time` counts for it unless it is older than its opening.
fn effective_stamps(state: &State) -> Stamps {
    let (timed, loose) = (&state.timed.stamps, &state.loose.stamps);
    let counts = |at: &DateTime<Utc>| timed.opened_at.is_none_or(|opened_at| *at >= opened_at);
    Stamps {
        opened_at: timed.opened_at.or(loose.opened_at),
        resolve_said_at: timed.resolve_said_at.max(loose.resolve_said_at.filter(counts)),
        absent_at: timed.absent_at.max(loose.absent_at.filter(counts)),
        open_polled_at: timed.open_polled_at.max(loose.open_polled_at.filter(counts)),
    }
}

fn detail(state: &State, field: Field) -> Option<String> {
    let opened_at = state.timed.stamps.opened_at.map(|at| at.timestamp_micros());
    let counts = |told: &&Told| opened_at.is_none_or(|opened_at| told.1 >= opened_at);
    let timed = state.timed.details.0.get(&field);
    let loose = state.loose.details.0.get(&field).filter(counts);
    timed.max(loose).map(|told| told.2.clone())
}

/// What flapping is counted by: the agent and its check, or its type where no check is named.
fn dedup_key(view: &View) -> String {
    let agent = view.agent_id.as_deref().unwrap_or_default();
    let text = match (&view.check_id, &view.alert_type) {
        (Some(check), _) => format!("{agent}|check:{check}"),
        (None, Some(alert_type)) => format!("{agent}|{alert_type}"),
        (None, None) => agent.to_owned(),
    };
    bound::identifier(&text, bound::DEDUP_KEY_CHARS_MAX)
}

/// What happened between two views of one alert, in the order in which a reader wants to hear it.
///
/// `was_closed_by_hand`: the visible row was resolved by somebody who told us nothing, and a poll has shown it open since.
pub(crate) fn transitions(old: Option<&View>, new: Option<&View>, was_closed_by_hand: bool) -> Vec<Transition> {
    use Transition::{Opened, Reopened, Resolved, Updated};
    let Some(new) = new else { return Vec::new() };
    let Some(old) = old else {
        return match (new.is_resolved(), new.opened_at.is_some()) {
            (false, _) => vec![Opened],
            (true, true) => vec![Opened, Resolved],
            (true, false) => vec![Resolved],
        };
    };
    // a first `alert_time` on an alert that had none is a detail, a later one another failure
    let is_reborn = old.alert_time.is_some() && old.alert_time < new.alert_time;
    match (old.is_resolved() || was_closed_by_hand, new.is_resolved()) {
        (false, true) => vec![Resolved],
        (true, false) => vec![Reopened],
        (true, true) if is_reborn && new.opened_at.is_some() => vec![Reopened, Resolved],
        _ if old.looks_like(new) => Vec::new(),
        _ => vec![Updated],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(alert_time_s: i64, opened_at_s: Option<i64>, resolved_at_s: Option<i64>) -> View {
        let time = |at_s| DateTime::from_timestamp(at_s, 0).expect("it is a time");
        View {
            external_alert_id: "7".to_owned(),
            alert_time: Some(time(alert_time_s)),
            opened_at: opened_at_s.map(time),
            resolved_at: resolved_at_s.map(time),
            opening_at: time(alert_time_s),
            open_polled_at: None,
            agent_id: None,
            severity: "none".to_owned(),
            message: None,
            alert_type: None,
            host_name: None,
            check_id: None,
            client_id: None,
            site_id: None,
            snooze: None,
            hidden: None,
            dedup_key: String::new(),
        }
    }

    #[test]
    fn every_step_from_one_view_to_the_next_has_its_transitions() {
        use Transition::{Opened, Reopened, Resolved, Updated};
        let (open, resolved) = (seen(1, Some(2), None), seen(1, Some(2), Some(3)));
        let tombstone = seen(1, None, Some(3));
        let (reborn, reborn_resolved) = (seen(9, Some(10), None), seen(9, Some(10), Some(11)));
        type Step<'a> = (&'a str, Option<&'a View>, Option<&'a View>, bool, &'a [Transition]);
        let table: [Step<'_>; 14] = [
            ("nothing known", None, None, false, &[]),
            ("opens", None, Some(&open), false, &[Opened]),
            ("opens and resolves at once", None, Some(&resolved), false, &[Opened, Resolved]),
            ("resolve first", None, Some(&tombstone), false, &[Resolved]),
            ("nothing new", Some(&open), Some(&open), false, &[]),
            ("resolves", Some(&open), Some(&resolved), false, &[Resolved]),
            ("late open", Some(&tombstone), Some(&resolved), false, &[Updated]),
            ("reopens", Some(&resolved), Some(&open), false, &[Reopened]),
            ("reborn while open", Some(&open), Some(&reborn), false, &[Updated]),
            ("reborn after its end", Some(&resolved), Some(&reborn), false, &[Reopened]),
            ("reborn and over", Some(&resolved), Some(&reborn_resolved), false, &[Reopened, Resolved]),
            ("reborn and over, was open", Some(&open), Some(&reborn_resolved), false, &[Resolved]),
            ("reborn as a tombstone", Some(&resolved), Some(&seen(9, None, Some(11))), false, &[Updated]),
            ("closed by hand, still open", Some(&open), Some(&open), true, &[Reopened]),
        ];
        for (name, old, new, was_closed_by_hand, expected) in table {
            assert_eq!(transitions(old, new, was_closed_by_hand), expected, "{name}");
        }
    }

    #[test]
    fn a_newer_poll_of_the_same_alert_is_no_change() {
        let polled = View { open_polled_at: DateTime::from_timestamp(50, 0), ..seen(1, Some(2), None) };
        assert!(polled.looks_like(&seen(1, Some(2), None)));
    }
}
