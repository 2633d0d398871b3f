//! What it means that an alert which is open here is not among Tactical's open ones. Pure.
//!
//! Tactical shows a key only what its role may see, so that an absent alert may be resolved, deleted, or hidden. Resolved is
//! only what cannot be hidden: an alert without an agent, which every role sees, or one whose agent the same key was shown a
//! moment later. Where the agent is gone while its client and site are still shown, it was deleted, or was moved to where the
//! key does not see: the alert itself is asked for, which tells the two apart. So are a few of those whose client or site is not
//! shown: most are hidden, some went with their client. What has no number cannot be asked for and is left as it is.

use std::cmp::Reverse;

use connection::identity::Listed;
use contract::id;
use store::alert::OpenAlert;

use crate::place::Places;

/// What follows from an alert's absence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is no longer open.
    Over,
    /// Its agent is gone: Tactical is to be asked for the alert itself.
    AgentGone,
    /// Its place is not shown: Tactical is to be asked for the alert itself.
    Stray,
    /// Nobody can tell: it has no number to ask by.
    Nameless,
}

/// Alerts that were not listed, by what that means.
#[derive(Debug, Default)]
pub struct Absent {
    /// [`Verdict::Over`].
    pub over: Vec<OpenAlert>,
    /// [`Verdict::AgentGone`].
    pub gone: Vec<OpenAlert>,
    /// [`Verdict::Stray`].
    pub strays: Vec<OpenAlert>,
    /// How many are [`Verdict::Nameless`].
    pub nameless: usize,
}

impl Absent {
    /// Sorts one in.
    pub fn add(&mut self, alert: OpenAlert, agents: &Listed, places: &Places) {
        match verdict(&alert, agents, places) {
            Verdict::Over => self.over.push(alert),
            Verdict::AgentGone => self.gone.push(alert),
            Verdict::Stray => self.strays.push(alert),
            Verdict::Nameless => self.nameless += 1,
        }
    }

    /// Puts the alerts of each sort into an order that has nothing to do with what they are, and is another one in each run: the
    /// first few stand for all, and those that are asked for every time do not keep the others from it.
    pub fn shuffle(&mut self, run: &[u8]) {
        for alerts in [&mut self.over, &mut self.gone, &mut self.strays] {
            alerts.sort_by_cached_key(|alert| Reverse(id::of(&[run, alert.external_alert_id.as_bytes()])));
        }
    }
}

/// Judges an alert that was not listed. `agents`: those that the same key was shown after the list.
#[must_use]
pub fn verdict(alert: &OpenAlert, agents: &Listed, places: &Places) -> Verdict {
    if number(alert).is_none() {
        return Verdict::Nameless;
    }
    match alert.agent_id.as_deref() {
        None | Some("") => Verdict::Over,
        Some(agent) if agents.contains_key(agent) => Verdict::Over,
        Some(_) if places.shows(alert) => Verdict::AgentGone,
        Some(_) => Verdict::Stray,
    }
}

/// Tactical's number of an alert; `None`: what it is known by is no number of Tactical's.
#[must_use]
pub fn number(alert: &OpenAlert) -> Option<i64> {
    store::alert::number(&alert.external_alert_id)
}

#[cfg(test)]
mod tests {
    use tactical::{Organization, Site};

    use super::*;

    fn alert(number: &str, agent: Option<&str>, client: &str, site: &str) -> OpenAlert {
        OpenAlert {
            alert_id: uuid::Uuid::nil(),
            external_alert_id: number.to_owned(),
            agent_id: agent.map(str::to_owned),
            alert_time: None,
            client_id: Some(client.to_owned()),
            site_id: Some(site.to_owned()),
            site_name: None,
        }
    }

    fn places() -> Places {
        let site = Site { id: 10, name: "Main".to_owned(), client: Some(1), agent_count: Some(1) };
        Places::of(&[Organization { id: 1, name: "Acme".to_owned(), agent_count: Some(1), sites: vec![site] }])
    }

    #[test]
    fn only_what_the_key_would_have_seen_is_over() {
        let agents: Listed = [("anna".to_owned(), None)].into();
        let table = [
            ("its agent is listed", alert("7", Some("anna"), "1", "10"), Verdict::Over),
            ("listed elsewhere", alert("7", Some("anna"), "9", "90"), Verdict::Over),
            ("without an agent", alert("7", None, "1", "10"), Verdict::Over),
            ("with an empty one", alert("7", Some(""), "1", "10"), Verdict::Over),
            ("agent gone, place shown", alert("7", Some("bert"), "1", "10"), Verdict::AgentGone),
            ("agent gone, site hidden", alert("7", Some("bert"), "1", "11"), Verdict::Stray),
            ("agent gone, client hidden", alert("7", Some("bert"), "2", "10"), Verdict::Stray),
            ("no number", alert("at:anna|1", Some("anna"), "1", "10"), Verdict::Nameless),
            ("not quite a number", alert("007", Some("anna"), "1", "10"), Verdict::Nameless),
            ("below all numbers", alert("-7", Some("anna"), "1", "10"), Verdict::Nameless),
        ];
        for (name, alert, expected) in table {
            assert_eq!(verdict(&alert, &agents, &places()), expected, "{name}");
        }
    }

    #[test]
    fn an_agent_that_was_read_is_known_by_its_sites_name() {
        let known =
            OpenAlert { site_id: None, site_name: Some("Main".to_owned()), ..alert("7", Some("bert"), "1", "") };
        assert_eq!(verdict(&known, &Listed::new(), &places()), Verdict::AgentGone);
        let unknown = OpenAlert { site_name: None, ..known };
        assert_eq!(verdict(&unknown, &Listed::new(), &places()), Verdict::Stray);
    }

    #[test]
    fn each_run_has_an_order_of_its_own() {
        let all = || Absent {
            strays: (1..50).map(|n| alert(&n.to_string(), None, "1", "10")).collect(),
            ..Absent::default()
        };
        let (mut one, mut other, mut again) = (all(), all(), all());
        one.shuffle(b"1");
        other.shuffle(b"2");
        again.shuffle(b"1");
        assert!(one.strays != other.strays && one.strays == again.strays);
    }
}
